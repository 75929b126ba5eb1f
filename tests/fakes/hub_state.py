"""What the stand-in of AI Hub keeps: models, data sets, jobs, and what becomes of them."""

import io
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import Any, Literal

import h5py  # type: ignore[import-untyped]
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from qai_hub import public_api_pb2 as api
from qai_hub.util.dataset_entries_converters import dataset_entries_to_h5, h5_to_dataset_entries

Kind = Literal["compile", "inference"]

#: Name, system, attributes. The names are in AI Hub's style.
DEVICES = (
    ("Samsung Galaxy S24 (Family)", "14", ("framework:onnx", "framework:tflite", "framework:qnn", "os:android")),
    ("Samsung Galaxy S23 (Family)", "13", ("framework:onnx", "framework:tflite", "framework:qnn", "os:android")),
    ("QCS8550 (Proxy)", "12", ("framework:onnx", "framework:qnn", "os:android", "vendor:qualcomm")),
)
_FINISHED = (api.JobState.JOB_STATE_DONE, api.JobState.JOB_STATE_FAILED)
_RUNNING = {
    "compile": api.JobState.JOB_STATE_OPTIMIZING_MODEL,
    "inference": api.JobState.JOB_STATE_RUNNING_INFERENCE,
}


@dataclass(frozen=True)
class JobScript:
    """What becomes of jobs.

    Attributes:
        looks: How many times a job is looked at before it is done: half of them queued, half of them running.
        failure: What it fails with, if it does.
        vanishes: Whether it is unknown after `looks` looks.
        is_stuck: Whether it runs for ever.
        loses_output: Whether it is done and has no data.
    """

    looks: int = 0
    failure: str | None = None
    vanishes: bool = False
    is_stuck: bool = False
    loses_output: bool = False


#: One for all jobs, or what gives one for each job, by the id of the model that was uploaded.
Scripts = JobScript | Callable[[str], JobScript]


@dataclass
class Asset:
    """A stored file: what was uploaded, part by part."""

    parts: dict[int, bytes] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return b"".join(part for _, part in sorted(self.parts.items()))


@dataclass
class StoredModel:
    """A model, uploaded or compiled."""

    message: Any
    asset: Asset = field(default_factory=Asset)

    @cached_property
    def session(self) -> Any:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = 1, 4
        return onnxruntime.InferenceSession(self.asset.content, settings, providers=["CPUExecutionProvider"])


@dataclass
class StoredJob:
    """A job; its work is done when it is first looked at after its time."""

    kind: Kind
    message: Any
    script: JobScript
    work: Callable[[], None]
    looks: int = 0

    @property
    def own(self) -> Any:
        return getattr(self.message, f"{self.kind}_job")

    @property
    def is_gone(self) -> bool:
        return self.script.vanishes and self.looks >= self.script.looks

    @property
    def is_in_flight(self) -> bool:
        return not self.is_gone and self.own.job_state not in _FINISHED

    @property
    def summary(self) -> Any:
        kind = {"compile": api.CompileJobSummary, "inference": api.InferenceJobSummary}[self.kind]
        summary = kind(
            job_id=getattr(self.own, f"{self.kind}_job_id"), name=self.own.name, job_state=self.own.job_state
        )
        summary.creation_time.CopyFrom(self.own.creation_time)
        return api.JobSummary(**{f"{self.kind}_job_summary": summary})

    def look(self) -> None:
        """Let time go on by one look."""
        if self.own.job_state in _FINISHED:
            return
        self.looks += 1
        if self.script.is_stuck or self.looks <= self.script.looks:
            is_queued = 2 * self.looks <= self.script.looks
            self.own.job_state = api.JobState.JOB_STATE_CREATED if is_queued else _RUNNING[self.kind]
            return
        try:
            if self.script.failure is not None:
                raise RuntimeError(self.script.failure)
            self.work()
        except Exception as exc:  # noqa: BLE001 - a model may fail in any way, and so does its job
            self.own.job_state, self.own.failure_reason = api.JobState.JOB_STATE_FAILED, str(exc)
        else:
            self.own.job_state = api.JobState.JOB_STATE_DONE


