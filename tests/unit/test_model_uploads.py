"""Files that are sent in to the pages about models: which are taken, where they are kept, and when they go."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi import FastAPI

from engine.errors import StoreError
from engine.models.store.content import checked_suffix
from streamer.web.model_work.intake import check_pace
from streamer.web.model_work.kinds import UploadError, check_head, checked_name, models, pictures
from streamer.web.model_work.uploads import Upload, Uploads

MAX_BYTES = 4096
KIND = models(MAX_BYTES, with_torch=True)
STORED = models(MAX_BYTES, with_torch=False)
PICTURE = pictures(MAX_BYTES)
ONNX = b"\x08\x08" + bytes(30)


@dataclass
class Disk:
    """One that has as much room as a test says."""

    total: int = 1024**4
    free: int = 1024**4


class Sender:
    """Sends bodies in pieces, as a connection would, and counts what was asked for of them."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.now_s = 0.0
        self.piece_s = 0.0
        self.uploads = Uploads([KIND], clock=lambda: self.now_s, disk_usage=lambda _: self.disk)
        self.answer_headers: dict[bytes, bytes] = {}
        self.app = FastAPI()
        self.uploads.add_to(self.app)
        self.pieces_read = 0
        self.was_patient = False

    def send(
        self, name: str, pieces: list[bytes], *, breaks_off: bool = False, says_size: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """Return status and answer."""
        self.pieces_read, self.was_patient = 0, False
        sent: list[Any] = []

        async def receive() -> Any:
            if self.pieces_read == len(pieces):
                return {"type": "http.disconnect"}
            self.pieces_read += 1
            self.now_s += self.piece_s
            is_last = self.pieces_read == len(pieces) and not breaks_off
            return {"type": "http.request", "body": pieces[self.pieces_read - 1], "more_body": not is_last}

        async def send(message: Any) -> None:
            sent.append(message)

        def be_patient() -> None:
            self.was_patient = True

        query = f"name={quote(name, safe='')}".encode()
        headers = [(b"content-length", str(sum(map(len, pieces))).encode())] if says_size else []
        scope = {"type": "http", "method": "POST", "path": KIND.path, "query_string": query, "headers": headers}
        asyncio.run(self.app(scope | {"streamer.patience": be_patient}, receive, send))
        self.answer_headers = dict(sent[0]["headers"])
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], json.loads(body) if body else {}

    def kept(self) -> list[Upload]:
        """Return the folders that hold files."""
        return list(self.uploads._waiting.values())


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.uploads.close()


def test_a_file_is_kept_under_a_name_of_ours_until_it_is_forgotten(sender: Sender) -> None:
    status, answer = sender.send("Bottles.ONNX", [ONNX[:3], ONNX[3:]])
    assert (status, sender.was_patient) == (200, True)
    assert sender.uploads.take("guessed") is None
    upload = sender.uploads.take(answer["token"])
    assert upload is not None
    assert sender.uploads.take(answer["token"]) is None, "it is one page's alone"
    assert (upload.name, upload.suffix, upload.size_bytes) == ("Bottles.ONNX", ".onnx", len(ONNX))
    assert upload.path.read_bytes() == ONNX
    assert "ottles" not in str(upload.path)
    assert upload.folder.stat().st_mode & 0o077 == 0
    known = upload.known_as(".onnx")
    assert (known.path.name, known.path.read_bytes(), upload.path.exists()) == ("model.onnx", ONNX, False)
    known.forget()
    assert not upload.folder.exists()


def test_too_much_ends_it_at_once_and_leaves_nothing(sender: Sender) -> None:
    status, answer = sender.send("a.onnx", [ONNX, *[bytes(1024)] * 100])
    assert (status, sender.kept()) == (413, [])
    assert "larger than 4.0 KiB" in answer["error"]
    assert sender.pieces_read == 5
    assert list(sender.uploads._root.iterdir()) == []


def test_wrong_first_bytes_end_it_at_once(sender: Sender) -> None:
    status, answer = sender.send("a.onnx", [b"\x89PNG", bytes(20), *[bytes(10)] * 50])
    assert (status, sender.pieces_read) == (415, 2)
    assert "first bytes" in answer["error"]


def test_who_leaves_in_the_middle_leaves_nothing(sender: Sender) -> None:
    assert sender.send("a.onnx", [ONNX], breaks_off=True)[0] == 400
    assert list(sender.uploads._root.iterdir()) == []


def test_files_that_no_page_takes_go_again(sender: Sender) -> None:
    first = sender.send("a.onnx", [ONNX])[1]["token"]
    for _ in range(8):
        assert sender.send("b.onnx", [ONNX])[0] == 200
    assert sender.uploads.take(first) is None
    assert len(list(sender.uploads._root.iterdir())) == 8


def test_all_files_together_are_bounded_with_what_was_made_of_them(sender: Sender) -> None:
    taken = [sender.uploads.take(sender.send("a.onnx", [ONNX])[1]["token"]) for _ in range(2)]
    assert taken[0] is not None
    (taken[0].folder / "deeper").mkdir()
    made = taken[0].folder / "deeper" / "made.npz"
    made.write_bytes(bytes(8 * MAX_BYTES - 2 * len(ONNX) - 2048))
    pieces = [ONNX, *[bytes(512)] * 7]
    status, answer = sender.send("b.onnx", pieces)
    assert (status, sender.pieces_read) == (507, 5), "while it comes"
    assert "have 32.0 KiB" in answer["error"]
    assert "close pages" in answer["error"]
    assert len(list(sender.uploads._root.iterdir())) == 2
    assert sender.send("b.onnx", pieces, says_size=True)[0] == 507
    assert sender.pieces_read == 0
    taken[0].forget()
    assert sender.send("b.onnx", pieces, says_size=True)[0] == 200


