"""What the wall asks for about once a second: the state of all cameras, and the new pictures of those in sight.

The answer is one block of bytes: the length of its head (4 bytes, big-endian), the head (JSON), and the pictures that
the head names, one after the other.
"""

from typing import Annotated

import msgspec

from messaging.timestamps import now_us
from streamer.watch.site import Site
from streamer.watch.views import CameraView, OutcomeView, PictureView
from streamer.web.dashboard import states
from streamer.web.dashboard.pictures import image_type

_MAX_ASKED = 1000
#: Pictures in one answer; what does not fit comes with the next.
_MAX_PICTURE_BYTES = 6 * 1024 * 1024


class Asked(msgspec.Struct, frozen=True):
    """What a page asks for.

    Attributes:
        numbers: The cameras in sight, and the number of the picture that each shows; 0 for none.
        group: Whose outcomes are shown; "" for any group's.
    """

    numbers: Annotated[dict[str, int], msgspec.Meta(max_length=_MAX_ASKED)]
    group: str = ""


class _Caption(msgspec.Struct, frozen=True, omit_defaults=True):
    """An outcome, as far as it stands under a picture."""

    frame_id: str
    status: str
    captured_at_us: int
    group: str = ""
    label: str = ""
    score: float | None = None
    reason: str = ""
    truth: str = ""
    is_degraded: bool = False


class _Picture(msgspec.Struct, frozen=True):
    """A picture that follows; without a `content_type` it does not, since it cannot be shown."""

    number: int
    frame_id: str
    captured_at_us: int
    content_type: str
    size_bytes: int
    caption: _Caption | None


class _Camera(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    state: str
    tone: str
    fps: float | None = None
    error: str = ""
    caption: _Caption | None = None
    picture: _Picture | None = None


class _Head(msgspec.Struct, frozen=True):
    """The head: `interval_ms` is when to ask again; the pictures follow in the order of the cameras."""

    now_us: int
    interval_ms: int
    cameras: list[_Camera]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Asked)


def read_asked(body: bytes) -> Asked | None:
    """Read what a page sent; None where it is nothing that a page of ours sends."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def answer(site: Site, asked: Asked, interval_ms: int) -> bytes:
    """Return the answer to one question."""
    pictures = site.pictures(asked.numbers, _MAX_PICTURE_BYTES, asked.group)
    cameras = [_camera(view, pictures.get(view.name)) for view in site.cameras(asked.group)]
    head = _encoder.encode(_Head(now_us(), interval_ms, cameras))
    named = (
        pictures[camera.name].data for camera in cameras if camera.picture is not None and camera.picture.size_bytes
    )
    return b"".join((len(head).to_bytes(4, "big"), head, *named))


def _camera(view: CameraView, picture: PictureView | None) -> _Camera:
    state, tone = states.camera_state(view.status, view.status_age_s)
    status = view.status
    return _Camera(
        name=view.name,
        state=state,
        tone=tone,
        fps=status.fps_delivered if status is not None else None,
        error=(status.error or "") if status is not None else "",
        caption=_caption(view.outcome),
        picture=_picture(picture) if picture is not None else None,
    )


def _picture(picture: PictureView) -> _Picture:
    # What may not be decoded here is nothing for a browser either.
    kind = image_type(picture.data)
    return _Picture(
        picture.number,
        picture.frame_id,
        picture.captured_at_us,
        kind,
        len(picture.data) if kind else 0,
        _caption(picture.outcome),
    )


def _caption(outcome: OutcomeView | None) -> _Caption | None:
    if outcome is None:
        return None
    return _Caption(
        frame_id=outcome.frame_id,
        status=outcome.status,
        captured_at_us=outcome.captured_at_us,
        group=outcome.group,
        label=outcome.label,
        score=outcome.score,
        reason=outcome.reason,
        truth=outcome.truth,
        is_degraded=outcome.is_degraded,
    )
