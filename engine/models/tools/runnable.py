"""Models of every kind, opened to be run: what a model and its conversion are compared by."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from engine.backends.tinygrad.compiler import has_compiler
from engine.errors import EngineError, ModelError, first_line
from engine.models.files import TORCH_SUFFIXES
from engine.models.npz import load_npz
from engine.models.onnx_file import check_onnx_file, files_of, save_onnx

Arrays = dict[str, NDArray[np.generic]]


class ModelInput(NamedTuple):
    """What a model takes.

    Attributes:
        name: As the model's file calls it.
        shape: One entry per axis; None where it takes any size.
        dtype: numpy's.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.generic]


class RunnableModel(ABC):
    """A model that can be run; for a `with` block.

    Attributes:
        path: Its file.
        inputs: What it takes, in the file's order.
        outputs: The names of what it gives, in the file's order.
    """

    path: Path
    inputs: list[ModelInput]
    outputs: list[str]

    @abstractmethod
    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Return the outputs by name.

        Args:
            inputs: An array for each input, of its shape and dtype.

        Raises:
            ModelError: It refuses the inputs, or fails on them.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what it holds."""

    @property
    def size_bytes(self) -> int:
        """What its files take on disk."""
        return self.path.stat().st_size

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        self.close()


class SessionModel(RunnableModel):
    """An ONNX file on ONNX Runtime's CPU, or an `.npz` model on tinygrad's."""

    def __init__(self, path: Path) -> None:
        from engine.session import Session

        self.path = path
        self._folder = tempfile.TemporaryDirectory(prefix="streamer-model-")
        try:
            file, backend = self._runnable(path)
            self._session = Session(file, backend=backend)
            program = self._session.program
        except BaseException:
            self._folder.cleanup()
            raise
        self.inputs = [ModelInput(spec.name, spec.shape, spec.dtype) for spec in program.inputs]
        self.outputs = [spec.name for spec in program.outputs]

    def _runnable(self, path: Path) -> tuple[Path, str]:
        """Return the file to run, and the back end: where tinygrad cannot run an `.npz` model, it runs as ONNX."""
        if path.suffix.lower() != ".npz":
            check_onnx_file(path)
            return path, "onnxruntime"
        if find_spec("tinygrad") is not None and has_compiler():
            return path, "tinygrad"
        file = Path(self._folder.name) / "model.onnx"
        save_onnx(load_npz(path), file)
        return file, "onnxruntime"

    @property
    def size_bytes(self) -> int:
        """What its files take on disk, the weights outside an ONNX file among them."""
        files = (self.path,) if self.path.suffix.lower() == ".npz" else files_of(self.path)
        return sum(file.stat().st_size for file in files)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Return the outputs by name."""
        try:
            return self._session.run(inputs)
        except EngineError as exc:
            raise ModelError(f"{self.path} does not run: {first_line(exc)}") from exc

    def close(self) -> None:
        """Let the session go."""
        self._session.reset()
        self._folder.cleanup()


def open_model(
    path: Path, *, architecture: str | None = None, input_shape: tuple[int, ...] | None = None
) -> RunnableModel:
    """Open a model's file to run it on this machine's CPU.

    Args:
        path: `.onnx`, `.npz`, `.tflite`, or torch's `.pt`, `.pth` and `.pt2`.
        architecture: The classifier whose weights a torch state dict holds; None finds it by their names.
        input_shape: Of a torch model whose file does not say what it takes.

    Raises:
        ModelError: It cannot be used.
        BackendError: What runs it is not installed; it has the line that does that.
    """
    suffix = path.suffix.lower()
    if suffix == ".tflite":
        from engine.models.tools.tflite_runtime import TfliteModel

        return TfliteModel(path)
    if suffix in TORCH_SUFFIXES:
        from engine.models.tools.torch_files import TorchModel, read_torch

        return TorchModel(read_torch(path, architecture=architecture, input_shape=input_shape))
    if suffix in {".onnx", ".npz"}:
        return SessionModel(path)
    raise ModelError(f"{path} cannot be opened: its name ends in none of .onnx, .npz, .tflite, .pt, .pth and .pt2")
