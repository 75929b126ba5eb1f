"""`visualize_model_architecture` and `visualize_model_weights`: a model as a picture."""

from pathlib import Path

from engine.errors import ModelError, OptionsError
from engine.models.tools.blocks import Block, blocks_of
from engine.models.tools.canvas import AMBER, BLUE, FAINT, GREEN, INK, PALE, Box, Canvas, Path2D, Text, clipped
from engine.models.tools.comparison import Say
from engine.models.tools.destination import model_path, written
from engine.models.tools.distribution import distribution_of
from engine.models.tools.layered_layout import layered
from engine.models.tools.layers import LayeredModel, Shape, Weights, read_layers, readable

PICTURE_SUFFIXES = frozenset({".png", ".svg"})
_MARGIN, _HEAD = 24.0, 56.0
_BOX, _GAP = (236.0, 52.0), (24.0, 26.0)
_FILLS = {"input": GREEN, "layer": PALE, "output": AMBER}
_PANEL, _COLUMNS = (250.0, 168.0), 4
_MAX_PANELS, _BINS, _MAX_CELLS = 48, 41, 64


def visualize_model_architecture(
    source: str | Path, destination: str | Path, *, on_progress: Say | None = None
) -> None:
    """Draw a model's layers with their shapes and weights, from top to bottom.

    A model of many layers has several in one box, and the picture says so.

    Args:
        source: An `.onnx`, `.npz`, `.tflite` or torch file.
        destination: A `.png` or `.svg`.
        on_progress: Told what goes on.

    Raises:
        ModelError: The model cannot be used, or the picture cannot be written.
        OptionsError: The destination has another ending.
        BackendError: What reads the model is not installed.
    """
    source, destination = model_path(source), Path(destination)
    with written(source, destination, PICTURE_SUFFIXES) as made, readable(source, on_progress) as file:
        _architecture(read_layers(file), source.name).save(made)


def visualize_model_weights(source: str | Path, destination: str | Path, *, on_progress: Say | None = None) -> None:
    """Draw how the weights of each layer are distributed, and how strong each of its channels is.

    Args and Raises are as of `visualize_model_architecture`; a model without weights is a ModelError.
    """
    source, destination = model_path(source), Path(destination)
    with written(source, destination, PICTURE_SUFFIXES) as made, readable(source, on_progress) as file:
        model = read_layers(file)
        if not model.weights:
            raise ModelError(f"{source} has no weights to draw")
        _weights(model, source.name).save(made)


def visualize_model(source: str | Path, destination: str | Path, kind: str, *, on_progress: Say | None = None) -> None:
    """Draw a model's `architecture` or `weights`, whichever `kind` says; see the two functions above."""
    kinds = {"architecture": visualize_model_architecture, "weights": visualize_model_weights}
    if kind not in kinds:
        raise OptionsError(f"there is no picture of {kind!r}: give {' or '.join(kinds)}")
    kinds[kind](source, destination, on_progress=on_progress)


def _architecture(model: LayeredModel, name: str) -> Canvas:
    graph = blocks_of(model)
    layout = layered(len(graph.blocks), graph.edges, _BOX, _GAP)
    head = f"{name}: {len(model.layers):,} operators, {model.parameters:,} parameters"
    if model.flops is not None:
        head += f", {model.flops / 1e6:,.1f} MFLOPs"
    canvas = _canvas(head, " ".join(graph.notes), layout.width, layout.height)
    left = (canvas.width - layout.width) / 2
    places = [(x + left, y + _HEAD) for x, y in layout.centres]
    for (begin, end), bends in zip(graph.edges, layout.lines, strict=True):
        (x1, y1), (x2, y2) = places[begin], places[end]
        moved = [(x + left, y + _HEAD) for x, y in bends]
        points = ((x1, y1 + _BOX[1] / 2), *moved, (x2, y2 - _BOX[1] / 2))
        canvas.shapes.append(Path2D(points, has_arrow=True))
    for block, centre in zip(graph.blocks, places, strict=True):
        _add_block(canvas, block, *centre)
    return canvas


