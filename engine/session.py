"""`Session`: one way to run a model, with the interface of the vendor's `qaic` package, on every back end.

    from streamer import Session

    session = Session("resnet50.onnx", onnx_define_symbol={"batch": 8})
    shape, dtype = session.model_input_shape_dict["data"]
    outputs = session.run({"data": pixels})

Names, keywords, return values and printed forms are those of quic/cloud-ai-sdk-pages docs/Python-API/qaic/qaic.md.
"""

import logging
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from math import prod
from os import PathLike
from threading import RLock, Thread
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Around, Backend, BackendOptions, BenchmarkRun, Company, Health, Inference
from engine.errors import InferenceError, ModelError, ModelNotFoundError, NotOpenError, OptionsError
from engine.models.files import ModelFile, locate_model
from engine.models.program import Program, Tensors, TensorSpec, random_values, with_rows
from engine.options import UPDATABLE, nearest, session_options
from engine.session_keywords import read_keywords
from engine.session_metrics import LatencyMetrics, ProfiledFunction, Profiles, metrics_lines, profile_lines
from engine.spread import Spread

log = logging.getLogger(__name__)

_DEFAULT_INFERENCES = 40
_MAX_RANDOM_BYTES = 4 * 1024**3
Shape = tuple[tuple[int, ...], np.dtype[np.generic]]


class ShapeDict(dict[str, Shape]):
    """Name → (shape, dtype). It answers as a mapping, and as the method that the vendor documents."""

    def __call__(self) -> dict[str, Shape]:
        """Return a copy of its own."""
        return dict(self)


class _FourValues(NamedTuple):
    inf_completed: int
    inf_rate: float
    inf_time: float
    batch_size: int


class BenchmarkResult(_FourValues):
    """What `run_benchmark` gives: the vendor's four values, and beside them what it does not give.

    Attributes:
        inf_completed: Inferences run. One inference is one batch, not one image.
        inf_rate: Inferences, so batches, per second; `images_per_s` counts rows.
        inf_time: Seconds from the first to the last.
        batch_size: Rows of one inference.
        latencies_s: How long each inference was on the device.
    """

    latencies_s: Spread

    @classmethod
    def of(cls, run: BenchmarkRun, batch_size: int) -> Self:
        """Return what a back end's benchmark comes to."""
        rate = run.completed / run.took_s if run.took_s else 0.0
        result = cls(run.completed, rate, run.took_s, batch_size)
        result.latencies_s = run.latencies_s
        return result

    def latency_ms(self, share: float) -> float:
        """Return the latency, in ms, that this share of all inferences does not exceed; 0.95 is the p95."""
        return self.latencies_s.percentile(share) * 1e3

    @property
    def images_per_s(self) -> float:
        """Rows per second."""
        return self.inf_rate * self.batch_size


