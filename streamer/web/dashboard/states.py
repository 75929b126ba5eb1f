"""States of cameras, workers and outcomes in a word, and their tone. Pure."""

from messaging.status import CameraStatus, WorkerStatus
from streamer.web import words

#: A camera or worker reports once a second; one that is silent for longer is not taken to run.
SILENT_AFTER_S = 5.0


def camera_state(status: CameraStatus | None, age_s: float | None) -> tuple[str, str]:
    """Return a camera's state in a word, and its tone."""
    if status is None or age_s is None:
        return "no status", "plain"
    if not status.is_final and age_s > SILENT_AFTER_S:
        return f"silent {words.seconds(age_s)}", "bad"
    tones = {"running": "good", "connecting": "warn", "retrying": "warn", "failed": "bad"}
    return status.state, tones.get(status.state, "plain")


def worker_state(status: WorkerStatus, age_s: float) -> tuple[str, str]:
    """Return a worker's state in a word, and its tone."""
    if status.state not in ("stopped", "failed") and age_s > SILENT_AFTER_S:
        return f"silent {words.seconds(age_s)}", "bad"
    tones = {"running": "good", "starting": "warn", "draining": "warn", "failed": "bad"}
    return status.state, tones.get(status.state, "plain")


def outcome_tone(status: str) -> str:
    """Return the tone of an outcome's status."""
    return {"classified": "good", "timed": "good", "skipped": "warn", "dead-lettered": "bad"}.get(status, "plain")