class HubState:
    """All that a hub knows.

    Attributes:
        scripts: What becomes of jobs from now on, by kind.
        created: How many of each there are: `models`, `datasets`, `compile`, `inference`.
        most_in_flight: How many jobs were unfinished at a time, at the most.
        tells_inputs: Whether models say what they take.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.scripts: dict[Kind, Scripts] = {"compile": JobScript(), "inference": JobScript()}
        self.most_in_flight = 0
        self.tells_inputs = True
        self.models: dict[str, StoredModel] = {}
        self.datasets: dict[str, tuple[Any, Asset]] = {}
        self.jobs: dict[str, StoredJob] = {}
        self.outputs: dict[str, str] = {}
        self.created: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    def add_model(self, message: Any) -> StoredModel:
        message.model_id = self._new_id("m")
        message.creation_time.GetCurrentTime()
        self.created["models"] += 1
        return self.models.setdefault(message.model_id, StoredModel(message))

    def put_model(self, content: bytes, name: str) -> str:
        """Keep an ONNX model as if it had been uploaded; its id."""
        model = self.add_model(api.Model(name=name, model_type=api.ModelType.MODEL_TYPE_ONNX))
        model.asset.parts[0] = content
        self.tell_inputs(model)
        return str(model.message.model_id)

    def tell_inputs(self, model: StoredModel) -> None:
        """Have a model say what it takes, as far as its file does."""
        if self.tells_inputs:
            model.message.input_spec.CopyFrom(inputs_of(model.asset.content))

    def source_of(self, model_id: str) -> str:
        """Return the model that was uploaded and that this one comes of."""
        producer = self.jobs.get(self.models[model_id].message.producer_id)
        return str(producer.own.model.model_id) if producer else model_id

    @property
    def in_flight(self) -> int:
        """How many jobs are unfinished."""
        return sum(job.is_in_flight for job in self.jobs.values())

    def add_dataset(self, message: Any) -> Asset:
        message.dataset_id = self._new_id("d")
        message.creation_time.GetCurrentTime()
        message.expiration_time.FromSeconds(message.creation_time.seconds + 30 * 24 * 3600)
        self.created["datasets"] += 1
        self.datasets[message.dataset_id] = (message, Asset())
        return self.datasets[message.dataset_id][1]

    def add_job(self, message: Any) -> str:
        """Create a job; its script is the one of this moment."""
        kind: Kind = "compile" if message.WhichOneof("job") == "compile_job" else "inference"
        own = getattr(message, f"{kind}_job")
        job_id = self._new_id("j")
        setattr(own, f"{kind}_job_id", job_id)
        own.job_state = api.JobState.JOB_STATE_CREATED
        own.creation_time.GetCurrentTime()
        script = self._script(kind, own.model.model_id)
        work = self._compiling(own) if kind == "compile" else self._inferring(own, job_id, script)
        self.jobs[job_id] = StoredJob(kind, message, script, work)
        self.created[kind] += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return job_id

    def _script(self, kind: Kind, model_id: str) -> JobScript:
        scripts = self.scripts[kind]
        return scripts if isinstance(scripts, JobScript) else scripts(self.source_of(model_id))

    def _compiling(self, own: Any) -> Callable[[], None]:
        source = self.models[own.model.model_id]
        own.model.CopyFrom(source.message)
        own.device.CopyFrom(own.devices.devices[0])
        # As on the hub: the model that will come of it has its number from the start.
        target = self.add_model(api.Model(name=own.name, model_type=api.ModelType.MODEL_TYPE_ONNX))
        self.created["models"] -= 1
        target.message.producer_id = own.compile_job_id
        own.target_model.CopyFrom(target.message)

        def work() -> None:
            shapes = {entry.name: list(entry.tensor_type.shape) for entry in own.tensor_type_list.types}
            target.asset.parts[0] = with_shapes(source.asset.content, shapes)
            own.target_tensor_type_list.CopyFrom(inputs_of(target.asset.content))
            self.tell_inputs(target)
            _ = target.session  # a model that cannot be loaded fails here

        return work

    def _inferring(self, own: Any, job_id: str, script: JobScript) -> Callable[[], None]:
        model, (_, data) = self.models[own.model.model_id], self.datasets[own.dataset.dataset_id]

        def work() -> None:
            entries = read_dataset(data.content)
            names = [node.name for node in model.session.get_outputs()]
            columns = [entries[node.name] for node in model.session.get_inputs()]
            runs = [
                model.session.run(names, dict(zip(entries, sample, strict=True)))
                for sample in zip(*columns, strict=True)
            ]
            output = api.Dataset(name=f"output of {job_id}")
            asset = self.add_dataset(output)
            self.created["datasets"] -= 1
            asset.parts[0] = write_dataset({name: [run[index] for run in runs] for index, name in enumerate(names)})
            if not script.loses_output:
                self.outputs[job_id] = output.dataset_id

        return work

    def _new_id(self, letter: str) -> str:
        return f"{letter}{next(self._numbers)}{secrets.token_hex(3)}"


def with_shapes(content: bytes, shapes: Mapping[str, list[int]]) -> bytes:
    """Give the inputs of an ONNX model these sizes: the compiled one takes no others."""
    model = onnx.load_from_string(content)
    for value in model.graph.input:
        for axis, size in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, []), strict=False):
            axis.dim_value = size
    return bytes(model.SerializeToString())


def inputs_of(content: bytes) -> Any:
    """Say what an ONNX model takes; 0 is any size. Of types that AI Hub does not know it says nothing."""
    types = []
    for value in onnx.load_from_string(content).graph.input:
        tensor = value.type.tensor_type
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name.upper()
        known = getattr(api.TensorDtype, f"TENSOR_DTYPE_{dtype}", None)
        if known is not None:
            spec = api.TensorType(shape=[axis.dim_value for axis in tensor.shape.dim], dtype=known)
            types.append(api.NamedTensorType(name=value.name, tensor_type=spec))
    return api.NamedTensorTypeList(types=types)


def read_dataset(content: bytes) -> dict[str, list[NDArray[np.generic]]]:
    with h5py.File(io.BytesIO(content), "r") as file:
        return dict(h5_to_dataset_entries(file))


def write_dataset(entries: Mapping[str, list[NDArray[np.generic]]]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        dataset_entries_to_h5(entries, file)
    return buffer.getvalue()
