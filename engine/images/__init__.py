"""Encoded pictures: what may be decoded, and decoding straight into a batch's row."""
