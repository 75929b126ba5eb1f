"""Which batches a model takes, from what its file says of the first axis. Pure."""

from dataclasses import dataclass
from pathlib import Path

from engine.errors import PipelineError
from engine.models.program import Program, TensorSpec


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """How a model step gathers batches.

    Attributes:
        max_size: Items in a batch, at the most.
        limit: The most that `max_size` may be changed to; None where any number may be.
        is_fixed: Whether the model takes this number of rows and no other: smaller batches are padded.
    """

    max_size: int
    limit: int | None
    is_fixed: bool

    def check(self, step: str, max_size: int) -> None:
        """Refuse another size that the model does not take.

        Raises:
            PipelineError: It says what it takes.
        """
        if self.is_fixed and max_size != self.max_size:
            raise PipelineError(f"step {step}: the model takes batches of {self.max_size} and no others")
        if self.limit is not None and max_size > self.limit:
            raise PipelineError(f"step {step}: the model takes batches of {self.limit} at the most, not {max_size}")

    def to_try(self, max_size: int) -> tuple[int, ...]:
        """Return the sizes to warm the model up with: 1, each power of two, and the largest."""
        if self.is_fixed:
            return (max_size,)
        powers = (1 << exponent for exponent in range(max_size.bit_length()))
        return tuple(sorted({*powers, max_size}))


def batch_sizes(path: Path, program: Program, max_batch_size: int | None) -> BatchSizes:
    """Decide what batches a model is given.

    Args:
        path: The model's file, for messages.
        program: The model.
        max_batch_size: What the user said: 0 for the size that the model was made for, 1 or more for a model whose
            first axis is open; None for 0 or 1, whichever fits.

    Raises:
        PipelineError: It does not fit the model; it names the axis, and what to give.
    """
    is_whole = isinstance(max_batch_size, int) and not isinstance(max_batch_size, bool)
    if max_batch_size is not None and (not is_whole or max_batch_size < 0):
        raise PipelineError(f"max_batch_size is {max_batch_size!r}: give a whole number, 0 or more")
    if not program.inputs:
        raise PipelineError(f"{path} has no inputs, so that there is nothing to give it")
    first = program.inputs[0]
    sizes = program.batch_sizes
    odd = next((spec for spec in program.inputs if spec.shape[:1] != first.shape[:1]), None)
    if odd is not None:
        raise PipelineError(
            f"{path}: the first axis of input {first.name} is {_axis(first)} and that of {odd.name} is {_axis(odd)}: "
            "a model step needs inputs that all have the batch for their first axis"
        )
    if len(sizes) == 1:
        if max_batch_size:
            raise PipelineError(
                f"{path} is made for batches of {sizes[0]} (the first axis of its input {first.name}), not for a "
                f"max_batch_size of {max_batch_size}: pass max_batch_size=0, or export it with an open first axis"
            )
        return BatchSizes(sizes[0], sizes[0], is_fixed=True)
    if max_batch_size == 0:
        raise PipelineError(
            f"{path} takes batches of {_any(program)} (the first axis of its input {first.name} is {_axis(first)}): "
            "pass max_batch_size=1 or more; 0 is for a model that is made for one size"
        )
    decided = BatchSizes(max_batch_size or 1, program.max_rows, is_fixed=False)
    if decided.limit is not None and decided.max_size > decided.limit:
        raise PipelineError(
            f"{path} is compiled for batches of {_any(program)}: pass a max_batch_size up to {decided.limit}, "
            f"not {max_batch_size}"
        )
    return decided


def _any(program: Program) -> str:
    return ", ".join(map(str, program.batch_sizes)) or "any size"


def _axis(spec: TensorSpec) -> str:
    if not spec.shape:
        return "not said"
    if spec.shape[0] is not None:
        return str(spec.shape[0])
    return f"{spec.symbols[0]!r}" if spec.symbols and spec.symbols[0] else "open"
