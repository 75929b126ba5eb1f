"""Torch's files: what one holds, opened to be run and exported."""

import io
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.software import extra, require
from engine.errors import EngineError, ModelError, OptionsError, first_line
from engine.models.tools.runnable import Arrays, ModelInput, RunnableModel
from engine.models.tools.torch_archive import TorchKind, copy_seen, torch_kind
from engine.models.zoo.catalog import INPUT_NAME, OUTPUT_NAME

#: Width and height of the pictures of a model that does not say what it takes.
_PICTURE_SIDE_PX = 224
_HOW_TO_SAVE = (
    "save the model again with torch.jit.save(torch.jit.script(model), …), with "
    "torch.export.save(torch.export.export(model, example), …), or its weights with torch.save(model.state_dict(), …)"
)


@dataclass(frozen=True, slots=True)
class TorchSource:
    """A torch model.

    Attributes:
        path: Its file.
        kind: What the file is.
        module: What is called: a `torch.nn.Module` or a ScriptModule, in evaluation mode on the CPU.
        program: The `torch.export.ExportedProgram`, where it is one.
        inputs: What it takes; the size of an open axis is None.
        outputs: The names of what it gives, with one run's results in this order.
        notes: What was taken for granted, a line each.
    """

    path: Path
    kind: TorchKind
    module: Any
    program: Any
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def example(self, rows: int = 1) -> tuple[Any, ...]:
        """Return zeros for its inputs, an open first axis with so many rows."""
        import torch

        shapes = [tuple(size or (rows if axis == 0 else 2) for axis, size in enumerate(e.shape)) for e in self.inputs]
        return tuple(
            torch.from_numpy(np.zeros(shape, entry.dtype)) for shape, entry in zip(shapes, self.inputs, strict=True)
        )


def read_torch(path: Path, *, architecture: str | None = None, input_shape: Sequence[int] | None = None) -> TorchSource:
    """Open a torch file. What is known to run as it is opened is refused before, which is a sieve and no sandbox.

    Args:
        path: A TorchScript, an archive of `torch.export.save`, or a state dict.
        architecture: The classifier whose weights a state dict holds; None finds it by their names.
        input_shape: What the model takes, with the batch; needed where the file does not say.

    Raises:
        ModelError: It is none of these, or a pickled module, which is refused.
        OptionsError: The architecture is unknown, or the shape does not suit.
        BackendError: torch is missing.
    """
    kind = torch_kind(path)
    require("torch", "the reader of torch's files", extra("classifiers"), kind="tool")
    if kind != "weights" and architecture is not None:
        raise OptionsError(f"{path} holds its own graph: leave the architecture out")
    if kind == "export" and input_shape is not None:
        raise OptionsError(f"{path} says itself what it takes: leave the input shape out")
    try:
        with quiet():
            if kind == "weights":
                return _weights(path, architecture, input_shape)
            with tempfile.TemporaryDirectory() as folder:
                seen = Path(folder) / path.name
                copy_seen(path, seen)
                if torch_kind(seen) != kind:
                    raise ModelError(f"{path} changed while it was read")
                return _exported(seen, path) if kind == "export" else _torchscript(seen, path, input_shape)
    except EngineError:
        raise
    except Exception as exc:  # torch raises anything
        raise ModelError(f"{path} cannot be opened by torch: {first_line(exc)}") from exc


