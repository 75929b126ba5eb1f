"""Where the boxes of a graph stand: in rows from top to bottom, with few crossings. Pure.

Source: the steps of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures",
1981: rows by the longest way, bends for lines over several rows, order by the mean place of neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of boxes and lines.

    Attributes:
        centres: x and y of each box's middle.
        lines: For each edge the x and y of its bends, without its ends.
        width: Of the whole, margins left out.
        height: Likewise.
    """

    centres: tuple[tuple[float, float], ...]
    lines: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float


def layered(count: int, edges: Sequence[tuple[int, int]], box: tuple[float, float], gap: tuple[float, float]) -> Layout:
    """Lay out a graph.

    Args:
        count: How many boxes; each edge goes from a lower number to a higher one.
        edges: Between boxes.
        box: Width and height of each.
        gap: Between boxes of a row, and between rows.
    """
    row_of = _rows_of(count, edges)
    ways, row_of = _with_bends(count, edges, row_of)
    rows: list[list[int]] = [[] for _ in range(max(row_of, default=0) + 1)]
    for node, row in enumerate(row_of):
        rows[row].append(node)
    links = [pair for way in ways for pair in pairwise(way)]
    above: list[list[int]] = [[] for _ in row_of]
    below: list[list[int]] = [[] for _ in row_of]
    for begin, end in links:
        below[begin].append(end)
        above[end].append(begin)
    _order(rows, above, below)
    widths = [box[0] if node < count else 0.0 for node in range(len(row_of))]
    xs = _places(rows, above, below, widths, gap[0])
    left = min((x - width / 2 for x, width in zip(xs, widths, strict=True)), default=0.0)
    right = max((x + width / 2 for x, width in zip(xs, widths, strict=True)), default=0.0)
    step = box[1] + gap[1]
    points = [(x - left, row * step + box[1] / 2) for x, row in zip(xs, row_of, strict=True)]
    return Layout(
        tuple(points[:count]),
        tuple(tuple(points[node] for node in way[1:-1]) for way in ways),
        right - left,
        len(rows) * step - gap[1],
    )


def _rows_of(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return each box's row: one below the lowest that it takes from; what takes nothing stands just above its user."""
    rows = [0] * count
    has_giver = [False] * count
    for begin, end in sorted(edges, key=lambda edge: edge[1]):
        rows[end] = max(rows[end], rows[begin] + 1)
        has_giver[end] = True
    for node in range(count):
        users = [rows[end] for begin, end in edges if begin == node]
        if not has_giver[node] and users:
            rows[node] = min(users) - 1
    return rows


def _with_bends(count: int, edges: Sequence[tuple[int, int]], rows: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """Put a bend into each row that a line passes; bends are numbered after the boxes."""
    all_rows = list(rows)
    ways = []
    for begin, end in edges:
        bends = range(len(all_rows), len(all_rows) + max(0, rows[end] - rows[begin] - 1))
        all_rows += range(rows[begin] + 1, rows[begin] + 1 + len(bends))
        ways.append([begin, *bends, end])
    del count
    return ways, all_rows


def _order(rows: list[list[int]], above: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> None:
    """Sort each row by where its neighbours stand, down and up again."""
    place = {node: number for row in rows for number, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = {
                node: sum(place[other] for other in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else float(place[node])
                for node in row
            }
            row.sort(key=lambda node: wish[node])
            place |= {node: number for number, node in enumerate(row)}


def _places(
    rows: Sequence[Sequence[int]],
    above: Sequence[Sequence[int]],
    below: Sequence[Sequence[int]],
    widths: Sequence[float],
    gap: float,
) -> list[float]:
    """Give each node an x near its neighbours', with no two of a row too near to each other."""
    xs = [0.0] * len(widths)
    for row in rows:
        _spread(row, xs, [xs[node] for node in row], widths, gap)
    for sweep in range(_SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wishes = [
                sum(xs[other] for other in neighbours[node]) / len(neighbours[node]) if neighbours[node] else xs[node]
                for node in row
            ]
            _spread(row, xs, wishes, widths, gap)
    return xs


def _spread(row: Sequence[int], xs: list[float], wishes: Sequence[float], widths: Sequence[float], gap: float) -> None:
    """Place a row as near to its wishes as its widths allow: from the left, then moved back as a whole."""
    found: list[float] = []
    for number, node in enumerate(row):
        least = found[-1] + (widths[row[number - 1]] + widths[node]) / 2 + gap if found else wishes[number]
        found.append(max(wishes[number], least))
    moved = sum(wish - x for wish, x in zip(wishes, found, strict=True)) / max(1, len(row))
    for node, x in zip(row, found, strict=True):
        xs[node] = x + moved
