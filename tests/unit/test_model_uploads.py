"""Files that are sent in to the pages about models: which are taken, where they are kept, and when they go."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi import FastAPI

from engine.errors import StoreError
from engine.models.store.content import checked_suffix
from streamer.web.model_work.kinds import UploadError, check_head, checked_name, models, pictures
from streamer.web.model_work.uploads import Upload, Uploads

MAX_BYTES = 4096
KIND = models(MAX_BYTES, with_torch=True)
STORED = models(MAX_BYTES, with_torch=False)
PICTURE = pictures(MAX_BYTES)
ONNX = b"\x08\x08" + bytes(30)


class Sender:
    """Sends bodies in pieces, as a connection would, and counts what was asked for of them."""

    def __init__(self) -> None:
        self.uploads = Uploads([KIND])
        self.app = FastAPI()
        self.uploads.add_to(self.app)
        self.pieces_read = 0
        self.was_patient = False

    def send(self, name: str, pieces: list[bytes], *, breaks_off: bool = False) -> tuple[int, dict[str, Any]]:
        """Return status and answer."""
        self.pieces_read, self.was_patient = 0, False
        sent: list[Any] = []

        async def receive() -> Any:
            if self.pieces_read == len(pieces):
                return {"type": "http.disconnect"}
            self.pieces_read += 1
            is_last = self.pieces_read == len(pieces) and not breaks_off
            return {"type": "http.request", "body": pieces[self.pieces_read - 1], "more_body": not is_last}

        async def send(message: Any) -> None:
            sent.append(message)

        def be_patient() -> None:
            self.was_patient = True

        query = f"name={quote(name, safe='')}".encode()
        scope = {"type": "http", "method": "POST", "path": KIND.path, "query_string": query, "headers": []}
        asyncio.run(self.app(scope | {"streamer.patience": be_patient}, receive, send))
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
    assert checked_name(KIND, "a.PT2") == ".pt2"
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
