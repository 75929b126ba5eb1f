"""A plan as a picture: the latency over the number of cameras, as SVG. Pure."""

from collections.abc import Callable
from typing import Final

from streamer.sizing.plan import Plan, fullest_share
from streamer.svg import BLUE, GREY, INK, RED, circle, document, line, text

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
    wished = f"{wish.cameras} cameras, p99 {plan.latency.total_s * 1e3:.0f} ms"
    parts = [
        text(_LEFT_PX, 24, title),
        *_axes(x, y, cameras_max, latency_max_ms),
        line((x(0), y(budget_ms)), (x(cameras_max), y(budget_ms)), RED, "6 4"),
        text(x(cameras_max), y(budget_ms) - 6, f"budget {budget_ms:g} ms", "end", colour=RED),
        line((x(plan.max_cameras), y(0)), (x(plan.max_cameras), y(latency_max_ms)), GREY, "2 4"),
        text(x(plan.max_cameras) - 4, _TOP_PX - 6, f"{plan.max_cameras} cameras: {plan.limit}", "end"),
        f'<polyline fill="none" stroke="{BLUE}" stroke-width="2" points="{_curve(plan, x, y, cameras_max)}"/>',
        circle(x(wish.cameras), y(plan.latency.total_s * 1e3), BLUE, title=wished),
        text(
            x(wish.cameras) - 8,
            y(plan.latency.total_s * 1e3) - 10,
            wished,
            "end" if wish.cameras > cameras_max / 2 else "start",
            colour=BLUE,
        ),
    ]
    return document(_WIDTH_PX, _HEIGHT_PX, "latency over the number of cameras", parts)


def _curve(plan: Plan, x: Scale, y: Scale, cameras_max: float) -> str:
    points = []
    for number in range(1, _POINTS + 1):
        cameras = max(cameras_max * number / _POINTS, 1.0)
        fps = cameras * plan.wish.fps * fullest_share(max(round(cameras), 1), plan.workers)
        points.append(f"{x(cameras):.1f},{y(plan.lane.latency(fps).total_s * 1e3):.1f}")
    return " ".join(points)


def _axes(x: Scale, y: Scale, cameras_max: float, latency_max_ms: float) -> list[str]:
    parts = [
        line((x(0), y(0)), (x(cameras_max), y(0)), INK),
        line((x(0), y(0)), (x(0), y(latency_max_ms)), INK),
        text(x(cameras_max / 2), _HEIGHT_PX - 16, "cameras", "middle"),
        text(16, _TOP_PX - 14, "p99 in ms"),
    ]
    for tick in range(_TICKS + 1):
        cameras, latency_ms = cameras_max * tick / _TICKS, latency_max_ms * tick / _TICKS
        parts += [
            text(x(cameras), y(0) + 20, f"{cameras:.0f}", "middle"),
            text(_LEFT_PX - 8, y(latency_ms) + 4, f"{latency_ms:.0f}", "end"),
        ]
    return parts
