"""The contract between this program and whatever computes."""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import ModelError, ModelNotFoundError
from engine.models.files import ModelFile, ModelKind
from engine.models.onnx_file import check_onnx_file
from engine.models.program import Program, Tensors
from engine.options import SessionOptions
from engine.spread import Spread

#: What a back end does with a keyword that somebody gave: `ignored` with a notice.
Treatment = Literal["used", "ignored", "refused"]
#: What inferences have beside them: nothing, others that are asked for meanwhile, or the decoding of frames.
Company = Literal["none", "inferences", "decoding"]


#: The keywords that a session obeys itself, whatever the back end.
MEASURING = frozenset({"enable_metrics", "enable_profiling"})


class OwnOptions(BaseModel):
    """Keywords that only one back end has. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


OwnKind = TypeVar("OwnKind", bound=OwnOptions)


class HostOptions(OwnOptions):
    """Keywords of back ends that compute on this machine's cores."""

    inference_threads: int | None = Field(
        None, ge=1, description="CPU threads of one inference (default: the cores, shared by the inferences that run)"
    )


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How a model is run.

    Attributes:
        device: The back end's own name for it: `cpu`, `cuda:0`, a card's number; None for its default.
        keywords: The vendor's 61.
        data_path_timeout_s: A device that is silent for so long over one batch is given up.
        own: The back end's own keywords, an instance of its `Own`; None for their defaults.
        open_batch: The batch that a model with an open one is made for, where the device takes no open sizes and
            `onnx_define_symbol` says nothing.
    """

    device: str | None = None
    keywords: SessionOptions = field(default_factory=SessionOptions)
    data_path_timeout_s: float = 60.0
    own: OwnOptions | None = None
    open_batch: int = 1

    def own_of(self, kind: type[OwnKind]) -> OwnKind:
        """Return the back end's own keywords; their defaults where nobody gave any."""
        return self.own if isinstance(self.own, kind) else kind()

    def with_keywords(self, keywords: SessionOptions) -> "BackendOptions":
        """Return these options with other keywords."""
        return replace(self, keywords=keywords)


@dataclass(frozen=True, slots=True)
class Inference:
    """What one submitted batch gave.

    Attributes:
        outputs: By name; the first axis has as many rows as were submitted. Padded rows are cut off.
        started_at_s: When the device took it up, `time.monotonic`.
        finished_at_s: When it was done with it.
        simulated: Whether times, or answers, come from a simulation.
        padded_rows: How many rows the device worked on for nothing.
        is_degraded: Whether a standby gave it, in the place of the device that was asked.
        backend: The standby's back end; empty where it is the one that was asked.
        device: The standby's device; empty where it is the one that was asked.
        has_held_inputs: Whether a device that was given up may still read the inputs: nobody may write to them.
    """

    outputs: Tensors
    started_at_s: float
    finished_at_s: float
    simulated: bool = False
    padded_rows: int = 0
    is_degraded: bool = False
    backend: str = ""
    device: str = ""
    has_held_inputs: bool = False


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """What a benchmark of a back end found.

    Attributes:
        took_s: From the first submission to the last completion.
        latencies_s: How long each batch took from when the device took it up until it was done.
    """

    took_s: float
    latencies_s: Spread

    @property
    def completed(self) -> int:
        """How many batches were completed."""
        return self.latencies_s.count


