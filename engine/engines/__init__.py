"""Engines: inputs come one by one, are computed in micro-batches, and each is answered by a callback."""
