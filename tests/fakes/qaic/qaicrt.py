"""A stand-in of the vendor's module `qaicrt`, as strict as the public documents say. It is not the vendor's software.

The SDK tree has a copy of this file, and finds its cards by its own place there. Answers come from ONNX Runtime.
Sources: those of `engine.backends.qaic.runtime`; the states and refusals of a program are those of
quic/software-kit-for-qualcomm-cloud-ai-100 lib/core/src/QProgramDevice.cpp.
"""

import json
import weakref
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from tests.fakes.qaic.container import FILE_NAME, read_container
from tests.fakes.qaic.machine import Card, Machine, machine_at

_ROOT = Path(__file__).parents[3]
_DTYPES = {0: np.float32, 1: np.float16, 3: np.uint8, 6: np.int32, 7: np.int64, 8: np.int8}


class QStatus(Enum):
    """Only names and equality, like an enumeration of pybind11."""

    QS_SUCCESS = 0
    QS_PERM = 1
    QS_AGAIN = 2
    QS_NOMEM = 3
    QS_BUSY = 4
    QS_NODEV = 5
    QS_INVAL = 6
    QS_NOSPC = 7
    QS_BADFD = 8
    QS_TIMEDOUT = 9
    QS_PROTOCOL = 10
    QS_UNSUPPORTED = 11
    QS_DATA_CRC_ERROR = 12
    QS_DEV_ERROR = 300
    QS_ERROR = 500


class QDevStatus(Enum):
    QDS_INITIALIZING = 0
    QDS_READY = 1
    QDS_ERROR = 2


def _machine() -> Machine:
    return machine_at(_ROOT)


def _enter(step: str) -> QStatus | None:
    name = _machine().enter(step)
    return QStatus[name] if name is not None else None


class QIDList(list[int]):
    """Card numbers."""


class Context:
    def __init__(self, qids: QIDList | None = None) -> None:
        if qids is not None and not isinstance(qids, QIDList):
            raise TypeError("Context(): incompatible constructor arguments")
        _enter("Context")


class Queue:
    def __init__(self, context: Context, qid: int) -> None:
        if not isinstance(qid, int) or not isinstance(context, Context):
            raise TypeError("Queue(): incompatible constructor arguments")
        _enter("Queue")

    def enqueue(self, exec_obj: "ExecObj") -> QStatus:
        status = _enter("enqueue")
        if status is None:
            exec_obj.is_enqueued = True
        return status or QStatus.QS_SUCCESS


class Qpc:
    def __init__(self, directory: str) -> None:
        _enter("Qpc")
        file = Path(directory) / FILE_NAME
        if not file.is_file():
            raise RuntimeError(f"{directory} has no {FILE_NAME}")
        self.container = read_container(file)

    def getIoDescriptor(self) -> tuple[QStatus, list[int]]:  # noqa: N802 - the vendor's name
        return _enter("getIoDescriptor") or QStatus.QS_SUCCESS, list(json.dumps(self.container.descriptor).encode())


class QAicProgramProperties:
    """The names of build 1.22.0.120; another name is refused, as pybind11 does."""

    __slots__ = ("SubmitNumRetries", "dataPathTimeoutMs", "devMapping", "selectMask", "submitNumRetries")

    def __init__(self) -> None:
        self.dataPathTimeoutMs = 0
        self.devMapping = ""


class OlderProgramProperties:
    """A build without a data path time-out, for tests; the vendor's has no such name."""

    __slots__ = ("devMapping",)

    def __init__(self) -> None:
        self.devMapping = ""


class Program:
    def __init__(
        self, context: Context, qid: int | None, qpc: Qpc, properties: QAicProgramProperties | OlderProgramProperties
    ) -> None:
        if not isinstance(context, Context):
            raise TypeError("Program(): incompatible constructor arguments")
        _enter("Program")
        machine = _machine()
        mapping = [int(number) for number in properties.devMapping.split(":")] if properties.devMapping else []
        # Whatever the context says: quic/efficient-transformers#1013.
        qids = mapping if qid is None and mapping else [qid if isinstance(qid, int) else 0]
        if any(number not in machine.cards for number in qids):
            raise RuntimeError(f"Invalid Device: {qids}")
        self.cards: list[Card] = [machine.cards[number] for number in qids]
        self.container = qpc.container
        self.timeout_s = (getattr(properties, "dataPathTimeoutMs", 0) or 60_000) / 1000
        self.exec_objs: weakref.WeakSet[ExecObj] = weakref.WeakSet()
        self.is_loaded = self.is_active = self.is_broken = False
        machine.programs += qids
        machine.properties.append({name: getattr(properties, name, None) for name in properties.__slots__})
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = 1
        self.session: Any = onnxruntime.InferenceSession(
            self.container.graph, settings, providers=["CPUExecutionProvider"]
        )

    def load(self) -> QStatus:
        status = _enter("load")
        if status is None and any(card.status != "Ready" for card in self.cards):
            status = QStatus.QS_ERROR
        self.is_loaded = status is None
        return status or QStatus.QS_SUCCESS

    def activate(self) -> QStatus:
        status = _enter("activate")
        if status is not None or not self.is_loaded or self.is_active:
            return status or QStatus.QS_ERROR
        machine = _machine()
        with machine.lock:
            if any(card.nsp_free < self.container.cores for card in self.cards):
                return QStatus.QS_ERROR
            for card in self.cards:
                card.held.append(self.container.cores)
        machine.write()
        self.is_active = True
        return QStatus.QS_SUCCESS

    def deactivate(self) -> QStatus:
        status = _enter("deactivate")
        if status is not None:
            return status
        if len(self.exec_objs) or not self.is_active:
            return QStatus.QS_INVAL
        machine = _machine()
        with machine.lock:
            for card in self.cards:
                card.held.remove(self.container.cores)
        machine.write()
        self.is_active = False
        return QStatus.QS_SUCCESS


