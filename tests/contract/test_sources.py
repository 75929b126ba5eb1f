"""What every source keeps to, whatever it reads."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from producers.errors import SourceFailedError, SourceNotFoundError
from producers.image_type import content_type_of
from producers.sources.base import Picture, Source
from producers.sources.images import ImageSource
from producers.sources.snapshot import SnapshotSource
from producers.sources.uri import open_source
from producers.sources.video import VideoSource
from producers.sources.web_camera import HttpSource
from tests.fakes.rtsp_camera import rtsp_camera
from tests.fakes.videos import write_video
from tests.fakes.web_camera import PASSWORD, USER, web_camera

TIMEOUT_S = 5.0
# A machine that does much else is slow; a time-out that does not work is slower.
SLACK_S = 5.0


@dataclass(frozen=True)
class Case:
    """A source that works, and how many pictures it has."""

    make: Callable[[], Source]
    pictures: int | None = None
    is_live: bool = False
    secrets: tuple[str, ...] = ()


def jpeg(level: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (64, 48), (level, level, level)).save(buffer, "JPEG")
    return buffer.getvalue()


def images_case(stack: ExitStack, folder: Path) -> Case:
    for index in range(3):
        (folder / f"{index}.jpg").write_bytes(jpeg(50 * index))
    return Case(lambda: ImageSource(str(folder)), pictures=3)


def video_case(stack: ExitStack, folder: Path) -> Case:
    path = write_video(folder / "clip.mp4")
    return Case(lambda: VideoSource(str(path)), pictures=10)


def snapshot_case(stack: ExitStack, folder: Path) -> Case:
    camera = stack.enter_context(web_camera(jpeg(90)))
    return Case(lambda: SnapshotSource(f"{camera.url}/image.jpg", timeout_s=TIMEOUT_S))


def snapshot_with_password_case(stack: ExitStack, folder: Path) -> Case:
    camera = stack.enter_context(web_camera(jpeg(90)))
    url = f"http://{USER}:hun%3Ater2%20%4042@127.0.0.1:{camera.port}/digest/MD5"
    return Case(lambda: SnapshotSource(url, timeout_s=TIMEOUT_S), secrets=(USER, PASSWORD, "hun"))


def web_snapshot_case(stack: ExitStack, folder: Path) -> Case:
    camera = stack.enter_context(web_camera(jpeg(90)))
    return Case(lambda: HttpSource(f"{camera.url}/image.jpg?token=s3same", timeout_s=TIMEOUT_S), secrets=("s3same",))


def web_stream_case(stack: ExitStack, folder: Path) -> Case:
    camera = stack.enter_context(web_camera(jpeg(90)))
    return Case(lambda: HttpSource(f"{camera.url}/mjpeg/0", timeout_s=TIMEOUT_S), is_live=True)


def rtsp_case(stack: ExitStack, folder: Path) -> Case:
    camera = stack.enter_context(rtsp_camera())
    return Case(lambda: VideoSource(camera.url, timeout_s=TIMEOUT_S), is_live=True)


def synthetic_case(stack: ExitStack, folder: Path) -> Case:
    def make() -> Source:
        try:
            return open_source("synthetic:workpiece?seed=7&size=64")
        except (ImportError, AttributeError):
            pytest.skip("not there yet")

    return Case(make)


CASES = {
    "images": images_case,
    "video": video_case,
    "snapshot": snapshot_case,
    "snapshot-with-password": snapshot_with_password_case,
    "web-snapshot": web_snapshot_case,
    "web-stream": web_stream_case,
    "rtsp": rtsp_case,
    "synthetic": synthetic_case,
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with ExitStack() as stack:
        yield CASES[request.param](stack, tmp_path_factory.mktemp("source"))


@pytest.fixture
def source(case: Case) -> Iterator[Source]:
    made = case.make()
    yield made
    made.close()


def copied(picture: Picture | None) -> Picture:
    """Keep a picture beyond the next `read`."""
    assert picture is not None
    return picture if picture.pixels is None else Picture(pixels=picture.pixels.copy(), truth=picture.truth)


def is_same(first: Picture, second: Picture) -> bool:
    if first.pixels is None or second.pixels is None:
        return first.encoded == second.encoded
    return bool(np.array_equal(first.pixels, second.pixels))


def test_a_picture_is_pixels_or_a_file(source: Source) -> None:
    source.check()
    source.open()
    for _ in range(3):
        picture = source.read()
        assert picture is not None
        assert (picture.pixels is None) != (picture.encoded is None)
        if picture.encoded is not None:
            assert content_type_of(picture.encoded) is not None
        else:
            assert picture.pixels is not None
            assert picture.pixels.dtype == np.uint8
            assert picture.pixels.ndim == 3
            assert picture.pixels.shape[2] == 3
            assert picture.pixels.flags.c_contiguous


def test_it_says_whether_it_is_live_and_how_fast(source: Source, case: Case) -> None:
    with source:
        assert source.is_live == case.is_live
        assert source.fps is None or 0 < source.fps <= 1000


def test_its_name_is_one_line_without_secrets(source: Source, case: Case) -> None:
    assert source.display_name
    assert source.display_name.isprintable()
    assert [secret for secret in case.secrets if secret in source.display_name] == []


def test_checking_changes_nothing(source: Source) -> None:
    source.check()
    source.check()
    with source:
        assert source.read() is not None


def test_closing_twice_and_without_opening_is_harmless(source: Source) -> None:
    source.close()
    source.open()
    source.close()
    source.close()


def test_a_closed_source_can_be_opened_again_and_starts_anew(source: Source, case: Case) -> None:
    with source:
        first = copied(source.read())
        source.read()
    with source:
        again = copied(source.read())
    assert case.is_live or is_same(first, again)


def test_opening_an_open_source_starts_anew(source: Source, case: Case) -> None:
    source.open()
    first = copied(source.read())
    source.read()
    source.open()
    again = copied(source.read())
    assert case.is_live or is_same(first, again)


def test_a_source_that_is_not_open_cannot_be_read(source: Source) -> None:
    with pytest.raises(SourceFailedError):
        source.read()
    with source:
        source.read()
    with pytest.raises(SourceFailedError):
        source.read()


def test_only_a_source_that_ends_gives_none(source: Source, case: Case) -> None:
    for _ in range(2):
        with source:
            for _ in range(case.pictures or 20):
                assert source.read() is not None
            if case.pictures is not None:
                assert source.read() is None
                assert source.read() is None


def test_an_interruption_ends_with_closing(source: Source) -> None:
    source.interrupt()
    source.close()
    with source:
        source.interrupt()
    with source:
        assert source.read() is not None


MISSING: dict[str, Callable[[Path], Source]] = {
    "image": lambda folder: ImageSource(str(folder / "none.jpg")),
    "pattern": lambda folder: ImageSource(str(folder / "*.jpg")),
    "directory": lambda folder: ImageSource(str(folder)),
    "video": lambda folder: VideoSource(str(folder / "none.mp4")),
    "video-is-directory": lambda folder: VideoSource(str(folder)),
    "usb": lambda _: VideoSource("usb:97"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_not_there_is_refused_by_check_and_by_open(kind: str, tmp_path: Path) -> None:
    source = MISSING[kind](tmp_path)
    for attempt in (source.check, source.open):
        with pytest.raises(SourceNotFoundError) as caught:
            attempt()
        assert source.display_name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not caught.value.retriable
    source.close()


# Port 9 of 127.0.0.1 refuses.
DEAD: dict[str, Callable[[], Source]] = {
    "snapshot": lambda: SnapshotSource("http://u5er:p4ss@127.0.0.1:9/x", timeout_s=TIMEOUT_S),
    "snapshot-tls": lambda: SnapshotSource("https://u5er:p4ss@127.0.0.1:9/x", timeout_s=TIMEOUT_S),
    "web": lambda: HttpSource("http://u5er:p4ss@127.0.0.1:9/x", timeout_s=TIMEOUT_S),
    "rtsp": lambda: VideoSource("rtsp://u5er:p4ss@127.0.0.1:9/x", timeout_s=TIMEOUT_S),
    "rtsps": lambda: VideoSource("rtsps://u5er:p4ss@127.0.0.1:9/x", timeout_s=TIMEOUT_S),
}


@pytest.mark.parametrize("kind", DEAD)
def test_a_network_that_refuses_is_a_failure_to_be_retried(kind: str) -> None:
    source = DEAD[kind]()
    source.check()  # without a network there is nothing to say against it
    for _ in range(2):
        start_s = time.monotonic()
        with pytest.raises(SourceFailedError, match="Connection refused") as caught, source:
            source.read()
        assert time.monotonic() - start_s < TIMEOUT_S + SLACK_S
        assert caught.value.retriable
        assert source.display_name in str(caught.value)
        assert "p4ss" not in str(caught.value)
        assert caught.value.__context__ is None