class TorchModel(RunnableModel):
    """A torch model that can be run."""

    def __init__(self, source: TorchSource) -> None:
        self.path = source.path
        self.inputs = list(source.inputs)
        self.outputs = list(source.outputs)
        self._module = source.module

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Return the outputs by name."""
        import torch

        try:
            given = [torch.from_numpy(np.ascontiguousarray(inputs[entry.name])) for entry in self.inputs]
            with quiet(), torch.inference_mode():
                results = flat(self._module(*given))
            return {name: result.numpy() for name, result in zip(self.outputs, results, strict=True)}
        except Exception as exc:
            raise ModelError(f"{self.path} does not run: {first_line(exc)}") from exc


def quiet() -> AbstractContextManager[object]:
    """Let torch keep its warnings to itself: of its own older ways, and of checks that a trace leaves out."""
    return warnings.catch_warnings(action="ignore")


def flat(result: Any) -> list[Any]:
    """Return the tensors of what a model gave.

    Raises:
        TypeError: It gave something else as well.
    """
    import torch

    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [tensor for part in result for tensor in flat(part)]
    if isinstance(result, dict):
        return [tensor for part in result.values() for tensor in flat(part)]
    raise TypeError(f"it gives a {type(result).__name__}, not a tensor")


def _torchscript(seen: Path, path: Path, input_shape: Sequence[int] | None) -> TorchSource:
    import torch

    module = torch.jit.load(str(seen), map_location="cpu").eval()
    names = [argument.name for argument in module.forward.schema.arguments[1:] if not argument.has_default_value()]
    if len(names) != 1:
        raise ModelError(
            f"{path} takes {len(names)} inputs, and TorchScript does not keep their shapes: "
            "save it with torch.export.save, which does"
        )
    notes = []
    shape = tuple(input_shape or ())
    if not shape:
        shape = _guessed(module.state_dict(), path)
        notes.append(f"an input of {_shown(shape)} is assumed: give its shape where it takes another")
    dtype = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), torch.float32)
    inputs = (ModelInput(names[0], (None, *shape[1:]), np.dtype(str(dtype).removeprefix("torch."))),)
    source = TorchSource(path, "torchscript", module, None, inputs, (), tuple(notes))
    return _with_outputs(source, shape)


def _exported(seen: Path, path: Path) -> TorchSource:
    import torch

    with zipfile.ZipFile(seen) as archive:
        for name in archive.namelist():
            if name.endswith("/data/sample_inputs/model.pt"):
                # torch.export.load would fall back to reading it as any pickle.
                _unpickled(io.BytesIO(archive.read(name)), path)
    program = torch.export.load(str(seen))
    program._guards_code = []  # noqa: SLF001 - expressions that torch would run; shapes are checked without them
    signature = program.graph_signature
    taken = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in signature.user_inputs]
    inputs = []
    for node in taken:
        value = node.meta["val"]
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        inputs.append(ModelInput(node.name, shape, np.dtype(str(value.dtype).removeprefix("torch."))))
    module = program.module(check_guards=False)
    return TorchSource(path, "export", module, program, tuple(inputs), tuple(map(str, signature.user_outputs)))


def _weights(path: Path, architecture: str | None, input_shape: Sequence[int] | None) -> TorchSource:
    from engine.models.tools.torch_weights import classifier_of, plain_weights

    state = plain_weights(_unpickled(path, path), path)
    model, notes = classifier_of(state, path, architecture, input_shape)
    inputs = (ModelInput(INPUT_NAME, (None, 3, model.image_size_px, model.image_size_px), np.dtype(np.float32)),)
    return TorchSource(path, "weights", model.module, None, inputs, (OUTPUT_NAME,), notes)


def _unpickled(file: Path | io.BytesIO, path: Path) -> Any:
    """Read tensors alone.

    Raises:
        ModelError: There are other objects in it.
    """
    import pickle

    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        raise ModelError(
            f"{path} is a pickled Python object, which could run anything and is not opened: {_HOW_TO_SAVE}"
        ) from exc


def _guessed(state: Mapping[str, Any], path: Path) -> tuple[int, ...]:
    """Return the shape that the first layer's weights speak for."""
    for name, tensor in state.items():
        if name.endswith("weight") and tensor.ndim == 4:
            return (1, int(tensor.shape[1]), _PICTURE_SIDE_PX, _PICTURE_SIDE_PX)
        if name.endswith("weight") and tensor.ndim == 2:
            return (1, int(tensor.shape[1]))
    raise OptionsError(f"{path} does not say what it takes: give an input shape, such as 1,3,224,224")


def _with_outputs(source: TorchSource, shape: tuple[int, ...]) -> TorchSource:
    """Name the outputs, which one run shows, and close the batch where the model takes one size alone."""
    from dataclasses import replace

    import torch

    entry = source.inputs[0]
    try:
        with torch.inference_mode():
            count = len(flat(source.module(torch.from_numpy(np.zeros(shape, entry.dtype)))))
    except Exception as exc:
        raise OptionsError(
            f"{source.path} does not take an input of {_shown(shape)}: {_reason(exc)}: give an input shape"
        ) from exc
    names = (OUTPUT_NAME,) if count == 1 else tuple(f"{OUTPUT_NAME}_{number}" for number in range(count))
    try:
        with torch.inference_mode():
            more = flat(source.module(torch.from_numpy(np.zeros((shape[0] + 1, *shape[1:]), entry.dtype))))
        is_open = all(len(tensor) == shape[0] + 1 for tensor in more)
    except Exception:  # noqa: BLE001 - it says that the batch is fixed
        is_open = False
    if is_open:
        return replace(source, outputs=names)
    return replace(source, outputs=names, inputs=(entry._replace(shape=shape),))


def _reason(exc: Exception) -> str:
    """Return what went wrong in TorchScript, which says where first and what last."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__


def _shown(shape: Sequence[int]) -> str:
    return ",".join(map(str, shape))