class Session:
    """A model on a device.

    It compiles as it is made, unless `compile=False`; the network is loaded by `setup` or the first `run`, and again
    by the first one after `reset`. Any thread may call `run`.
    """

    def __init__(
        self, model_path: str | PathLike[str] | None = None, *, company: Company = "none", **keywords: Any
    ) -> None:
        """Take a model, and compile it where the back end does that.

        Args:
            model_path: An `.onnx` file, a QPC, a glob that matches one file, or another kind that the back end takes.
            company: What inferences have beside them; a back end may choose its activations and threads by that.
            **keywords: The vendor's 61 (`engine.options.SessionOptions`), and: `backend`, by name (default: `qaic`
                where its SDK and a card are, else `onnxruntime`); `device`, the back end's own name for it;
                `options_path`, a YAML file of keywords, over which the ones given here win; `compile`;
                `data_path_timeout`, seconds after which a silent device is given up (default 60); and what the back
                end has of its own.

        Raises:
            OptionsError: A keyword is unknown, out of range, excluded, or refused by the back end.
            ModelError: The model cannot be used.
            BackendError: There is no such back end, or its software is missing.
        """
        said = read_keywords(keywords, company=company)
        if said.reason:
            log.warning("%s (backend= names another)", said.reason)
        self.backend_name = said.backend.name
        self._backend: Backend = said.backend()
        self._options: BackendOptions = said.options
        if model_path is None and self._backend.needs_model:
            raise ModelNotFoundError(f"back end {self.backend_name} needs a model: Session('model.onnx')")
        self._model: ModelFile | None = None if model_path is None else locate_model(model_path)
        if self._model is not None:
            self._demand_descriptions(self._model)
            if said.compile:
                self._model = self._backend.compile(self._model, self._options)
            else:
                self._backend.check_model(self._model)
        self._life = RLock()
        self._program: Program | None = None
        self._is_loaded = False
        self._shapes: tuple[ShapeDict, ShapeDict] | None = None
        # Scripts drop their session without a word. Closing waits for the device, so not on whatever thread collects.
        weakref.finalize(self, _let_go, self._backend).atexit = False
        self._metrics = LatencyMetrics()
        self._profiles = Profiles()

    def __enter__(self) -> Self:
        """Return itself, for a `with` block."""
        return self

    def __repr__(self) -> str:
        """Say what runs where."""
        model = self._model.path if self._model is not None else "no model"
        return f"Session({str(model)!r}, backend={self.backend_name!r}): {self.health().detail}"

    def __exit__(self, *_: object) -> None:
        """Let the device go."""
        self.reset()

    # Life.

    def setup(self) -> None:
        """Load the network onto the device, unless it is.

        Raises:
            ModelError: The device cannot take it.
            DeviceNotFoundError: There is no such device.
        """
        with self._life:
            if not self._is_loaded:
                self._program = self._backend.open(self._model, self._options)
                self._is_loaded = True

    def reset(self) -> None:
        """Let go of everything that the session holds of the device; the next run loads the network again."""
        with self._life:
            if self._is_loaded:
                self._is_loaded = False
                self._backend.close()

    def backend_options(self) -> dict[str, int]:
        """Return the options that `update_backend_options` takes, and their values."""
        activations, set_size = self._backend.concurrency(self._options)
        return {"dev_id": self._options.keywords.dev_id, "num_activations": activations, "set_size": set_size}

    def update_backend_options(self, **keywords: int) -> None:
        """Set `dev_id`, `num_activations` or `set_size`; a loaded network is loaded anew by the next run.

        Raises:
            OptionsError: Another name, or a value out of range; nothing is changed then.
        """
        for name in keywords:
            if name not in UPDATABLE:
                known = ", ".join(UPDATABLE)
                raise OptionsError(
                    f"update_backend_options has no {name}{nearest(name, UPDATABLE)}: it takes {known}; "
                    "other options are given when the session is made"
                )
        if "dev_id" in keywords and self._options.device is not None:
            raise OptionsError(
                f"update_backend_options: dev_id does nothing beside device={self._options.device!r}: "
                "make the session without it, or another session"
            )
        with self._life:
            before = self._options.keywords
            given = {name: getattr(before, name) for name in before.model_fields_set}
            given |= {UPDATABLE[name]: value for name, value in keywords.items()}
            self._options = self._options.with_keywords(session_options(given, origin="update_backend_options"))
            self.reset()

    def health(self) -> Health:
        """Tell whether the device can be given work, and what it is."""
        return self._backend.health()

    @property
    def is_simulated(self) -> bool:
        """Whether times, or answers, come from a simulation."""
        return self._backend.is_simulated

    # Shapes.

    @property
    def model_input_shape_dict(self) -> ShapeDict:
        """Name → (shape, dtype) of each input, every dimension resolved; also as a method.

        Raises:
            OptionsError: An axis other than the batch's is open and no `onnx_define_symbol` closes it.
        """
        return ShapeDict(self._resolved_shapes()[0])

    @property
    def model_output_shape_dict(self) -> ShapeDict:
        """Name → (shape, dtype) of each output, every dimension resolved; also as a method.

        What the file leaves open is found by one run on random data.
        """
        return ShapeDict(self._resolved_shapes()[1])

    # Running.

    def run(self, input_dict: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one inference.

        Args:
            input_dict: One array for each input, of its shape and dtype. Where the program's batch is fixed, fewer
                rows are padded, and the outputs have as many as were given.

        Raises:
            InferenceError: The inputs do not fit, or the device failed.
        """
        keywords = self._options.keywords
        if not (keywords.enable_metrics or keywords.enable_profiling):
            return dict(self._infer(input_dict).outputs)
        self.setup()  # to load is no latency of a run
        began_s = time.perf_counter()
        inference = self._infer(input_dict, self._profiles.run if keywords.enable_profiling else None)
        self._metrics.add(time.perf_counter() - began_s)
        return dict(inference.outputs)

    def submit(self, input_dict: Mapping[str, NDArray[Any]]) -> Future[Inference]:
        """Hand one inference over and return at once; its `outputs` are what `run` returns. It is not measured.

        Up to `slots` of them are worked on at a time, and end in any order; further ones wait.

        Raises:
            InferenceError: The inputs do not fit. What the device does wrong, the future raises.
        """
        return self._backend.submit(*self._fitted(input_dict))

    @property
    def slots(self) -> int:
        """How many inferences the device works on at a time."""
        self.setup()
        return max(self._backend.slots, 1)

    @property
    def program(self) -> Program:
        """What the model takes and gives; open axes are None here."""
        return self._loaded()

    def run_benchmark(
        self,
        num_inferences: int | str | None = None,
        inf_time: float | None = None,
        input_dict: Mapping[str, NDArray[Any]] | None = None,
    ) -> BenchmarkResult:
        """Run inferences as fast as the device takes them, with all its slots busy.

        It counts inferences: one is one batch of `batch_size` images.

        Args:
            num_inferences: How many (default 40).
            inf_time: For how many seconds instead.
            input_dict: What to run (default: random data).

        Returns:
            `inf_completed, inf_rate, inf_time, batch_size`; their latencies beside them.

        Raises:
            OptionsError: A number and a time are given, or one that is not above 0.
            InferenceError: One failed.
        """
        if isinstance(num_inferences, str) and num_inferences.isdecimal():
            num_inferences = int(num_inferences)  # as the vendor's own sample gives it
        if num_inferences is not None and inf_time is not None:
            raise OptionsError("run_benchmark: num_inferences and inf_time exclude each other: give one")
        for name, value in (("num_inferences", num_inferences), ("inf_time", inf_time)):
            kind = int if name == "num_inferences" else int | float
            if value is not None and not (isinstance(value, kind) and 0 < value < float("inf")):
                raise OptionsError(f"run_benchmark: {name} is {value!r}: give a number above 0")
        runs = None if inf_time is not None else int(num_inferences or _DEFAULT_INFERENCES)
        self.setup()
        inputs = self._random_inputs() if input_dict is None else dict(input_dict)
        padded, _ = self._fitted(inputs)
        self._backend.submit(padded).result()  # the first one is slower: memory, caches
        run = self._backend.benchmark(padded, runs, inf_time)
        first = next(iter(padded.values()), None)
        batch_size = len(first) if first is not None and first.ndim else 1
        return BenchmarkResult.of(run, batch_size)

    # Measuring.

    def get_metrics(self) -> dict[str, float]:
        """Return latencies in seconds by the documented names.

        Raises:
            OptionsError: Neither `enable_metrics` nor `enable_profiling` is on.
        """
        keywords = self._options.keywords
        if not (keywords.enable_metrics or keywords.enable_profiling):
            raise OptionsError("nothing was measured: make the session with enable_metrics=True")
        return self._metrics.summary()

    def print_metrics(self) -> None:
        """Print them."""
        print("\n".join(metrics_lines(self.get_metrics())))  # noqa: T201 - what the method is for

    @property
    def profiling_results(self) -> list[list[ProfiledFunction]]:
        """The profile of each run, in order; of the first `MAX_PROFILES`."""
        return self._profiles.results

    def print_profile_data(self, n: int = 1) -> None:
        """Print the profiles of the first `n` runs, what took longest first.

        Raises:
            OptionsError: `enable_profiling` is off, or `n` is no number.
        """
        if not isinstance(n, int):
            raise OptionsError(f"print_profile_data: n is {n!r}: give a number of runs")
        if not self._options.keywords.enable_profiling:
            raise OptionsError("nothing was profiled: make the session with enable_profiling=True")
        print("\n".join(profile_lines(self.profiling_results[:n])))  # noqa: T201 - what the method is for

    # Within.

    def _demand_descriptions(self, model: ModelFile) -> None:
        """Refuse a model that says too little about itself, where the back end takes its kind at all."""
        keywords = self._options.keywords
        if model.kind not in self._backend.kinds:
            return  # its own check says how to convert it
        if model.kind == "tensorflow" and not keywords.output_node_names:
            raise OptionsError(f"{model.path}: a TensorFlow model needs output_node_names, in the file's order")
        if model.kind == "torch" and not keywords.model_inputs:
            raise OptionsError(
                f"{model.path}: a PyTorch model needs model_inputs: input_name, input_type and input_shape of each"
            )

    def _loaded(self) -> Program:
        self.setup()
        if self._program is None:
            raise InferenceError("the session holds no program")
        return self._program

    def _infer(self, inputs: Tensors, around: Around | None = None) -> Inference:
        while True:
            fitted, count = self._fitted(inputs)
            try:
                return self._backend.submit(fitted, count, around).result()
            except NotOpenError:
                continue  # another thread has reset the session meanwhile: load it again

    def _fitted(self, inputs: Tensors) -> tuple[Tensors, int | None]:
        """Return the inputs, padded where the program's batch is larger, and how many rows hold data."""
        program = self._loaded()
        if not isinstance(inputs, Mapping) or not all(isinstance(value, np.ndarray) for value in inputs.values()):
            return inputs, None  # the check says what is wrong
        first = inputs.get(program.inputs[0].name) if program.inputs else None
        if not program.batch_sizes or first is None or not first.ndim:
            return inputs, None
        count = len(first)
        if any(value.ndim == 0 or len(value) != count for value in inputs.values()):
            # Of different rows: no batch, and each has to have its own shape. A ladder is for batches alone.
            return inputs, count if program.ladder else None
        rows = program.rows_for(count) if 0 < count <= (program.max_rows or count) else count
        if rows == count:
            return inputs, count if program.ladder else None
        return {name: with_rows(value, rows) for name, value in inputs.items()}, count

    def _resolved_shapes(self) -> tuple[ShapeDict, ShapeDict]:
        with self._life:
            if self._shapes is None:
                program = self._loaded()
                batch = program.max_rows or 1
                inputs = ShapeDict(
                    {spec.name: (_resolved(spec, batch), spec.dtype) for spec in program.inputs},
                )
                outputs = ShapeDict()
                run: Inference | None = None
                for spec in program.outputs:
                    shape = spec.shape
                    if shape and shape[0] is None and program.has_rows(spec):
                        shape = (batch, *shape[1:])
                    if not shape or None in shape:
                        # The file does not say, or says nothing: an answer does.
                        run = run or self._backend.submit(_random(inputs)).result()
                        shape = run.outputs[spec.name].shape
                    outputs[spec.name] = (tuple(size for size in shape if size is not None), spec.dtype)
                self._shapes = (inputs, outputs)
            return self._shapes

    def _random_inputs(self) -> dict[str, NDArray[np.generic]]:
        return _random(self.model_input_shape_dict)


def _let_go(backend: Backend) -> None:
    Thread(target=backend.close, name="session-let-go", daemon=True).start()


def _resolved(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    shape = []
    for axis, size in enumerate(spec.shape):
        if size is None and axis > 0:
            symbol = spec.symbols[axis] if axis < len(spec.symbols) else None
            hint = f"onnx_define_symbol={{{symbol!r}: SIZE}}" if symbol else "a model that is exported with its size"
            raise OptionsError(f"axis {axis} of input {spec.name} is open ({symbol or 'without a name'}): give {hint}")
        shape.append(batch if size is None else size)
    return tuple(shape)


def _random(shapes: Mapping[str, Shape]) -> dict[str, NDArray[np.generic]]:
    """Return random data for each input."""
    random = np.random.default_rng(0)
    data: dict[str, NDArray[np.generic]] = {}
    for name, (shape, dtype) in shapes.items():
        if prod(shape) * dtype.itemsize > _MAX_RANDOM_BYTES:
            raise ModelError(
                f"input {name} takes {dtype}{list(shape)}, which is more than memory: give an input of your own"
            )
        data[name] = random_values(random, shape, dtype)
    return data
