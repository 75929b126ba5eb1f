"""A model as boxes of a picture: its layers, or several of them in one where there are too many."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.models.tools.layers import LayeredModel, Shape

#: More boxes than this nobody reads.
MAX_BOXES = 60
#: So many different boxes in a row are looked at as what repeats.
_MAX_PERIOD = 8
Kind = Literal["input", "layer", "output"]


@dataclass(frozen=True, slots=True)
class Block:
    """One box.

    Attributes:
        operators: What is in it, in order.
        shape: Of what it gives.
        parameters: How many weights it has.
        title: The names of what is in it.
        repeats: How many times the same follows itself.
    """

    kind: Kind
    operators: tuple[str, ...]
    shape: Shape | None
    parameters: int = 0
    title: str = ""
    repeats: int = 1

    @property
    def text(self) -> str:
        """What it says: `Conv x 3, Relu x 2, Add`."""
        parts = [f"{name} x {count}" if count > 1 else name for name, count in Counter(self.operators).items()]
        return (f"{self.repeats} times: " if self.repeats > 1 else "") + ", ".join(parts)


@dataclass(frozen=True, slots=True)
class BlockGraph:
    """Boxes in an order in which they can run, and lines between them, by number."""

    blocks: tuple[Block, ...]
    edges: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()


def blocks_of(model: LayeredModel, max_boxes: int = MAX_BOXES) -> BlockGraph:
    """Return a model's boxes, folded until there are no more than `max_boxes`."""
    graph = _every_layer(model)
    steps: tuple[tuple[Callable[[BlockGraph], list[int]], str], ...] = (
        (_chains, "those in a row are one box"),
        (_waists, "so are branches that meet again"),
        (_repeats, "so is what repeats"),
        (lambda found: _middle(found, max_boxes), "so is the middle"),
    )
    notes: list[str] = []
    for grouping, note in steps:
        if len(graph.blocks) <= max_boxes:
            break
        folded = _folded(graph, grouping(graph), is_repeating=grouping is _repeats)
        if len(folded.blocks) < len(graph.blocks):
            graph = folded
            notes.append(note)
    if notes:
        notes = [f"{len(model.layers)} operators: {'; '.join(notes)}"]
    return BlockGraph(graph.blocks, graph.edges, tuple(notes))


def _every_layer(model: LayeredModel) -> BlockGraph:
    """Return a box for each input, layer and output; a layer that takes nothing belongs to whoever takes from it."""
    blocks: list[Block] = []
    edges: list[tuple[int, int]] = []
    giver: dict[str, int] = {}
    absorbed: dict[str, int] = {}
    for value in model.inputs:
        giver[value.name] = len(blocks)
        blocks.append(Block("input", (value.name,), value.shape, title=str(value)))
    for number, value in enumerate(model.inputs):
        giver.setdefault(value.name, number)
    for layer in model.layers:
        taken = [name for name in layer.inputs if name not in absorbed]
        parameters = layer.parameters + sum(absorbed.pop(name, 0) for name in layer.inputs)
        if not taken and not any(value.name in layer.outputs for value in model.outputs):
            absorbed |= dict.fromkeys(layer.outputs, 0) | {layer.outputs[0]: parameters} if layer.outputs else {}
            continue
        number = len(blocks)
        blocks.append(Block("layer", (layer.operator,), layer.shape, parameters, layer.name))
        edges += [(giver[name], number) for name in dict.fromkeys(taken) if name in giver]
        giver |= dict.fromkeys(layer.outputs, number)
    for value in model.outputs:
        if value.name in giver:
            edges.append((giver[value.name], len(blocks)))
        blocks.append(Block("output", (value.name,), value.shape, title=str(value)))
    return BlockGraph(tuple(blocks), tuple(dict.fromkeys(edges)))


def _chains(graph: BlockGraph) -> list[int]:
    """Group each layer with the one before it, where nothing else goes from there or comes in."""
    gives = Counter(begin for begin, _ in graph.edges)
    takes = Counter(end for _, end in graph.edges)
    before = {end: begin for begin, end in graph.edges}
    groups = list(range(len(graph.blocks)))
    for number, block in enumerate(graph.blocks):
        other = before.get(number)
        if other is None or takes[number] != 1 or gives[other] != 1:
            continue
        if block.kind == "layer" == graph.blocks[other].kind:
            groups[number] = groups[other]
    return groups


def _waists(graph: BlockGraph) -> list[int]:
    """Group what lies between two places through which everything goes."""
    crossed = [0] * (len(graph.blocks) + 1)
    for begin, end in graph.edges:  # places after which this line is still on its way, from elsewhere
        crossed[begin + 1] += 1
        crossed[end] -= 1
    groups: list[int] = []
    group = open_lines = 0
    for number, block in enumerate(graph.blocks):
        open_lines += crossed[number]
        if block.kind != "layer" and groups and graph.blocks[number - 1].kind == "layer":
            group = number
        groups.append(group)
        if open_lines == 0 or block.kind != "layer":
            group = number + 1
    return groups


def _repeats(graph: BlockGraph) -> list[int]:
    """Group runs of the same boxes, one after another."""
    signs = [(block.kind, block.operators) for block in graph.blocks]
    groups: list[int] = []
    while len(groups) < len(signs):
        begin = len(groups)
        period, count = _longest_repeat(signs, begin)
        groups += [begin] * (period * count)
    return groups


def _longest_repeat(signs: Sequence[object], begin: int) -> tuple[int, int]:
    best = (1, 1)
    for period in range(1, _MAX_PERIOD + 1):
        pattern, count = signs[begin : begin + period], 1
        while signs[begin + count * period : begin + (count + 1) * period] == pattern and len(pattern) == period:
            count += 1
        if count > 1 and (count - 1) * period > (best[1] - 1) * best[0]:
            best = (period, count)
    return best


def _middle(graph: BlockGraph, max_boxes: int) -> list[int]:
    """Group all but the first and the last."""
    kept = max(1, (max_boxes - 1) // 2)
    last = len(graph.blocks) - kept
    return [kept if kept <= number < last else number for number in range(len(graph.blocks))]


def _folded(graph: BlockGraph, groups: Sequence[int], *, is_repeating: bool) -> BlockGraph:
    """Make one box of each group."""
    members: dict[int, list[Block]] = {}
    for group, block in zip(groups, graph.blocks, strict=True):
        members.setdefault(group, []).append(block)
    place = {group: number for number, group in enumerate(members)}
    edges = {(place[groups[begin]], place[groups[end]]): None for begin, end in graph.edges}
    blocks = tuple(_merged(group, is_repeating=is_repeating) for group in members.values())
    return BlockGraph(blocks, tuple((begin, end) for begin, end in edges if begin < end))


def _merged(blocks: Sequence[Block], *, is_repeating: bool) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    repeats = 1
    shown = blocks
    if is_repeating:
        operators = [block.operators for block in blocks]
        period, repeats = _longest_repeat(operators, 0)
        shown = blocks[:period] if period * repeats == len(blocks) else blocks
        repeats = repeats if shown is not blocks else 1
    return Block(
        "layer",
        tuple(name for block in shown for name in block.operators * block.repeats),
        blocks[-1].shape,
        sum(block.parameters for block in blocks),
        f"{blocks[0].title.split(' … ')[0]} … {blocks[-1].title.split(' … ')[-1]}",
        repeats,
    )