def _add_block(canvas: Canvas, block: Block, x: float, y: float) -> None:
    width, height = _BOX
    title = f"{block.title} ({block.text})"
    left, room = x - width / 2, width - 12
    said = clipped(block.text, room, 13)
    small = f"{block.parameters:,} parameters" if block.parameters else ""
    canvas.shapes += [
        Box(left, y - height / 2, width, height, _FILLS[block.kind], INK, title),
        Text(x, y - 15, said, 13, "middle"),
        Text(x, y + 2, clipped(_shape_text(block.shape), room, 11), 11, "middle", FAINT),
        Text(x, y + 17, small or clipped(block.title, room, 11), 11, "middle", BLUE if small else FAINT),
    ]


def _weights(model: LayeredModel, name: str) -> Canvas:
    chosen = [entry for entry in model.weights if entry.values.ndim > 1] or list(model.weights)
    shown = chosen
    if len(chosen) > _MAX_PANELS:
        largest = sorted(range(len(chosen)), key=lambda number: -chosen[number].values.size)[:_MAX_PANELS]
        shown = [chosen[number] for number in sorted(largest)]
    head = f"{name}: {model.parameters:,} parameters"
    note = "how often which value is; below, how strong each channel is (root mean square)"
    if len(shown) < len(model.weights):
        note += f"; {len(shown)} of {len(model.weights)} tensors, the largest with two axes or more"
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    canvas = _canvas(head, note, columns * _PANEL[0], rows * _PANEL[1])
    for number, entry in enumerate(shown):
        x = _MARGIN + number % columns * _PANEL[0]
        y = _HEAD + number // columns * _PANEL[1]
        _add_panel(canvas, entry, x, y)
    return canvas


def _add_panel(canvas: Canvas, entry: Weights, x: float, y: float) -> None:
    room, top, height = _PANEL[0] - 20, y + 34, 74.0
    spread = distribution_of(entry.values, _BINS, _MAX_CELLS)
    canvas.shapes += [
        Text(x, y + 8, clipped(entry.name, room, 12), 12),
        Text(
            x, y + 23, clipped(f"{_shape_text(entry.values.shape)} {entry.values.dtype}", room, 10), 10, "start", FAINT
        ),
        Box(x, top, room, height, "#f9fafb", "#e5e7eb", f"{entry.layer}: {entry.name}"),
    ]
    if not spread.finite:
        canvas.shapes.append(Text(x + 6, top + height / 2, "no finite values", 11))
        return
    bar = room / _BINS
    for number, count in enumerate(spread.counts):
        tall = height * count / spread.counts.max()
        if count:
            canvas.shapes.append(Box(x + number * bar, top + height - tall, max(bar - 0.5, 0.5), tall, BLUE))
    said = f"{spread.lowest:.3g} ... {spread.highest:.3g}, mean {spread.mean:.1g}, sd {spread.deviation:.1g}"
    if spread.lost:
        said = f"{spread.lost} not finite; {said}"
    cell = room / len(spread.strengths)
    for number, strength in enumerate(spread.strengths):
        canvas.shapes.append(Box(x + number * cell, top + height + 18, cell, 12, _heat(strength)))
    canvas.shapes.append(Text(x, top + height + 9, clipped(said, room, 10), 10, "start", FAINT))


def _heat(share: float) -> str:
    """Return a colour between white and blue."""
    red, green, blue = (round(255 + (end - 255) * share) for end in (0x1D, 0x4E, 0xD8))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _canvas(head: str, note: str, width: float, height: float) -> Canvas:
    wide = max(width, 640.0) + 2 * _MARGIN
    canvas = Canvas(wide, height + _HEAD + _MARGIN, head)
    canvas.shapes.append(Text(_MARGIN, 20, clipped(head, wide - 2 * _MARGIN, 14), 14))
    canvas.shapes.append(Text(_MARGIN, 40, clipped(note, wide - 2 * _MARGIN, 10), 10, "start", FAINT))
    return canvas


def _shape_text(shape: Shape | None) -> str:
    return "" if shape is None else " x ".join("any" if size is None else str(size) for size in shape)
