"""A TFLite model on LiteRT's interpreter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.software import extra, require
from engine.errors import ModelError, ModelNotFoundError, first_line
from engine.models.files import TFLITE_MAGIC
from engine.models.tools.runnable import Arrays, ModelInput, RunnableModel


def read_tflite(path: Path) -> bytes:
    """Return a TFLite file's bytes.

    Raises:
        ModelError: It is none.
        ModelNotFoundError: There is no such file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise ModelNotFoundError(f"no model file {path}") from exc
    except OSError as exc:
        raise ModelError(f"the model {path} cannot be read: {exc.strerror}") from exc
    if content[4:8] != TFLITE_MAGIC:
        raise ModelError(f"{path} is no TFLite model: it lacks the mark {TFLITE_MAGIC.decode()}")
    return content


class TfliteModel(RunnableModel):
    """A TFLite model that can be run."""

    def __init__(self, path: Path) -> None:
        runtime = require("ai_edge_litert.interpreter", "the TFLite runtime", extra("tflite"), kind="tool")
        self.path = path
        content = read_tflite(path)
        try:
            self._interpreter: Any = runtime.Interpreter(model_content=content)
            self._interpreter.allocate_tensors()
            taken, given = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except Exception as exc:  # it raises anything on what it cannot run
            raise ModelError(f"{path} cannot be run by LiteRT: {first_line(exc)}") from exc
        self.inputs = [ModelInput(entry["name"], _shape(entry), np.dtype(entry["dtype"])) for entry in taken]
        self.outputs = [entry["name"] for entry in given]
        self._taken = {entry["name"]: entry["index"] for entry in taken}
        self._given = {entry["name"]: entry["index"] for entry in given}

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Return the outputs by name."""
        try:
            shapes = {entry["name"]: tuple(entry["shape"]) for entry in self._interpreter.get_input_details()}
            if any(shapes[name] != value.shape for name, value in inputs.items()):
                for name, value in inputs.items():
                    self._interpreter.resize_tensor_input(self._taken[name], value.shape)
                self._interpreter.allocate_tensors()
            for name, value in inputs.items():
                self._interpreter.set_tensor(self._taken[name], value)
            self._interpreter.invoke()
            return {name: self._interpreter.get_tensor(index) for name, index in self._given.items()}
        except Exception as exc:
            raise ModelError(f"{self.path} does not run: {first_line(exc)}") from exc


def _shape(entry: Mapping[str, Any]) -> tuple[int | None, ...]:
    """Return a tensor's shape, with None where its signature leaves the size open."""
    signature = entry.get("shape_signature")
    sizes = entry["shape"] if signature is None or len(signature) != len(entry["shape"]) else signature
    return tuple(int(size) if size > 0 else None for size in sizes)
