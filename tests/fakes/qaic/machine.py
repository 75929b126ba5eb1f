"""A stand-in of a machine with Cloud AI 100 cards: state and faults. It is not the vendor's software."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

CARDS_FILE = "cards.json"


@dataclass
class Card:
    """One SoC. `held` has the AI cores of each activation."""

    qid: int
    nsp_total: int = 16
    sku: str = "PCIe Pro"
    status: str = "Ready"
    held: list[int] = field(default_factory=list)

    @property
    def nsp_free(self) -> int:
        return self.nsp_total - sum(self.held)


@dataclass
class Fault:
    """What a call does instead: give a status by its name, or raise. `left` counts down; None is for ever."""

    outcome: str | Exception
    left: int | None = None
    breaks_card: bool = False


class Machine:
    """All that the stand-ins of one SDK tree share.

    Attributes:
        calls: Names of the runtime's calls, in their order.
        programs: The card of each program that was made, and what it was asked for.
        properties: What each program was given.
        slow: Where it is set, inferences wait for it, and at most for their program's data path time-out.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = Lock()
        self.calls: list[str] = []
        self.programs: list[int] = []
        self.properties: list[Mapping[str, object]] = []
        self.slow: Event | None = None
        self._write_lock = Lock()
        self._faults: dict[str, Fault] = {}
        self._gates: dict[str, Event] = {}
        values = json.loads((root / CARDS_FILE).read_text(encoding="utf-8"))
        self.cards = {
            entry["qid"]: Card(entry["qid"], entry["nsp_total"], entry["sku_type"], entry["dev_status"])
            for entry in values["device_info"]
        }

    def fail(self, step: str, outcome: str | Exception, times: int | None = None, *, breaks_card: bool = False) -> None:
        """Let a call fail from now on."""
        self._faults[step] = Fault(outcome, times, breaks_card)

    def heal(self) -> None:
        """Take every fault back, and let every call go that is held."""
        self._faults.clear()
        if self.slow is not None:
            self.slow.set()
            self.slow = None
        for gate in self._gates.values():
            gate.set()
        self._gates.clear()
        for card in self.cards.values():
            card.status = "Ready"
        self.write()

    def hold(self, step: str) -> Event:
        """Let a call block until the event is set, whatever time-out it has."""
        return self._gates.setdefault(step, Event())

    def enter(self, step: str) -> str | None:
        """Note a call; return the status it has to give, if it is not to do its work."""
        with self.lock:
            self.calls.append(step)
            gate = self._gates.get(step)
        if gate is not None:
            gate.wait()
        with self.lock:
            fault = self._faults.get(step)
            if fault is None or fault.left == 0:
                return None
            if fault.left is not None:
                fault.left -= 1
            if fault.breaks_card:
                for card in self.cards.values():
                    card.status = "Error"
        if fault.breaks_card:
            self.write()
        if isinstance(fault.outcome, Exception):
            raise type(fault.outcome)(*fault.outcome.args)  # a new one: its traceback holds who was called
        return fault.outcome

    def write(self) -> None:
        """Tell the stand-in of qaic-util, which runs in a process of its own."""
        with self._write_lock:
            write_cards(self.root, list(self.cards.values()))


_MACHINES: dict[Path, Machine] = {}


def machine_at(root: Path) -> Machine:
    """Return the machine of an SDK tree."""
    return _MACHINES.setdefault(root, Machine(root))


def forget(root: Path) -> None:
    """Let blocked calls go, and forget the machine."""
    machine = _MACHINES.pop(root, None)
    if machine is not None:
        machine.heal()


def write_cards(root: Path, cards: Sequence[Card]) -> None:
    """Write the cards in the form of `qaic-util -j`; an unready one tells no cores."""
    entries = [
        {
            "qid": card.qid,
            "dev_status": card.status,
            "sku_type": card.sku,
            "nsp_total": card.nsp_total,
            "nsp_free": card.nsp_free,
        }
        for card in cards
    ]
    temporary = root / f"{CARDS_FILE}.new"
    temporary.write_text(json.dumps({"device_info": entries}), encoding="utf-8")
    temporary.replace(root / CARDS_FILE)
