"""Cameras on the web: snapshots and MJPEG streams, with all that goes wrong with them."""

import logging
import resource
import socket
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from producers.errors import SourceFailedError
from producers.sources.address import parse_address
from producers.sources.peers import zone_of
from producers.sources.snapshot import SnapshotSource
from producers.sources.video import VideoSource
from producers.sources.web import WebClient
from producers.sources.web_camera import HttpSource
from tests.fakes.certificates import make_certificate
from tests.fakes.deadlines import SHORT_S, SLACK_S, TIMEOUT_S, fails_within, interrupts_within, photo, read_on
from tests.fakes.videos import write_video
from tests.fakes.web_camera import WebCamera, web_camera


@pytest.fixture
def camera() -> Iterator[WebCamera]:
    with web_camera(photo()) as running:
        yield running


def snapshot(camera: WebCamera, path: str, user: str = "", timeout_s: float = TIMEOUT_S) -> SnapshotSource:
    return SnapshotSource(f"http://{user}127.0.0.1:{camera.port}/{path}", timeout_s=timeout_s)


CREDENTIALS = "inspektor:hun%3Ater2%20%4042@"


class TestSnapshots:
    @pytest.mark.parametrize("path", ["image.jpg", "mislabelled", "chunked", "redirect/3", "image.jpg?a=b c&d=ä"])
    def test_an_image_comes_byte_for_byte(self, path: str, camera: WebCamera) -> None:
        with snapshot(camera, path) as source:
            for _ in range(2):
                assert source.read().encoded == camera.image

    @pytest.mark.parametrize("path", ["basic", "digest/MD5", "digest/SHA-256", "digest/MD5-sess", "digest/MD5?a=b"])
    def test_user_and_password(self, path: str, camera: WebCamera) -> None:
        with snapshot(camera, path, CREDENTIALS) as source:
            for _ in range(3):
                assert source.read().encoded == camera.image
        sent = [header for _, header in camera.seen]
        assert sent[0] is None  # nothing is shown before it is asked for
        assert len(sent) == 4  # asked once, then known
        assert all(header and header.startswith("Basic" if path == "basic" else "Digest") for header in sent[1:])

    @pytest.mark.parametrize("path", ["basic", "digest/MD5"])
    @pytest.mark.parametrize("user", ["", "inspektor:wr0ng@"])
    def test_a_wrong_password_is_tried_once(self, path: str, user: str, camera: WebCamera) -> None:
        source = snapshot(camera, path, user)
        with source, pytest.raises(SourceFailedError, match="wants a user name and password") as caught:
            source.read()
        assert len(camera.seen) == (2 if user else 1)
        assert "wr0ng" not in str(caught.value)

    def test_no_authentication_that_is_known(self, camera: WebCamera) -> None:
        with snapshot(camera, "bearer", CREDENTIALS) as source, pytest.raises(SourceFailedError, match="neither Basic"):
            source.read()

    @pytest.mark.parametrize(
        ("challenge", "match", "asked"),
        [
            ('Digest realm="camera", nonce="1", qop="auth"', "these were refused", 2),
            ('Digest realm="camera", nonce="1", algorithm=CRC-32', "neither Basic nor Digest", 2),
            ("Digest", "neither Basic nor Digest", 2),
            ('Basic realm="digest camera"', "these were refused", 3),
            ('Basic realm="camera"', "these were refused", 2),
        ],
    )
    def test_a_refusal_is_not_read_to_its_end(self, challenge: str, match: str, asked: int, camera: WebCamera) -> None:
        with snapshot(camera, f"guarded/{quote(challenge)}", CREDENTIALS) as source:
            fails_within(TIMEOUT_S, source.read, match)
        assert len(camera.seen) == asked

    @pytest.mark.parametrize(
        ("location", "match"), [("http://[::1", "no http address"), ("http://:80/", "no http address")]
    )
    def test_a_redirect_to_nowhere_is_said_to_be_one(self, location: str, match: str, camera: WebCamera) -> None:
        with snapshot(camera, f"loop/{quote(location, safe='')}") as source:
            fails_within(TIMEOUT_S, source.read, match)

    def test_a_password_is_shown_to_no_other_host(self, camera: WebCamera) -> None:
        with web_camera(photo()) as other:
            camera.elsewhere = other.url
            source = snapshot(camera, "elsewhere/basic", CREDENTIALS)
            with source, pytest.raises(SourceFailedError, match="status 401"):
                source.read()
            camera.elsewhere = f"http://other:secret@127.0.0.1:{other.port}"
            with snapshot(camera, "elsewhere/image.jpg", CREDENTIALS) as source:
                assert source.read().encoded == other.image
            assert [header for _, header in other.seen] == [None, None]

    def test_a_password_stays_with_its_host_though_it_was_asked_for_there(self, camera: WebCamera) -> None:
        with web_camera(photo()) as other, snapshot(camera, "basic", CREDENTIALS) as source:
            source.read()
            # From here on it is sent without being asked for; not to the other one, though.
            camera.elsewhere = other.url
            source._client._address = type(source._client._address)(
                "http", "127.0.0.1", camera.port, "/elsewhere/image.jpg", "inspektor", "hun:ter2 @42"
            )
            source.read()
            assert camera.seen[-1][1] is not None
            assert [header for _, header in other.seen] == [None]

    def test_redirects_are_bounded(self, camera: WebCamera) -> None:
        with snapshot(camera, "redirect/4") as source, pytest.raises(SourceFailedError, match="more than 3 redirects"):
            source.read()
        assert len(camera.seen) == 4

    def test_a_redirect_to_a_file_is_not_followed(self, camera: WebCamera) -> None:
        with snapshot(camera, "file-redirect") as source, pytest.raises(SourceFailedError, match="no http address"):
            source.read()

    @pytest.mark.parametrize(
        ("path", "match"),
        [
            ("text", "text/html instead of a JPEG"),
            ("lying", "image/jpeg instead of a JPEG"),
            ("short", "broke off|timed out|did not answer"),
            ("none", "status 404"),
            ("endless", "more bytes than one picture may have"),
            ("mjpeg/5", "multipart/x-mixed-replace instead of a JPEG"),
        ],
    )
    def test_what_is_no_image_fails(self, path: str, match: str, camera: WebCamera) -> None:
        with snapshot(camera, path) as source:
            fails_within(TIMEOUT_S, source.read, match)

    @pytest.mark.parametrize(
        ("path", "match"),
        [
            ("huge-header", "did not answer in HTTP"),
            ("many-headers", "did not answer in HTTP"),
            ("continue", "timed out"),
            ("chunk-size", "did not answer in HTTP|broke off"),
            ("trailers", "timed out"),
            ("packed", "instead of a JPEG"),
        ],
    )
    def test_what_has_no_end_takes_neither_time_nor_memory(self, path: str, match: str, camera: WebCamera) -> None:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with snapshot(camera, path, timeout_s=SHORT_S) as source:
            fails_within(SHORT_S, source.read, match)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50 * 1024

    @pytest.mark.parametrize("path", ["silent", "drip", "drip-head"])
    def test_the_whole_must_come_in_time(self, path: str, camera: WebCamera) -> None:
        with snapshot(camera, path, timeout_s=SHORT_S) as source:
            fails_within(SHORT_S, source.read, "timed out")

    def test_proxies_of_the_environment_are_not_used(self, camera: WebCamera, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        with snapshot(camera, "image.jpg") as source:
            assert source.read().encoded == camera.image

    def test_interrupting_ends_a_blocked_read_at_once(self, camera: WebCamera) -> None:
        with snapshot(camera, "silent", timeout_s=60) as source:
            interrupts_within(SLACK_S, source, source.read)

    def test_nothing_is_asked_before_it_is_read(self, camera: WebCamera) -> None:
        source = snapshot(camera, "image.jpg")
        source.check()
        source.open()
        assert camera.seen == []
        source.close()

    def test_a_name_that_moves_inside_is_not_followed(self, camera: WebCamera) -> None:
        with snapshot(camera, "image.jpg") as source:
            source.read()
            source._client._guard._outermost = zone_of("8.8.8.8")  # as if that is where it had been
            with pytest.raises(
                SourceFailedError, match=r"now leads from a public address to a loopback one, 127\.0\.0\.1"
            ):
                source.read()
            source.close()
            source.open()  # nor after it was opened again
            with pytest.raises(SourceFailedError, match="refused"):
                source.read()
        assert len(camera.seen) == 1

    def test_a_redirect_inside_is_refused_before_a_byte_is_sent(self, camera: WebCamera) -> None:
        with web_camera(photo()) as inner, snapshot(camera, "elsewhere/image.jpg", CREDENTIALS) as source:
            guard = source._client._guard

            class Moved(str):
                """A redirect of a camera that seems to be outside from the moment on that it answers."""

                __slots__ = ()

                def __format__(self, _: str) -> str:
                    guard._outermost = zone_of("10.0.0.7")
                    return inner.url

            camera.elsewhere = Moved()
            with pytest.raises(SourceFailedError, match="a redirect leads from a private address to a loopback one"):
                source.read()
        assert len(camera.seen) == 1
        assert inner.seen == []

    @pytest.mark.parametrize("path", ["basic", "digest/MD5", "odd-header", "redirect/1"])
    def test_no_log_shows_a_secret(self, path: str, camera: WebCamera, caplog: pytest.LogCaptureFixture) -> None:
        for name in ("urllib3", "urllib3.connectionpool", "requests"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        with caplog.at_level(logging.DEBUG), snapshot(camera, f"{path}?token=s3same", CREDENTIALS) as source:
            source.read()
        assert "s3same" not in caplog.text
        assert "hun" not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


class TestTls:
    def test_a_certificate_that_nobody_vouches_for_is_refused(self, certificate: Path) -> None:
        with web_camera(photo(), certificate) as camera, SnapshotSource(f"{camera.url}/image.jpg") as source:
            with pytest.raises(SourceFailedError, match="certificate is not valid"):
                source.read()
            assert camera.seen == []

    def test_one_that_the_system_trusts_is_taken(self, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with web_camera(photo(), certificate) as camera, SnapshotSource(f"{camera.url}/redirect/2") as source:
            assert source.read().encoded == camera.image

    def test_a_redirect_never_leaves_tls(
        self, certificate: Path, camera: WebCamera, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with web_camera(photo(), certificate) as safe, SnapshotSource(f"{safe.url}/elsewhere/image.jpg") as source:
            safe.elsewhere = camera.url
            with pytest.raises(SourceFailedError, match="from https to http"):
                source.read()
        assert camera.seen == []

    def test_one_that_the_address_names_is_taken(self, certificate: Path) -> None:
        with web_camera(photo(), certificate) as camera:
            with SnapshotSource(f"{camera.url}/redirect/2#tls-ca={certificate}") as source:
                assert source.read().encoded == camera.image
            assert camera.seen[0][0] == "/redirect/2"

    def test_none_is_asked_for_where_the_address_says_so(
        self, certificate: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (
            web_camera(photo(), certificate) as camera,
            SnapshotSource(f"{camera.url}/image.jpg#tls-verify=off") as source,
        ):
            assert source.read().encoded == camera.image
        (entry,) = caplog.records
        assert entry.getMessage().startswith(f"{camera.url}/image.jpg#tls-verify=off: its certificate is not checked")

    def test_a_handshake_that_hangs_is_bounded(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            url = f"https://127.0.0.1:{mute.getsockname()[1]}/x"
            with SnapshotSource(url, timeout_s=SHORT_S) as source:
                fails_within(SHORT_S, source.read, "timed out")

    @pytest.mark.parametrize(
        ("url", "is_own"),
        [
            ("http://cam/y", True),
            ("http://CAM:80/y", True),
            ("https://cam/y", True),
            ("https://cam:8443/y", False),
            ("http://cam:81/y", False),
            ("http://cam.example/y", False),
        ],
    )
    def test_who_may_be_shown_the_password(self, url: str, is_own: bool) -> None:
        assert WebClient("http://u:p@cam/x", 1.0)._is_own(parse_address(url)) == is_own


def web(camera: WebCamera, path: str, timeout_s: float = TIMEOUT_S, short_side_px: int | None = None) -> HttpSource:
    return HttpSource(f"{camera.url}/{path}", timeout_s=timeout_s, short_side_px=short_side_px)


class TestWebStreams:
    def test_mjpeg_comes_byte_for_byte_over_one_connection(self, camera: WebCamera) -> None:
        with web(camera, "mjpeg/0") as source:
            assert source.is_live
            for _ in range(20):
                picture = source.read()
                assert picture is not None
                assert picture.encoded == camera.image
        assert len(camera.seen) == 1

    def test_mjpeg_without_huffman_tables_is_decoded(self) -> None:
        whole = photo()
        tables = whole.index(b"\xff\xc4")
        # Pillow writes the usual tables, so leaving them out changes nothing for those who know them.
        bare = whole[:tables] + whole[whole.index(b"\xff\xda") :]
        with web_camera(bare) as camera, web(camera, "mjpeg/0") as source:
            picture = source.read()
        assert picture is not None
        assert picture.pixels is not None
        expected = np.asarray(Image.open(BytesIO(whole)).convert("RGB"))
        assert np.abs(picture.pixels.astype(int) - expected).mean() < 12

    def test_an_image_makes_it_a_snapshot(self, camera: WebCamera) -> None:
        with web(camera, "image.jpg") as source:
            assert not source.is_live
            for _ in range(3):
                picture = source.read()
                assert picture is not None
                assert picture.encoded == camera.image
        assert len(camera.seen) == 3

    def test_the_time_out_is_for_each_picture(self, camera: WebCamera) -> None:
        end_s = time.monotonic() + 2 * SHORT_S
        with web(camera, "mjpeg/0", timeout_s=SHORT_S) as source:
            while time.monotonic() < end_s:
                assert source.read() is not None

    def test_a_stream_that_ends_fails(self, camera: WebCamera) -> None:
        with web(camera, "mjpeg/3") as source:
            for _ in range(3):
                assert source.read() is not None
            with pytest.raises(SourceFailedError, match="the stream ended"):
                source.read()

    def test_half_a_picture_is_not_given(self, camera: WebCamera) -> None:
        with web(camera, "mjpeg-cut") as source:
            picture = source.read()
            assert picture is not None
            assert picture.encoded == camera.image
            with pytest.raises(SourceFailedError, match="the stream ended"):
                source.read()

    def test_a_stream_that_freezes_hits_the_time_out(self, camera: WebCamera) -> None:
        with web(camera, "mjpeg-frozen", timeout_s=SHORT_S) as source:
            fails_within(SHORT_S, lambda: read_on(source), "timed out")

    def test_a_part_that_never_ends_is_bounded(self, camera: WebCamera) -> None:
        with web(camera, "mjpeg-endless") as source:
            fails_within(TIMEOUT_S, lambda: read_on(source), "more bytes than one picture may have")

    def test_interrupting_ends_a_blocked_read_at_once(self, camera: WebCamera) -> None:
        with web(camera, "mjpeg-frozen", timeout_s=60) as source:
            interrupts_within(SLACK_S, source, lambda: read_on(source))

    def test_interrupting_ends_a_blocked_open_at_once(self, camera: WebCamera) -> None:
        source = web(camera, "silent", timeout_s=60)
        interrupts_within(SLACK_S, source, source.open)
        source.close()

    @pytest.mark.parametrize(
        ("path", "match"),
        [
            ("text", "text/html instead of"),
            ("none", "404"),
            ("playlist", "no video that is understood"),
            ("video", "no video that is understood"),
        ],
    )
    def test_what_is_neither_fails(self, path: str, match: str, camera: WebCamera) -> None:
        with pytest.raises(SourceFailedError, match=match):
            web(camera, path).open()
        assert not any(seen.startswith("/leak") for seen, _ in camera.seen)

    def test_a_video_file_on_the_web_ends(self, tmp_path: Path) -> None:
        data = write_video(tmp_path / "clip.ts", frames=8).read_bytes()
        with web_camera(data) as camera, web(camera, "video", short_side_px=60) as source:
            assert not source.is_live
            pictures = list(iter(source.read, None))
        assert len(pictures) == 8
        assert all(picture.pixels is not None and picture.pixels.shape == (60, 80, 3) for picture in pictures)

    def test_a_failure_does_not_come_back_in_another_source(self, camera: WebCamera, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", frames=3)
        for _ in range(3):
            with web(camera, "mjpeg-frozen", timeout_s=0.2) as source, pytest.raises(SourceFailedError):
                read_on(source)
            with VideoSource(str(path)) as video:
                assert len(list(iter(video.read, None))) == 3
