"""A plan as a picture: the latency over the number of cameras, as SVG. Pure."""

import math
from collections.abc import Callable
from typing import Final

from streamer.sizing.plan import Plan, fullest_share
from streamer.sizing.words import counted
from streamer.svg import BLUE, GREY, INK, RED, circle, document, line, text

Scale = Callable[[float], float]

_WIDTH_PX: Final = 760
_HEIGHT_PX: Final = 470
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 70, 30, 80, 80
_POINTS: Final = 240
#: How far it is drawn beyond what is planned for, and above the budget.
_BEYOND: Final = 1.25
_ABOVE: Final = 1.3
#: Steps of an axis, at the most, and what they may be, times a power of ten.
_TICKS: Final = 6
_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_CAPTION: Final = "With few cameras p99 is larger: frames wait for company in their batch, up to the budget."


def svg(plan: Plan) -> str:
    """Return a drawing: the 99th percentile by cameras on the same cards, with the wish, the budget and the limit."""
    most = max(plan.max_cameras, plan.wish.cameras)
    budget_ms = plan.wish.budget_s * 1e3
    camera_ticks, latency_ticks = _ticks(max(most * _BEYOND, 2.0), is_whole=True), _ticks(budget_ms * _ABOVE)
    cameras_max, latency_max_ms = camera_ticks[-1], latency_ticks[-1]

    def x(cameras: float) -> float:
        return _LEFT_PX + (_WIDTH_PX - _LEFT_PX - _RIGHT_PX) * cameras / cameras_max

    def y(latency_ms: float) -> float:
        return _HEIGHT_PX - _BOTTOM_PX - (_HEIGHT_PX - _TOP_PX - _BOTTOM_PX) * min(latency_ms / latency_max_ms, 1.0)

    wish = plan.wish
    title = (
        f"{plan.lane.figures.name}, {wish.fps:g} frames/s a camera: {counted(plan.devices, 'card')}, "
        f"{counted(plan.workers, 'worker')}"
    )
    wished = f"{counted(wish.cameras, 'camera')}, p99 {plan.latency.total_s * 1e3:.0f} ms"
    parts = [
        text(_LEFT_PX, 24, title),
        circle(_LEFT_PX + 6, 42, BLUE, title=wished),  # above the field, where no curve is
        text(_LEFT_PX + 18, 46, wished, colour=BLUE),
        *_axes(x, y, camera_ticks, latency_ticks),
        line((x(0), y(budget_ms)), (x(cameras_max), y(budget_ms)), RED, "6 4"),
        text(x(cameras_max), y(budget_ms) - 6, f"budget {budget_ms:g} ms", "end", colour=RED),
        line((x(plan.max_cameras), y(0)), (x(plan.max_cameras), y(latency_max_ms)), GREY, "2 4"),
        text(x(plan.max_cameras) - 4, _TOP_PX - 6, f"{counted(plan.max_cameras, 'camera')}: {plan.limit}", "end"),
        f'<polyline fill="none" stroke="{BLUE}" stroke-width="2" points="{_curve(plan, x, y, cameras_max)}"/>',
        circle(x(wish.cameras), y(plan.latency.total_s * 1e3), BLUE, title=wished),
    ]
    if plan.batch_size > 1:
        parts.append(text(_LEFT_PX, _HEIGHT_PX - 12, _CAPTION, colour=GREY))
    return document(_WIDTH_PX, _HEIGHT_PX, "latency over the number of cameras", parts)


def _curve(plan: Plan, x: Scale, y: Scale, cameras_max: float) -> str:
    points = []
    for number in range(1, _POINTS + 1):
        cameras = max(cameras_max * number / _POINTS, 1.0)
        fps = cameras * plan.wish.fps * fullest_share(max(round(cameras), 1), plan.workers)
        points.append(f"{x(cameras):.1f},{y(plan.lane.latency(fps).total_s * 1e3):.1f}")
    return " ".join(points)


def _ticks(largest: float, *, is_whole: bool = False) -> list[float]:
    """Return round numbers from 0 to the first that is no less than the largest figure."""
    rough = largest / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _ROUND if factor * power >= rough)
    step = math.ceil(step) if is_whole else step
    return [step * number for number in range(math.ceil(largest / step) + 1)]


def _axes(x: Scale, y: Scale, camera_ticks: list[float], latency_ticks: list[float]) -> list[str]:
    cameras_max, latency_max_ms = camera_ticks[-1], latency_ticks[-1]
    parts = [
        line((x(0), y(0)), (x(cameras_max), y(0)), INK),
        line((x(0), y(0)), (x(0), y(latency_max_ms)), INK),
        text(x(cameras_max / 2), _HEIGHT_PX - 38, "cameras", "middle"),
        text(16, _TOP_PX - 14, "p99 in ms"),
    ]
    parts += [text(x(cameras), y(0) + 20, f"{cameras:,.10g}", "middle") for cameras in camera_ticks]
    return parts + [text(_LEFT_PX - 8, y(time_ms) + 4, f"{time_ms:g}", "end") for time_ms in latency_ticks]
