"""Finding a job at AI Hub by its name."""

from functools import partial

from engine.backends.qai_hub.client import Hub
from streamer.hub.state import JobKind

_PAGE = 50
#: How far this machine's clock may be ahead of AI Hub's.
_CLOCKS_S = 3600.0


def find_job(hub: Hub, kind: JobKind, name: str, since_s: float) -> str | None:
    """Return the id of the job that has this name; None where there is none.

    Args:
        hub: AI Hub.
        kind: Of which kind it is.
        name: Its name.
        since_s: When it may have been submitted at the earliest, s since 1970.

    Raises:
        BackendError, HubError: As for `Hub.ask`.
    """
    job_type = getattr(hub.package.JobType, kind.upper())
    offset = 0
    while True:
        found = hub.look_up(
            "its jobs",
            partial(hub.client.get_job_summaries, offset=offset, limit=_PAGE, type=job_type),
            again="always",
        )
        for summary in found:
            if summary.name == name:
                return str(summary.job_id)
        if len(found) < _PAGE or found[-1].date.timestamp() < since_s - _CLOCKS_S:
            return None
        offset += _PAGE
