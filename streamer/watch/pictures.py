"""The last few pictures of each camera, kept until their outcomes are there."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from messaging.frame import Frame
from messaging.kafka import MAX_MESSAGE_BYTES
from streamer.watch.outcomes import Place
from streamer.watch.views import OutcomeView, PictureView

#: Four a second are kept, so that an outcome may take its eight seconds.
_MAX_OF_CAMERA = 32
#: How long a picture waits for its outcome before it is shown without, where no other outcome comes either.
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class _Label:
    outcome: OutcomeView
    number: int
    put_s: float


@dataclass(frozen=True, slots=True)
class _Picture:
    """A frame without its headers.

    Attributes:
        number: Of the picture while it has no outcome.
        labels: By group.
    """

    frame_id: str
    place: Place
    data: bytes
    captured_at_us: int
    number: int
    kept_s: float
    labels: dict[str, _Label] = field(default_factory=dict)

    def label(self, group: str) -> _Label | None:
        """Return the group's; of all groups the first, so that a later one does not send the picture again."""
        return self.labels.get(group) if group else next(iter(self.labels.values()), None)


class _Row:
    """One camera's pictures, oldest first."""

    __slots__ = ("pictures", "size_bytes")

    def __init__(self) -> None:
        self.pictures: deque[_Picture] = deque()
        self.size_bytes = 0

    def shown(self, group: str, now_s: float) -> tuple[_Picture, _Label | None]:
        waiting: _Picture | None = None
        for picture in reversed(self.pictures):
            label = picture.label(group)
            if label is not None:
                is_served = waiting is None or min(now_s - label.put_s, now_s - waiting.kept_s) <= _PATIENCE_S
                return (picture, label) if is_served else (self.pictures[-1], None)
            waiting = picture
        return self.pictures[-1], None


class Pictures:
    """Keeps pictures within a bound, each camera's share of it being equal, and knows which one to show.

    Shown is the newest picture that has an outcome; the newest of all where no outcome came for two seconds.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Begin with none; no more than `limit_bytes` are kept."""
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._number = 0

    @property
    def size_bytes(self) -> int:
        """What is kept."""
        return self._size_bytes

    def take(self, frame: Frame, now_s: float) -> None:
        """Keep a camera's newest picture; one of more than 8 MiB, or of more than all may have, is not kept."""
        size_bytes = len(frame.data)
        if size_bytes > min(MAX_MESSAGE_BYTES, self._limit_bytes):
            return
        row = self._rows.get(frame.camera)
        if row is None:
            row = self._rows[frame.camera] = _Row()
        self._rows.move_to_end(frame.camera)
        self._number += 1
        place = (frame.partition, frame.offset)
        row.pictures.append(_Picture(frame.frame_id, place, frame.data, frame.captured_at_us, self._number, now_s))
        row.size_bytes += size_bytes
        self._size_bytes += size_bytes
        share_bytes = self._limit_bytes // len(self._rows)
        while len(row.pictures) > 1 and (len(row.pictures) > _MAX_OF_CAMERA or row.size_bytes > share_bytes):
            self._drop_oldest(row)
        while self._size_bytes > self._limit_bytes:
            camera, longest_silent = next(iter(self._rows.items()))
            self._drop_oldest(longest_silent)
            if not longest_silent.pictures:
                del self._rows[camera]

    def _drop_oldest(self, row: _Row) -> None:
        size_bytes = len(row.pictures.popleft().data)
        row.size_bytes -= size_bytes
        self._size_bytes -= size_bytes

    def label(self, outcome: OutcomeView, now_s: float) -> None:
        """Put an outcome to its picture, if that is kept."""
        row = self._rows.get(outcome.camera)
        if row is None:
            return
        for picture in reversed(row.pictures):
            if picture.place == (outcome.partition, outcome.offset):
                if picture.frame_id == outcome.frame_id:
                    self._number += 1
                    picture.labels[outcome.group] = _Label(outcome, self._number, now_s)
                return

    def newest(self, camera: str, group: str, now_s: float) -> PictureView | None:
        """Return the picture to show for a group, or for all where that is ""; None where there is none."""
        row = self._rows.get(camera)
        if row is None:
            return None
        picture, label = row.shown(group, now_s)
        return PictureView(
            number=_number(picture, label),
            frame_id=picture.frame_id,
            data=picture.data,
            captured_at_us=picture.captured_at_us,
            outcome=None if label is None else label.outcome,
        )

    def number(self, camera: str, group: str, now_s: float) -> int:
        """Return the number of the picture that `newest` returns; 0 where there is none."""
        row = self._rows.get(camera)
        return 0 if row is None else _number(*row.shown(group, now_s))

    def drop(self, camera: str) -> None:
        """Let a camera's pictures go."""
        row = self._rows.pop(camera, None)
        if row is not None:
            self._size_bytes -= row.size_bytes

    def clear(self) -> None:
        """Let all pictures go; the numbers go on."""
        self._rows.clear()
        self._size_bytes = 0


def _number(picture: _Picture, label: _Label | None) -> int:
    return picture.number if label is None else label.number
