from pathlib import Path

import pytest

from producers.errors import ProducerError, SourceNotFoundError, SourceSettingError
from producers.sources.images import ImageSource
from producers.sources.uri import open_source
from producers.sources.video import VideoSource
from producers.sources.web_camera import HttpSource

JPEG_MAGIC = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"


@pytest.mark.parametrize(
    "uri", ["rtsp://cam/stream", "rtsps://u:p%40ss@cam:322/x", "RTSP://cam", "usb:0", "/dev/video12"]
)
def test_live_video(uri: str) -> None:
    source = open_source(uri)
    assert isinstance(source, VideoSource)
    assert source.is_live
    assert source.fps is None


@pytest.mark.parametrize("uri", ["http://cam/x.jpg", "https://u:p@cam/mjpeg?channel=1", " http://cam "])
def test_the_web(uri: str) -> None:
    assert isinstance(open_source(uri), HttpSource)


def test_a_file_is_told_by_its_content_and_not_its_suffix(tmp_path: Path) -> None:
    image = tmp_path / "clip.mp4"
    image.write_bytes(JPEG_MAGIC)
    video = tmp_path / "photo.jpg"
    video.write_bytes(b"\x00\x00\x00\x20ftypisom")
    assert isinstance(open_source(str(image)), ImageSource)
    source = open_source(str(video))
    assert isinstance(source, VideoSource)
    assert not source.is_live
    assert isinstance(open_source(f"file://{image}"), ImageSource)
    assert isinstance(open_source(f"file://localhost{video}"), VideoSource)


def test_a_directory_and_a_pattern_give_images(tmp_path: Path) -> None:
    assert isinstance(open_source(str(tmp_path)), ImageSource)
    assert isinstance(open_source(f"{tmp_path}/*.jpg"), ImageSource)


def test_a_name_of_letters_that_mean_something_is_a_name(tmp_path: Path) -> None:
    for name in ("concat:a.mp4", "a[1].jpg", "what?.jpg", "a%20b.jpg", "usb:x"):
        path = tmp_path / name
        path.write_bytes(JPEG_MAGIC)
        source = open_source(str(path))
        source.check()
        with source:
            picture = source.read()
        assert picture is not None
        assert picture.encoded == JPEG_MAGIC


def test_a_relative_name_with_a_colon_is_a_file_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("line:1.jpg").write_bytes(JPEG_MAGIC)
    assert isinstance(open_source("line:1.jpg"), ImageSource)
    with pytest.raises(SourceSettingError, match="no known kind of address"):
        open_source("line:2.jpg")


@pytest.mark.parametrize("uri", ["missing.mp4", "/no/such/place.jpg", "file:///no/such.mp4", "x" * 5000, "a\0b"])
def test_what_is_not_there_is_named_with_what_is_accepted(uri: str) -> None:
    with pytest.raises(SourceNotFoundError, match=r"rtsp://") as caught:
        open_source(uri)
    assert str(caught.value).startswith(uri.replace("\0", ""))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "concat:/etc/hostname|/etc/hosts",
        "subfile:,start,0,end,64,:/etc/hostname",
        "tcp://127.0.0.1:9",
        "udp://@:1234",
        "ftp://cam/x.mp4",
        "data:image/png;base64,AAAA",
        "pipe:0",
        "fd:0",
        "crypto:/etc/hostname",
        "async:file:/etc/hostname",
        "cache:http://cam/",
        "lavfi:testsrc",
        "rtmp://cam/x",
        "hls+http://cam/x.m3u8",
        "mjpeg+http://cam/x",
    ],
)
def test_other_protocols_of_ffmpeg_are_refused(uri: str) -> None:
    with pytest.raises(SourceSettingError):
        open_source(uri)
    # Given to the source itself, too: there a name without // can only be a file's.
    with pytest.raises(SourceSettingError if "://" in uri else SourceNotFoundError):
        VideoSource(uri).check()


def test_nothing_is_no_source() -> None:
    with pytest.raises(SourceSettingError, match="no source is named"):
        open_source("  ")


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://",
        "rtsp:/cam/x",
        "rtsp://admin:p@ss@cam/x",
        "rtsp://admin:pa/ss@cam/x",
        "rtsp://cam:port/x",
        "http://cam:99999/",
        "http://[::1",
        "http:",
        "https:///x",
        "file://elsewhere/x.mp4",
        "file://",
    ],
)
def test_an_address_that_is_none_is_refused_before_any_network(uri: str) -> None:
    with pytest.raises(SourceSettingError) as caught:
        open_source(uri)
    assert "p@ss" not in str(caught.value)
    assert "pa/ss" not in str(caught.value)


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = open_source("usb:97")
    with pytest.raises(SourceNotFoundError, match="usb:97: no such camera; present are:"):
        source.check()
    with pytest.raises(ProducerError):
        source.open()
    source.close()


def test_synthetic_sources_are_made_by_their_own_module() -> None:
    module = pytest.importorskip("producers.sources.synthetic")
    if not hasattr(module, "SyntheticSource") or not hasattr(module.SyntheticSource, "from_uri"):
        pytest.skip("not there yet")
    assert isinstance(open_source("synthetic:workpiece"), module.SyntheticSource)
