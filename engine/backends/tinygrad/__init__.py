"""tinygrad: ONNX and `.npz` models on whatever device it compiles for."""

from engine.backends.tinygrad.backend import TinygradBackend

__all__ = ["TinygradBackend"]
