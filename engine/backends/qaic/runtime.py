"""A program on a card, run through `qaicrt`.

The order of the calls is that of quic/efficient-transformers QEfficient/generation/cloud_infer.py; the pool of
execution objects that of qualcomm/vllm-qaic vllm_qaic/model_loader/qaic_session_np.py. No source says whether one
queue may be used by several threads at a time, so it is not.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from engine.backends.network import Network, Outputs
from engine.backends.qaic.descriptor import Descriptor, Dims
from engine.backends.qaic.places import Place, Places
from engine.backends.qaic.sdk import within
from engine.backends.qaic.vendor import Vendor, VendorError
from engine.errors import DeviceLostError, InferenceError
from engine.models.program import Tensors

log = logging.getLogger(__name__)

#: Letting a program go asks the card as well, and a broken one may not answer.
UNLOAD_LIMIT_S = 30.0
#: The calls that look at the compiled program alone, before any card has it.
PROGRAM_STEPS = frozenset({"Qpc", "getIoDescriptor"})
_STATE_LIMIT_S = 5.0
#: The runtime's own time-out comes before the watchdog's: a thread that it frees gives its place back.
_TIMEOUT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how often a program is loaded.

    Attributes:
        qids: The cards; several run one partitioned program.
        activations: Copies of the program.
        set_size: Inferences in flight for each of them.
        timeout_s: How long a batch may take.
    """

    qids: tuple[int, ...]
    activations: int
    set_size: int
    timeout_s: float


class QaicNetwork(Network):
    """A program that is active on a card. `slots` is activations × set size."""

    def __init__(self, vendor: Vendor, placement: Placement) -> None:
        self.slots = placement.activations * placement.set_size
        self._vendor = vendor
        self._placement = placement
        self._context: Any = None
        self._queue: Any = None
        self._places = Places(self._deactivate)
        self._queue_lock = Lock()

    def load(self, directory: Path, metadata: dict[str, str], detail: str) -> None:
        """Load and activate the program.

        Args:
            directory: It holds `programqpc.bin`.
            metadata: Of the model that it was compiled from.
            detail: The line for `health`.

        Raises:
            VendorError: A call failed; what was loaded is let go again.
            ModelError: The program has a type that is not known.
        """
        try:
            self._load(directory, metadata)
        except BaseException:
            self.unload()
            raise
        self.detail = detail

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Run a batch; see `Network.infer`."""
        del rows
        shapes = self._descriptor.fit(inputs)
        place = self._places.take(self._placement.timeout_s)
        try:
            return self._run(place, inputs, shapes)
        except VendorError as exc:
            # Its traceback holds the execution object, and whoever has the future holds the traceback.
            cause = exc.with_traceback(None)
            if exc.is_of_device or not self._is_ready():
                raise DeviceLostError(f"card {self._qids} broke: {exc}") from cause
            raise InferenceError(f"card {self._qids} failed a batch: {exc}") from cause
        finally:
            self._places.give_back(place)

    def unload(self) -> None:
        """Let the card go: first the execution objects, then the programs. A stuck one keeps its program until then."""
        stuck = self._places.retire()
        if stuck:
            log.warning("card %s: %d inferences have not come back, their AI cores stay taken", self._qids, stuck)
        else:
            self._queue = self._context = None

    @property
    def _qids(self) -> str:
        return ":".join(map(str, self._placement.qids))

    def _load(self, directory: Path, metadata: dict[str, str]) -> None:
        vendor, rt, qids = self._vendor, self._vendor.rt, self._placement.qids
        self._context = vendor.make("Context", lambda: rt.Context(rt.QIDList(list(qids))))
        self._queue = vendor.make("Queue", rt.Queue, self._context, qids[0])
        qpc = vendor.make("Qpc", rt.Qpc, str(directory))
        self._descriptor = Descriptor.parse(vendor.api, bytes(vendor.get("getIoDescriptor", qpc.getIoDescriptor)))
        self.program = self._descriptor.program(metadata)
        # An integer: with None the program lands on card 0, whatever the context says
        # (quic/efficient-transformers#1013). Several cards are named by devMapping.
        where = qids[0] if len(qids) == 1 else None
        for _ in range(self._placement.activations):
            program = vendor.make("Program", rt.Program, self._context, where, qpc, self._properties())
            vendor.do("Program.load", program.load)
            vendor.do("Program.activate", program.activate)
            self._places.activate(program)
        for _ in range(self._placement.set_size):  # neighbours in the pool are of different activations
            for activation in self._places.activations:
                exec_obj = vendor.make("ExecObj", rt.ExecObj, self._context, activation.program)
                self._places.add(Place(activation, exec_obj))
                del exec_obj

    def _properties(self) -> Any:
        """Return the program's properties; their names differ between builds (quic/efficient-transformers#1011)."""
        properties = self._vendor.make("QAicProgramProperties", self._vendor.rt.QAicProgramProperties)
        values: dict[str, object] = {
            "dataPathTimeoutMs": max(1, int(self._placement.timeout_s * 1000 * _TIMEOUT_SHARE))
        }
        if len(self._placement.qids) > 1:
            values["devMapping"] = self._qids
        for name, value in values.items():
            if hasattr(properties, name):
                setattr(properties, name, value)
            else:
                log.info("this build of qaicrt has no %s", name)
        return properties

    def _run(self, place: Place, inputs: Tensors, shapes: Sequence[Dims]) -> Outputs:
        vendor, rt, descriptor = self._vendor, self._vendor.rt, self._descriptor
        bindings = descriptor.bindings
        buffers = [
            rt.QBuffer(
                binding.encode(inputs[binding.name])
                if binding.is_input
                else bytes(descriptor.size_bytes(index, shapes[index]))
            )
            for index, binding in enumerate(bindings)
        ]
        dims = rt.BufferDimensionsVecRef(
            [(binding.itemsize, list(shape) or [1]) for binding, shape in zip(bindings, shapes, strict=True)]
        )
        vendor.do("setData", place.exec_obj.setData, buffers, dims)
        with self._queue_lock:
            vendor.do("enqueue", self._queue.enqueue, place.exec_obj)
        vendor.do("waitForCompletion", place.exec_obj.waitForCompletion)
        results = vendor.get("getData", place.exec_obj.getData)
        return {
            binding.name: binding.decode(bytes(results[index]), shapes[index])
            for index, binding in enumerate(bindings)
            if descriptor.is_output(binding)
        }

    def _is_ready(self) -> bool:
        """Ask for the cards' state after a failure: a program whose card went to error can never be used again.

        Source: quic/software-kit-for-qualcomm-cloud-ai-100 lib/core/src/QProgramDevice.cpp.
        """
        rt = self._vendor.rt

        def ask() -> bool:
            util = rt.Util()
            for qid in self._placement.qids:
                status, info = util.getDeviceInfo(qid)
                if status == rt.QStatus.QS_NODEV:
                    return False
                if status == rt.QStatus.QS_SUCCESS and info.devStatus != rt.QDevStatus.QDS_READY:
                    return False
            return True

        try:
            return within(_STATE_LIMIT_S, "the card", ask)
        except TimeoutError:
            return False
        except Exception:  # noqa: BLE001 - a build without these calls says nothing of the card
            return True

    def _deactivate(self, program: Any) -> None:
        """Give the AI cores back."""
        try:
            within(UNLOAD_LIMIT_S, "deactivate", lambda: self._vendor.do("Program.deactivate", program.deactivate))
        except (VendorError, TimeoutError) as exc:
            log.warning("card %s: %s; its AI cores may stay taken", self._qids, exc)