#: Something that wants to be around a computation, as a profiler does.
Around = Callable[[Callable[[], Inference]], Inference]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the device can be given work, and one line about it."""

    is_ready: bool
    detail: str


class Backend(ABC):
    """Runs one model on one device.

    The life is `compile` where wanted, `open` once, `submit` from any thread, `close`; after it `open` again.

    Which thread: `compile`, `open` and `close` come from one thread; `submit` and `health` may come from any. The
    returned future completes on a thread of the back end's own, and so do its callbacks: they must be short.
    What may block: `compile` may, for as long as a compiler takes, and `open`. `submit` does not wait for the device.
    What is not promised: the order of completion; that `inputs` is copied (leave it alone until the future is
    done); that more than `slots` batches are worked on at a time (further ones wait inside); that `submit` sees
    more of a misfit than names, shapes and types (a device may find more, and fail the future).
    Pinned: a failed batch fails its own future alone, with `InferenceError`. A device that breaks, or is silent over a
    batch for longer than `data_path_timeout_s`, is given up: every future that it had ends with `DeviceLostError`,
    `submit` raises it and `health` is not ready until a probe has loaded the model again. After `close` every future
    that was handed out is done, and `submit` raises `InferenceError`. Closing twice is harmless.
    """

    #: The name in the registry and in results.
    name: str
    #: The kinds of files that it takes.
    kinds: ClassVar[frozenset[ModelKind]] = frozenset({"onnx"})
    #: Whether it runs without a model file.
    needs_model: ClassVar[bool] = True
    #: The vendor's keywords that it obeys, and those that it refuses, with the reason; it ignores the others.
    uses: ClassVar[frozenset[str]] = frozenset()
    refuses: ClassVar[Mapping[str, str]] = {}
    #: Whether times, or answers, come from a simulation.
    is_simulated: ClassVar[bool] = False
    #: The device where nobody names one; None for a card, whose number is `dev_id`.
    default_device: ClassVar[str | None] = None
    #: Keywords of its own.
    Own: ClassVar[type[OwnOptions]] = OwnOptions
    #: Keywords that nobody gave, by what an inference has beside it.
    defaults: ClassVar[Mapping[Company, Mapping[str, int]]] = {}

    #: Inferences in flight for each activation, where nobody said how many.
    default_set_size: ClassVar[int] = 1

    def concurrency(self, options: BackendOptions) -> tuple[int, int]:
        """Return how many activations there are, and how many inferences each has in flight."""
        keywords = options.keywords
        return keywords.num_activations or 1, keywords.set_size or self.default_set_size

    @classmethod
    def treatment(cls, keyword: str) -> Treatment:
        """Return what it does with one of the 61 keywords."""
        if keyword in cls.refuses:
            return "refused"
        return "used" if keyword in cls.uses or keyword in MEASURING else "ignored"

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether a name can be one of its devices; where not, it is only what somebody calls a consumer."""
        del name
        return False

    @classmethod
    def device_of(cls, options: BackendOptions) -> str:
        """Return the name of the device that is meant."""
        return options.device or cls.default_device or str(options.keywords.dev_id)

    def compile(self, model: ModelFile, options: BackendOptions) -> ModelFile:
        """Make the file that `open` takes; the model itself where there is nothing to compile.

        Raises:
            ModelError: The file cannot be used.
            CompileError: The compiler refused it.
        """
        del options
        self.check_model(model)
        return model

    def check_model(self, model: ModelFile) -> None:
        """Refuse a file that is of no use here, or that reaches out of its folder.

        Raises:
            ModelError: It says why, and how to convert it.
        """
        if model.kind not in self.kinds:
            raise ModelError(f"{model.path}: {_CONVERSIONS[model.kind].format(backend=self.name)}")
        if not model.path.exists() or (model.path.is_dir() and model.kind != "tensorflow"):
            raise ModelNotFoundError(f"no model file {model.path}: give the path of an .onnx file, or `workpiece`")
        if model.kind == "onnx":
            check_onnx_file(model.path)

    @abstractmethod
    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        """Load the model onto the device.

        Args:
            model: What `compile` gave; None only where `needs_model` is false.
            options: How it is run.

        Raises:
            ModelError: The file cannot be used.
            DeviceNotFoundError: There is no such device.
        """

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many batches the device works on at a time."""

    @abstractmethod
    def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
        """Hand over a batch.

        Args:
            inputs: By name. With a `count`, the first axis of each has `Program.rows_for(count)` rows.
            count: How many rows, from the first, hold data. None for inputs that are no batch: nothing is cut off.
            around: Called on the thread that computes, with the computation, which it calls: a profiler. A back end
                that computes nothing here leaves it out.

        Raises:
            NotOpenError: The back end is closed.
            InferenceError: Its device is lost, or the inputs do not fit the model.
        """

    @abstractmethod
    def health(self) -> Health:
        """Tell whether the device can be given work, without asking it to do any."""

    @abstractmethod
    def close(self) -> None:
        """Finish what was submitted, and let the device go."""

    @property
    def benchmark_depth(self) -> int:
        """How many batches a benchmark has submitted and not yet answered."""
        return self.slots

    def benchmark(self, inputs: Tensors, runs: int | None, seconds: float | None) -> BenchmarkRun:
        """Run one batch again and again, with every slot busy.

        Args:
            inputs: The batch.
            runs: How many times; None to go by the clock.
            seconds: For how long new ones are begun.

        Raises:
            InferenceError: One failed.
        """
        pending: deque[Future[Inference]] = deque()
        latencies_s = Spread.fine()

        def finish_oldest() -> None:
            inference = pending.popleft().result()
            latencies_s.add(inference.finished_at_s - inference.started_at_s)

        began_s = time.monotonic()
        submitted = 0
        while runs is None or submitted < runs:
            if seconds is not None and time.monotonic() - began_s >= seconds:
                break
            if len(pending) >= self.benchmark_depth:
                finish_oldest()
            pending.append(self.submit(inputs))
            submitted += 1
        while pending:
            finish_oldest()
        return BenchmarkRun(time.monotonic() - began_s, latencies_s)


_CONVERSIONS: Mapping[str, str] = {
    "onnx": "back end {backend} takes no ONNX file",
    "qpc": "a QPC is compiled for Cloud AI 100 and runs on back end qaic alone: give back end {backend} the ONNX file "
    "that it was compiled from",
    "npz": "an .npz runs on back end tinygrad alone: give back end {backend} the ONNX file that it was made from",
    "tensorflow": "back end {backend} takes no TensorFlow model: convert it with "
    "`python -m tf2onnx.convert --saved-model DIR --output model.onnx` (--graphdef FILE for a frozen graph)",
    "torch": "back end {backend} takes no PyTorch model: convert it with `streamer convert MODEL.pt model.onnx`",
}
