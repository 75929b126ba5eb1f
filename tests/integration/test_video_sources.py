"""Video files, image files and a real RTSP server, with all that goes wrong with them."""

import logging
import struct
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from producers.errors import SourceFailedError, SourceNotFoundError, SourceSettingError
from producers.sources.images import MAX_IMAGE_BYTES, ImageSource
from producers.sources.uri import open_source
from producers.sources.video import VideoSource
from producers.sources.worker import InterruptedCallError, Worker
from tests.fakes.deadlines import SLACK_S, TIMEOUT_S, fails_within, interrupts_within, photo, read_on
from tests.fakes.rtsp_camera import RtspCamera, rtsp_camera
from tests.fakes.videos import level_in, level_of, write_video


class TestVideoFiles:
    @pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
    def test_every_frame_comes_in_order(self, suffix: str, tmp_path: Path) -> None:
        path = write_video(tmp_path / f"clip.{suffix}", frames=12, fps=20)
        source = open_source(str(path))
        levels = []
        with source:
            assert source.fps == pytest.approx(20)
            while (picture := source.read()) is not None:
                assert picture.pixels is not None
                assert picture.pixels.shape == (240, 320, 3)
                levels.append(level_in(picture.pixels))
        assert levels == pytest.approx([level_of(index) for index in range(12)], abs=3)

    @pytest.mark.parametrize(
        ("size", "short_side_px", "expected"),
        [
            ((320, 240), 100, (100, 133)),
            ((240, 320), 101, (135, 101)),
            ((320, 240), 240, (240, 320)),
            ((320, 240), 500, (240, 320)),
            ((320, 240), None, (240, 320)),
            ((1280, 720), 256, (256, 455)),
        ],
    )
    def test_frames_are_shrunk_while_they_are_converted(
        self, size: tuple[int, int], short_side_px: int | None, expected: tuple[int, int], tmp_path: Path
    ) -> None:
        path = write_video(tmp_path / "clip.mp4", frames=2, width_px=size[0], height_px=size[1])
        with VideoSource(str(path), short_side_px=short_side_px) as source:
            picture = source.read()
        assert picture is not None
        pixels = picture.pixels
        assert pixels is not None
        assert pixels.shape == (*expected, 3)
        assert pixels.flags.c_contiguous
        assert level_in(pixels) == pytest.approx(level_of(0), abs=3)
        red = pixels[: expected[0] // 3, : expected[1] // 3].mean(axis=(0, 1))
        assert red == pytest.approx([200, 20, 20], abs=6)

    @pytest.mark.parametrize(
        ("matrix", "corner"),
        [
            ((1, 0, 0, 1), (0, 0)),
            ((0, 1, -1, 0), (0, 1)),  # clockwise: what is right goes down
            ((-1, 0, 0, -1), (1, 1)),
            ((0, -1, 1, 0), (1, 0)),
        ],
        ids=["upright", "90", "180", "270"],
    )
    def test_a_video_that_was_turned_stands_upright(
        self, matrix: tuple[int, int, int, int], corner: tuple[int, int], tmp_path: Path
    ) -> None:
        turned = write_video(tmp_path / "turned.mp4", frames=2)
        data = bytearray(turned.read_bytes())
        # The track's matrix, (x, y) to (a x + c y, b x + d y). Source: ISO/IEC 14496-12, 8.3.2.
        a, b, c, d = (value << 16 for value in matrix)
        struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
        turned.write_bytes(data)
        with VideoSource(str(turned), short_side_px=120) as source:
            picture = source.read()
        assert picture is not None
        assert picture.pixels is not None
        assert picture.pixels.shape == ((120, 160, 3) if matrix[0] else (160, 120, 3))
        # The red corner, upper left before.
        redness = picture.pixels[:, :, 0].astype(float) - picture.pixels[:, :, 1]
        half_rows, half_columns = redness.shape[0] // 2, redness.shape[1] // 2
        row, column = corner
        quarter = redness[row * half_rows :, column * half_columns :][: half_rows - 4, : half_columns - 4]
        assert quarter[4:, 4:].mean() > 150

    @pytest.mark.parametrize("suffix", ["ts", "mp4"])
    def test_damage_in_the_middle_costs_frames_and_not_the_rest(self, suffix: str, tmp_path: Path) -> None:
        path = write_video(tmp_path / f"clip.{suffix}", frames=40)
        data = bytearray(path.read_bytes())
        start = len(data) // 3
        data[start : start + 300] = b"\xff" * 300
        path.write_bytes(data)
        with VideoSource(str(path)) as source:
            count = 0
            while source.read() is not None:
                count += 1
        assert 5 < count <= 40

    def test_a_name_that_looks_like_a_protocol_is_a_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write_video(tmp_path / "clip.mp4", frames=1).rename(tmp_path / "concat:clip.mp4")
        with VideoSource("concat:clip.mp4") as source:
            assert source.read() is not None

    def test_what_is_no_video_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("not a video\n" * 100)
        source = open_source(str(path))
        with pytest.raises(SourceSettingError, match=r"notes\.txt: no video that is understood") as caught:
            source.open()
        assert caught.value.exit_code == 2

    def test_a_file_of_sound_alone_has_no_video(self, tmp_path: Path) -> None:
        path = tmp_path / "sound.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=48_000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with pytest.raises(SourceSettingError, match="no video in it"):
            open_source(str(path)).open()

    def test_a_file_that_vanishes_is_not_found(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", frames=2)
        source = open_source(str(path))
        path.unlink()
        with pytest.raises(SourceNotFoundError):
            source.open()

    @pytest.mark.parametrize(
        "script",
        [
            "ffconcat version 1.0\nfile secret.mp4\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.mp4\n#EXT-X-ENDLIST\n",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n",
        ],
        ids=["concat", "hls", "sdp"],
    )
    def test_a_play_list_leads_nowhere(self, script: str, tmp_path: Path) -> None:
        write_video(tmp_path / "secret.mp4", frames=2)
        path = tmp_path / "clip.mp4"
        path.write_text(script)
        with pytest.raises(SourceSettingError):
            open_source(str(path)).open()


class TestImages:
    def test_natural_order_and_all_four_types(self, tmp_path: Path) -> None:
        files = {name: photo(32 + index, 32, kind) for index, (name, kind) in enumerate(
            [("1.jpg", "JPEG"), ("2.txt", "PNG"), ("10.webp", "WEBP"), ("100", "BMP")]
        )}  # fmt: skip
        for name, data in reversed(files.items()):
            (tmp_path / name).write_bytes(data)
        (tmp_path / ".hidden.jpg").write_bytes(photo())
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "5.jpg").write_bytes(photo(99))
        with open_source(str(tmp_path)) as source:
            found = [source.read() for _ in range(5)]
        assert [picture.encoded for picture in found[:4] if picture] == list(files.values())
        assert found[4] is None
        with open_source(f"{tmp_path}/**/*.jpg") as source:
            pictures = [picture.encoded for picture in iter(source.read, None)]
        assert pictures == [files["1.jpg"], photo(99)]

    def test_what_is_no_image_is_passed_over_with_one_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "1.jpg").write_text("text")
        (tmp_path / "2.jpg").write_bytes(photo() + bytes(MAX_IMAGE_BYTES))
        (tmp_path / "3.jpg").write_bytes(photo())
        (tmp_path / "4.jpg").write_bytes(b"")
        source = ImageSource(str(tmp_path))
        for _ in range(3):
            with source:
                assert [picture.encoded for picture in iter(source.read, None)] == [photo()]
        warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [Path(text.split()[2].rstrip(":")).name for text in warned] == ["1.jpg", "2.jpg", "4.jpg"]

    def test_a_file_that_vanishes_is_passed_over(self, tmp_path: Path) -> None:
        for name in ("1.jpg", "2.jpg"):
            (tmp_path / name).write_bytes(photo())
        with ImageSource(str(tmp_path)) as source:
            source.read()
            (tmp_path / "2.jpg").unlink()
            assert source.read() is None

    def test_a_directory_without_images_never_spins(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("text")
        with ImageSource(str(tmp_path)) as source, pytest.raises(SourceNotFoundError, match="no JPEG"):
            source.read()


class TestRtsp:
    def test_frames_come_shrunk_and_at_the_cameras_rate(self) -> None:
        with rtsp_camera() as camera, VideoSource(camera.url, timeout_s=TIMEOUT_S, short_side_px=120) as source:
            assert source.fps == pytest.approx(25, rel=0.2)
            shapes, sums = set(), set()
            for _ in range(30):
                picture = source.read()
                assert picture is not None
                assert picture.pixels is not None
                shapes.add(picture.pixels.shape)
                sums.add(picture.pixels.tobytes())
        assert shapes == {(120, 160, 3)}
        assert len(sums) > 10  # it moves

    def test_user_and_password(self) -> None:
        with rtsp_camera("--user", "adm1n", "--password", "p@ss/w0rd") as camera:
            host = f"127.0.0.1:{camera.port}/stream"
            with open_source(f"rtsp://adm1n:p%40ss%2Fw0rd@{host}", timeout_s=TIMEOUT_S) as source:
                assert source.read() is not None
            for wrong in (f"rtsp://adm1n:wr0ng@{host}", f"rtsp://{host}"):
                with pytest.raises(SourceFailedError, match="401 Unauthorized") as caught:
                    open_source(wrong, timeout_s=TIMEOUT_S).open()
                assert str(caught.value).startswith(f"rtsp://{host}: ")
                assert caught.value.__context__ is None

    def test_a_path_that_is_not_there(self) -> None:
        with rtsp_camera() as camera:
            source = open_source(camera.url.replace("stream", "other"), timeout_s=TIMEOUT_S)
            with pytest.raises(SourceFailedError, match="404"):
                source.open()

    def test_a_camera_that_dies_fails_and_can_be_opened_when_it_is_back(self) -> None:
        with rtsp_camera() as camera:
            source = open_source(camera.url, timeout_s=TIMEOUT_S)
            source.open()
            source.read()
            camera.kill()
            fails_within(TIMEOUT_S, lambda: read_on(source), "stream ended|Connection reset|timed out")
            source.close()
            fails_within(TIMEOUT_S, source.open, "Connection refused")
            source.close()

    def test_a_camera_that_freezes_hits_the_time_out(self) -> None:
        before = set(threading.enumerate())
        with rtsp_camera() as camera:
            source = open_source(camera.url, timeout_s=2.0)
            source.open()
            source.read()
            camera.freeze()
            fails_within(2.0, lambda: read_on(source), "timed out")
            start_s = time.monotonic()
            source.close()
            assert time.monotonic() - start_s < SLACK_S
            for thread in set(threading.enumerate()) - before:
                thread.join(2.0 + SLACK_S)
                assert not thread.is_alive()
            fails_within(2.0, source.open, "timed out")
            source.close()

    def test_interrupting_ends_a_blocked_read_at_once(self) -> None:
        with rtsp_camera() as camera:
            source = open_source(camera.url, timeout_s=60.0)
            source.open()
            source.read()
            camera.freeze()
            interrupts_within(SLACK_S, source, lambda: read_on(source))
            camera.kill()
            source.close()

    def test_no_thread_is_left(self) -> None:
        before = set(threading.enumerate())
        with rtsp_camera() as camera:
            for _ in range(3):
                with VideoSource(camera.url, timeout_s=TIMEOUT_S) as source:
                    source.read()
        assert set(threading.enumerate()) <= before


class TestWorker:
    def test_a_job_that_hangs_holds_nobody_up(self) -> None:
        hung = threading.Event()
        worker = Worker("test")
        worker.start()
        assert worker.call(lambda: 42, TIMEOUT_S) == 42
        with pytest.raises(TimeoutError):
            worker.call(lambda: hung.wait(60), 0.05)
        closed = threading.Event()
        start_s = time.monotonic()
        worker.finish(closed.set)
        assert time.monotonic() - start_s < SLACK_S
        assert not closed.is_set()
        hung.set()
        assert closed.wait(TIMEOUT_S)

    def test_an_interruption_ends_a_call(self) -> None:
        hung = threading.Event()
        worker = Worker("test")
        worker.start()
        timer = threading.Timer(0.05, worker.interrupt)
        timer.start()
        with pytest.raises(InterruptedCallError):
            worker.call(lambda: hung.wait(60), 60)
        hung.set()
        worker.finish(lambda: None)
        timer.join()

    def test_what_a_job_raises_is_raised(self) -> None:
        worker = Worker("test")
        worker.start()
        with pytest.raises(ZeroDivisionError):
            worker.call(lambda: 1 / 0, TIMEOUT_S)
        assert worker.call(lambda: "goes on", TIMEOUT_S) == "goes on"
        worker.finish(lambda: None)


def test_a_camera_is_stopped_whatever_it_does() -> None:
    """The fake's own test: it can be started, frozen and ended."""
    with rtsp_camera() as camera:
        assert isinstance(camera, RtspCamera)
        camera.freeze()
