"""The back end `qnn`."""

from collections.abc import Mapping
from typing import ClassVar

from engine.backends.base import BackendOptions
from engine.backends.ladder import LadderNetwork
from engine.backends.network import Network
from engine.backends.onnxruntime import SessionNetwork, program_of_session
from engine.backends.qnn.plugin import DEFAULT_DEVICE, DEVICES
from engine.backends.qnn.session import QnnOwn, QnnSession
from engine.backends.static_shapes import Sized, sized
from engine.backends.threaded import ThreadedBackend
from engine.models.files import ModelFile

_QUANTISED_BEFORE = "quantise the ONNX file before, with onnxruntime.quantization.quantize_static"


class QnnBackend(ThreadedBackend):
    """Runs ONNX files, quantised (QDQ) ones above all. `num_activations` × `set_size` inferences are in flight.

    QNN prepares a graph of fixed sizes. An open batch axis is 1, or what `onnx_define_symbol` says; several sizes make
    a ladder. With `output_dir`, what QNN prepared is kept there, and the next start takes it from there.
    """

    name = "qnn"
    uses = frozenset({"num_activations", "set_size", "onnx_define_symbol", "output_dir"})
    refuses: ClassVar[Mapping[str, str]] = {
        "convert_to_quantize": _QUANTISED_BEFORE,
        "load_profile": _QUANTISED_BEFORE,
        "external_quantization_file": _QUANTISED_BEFORE,
        "custom_io_list_file": "the types of inputs and outputs are the ONNX file's",
    }
    default_device = DEFAULT_DEVICE
    Own = QnnOwn

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it is the name of one of QNN's own back ends."""
        return name.lower() in {*DEVICES, "gpu"}

    def compile(self, model: ModelFile, options: BackendOptions) -> ModelFile:
        """Prepare the model, and keep that in `output_dir`; without one there is nothing to do beforehand."""
        self.check_model(model)
        if options.keywords.output_dir is not None:
            for one in sized(model.path, options):
                QnnSession(model, one)
        return model

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load the ONNX file; see `Backend.open`."""
        sizes = sized(model.path, options)
        activations, set_size = self.concurrency(options)
        networks = {one.batch: QnnNetwork(model, one, activations * set_size) for one in sizes}
        return networks[sizes[0].batch] if len(sizes) == 1 else LadderNetwork(networks)


class QnnNetwork(SessionNetwork):
    """A session whose graph QNN took. ONNX Runtime lets one thread at a time into QNN."""

    def __init__(self, model: ModelFile, one: Sized, slots: int) -> None:
        opened = QnnSession(model, one)
        program = program_of_session(opened.session, model, one.options)
        super().__init__(opened.session, program, slots, opened.detail)
