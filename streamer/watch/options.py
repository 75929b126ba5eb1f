"""How much of a site is kept in memory."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """Bounds: anybody who may write to the topics may invent names, and send pictures of any size.

    Attributes:
        cameras: So many that speak of themselves, and so many that are known by frames and outcomes.
        groups: Consumer groups.
        workers: Workers.
        picture_bytes: Pictures of all cameras together.
        outcomes: The newest outcomes, of all cameras and groups together.
        dead_letters: The newest dead letters.
        linger_s: How long frames are read on when nobody looks any more, so that a page that is loaded anew, or asks
            once a second, finds pictures.
    """

    cameras: int = 1000
    groups: int = 64
    workers: int = 500
    picture_bytes: int = 64 * _MIB
    outcomes: int = 2000
    dead_letters: int = 500
    linger_s: float = 10.0