class QBuffer:
    def __init__(self, content: bytes) -> None:
        if not isinstance(content, bytes):
            raise TypeError("QBuffer(): incompatible constructor arguments")
        self.content = content
        self.size = len(content)

    def __bytes__(self) -> bytes:
        return self.content


class BufferDimensionsVecRef(list[tuple[int, list[int]]]):
    def __init__(self, entries: Iterable[tuple[int, list[int]]]) -> None:
        super().__init__((int(itemsize), [int(axis) for axis in dims]) for itemsize, dims in entries)


class ExecObj:
    def __init__(self, context: Context, program: Program) -> None:
        if not isinstance(context, Context):
            raise TypeError("ExecObj(): incompatible constructor arguments")
        _enter("ExecObj")
        if not program.is_active:
            raise RuntimeError("the program is not active")
        self.program = program
        self.is_enqueued = False
        self._given: tuple[list[QBuffer], BufferDimensionsVecRef] | None = None
        self._results: list[QBuffer] | None = None
        program.exec_objs.add(self)

    def setData(self, buffers: list[QBuffer], dims: BufferDimensionsVecRef) -> QStatus:  # noqa: N802 - the vendor's name
        """Take anything: what is wrong with it shows in `waitForCompletion`."""
        if not isinstance(dims, BufferDimensionsVecRef) or not all(isinstance(buffer, QBuffer) for buffer in buffers):
            raise TypeError("setData(): incompatible function arguments")
        status = _enter("setData")
        self._given, self._results = (list(buffers), dims), None
        return status or QStatus.QS_SUCCESS

    def waitForCompletion(self) -> QStatus:  # noqa: N802 - the vendor's name
        if self.program.is_broken:
            return QStatus.QS_DEV_ERROR
        slow = _machine().slow
        if slow is not None and not slow.wait(self.program.timeout_s):
            return QStatus.QS_TIMEDOUT
        status = _enter("waitForCompletion")
        if status is QStatus.QS_DEV_ERROR:
            self.program.is_broken = True
        if status is not None:
            return status
        if not self.is_enqueued or self._given is None:
            return QStatus.QS_INVAL
        self.is_enqueued = False
        try:
            self._results = self._compute(*self._given)
        except Exception:  # noqa: BLE001 - a card tells no more than that
            return QStatus.QS_ERROR
        return QStatus.QS_SUCCESS

    def getData(self) -> tuple[QStatus, list[QBuffer]]:  # noqa: N802 - the vendor's name
        status = _enter("getData")
        if status is None and self._results is None:
            status = QStatus.QS_INVAL
        return status or QStatus.QS_SUCCESS, self._results or []

    def _compute(self, buffers: list[QBuffer], dims: BufferDimensionsVecRef) -> list[QBuffer]:
        descriptor = self.program.container.descriptor
        bindings = descriptor["bindings"]
        given = [shape for _, shape in dims]
        known = [[shape["dims"] for shape in shapes] for shapes in descriptor["allowed_shapes"]]
        if given not in (known or [[binding["dims"] for binding in bindings]]):
            raise ValueError("No matching dimension found")
        feeds = {}
        for buffer, (itemsize, shape), binding in zip(buffers, dims, bindings, strict=True):
            dtype = np.dtype(_DTYPES[binding["type"]])
            if itemsize != dtype.itemsize or buffer.size != int(np.prod(shape)) * itemsize:
                raise ValueError(f"the buffer of {binding['name']} has a wrong size")
            if binding["dir"] == 0:
                feeds[binding["name"]] = np.frombuffer(buffer.content, dtype).reshape(shape)
        session = self.program.session
        names = [output.name for output in session.get_outputs()]
        answers = dict(zip(names, session.run(names, feeds), strict=True))
        return [
            buffer if binding["dir"] == 0 else QBuffer(np.ascontiguousarray(answers[binding["name"]]).tobytes())
            for buffer, binding in zip(buffers, bindings, strict=True)
        ]


class Util:
    def getDeviceIds(self) -> tuple[QStatus, QIDList]:  # noqa: N802 - the vendor's name
        return _enter("getDeviceIds") or QStatus.QS_SUCCESS, QIDList(sorted(_machine().cards))

    def getDeviceInfo(self, qid: int) -> tuple[QStatus, Any]:  # noqa: N802 - the vendor's name
        status = _enter("getDeviceInfo")
        card = _machine().cards.get(qid)
        if status is not None or card is None:
            return status or QStatus.QS_NODEV, None
        states = {"Ready": QDevStatus.QDS_READY, "Initializing": QDevStatus.QDS_INITIALIZING}
        resources = SimpleNamespace(nspTotal=card.nsp_total, nspFree=card.nsp_free)
        info = SimpleNamespace(
            devStatus=states.get(card.status, QDevStatus.QDS_ERROR), devData=SimpleNamespace(resourceInfo=resources)
        )
        return QStatus.QS_SUCCESS, info
