"""A back end with a standby: what its device was given and did not answer, another one does."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock

from engine.backends.base import Around, Backend, BackendOptions, BenchmarkRun, Health, Inference
from engine.backends.crew import complete
from engine.errors import DeviceLostError, InferenceError, ModelError, NotOpenError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors, TensorSpec, with_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standby:
    """What computes while the device cannot.

    Attributes:
        backend: Not yet opened.
        options: How its model is run.
        model: That model, not yet compiled; None for the file that the device itself is opened with.
    """

    backend: Backend
    options: BackendOptions
    model: ModelFile | None = None

    @property
    def device(self) -> str:
        """The name of its device."""
        return self.backend.device_of(self.options)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch on its way, as it was submitted.

    Attributes:
        is_trial: Whether the standby had the work when the device was given this batch.
    """

    inputs: Tensors
    count: int | None
    around: Around | None
    is_trial: bool
    future: Future[Inference] = field(default_factory=Future)


class FailoverBackend(Backend):
    """Gives work to a primary back end, and to a standby what that one hands back because its device is lost.

    While the device is lost everything goes to the standby at once; when a probe has brought it back, it gets the next
    batch. A batch that fails for another reason is not tried again: it would fail there as well. Each batch is tried
    once on either; where both are lost, its future ends with `DeviceLostError`. A future is done when the last one that
    has the batch is; even then a device that hangs may read the inputs (`Inference.has_held_inputs`).

    `name`, `slots`, shapes and benchmarks are the primary's.
    """

    def __init__(self, primary: Backend, standby: Standby) -> None:
        """Put them together; nothing is opened yet."""
        self.name = primary.name
        self._primary = primary
        self._standby = standby
        self._lock = Lock()
        self._program: Program | None = None
        self._standby_program = Program((), ())
        self._is_standing_in = False

    def compile(self, model: ModelFile, options: BackendOptions) -> ModelFile:
        """Make the file that the primary takes; the standby's is made as it is opened. See `Backend.compile`."""
        return self._primary.compile(model, options)

    def check_model(self, model: ModelFile) -> None:
        """Refuse a file that is of no use to the primary; see `Backend.check_model`."""
        self._primary.check_model(model)

    def concurrency(self, options: BackendOptions) -> tuple[int, int]:
        """Return the primary's activations, and inferences in flight for each."""
        return self._primary.concurrency(options)

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        """Load the model onto both devices; see `Backend.open`.

        Raises:
            ModelError: The standby's model takes or gives something else than the primary's.
        """
        program = self._primary.open(model, options)
        try:
            self._standby_program = self._open_standby(model)
            _check_likeness(program, self._standby_program, options.open_batch)
        except BaseException:
            self._primary.close()
            self._standby.backend.close()
            raise
        self._is_standing_in = False
        self._program = program
        return program

    @property
    def slots(self) -> int:
        """How many batches the primary works on at a time."""
        return self._primary.slots

    def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
        """Hand over a batch; see `Backend.submit`."""
        program = self._program
        if program is None:
            raise NotOpenError("the back end is closed")
        program.check(inputs, count)
        batch = _Batch(inputs, count, around, is_trial=self._is_standing_in)
        batch.future.set_running_or_notify_cancel()
        try:
            answer = self._primary.submit(inputs, count, around)
        except InferenceError as exc:
            if not _is_devices(self._primary, exc):
                raise
            self._move(batch, exc, has_held_inputs=False)
        else:
            answer.add_done_callback(partial(self._answered, batch))
        return batch.future

    def health(self) -> Health:
        """Tell whether either device can be given work; the line names the one that is lost."""
        primary, standby = self._primary.health(), self._standby.backend.health()
        if self._program is None:
            return Health(is_ready=False, detail=primary.detail)
        detail = f"{_detail(self._primary, primary)}; standby: {_detail(self._standby.backend, standby)}"
        return Health(primary.is_ready or standby.is_ready, detail)

    def close(self) -> None:
        """Finish what was submitted, and let both devices go; see `Backend.close`."""
        self._program = None
        self._primary.close()  # what it hands back meanwhile goes to the standby
        self._standby.backend.close()

    def benchmark(self, inputs: Tensors, runs: int | None, seconds: float | None) -> BenchmarkRun:
        """Run one batch again and again on the primary alone; see `Backend.benchmark`."""
        return self._primary.benchmark(inputs, runs, seconds)

    def _open_standby(self, model: ModelFile | None) -> Program:
        standby = self._standby
        file = standby.model or model
        return standby.backend.open(
            standby.backend.compile(file, standby.options) if file is not None else None, standby.options
        )

    def _answered(self, batch: _Batch, answer: Future[Inference]) -> None:
        """Pass on what the primary made of a batch, or move it; on the primary's thread."""
        error = answer.exception()
        if error is None:
            if batch.is_trial:
                self._take_note(is_standing_in=False)
            complete(batch.future, answer.result())
        elif _is_devices(self._primary, error):
            try:
                self._move(batch, error, has_held_inputs=isinstance(error, DeviceLostError))
            except Exception as exc:  # noqa: BLE001 - whoever waits for the future has to hear of it
                complete(batch.future, exc)
        else:
            complete(batch.future, error)

    def _move(self, batch: _Batch, lost: BaseException, *, has_held_inputs: bool) -> None:
        """Give a batch to the standby.

        Raises:
            InferenceError: It does not take it.
        """
        self._take_note(is_standing_in=True, why=lost)
        inputs, count = batch.inputs, batch.count
        if count is not None:
            rows = self._standby_program.rows_for(count)
            inputs = {name: with_rows(values, rows) for name, values in inputs.items()}
        try:
            answer = self._standby.backend.submit(inputs, count, batch.around)
        except InferenceError as exc:
            if not _is_devices(self._standby.backend, exc):
                raise
            raise self._both_lost(lost, exc) from exc
        answer.add_done_callback(partial(self._stood_in, batch, lost, has_held_inputs))

    def _stood_in(self, batch: _Batch, lost: BaseException, has_held_inputs: bool, answer: Future[Inference]) -> None:
        """Pass on what the standby made of a batch; on the standby's thread."""
        standby, error = self._standby, answer.exception()
        if error is not None:
            is_devices = _is_devices(standby.backend, error)
            complete(batch.future, self._both_lost(lost, error) if is_devices else error)
            return
        complete(
            batch.future,
            replace(
                answer.result(),
                is_degraded=True,
                backend=standby.backend.name,
                device=standby.device,
                has_held_inputs=has_held_inputs,
            ),
        )

    def _both_lost(self, primary: BaseException, standby: BaseException) -> DeviceLostError:
        return DeviceLostError(f"{primary}; its standby {self._standby.backend.name} is lost too: {standby}")

    def _take_note(self, *, is_standing_in: bool, why: BaseException | None = None) -> None:
        """Say once that the standby stands in, and once that it does not any more."""
        with self._lock:
            if self._is_standing_in == is_standing_in or self._program is None:
                return
            self._is_standing_in = is_standing_in
        standby = f"{self._standby.backend.name} ({self._standby.device})"
        if is_standing_in:
            log.warning("back end %s is lost, its work goes to the standby %s: %s", self.name, standby, why)
        else:
            log.warning("back end %s is back and has its work again, not the standby %s", self.name, standby)