def test_files_that_no_page_took_make_room(sender: Sender) -> None:
    taken = sender.uploads.take(sender.send("a.onnx", [ONNX])[1]["token"])
    assert taken is not None
    (taken.folder / "made.npz").write_bytes(bytes(6 * MAX_BYTES))
    large = [ONNX, bytes(MAX_BYTES - len(ONNX))]
    first = sender.send("b.onnx", large)[1]["token"]
    second = sender.send("b.onnx", large, says_size=True)[1]["token"]
    assert (sender.uploads.take(first), taken.path.exists()) == (None, True)
    assert sender.uploads.take(second) is not None


@pytest.mark.parametrize(
    ("disk", "status"),
    [
        (Disk(free=1024**3 + 31), 507),
        (Disk(free=1024**3 + 32), 200),
        (Disk(10_000, 1031), 507),
        (Disk(10_000, 1032), 200),
    ],
)
def test_the_disk_keeps_a_reserve(sender: Sender, disk: Disk, status: int) -> None:
    sender.disk = disk
    got, answer = sender.send("a.onnx", [ONNX], says_size=True)
    assert got == status
    if status == 507:
        assert "TMPDIR" in answer["error"]


def test_a_disk_that_fills_ends_what_comes(sender: Sender) -> None:
    pieces = [ONNX, *[bytes(512)] * 7]
    sender.disk = Disk(free=1024**3 - 1)
    assert sender.send("a.onnx", pieces)[0] == 507
    assert sender.kept() == []


def test_what_comes_too_slowly_gives_its_place_to_others(sender: Sender) -> None:
    sender.piece_s = 4.0
    status, answer = sender.send("a.onnx", [ONNX, *[b"."] * 50])
    assert (status, sender.pieces_read) == (408, 6)
    assert "less than 64.0 KiB a second" in answer["error"]
    assert sender.answer_headers[b"connection"] == b"close"
    assert list(sender.uploads._root.iterdir()) == []
    assert sender.send("a.onnx", [ONNX, *[b"."] * 3])[0] == 200
    assert b"connection" not in sender.answer_headers


@pytest.mark.parametrize(
    ("size_bytes", "elapsed_s", "is_fast"),
    [
        (0, 19.9, True),
        (0, 20.1, False),
        (64 * 1024, 20.9, True),
        (64 * 1024, 21.1, False),
        (512 * 1024**2, 8000, True),
    ],
)
def test_a_file_has_to_come_at_a_rate(size_bytes: int, elapsed_s: float, *, is_fast: bool) -> None:
    if is_fast:
        check_pace(size_bytes, elapsed_s)
    else:
        with pytest.raises(UploadError) as refused:
            check_pace(size_bytes, elapsed_s)
        assert refused.value.status == 408


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("../../etc/cron.d/x.onnx", 400),
        ("..\\x.onnx", 400),
        (".onnx", 400),
        ("", 400),
        ("a\nb.onnx", 400),
        (f"{'a' * 300}.onnx", 400),
        ("a.exe", 415),
        ("onnx", 415),
    ],
)
def test_a_name_that_is_none_is_refused(sender: Sender, name: str, status: int) -> None:
    assert sender.send(name, [ONNX])[0] == status


@pytest.mark.parametrize(
    ("suffix", "head", "is_right"),
    [
        (".onnx", ONNX[:16], True),
        (".onnx", b"PK\x03\x04", False),
        (".npz", b"PK\x03\x04", True),
        (".npz", b"\x93NUMPY", False),
        (".tflite", b"\x1c\0\0\0TFL3", True),
        (".tflite", b"TFL3", False),
        (".pt", b"PK\x03\x04", True),
        (".pt", b"\x80\x02}q\x00.", False),
        (".pt2", b"", False),
    ],
)
def test_first_bytes_tell(suffix: str, head: bytes, *, is_right: bool) -> None:
    checked: Callable[[], None] = lambda: check_head(KIND, suffix, head)  # noqa: E731 - called in one of two ways
    if is_right:
        checked()
    else:
        with pytest.raises(UploadError):
            checked()


def test_the_store_takes_no_torch_and_pictures_are_told_by_their_bytes() -> None:
    assert checked_name(KIND, "a.PT") == ".pt"
    with pytest.raises(
        UploadError, match=r"ends in \.onnx, \.npz, \.tflite, \.pt, \.pth; this is \.pt2: streamer convert"
    ):
        checked_name(KIND, "a.PT2")
    with pytest.raises(UploadError, match=r"this is \.pt"):
        checked_name(STORED, "a.pt")
    check_head(PICTURE, ".png", b"\xff\xd8\xff\xe0")
    with pytest.raises(UploadError):
        check_head(PICTURE, ".png", b"<svg onload=1>")


def test_arrays_of_objects_are_no_model(sender: Sender) -> None:
    data = io.BytesIO()
    np.savez(data, weights=np.array([{"a": 1}], dtype=object))
    upload = sender.uploads.take(sender.send("objects.npz", [data.getvalue()])[1]["token"])
    assert upload is not None
    with pytest.raises(StoreError, match=r"objects\.npz"):
        checked_suffix(upload.path, upload.name)
