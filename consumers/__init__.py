"""Consumers: from the frames topic, through the engine, to one outcome per frame."""
