"""The back end `qai_hub`."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import onnxruntime

from engine.backends.base import BackendOptions
from engine.backends.ladder import LadderNetwork
from engine.backends.network import Network, Outputs
from engine.backends.onnxruntime import message, program_of_session, session_settings
from engine.backends.qai_hub.client import Connect, Hub, default_connect
from engine.backends.qai_hub.errors import mapped
from engine.backends.qai_hub.jobs import Compiler, await_job, output_of, submit_inference_job
from engine.backends.qai_hub.options import QaiHubOwn
from engine.backends.static_shapes import sized
from engine.backends.threaded import ThreadedBackend
from engine.errors import InferenceError, ModelError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors

log = logging.getLogger(__name__)

#: How long the client's own retries may take besides the wait for the job: of four calls, four minutes each.
_CALLS_S = 960.0
_COMPILED_THERE = "AI Hub quantises by a job of its own: give the model that it made"


class QaiHubBackend(ThreadedBackend):
    """Runs ONNX files on a device of AI Hub, `options.device`. `num_activations` × `set_size` jobs run at a time.

    `compile` has the model compiled there, and this object remembers the result: `open` uses it, and compiles where
    nothing was compiled. With `output_dir`, a note there tells later processes as well. Every batch is an inference
    job: seconds to minutes. Devices take fixed sizes: an open batch axis is 1, or what `onnx_define_symbol` says.
    """

    name = "qai_hub"
    uses = frozenset({"num_activations", "set_size", "onnx_define_symbol", "output_dir"})
    refuses: ClassVar[Mapping[str, str]] = {
        "convert_to_quantize": _COMPILED_THERE,
        "load_profile": _COMPILED_THERE,
        "external_quantization_file": _COMPILED_THERE,
        "custom_io_list_file": "the types of inputs and outputs are the ONNX file's",
    }
    Own = QaiHubOwn

    def __init__(self, connect: Connect = default_connect) -> None:
        """Keep nothing but how to connect.

        Args:
            connect: Makes AI Hub's client of a profile's name.
        """
        super().__init__()
        self._connect = connect
        self._compiler = Compiler()

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it can be a device of AI Hub: they have a name and no number."""
        return not name.isdigit()

    def compile(self, model: ModelFile, options: BackendOptions) -> ModelFile:
        """Have the model compiled; the file stays the same, and what was made of it stays at AI Hub."""
        self.check_model(model)
        for _ in self._compiled(model, options):
            pass
        return model

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Have the model compiled, unless it is; see `Backend.open`."""
        activations, set_size = self.concurrency(options)
        networks: dict[int, Network] = {}
        for batch, hub, device, target, program in self._compiled(model, options):
            networks[batch] = QaiHubNetwork(hub, device, target, program, activations * set_size)
        return next(iter(networks.values())) if len(networks) == 1 else LadderNetwork(networks)

    def _compiled(self, model: ModelFile, options: BackendOptions) -> Iterator[tuple[int, Hub, Any, Any, Program]]:
        sizes = sized(model.path, options)
        programs = [_program(model, one.options) for one in sizes]
        hub = Hub(self._connect, options.own_of(QaiHubOwn))
        device = hub.find_device(options.device)
        for one, program in zip(sizes, programs, strict=True):
            yield one.batch, hub, device, self._compiler.target(hub, device, model, one, program), program


class QaiHubNetwork(Network):
    """A compiled model at AI Hub. Each batch is a data set and an inference job."""

    def __init__(self, hub: Hub, device: Any, target: Any, program: Program, slots: int) -> None:
        self.program = program
        self.slots = slots
        self.detail = f"AI Hub, {device.name}, model {target.model_id}"
        #: A job may take longer than any device is silent; it is given up by its own deadline.
        self.timeout_s: float | None = hub.own.job_timeout + _CALLS_S
        self._hub, self._device, self._target = hub, device, target

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Send the batch, wait for its job and fetch what it gave."""
        del rows
        deadline_s = time.monotonic() + self._hub.own.job_timeout
        sent = {spec.name: inputs[spec.name] for spec in self.program.inputs}
        with mapped(InferenceError):
            job = submit_inference_job(self._hub, self._target, self._device, sent, deadline_s)
            await_job(self._hub, job, deadline_s)
            given = output_of(self._hub, job, deadline_s)
        return self._named(given, f"job {job.job_id} ({job.url})")

    def unload(self) -> None:
        """Leave the compiled model where it is: AI Hub keeps it."""

    def _named(self, given: Tensors, job: str) -> Outputs:
        """Give the outputs the names and types that the model's file gives them.

        Runtimes other than ONNX's rename them, and keep their order.
        """
        specs = self.program.outputs
        if len(given) != len(specs):
            raise InferenceError(f"AI Hub: {job} gave {list(given)}, and not {[spec.name for spec in specs]}")
        in_order = list(given.values())
        is_named = all(spec.name in given for spec in specs)
        values = [given[spec.name] if is_named else in_order[index] for index, spec in enumerate(specs)]
        return {spec.name: value.astype(spec.dtype, copy=False) for spec, value in zip(specs, values, strict=True)}


def _program(model: ModelFile, options: BackendOptions) -> Program:
    """Describe the model as its file does; ONNX Runtime works out the sizes of the outputs."""
    try:
        session = onnxruntime.InferenceSession(
            str(model.path), session_settings(options, 1), providers=["CPUExecutionProvider"]
        )
    except Exception as exc:  # onnxruntime's errors have no common root but this
        raise ModelError(f"ONNX Runtime cannot load {model.path}: {message(exc)} (give a complete .onnx file)") from exc
    return program_of_session(session, model, options)
