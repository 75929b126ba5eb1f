"""The figures above the wall, from what the site knows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamer.watch.views import CameraView, SecondView
from streamer.web.dashboard import states

#: A rate is over so many whole seconds.
_RATE_S = 10


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything in a few figures.

    Attributes:
        running: Cameras that say that they run.
        ill: Cameras that are silent, or retry, or have failed.
        fps: Frames captured per second, as the cameras say.
        fps_declared: What the running cameras said they would capture.
        classified_fps: Frames classified or timed per second, all groups together.
        skipped_fps: Frames skipped per second, likewise.
        total_p95_ms: The largest p95 of any group, from capture to result; None where nothing was classified.
        dead_lettered: In the seconds that there are.
    """

    cameras: int
    running: int
    ill: int
    fps: float
    fps_declared: float
    groups: int
    classified_fps: float
    skipped_fps: float
    total_p95_ms: float | None
    dead_lettered: int


def summary_of(cameras: Sequence[CameraView], seconds: Mapping[str, Sequence[SecondView]]) -> Summary:
    """Sum up.

    Args:
        cameras: All of them.
        seconds: By group, oldest first.
    """
    known = [states.camera_state(camera.status, camera.status_age_s) for camera in cameras]
    running = [
        camera.status
        for camera, (state, _) in zip(cameras, known, strict=True)
        if camera.status is not None and state == "running"
    ]
    recent = {group: whole[-_RATE_S:] for group, whole in seconds.items()}
    p95s_ms = [second.total_p95_ms for each in recent.values() for second in each if second.total_p95_ms is not None]
    return Summary(
        cameras=len(cameras),
        running=len(running),
        ill=sum(tone in ("bad", "warn") for _, tone in known),
        fps=sum(status.fps_delivered for status in running),
        fps_declared=sum(status.fps_declared or 0.0 for status in running),
        groups=len(seconds),
        classified_fps=_rate(recent, "classified") + _rate(recent, "timed"),
        skipped_fps=_rate(recent, "skipped"),
        total_p95_ms=max(p95s_ms, default=None),
        dead_lettered=sum(second.outcomes.get("dead-lettered", 0) for each in seconds.values() for second in each),
    )


def _rate(recent: Mapping[str, Sequence[SecondView]], status: str) -> float:
    return sum(
        sum(second.outcomes.get(status, 0) for second in whole) / max(len(whole), 1) for whole in recent.values()
    )