def _is_devices(backend: Backend, error: BaseException) -> bool:
    """Tell whether an error is the device's and not the batch's: then the batch is worth another try elsewhere."""
    return isinstance(error, DeviceLostError | NotOpenError) or not backend.health().is_ready


def _detail(backend: Backend, health: Health) -> str:
    return health.detail if health.is_ready else f"{backend.name} is lost ({health.detail})"


def _check_likeness(primary: Program, standby: Program, batch: int) -> None:
    """Refuse a standby that cannot do the primary's work.

    Args:
        primary: Its program.
        standby: Its program.
        batch: The rows of a batch, at the most.

    Raises:
        ModelError: It names the first difference.
    """
    for kind, specs, others in (
        ("input", primary.inputs, standby.inputs),
        ("output", primary.outputs, standby.outputs),
    ):
        there = {other.name: other for other in others}
        if {spec.name for spec in specs} != there.keys():
            raise ModelError(
                f"the {kind}s of the model are {_names(specs)}, and those of its standby's {_names(others)}: {_HINT}"
            )
        for spec in specs:
            other = there[spec.name]
            # Whoever reads an answer takes any type of it; a device takes only its own.
            if not _has_shape_of(spec, other) or (kind == "input" and spec.dtype != other.dtype):
                raise ModelError(
                    f"{kind} {spec.name} of the model is {_described(spec)}, and of its standby's {_described(other)}: "
                    f"{_HINT}"
                )
    rows = min(batch, primary.max_rows or batch)
    if rows > (standby.max_rows or rows):
        raise ModelError(
            f"the standby's model takes batches of {standby.max_rows} at the most, and they have up to {rows} rows: "
            "give it one with an open or larger batch, or make batches smaller"
        )


_HINT = "give the standby the same model, in a form that it takes"


def _has_shape_of(spec: TensorSpec, other: TensorSpec) -> bool:
    """Tell whether two tensors have rows of one shape, as far as their files say."""
    if not spec.shape or not other.shape:  # a graph that says nothing of the shape has no axes here
        return True
    pairs = zip(spec.shape[1:], other.shape[1:], strict=False)
    return len(spec.shape) == len(other.shape) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs) or "none"


def _described(spec: TensorSpec) -> str:
    return f"{spec.dtype}[{', '.join('any' if size is None else str(size) for size in spec.shape)}]"
