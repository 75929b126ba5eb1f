"""A plan as a picture: the latency over the number of cameras, as SVG. Pure."""

from collections.abc import Callable
from html import escape
from typing import Final

from streamer.sizing.plan import Plan, fullest_share
from streamer.terminal import harmless

Scale = Callable[[float], float]

_WIDTH_PX: Final = 760
_HEIGHT_PX: Final = 420
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 70, 30, 50, 60
_POINTS: Final = 240
#: How far it is drawn beyond what is planned for, and above the budget.
_BEYOND: Final = 1.25
_ABOVE: Final = 1.3
_TICKS: Final = 5


def svg(plan: Plan) -> str:
    """Return a drawing: the 99th percentile by cameras on the same cards, with the wish, the budget and the limit."""
    most = max(plan.max_cameras, plan.wish.cameras)
    cameras_max, budget_ms = max(most * _BEYOND, 2.0), plan.wish.budget_s * 1e3
    latency_max_ms = budget_ms * _ABOVE

    def x(cameras: float) -> float:
        return _LEFT_PX + (_WIDTH_PX - _LEFT_PX - _RIGHT_PX) * cameras / cameras_max

    def y(latency_ms: float) -> float:
        return _HEIGHT_PX - _BOTTOM_PX - (_HEIGHT_PX - _TOP_PX - _BOTTOM_PX) * min(latency_ms / latency_max_ms, 1.0)

    wish = plan.wish
    title = (
        f"{plan.lane.figures.name}, {wish.fps:g} frames/s a camera: {plan.devices} "
        f"{'card' if plan.devices == 1 else 'cards'}, {plan.workers} {'worker' if plan.workers == 1 else 'workers'}"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH_PX}" height="{_HEIGHT_PX}" font-family="sans-serif" '
        'font-size="13" role="img" aria-label="latency over the number of cameras">'
    )
    parts = [
        head,
        f'<rect width="{_WIDTH_PX}" height="{_HEIGHT_PX}" fill="#ffffff"/>',
        _text(_LEFT_PX, 24, title, anchor="start"),
        *_axes(x, y, cameras_max, latency_max_ms),
        _line(x(0), y(budget_ms), x(cameras_max), y(budget_ms), "#c2410c", "6 4"),
        _text(x(cameras_max), y(budget_ms) - 6, f"budget {budget_ms:g} ms", colour="#c2410c", anchor="end"),
        _line(x(plan.max_cameras), y(0), x(plan.max_cameras), y(latency_max_ms), "#6b7280", "2 4"),
        _text(x(plan.max_cameras) - 4, _TOP_PX - 6, f"{plan.max_cameras} cameras: {plan.limit}", anchor="end"),
        f'<polyline fill="none" stroke="#2563eb" stroke-width="2" points="{_curve(plan, x, y, cameras_max)}"/>',
        f'<circle cx="{x(wish.cameras):.1f}" cy="{y(plan.latency.total_s * 1e3):.1f}" r="5" fill="#2563eb"/>',
        _text(
            x(wish.cameras) - 8,
            y(plan.latency.total_s * 1e3) - 10,
            f"{wish.cameras} cameras, p99 {plan.latency.total_s * 1e3:.0f} ms",
            colour="#2563eb",
            anchor="end" if wish.cameras > cameras_max / 2 else "start",
        ),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _curve(plan: Plan, x: Scale, y: Scale, cameras_max: float) -> str:
    points = []
    for number in range(1, _POINTS + 1):
        cameras = max(cameras_max * number / _POINTS, 1.0)
        fps = cameras * plan.wish.fps * fullest_share(max(round(cameras), 1), plan.workers)
        points.append(f"{x(cameras):.1f},{y(plan.lane.latency(fps).total_s * 1e3):.1f}")
    return " ".join(points)


def _axes(x: Scale, y: Scale, cameras_max: float, latency_max_ms: float) -> list[str]:
    parts = [
        _line(x(0), y(0), x(cameras_max), y(0), "#111827"),
        _line(x(0), y(0), x(0), y(latency_max_ms), "#111827"),
        _text(x(cameras_max / 2), _HEIGHT_PX - 16, "cameras"),
        _text(16, _TOP_PX - 14, "p99 in ms", anchor="start"),
    ]
    for tick in range(_TICKS + 1):
        cameras, latency_ms = cameras_max * tick / _TICKS, latency_max_ms * tick / _TICKS
        parts += [
            _text(x(cameras), y(0) + 20, f"{cameras:.0f}"),
            _text(_LEFT_PX - 8, y(latency_ms) + 4, f"{latency_ms:.0f}", anchor="end"),
        ]
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="{dashes}"/>'
    )


def _text(x: float, y: float, text: str, *, colour: str = "#111827", anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(harmless(text))}</text>'
