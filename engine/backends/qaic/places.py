"""Who may use which of the vendor's execution objects, and what becomes of them when a program is let go."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Lock
from typing import Any

from engine.errors import InferenceError


@dataclass(eq=False, slots=True)
class Activation:
    """One loaded copy of a program. The vendor's objects are kept here alone: a local variable would outlive its use.

    Attributes:
        program: None when it was let go.
    """

    program: Any
    places: list["Place"] = field(default_factory=list)
    is_retired: bool = False


@dataclass(eq=False, slots=True)
class Place:
    """One inference in flight.

    Attributes:
        exec_obj: None when its activation was let go.
    """

    activation: Activation
    exec_obj: Any
    is_used: bool = False


class Places:
    """The places of all activations. A stuck inference keeps its activation until it comes back.

    The order is the runtime's: OpenRT refuses to deactivate while an execution object lives.
    Source: quic/software-kit-for-qualcomm-cloud-ai-100 lib/core/src/QProgramDevice.cpp.
    """

    def __init__(self, let_go: Callable[[Any], None]) -> None:
        """Begin without any.

        Args:
            let_go: Deactivates a program whose execution objects are gone; it comes once for each, without a lock.
        """
        self._let_go = let_go
        self._lock = Lock()
        self._free: Queue[Place] = Queue()
        self._activations: list[Activation] = []

    def activate(self, program: Any) -> Activation:
        """Take an active program in."""
        activation = Activation(program)
        self._activations.append(activation)
        return activation

    def add(self, place: Place) -> None:
        """Take a place in; it is free."""
        place.activation.places.append(place)
        self._free.put(place)

    @property
    def activations(self) -> list[Activation]:
        """The programs that were taken in."""
        return self._activations

    def take(self, timeout_s: float) -> Place:
        """Wait for a free place; `give_back` ends its use.

        Raises:
            InferenceError: None came free, or the program was let go.
        """
        try:
            place = self._free.get(timeout=timeout_s)
        except Empty as exc:
            raise InferenceError(f"no place on the card was free within {timeout_s:g} s") from exc
        with self._lock:
            if place.exec_obj is None:
                raise InferenceError("the program was let go")
            place.is_used = True
        return place

    def give_back(self, place: Place) -> None:
        """End the use of a place; the last one of a program that is let go deactivates it."""
        with self._lock:
            place.is_used = False
            if not place.activation.is_retired:
                self._free.put(place)
                return
            place.exec_obj = None
            program = _taken_out(place.activation)
        if program is not None:
            self._let_go(program)

    def retire(self) -> int:
        """Let every program go; return how many inferences are stuck, whose programs go when they come back."""
        stuck = 0
        for activation in self._activations:
            with self._lock:
                activation.is_retired = True
                for place in activation.places:
                    if place.is_used:
                        stuck += 1
                    else:
                        place.exec_obj = None
                program = _taken_out(activation)
            if program is not None:
                self._let_go(program)
        with suppress(Empty):
            while True:
                self._free.get_nowait()
        return stuck


def _taken_out(activation: Activation) -> Any:
    """Return the program, once, when nobody uses it any more; with the lock held."""
    if any(place.is_used for place in activation.places):
        return None
    program, activation.program = activation.program, None
    return program
