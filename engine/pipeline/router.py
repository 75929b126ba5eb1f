"""Takes what a step gave to the steps that follow it, or to the end."""

from collections.abc import Iterable, Sequence
from typing import Any

from engine.pipeline.execution import Surroundings
from engine.pipeline.graph import Graph, arrange
from engine.pipeline.journey import Journey, Token
from engine.pipeline.runner import StepRunner
from engine.pipeline.step import Step


class Router(Surroundings):
    """The runners of all steps, and what lies between them."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Put the steps in order; nothing is started.

        Raises:
            PipelineError: They cannot be put in order.
        """
        self._names = tuple(step.name for step in steps)
        self._steps = tuple(steps)
        #: Items that the steps work on at a time, where all have some.
        self.width = 0
        self._graph: Graph = arrange(self._names, [step.after for step in steps])
        follows = [tuple(self._names[other] for other in others) for others in self._graph.predecessors]
        self.runners = tuple(StepRunner(step, index, follows[index], self) for index, step in enumerate(steps))
        self._ancestors = tuple(self._graph.ancestors(index) for index in range(len(steps)))
        self._descendants = tuple(self._graph.descendants(index) for index in range(len(steps)))
        #: In a line the runner after each, where there is one: the short way.
        self._next: tuple[StepRunner | None, ...] | None = None
        if self._graph.is_line:
            self._next = tuple(self.runners[follow[0]] if follow else None for follow in self._graph.successors)

    def reconfigured(self) -> None:
        """Count anew what the steps work on at a time."""
        self.width = sum(step.parallel_steps * (step.max_batch_size or 1) for step in self._steps)

    def enter(self, journey: Journey, item: Any) -> None:
        """Bring an item to the steps that it begins with."""
        firsts = self._graph.firsts
        if not firsts:
            journey.arrive(item)
            return
        if len(firsts) > 1:
            journey.begin(len(firsts))
        self._put_each((first, Token(journey, item)) for first in firsts)

    def forward(self, index: int, tokens: Sequence[Token], values: Sequence[Any]) -> None:
        """Take what a step gave for these tokens to whatever follows."""
        if self._next is None:
            self._put_each(
                (step, Token(token.journey, onward))
                for token, value in zip(tokens, values, strict=True)
                for step, onward in token.journey.advance(self._graph, self._names, index, value)
            )
            return
        follower = self._next[index]
        if follower is None:
            for token, value in zip(tokens, values, strict=True):
                token.journey.arrive(value)
            return
        for token, value in zip(tokens, values, strict=True):
            token.value = value
        follower.put(tokens)

    def set_draining(self, *, is_draining: bool) -> None:
        """Say whether new items may enter; while none may, no batch waits for company that cannot come."""
        self.is_draining = is_draining
        if is_draining:
            for runner in self.runners:
                runner.wake()

    def comes_nothing(self, index: int) -> bool:
        """Tell whether no step before this one has anything to do: in order, since items only go forward."""
        return not any(self.runners[other].load for other in self._ancestors[index])

    def emptied(self, index: int) -> None:
        """Let the steps that follow look whether anything more can come."""
        for other in self._descendants[index]:
            self.runners[other].wake()

    def _put_each(self, tokens: Iterable[tuple[int, Token]]) -> None:
        """Bring each token to its step, whatever becomes of the others."""
        interrupt: BaseException | None = None
        for step, token in tokens:
            try:
                self.runners[step].put([token])
            except BaseException as exc:  # noqa: BLE001 - an interrupt in a step without threads; raised below
                interrupt = exc
        if interrupt is not None:
            raise interrupt
