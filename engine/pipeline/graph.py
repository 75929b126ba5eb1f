"""Which step follows which. Pure: names and indices, no functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import PipelineError
from engine.options import nearest


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps of a pipeline by their index, and what follows what.

    Attributes:
        predecessors: For each step those that it follows, in the order in which it wants their values.
        successors: For each step those that follow it.
        order: Every step after all that it follows.
        firsts: Those that follow none: they get the item itself.
        lasts: Those that none follows.
    """

    predecessors: tuple[tuple[int, ...], ...]
    successors: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    firsts: tuple[int, ...]
    lasts: tuple[int, ...]

    @property
    def is_line(self) -> bool:
        """Whether the steps simply follow one another."""
        return len(self.firsts) <= 1 and all(len(follow) <= 1 for follow in self.successors)

    def ancestors(self, index: int) -> tuple[int, ...]:
        """Return all steps that an item passes before this one, in order."""
        found: set[int] = set()
        waiting = list(self.predecessors[index])
        while waiting:
            step = waiting.pop()
            if step not in found:
                found.add(step)
                waiting.extend(self.predecessors[step])
        return tuple(step for step in self.order if step in found)

    def descendants(self, index: int) -> tuple[int, ...]:
        """Return all steps that an item passes after this one, in order."""
        return tuple(step for step in self.order if index in self.ancestors(step))


def arrange(names: Sequence[str], after: Sequence[Sequence[str] | None]) -> Graph:
    """Put steps in order.

    Args:
        names: What the steps are called.
        after: For each the names of those that it follows; empty for one that gets the item itself, None for the one
            listed before it.

    Raises:
        PipelineError: A name is missing, taken twice or unknown, or steps follow one another in a circle.
    """
    index_by_name: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in index_by_name:
            raise PipelineError(f"two steps are called {name!r}: give each a name of its own")
        index_by_name[name] = index
    predecessors = tuple(
        _indices(names[index], follows, index_by_name) if follows is not None else (index - 1,) * (index > 0)
        for index, follows in enumerate(after)
    )
    successors = tuple(
        tuple(index for index, follows in enumerate(predecessors) if step in follows) for step in range(len(names))
    )
    return Graph(
        predecessors,
        successors,
        _order(names, predecessors),
        tuple(index for index, follows in enumerate(predecessors) if not follows),
        tuple(index for index, follow in enumerate(successors) if not follow),
    )


def _indices(name: str, follows: Iterable[str], known: Mapping[str, int]) -> tuple[int, ...]:
    indices: list[int] = []
    for other in follows:
        if other not in known:
            raise PipelineError(f"step {name!r} follows {other!r}, which is no step here{nearest(other, known)}")
        if known[other] in indices:
            raise PipelineError(f"step {name!r} follows {other!r} twice: name it once")
        indices.append(known[other])
    return tuple(indices)


def _order(names: Sequence[str], predecessors: Sequence[Sequence[int]]) -> tuple[int, ...]:
    order: list[int] = []
    placed: set[int] = set()
    left = list(range(len(names)))
    while left:
        ready = [step for step in left if placed.issuperset(predecessors[step])]
        if not ready:
            raise PipelineError(_circle(names, predecessors, set(left)))
        order.extend(ready)
        placed.update(ready)
        left = [step for step in left if step not in placed]
    return tuple(order)


def _circle(names: Sequence[str], predecessors: Sequence[Sequence[int]], left: set[int]) -> str:
    """Name a circle among steps of which each follows another, and the others, which no item reaches."""
    step, path = min(left), list[int]()
    while step not in path:
        path.append(step)
        step = next(other for other in predecessors[step] if other in left)
    circle = path[path.index(step) :][::-1]
    beyond = ", ".join(repr(names[other]) for other in sorted(left - set(circle)))
    way = " → ".join(repr(names[other]) for other in [*circle, circle[0]])
    return f"steps follow one another in a circle: {way}" + (f", so that nothing reaches {beyond}" if beyond else "")
