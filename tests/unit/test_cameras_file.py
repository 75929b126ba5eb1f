"""The file of `streamer produce --cameras`."""

from pathlib import Path

import pytest

from config.cameras import read_cameras
from config.errors import ConfigError
from config.settings import Settings


def write(directory: Path, text: str) -> Path:
    path = directory / "site.toml"
    path.write_text(text)
    return path


def test_what_a_camera_leaves_out_is_as_on_the_command_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[camera]]
        name = "line-1"
        source = "rtsp://10.0.0.7/stream"
        fps = 10
        short-side = 512

        [[camera]]
        name = "gate"
        source = "pictures/*.jpg"
        loop = true
        """,
    )
    line, gate = read_cameras(path, Settings(fps=2.5, frames=7, quality=60))
    assert (line.camera, line.source, line.fps, line.short_side) == ("line-1", "rtsp://10.0.0.7/stream", 10, 512)
    assert (line.frames, line.quality, line.loop) == (7, 60, False)
    assert (gate.camera, gate.fps, gate.short_side, gate.loop) == ("gate", 2.5, 256, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no camera"),
        ("x = ", "is no TOML file"),
        ("[[cameras]]\nname = 'a'", "cameras is not expected"),
        ("fps = 5\n[[camera]]\nname = 'a'\nsource = 'x'", "fps is not expected"),
        ("camera = 'a'", "camera is not expected"),
        ("camera = ['a']", "camera is not expected"),
        ("[camera]\nname = 'a'\nsource = 'x'", "camera is not expected"),
        ("[[camera]]\nsource = 'x'", "camera 1 has no name"),
        ("[[camera]]\nname = 'a'\nsource = 'x'\n[[camera]]\nname = 'b'", "camera b has no source"),
        ("[[camera]]\nname = 'a'\nsource = 'x'\nfsp = 5", "camera a: unknown setting fsp: did you mean fps?"),
        ("[[camera]]\nname = 'a'\nsource = 'x'\ncamera = 'b'", "camera a: unknown setting camera"),
        ("[[camera]]\nname = 'a'\nsource = 'x'\nbatch_size = 5", "camera a: unknown setting batch_size"),
        ("[[camera]]\nname = 'a'\nsource = 'x'\nquality = 101", "camera a: quality: "),
        ("[[camera]]\nname = ''\nsource = 'x'", "camera 1: name: "),
        ("[[camera]]\nname = 5\nsource = 'x'", "camera 5: name: "),
        ("[[camera]]\nname = 'a'\nsource = ''", "camera a: source: "),
        ("[[camera]]\nname = 'a'\nsource = 'x'\n[[camera]]\nname = 'a'\nsource = 'y'", "camera a stands there twice"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_camera(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_cameras(path, Settings())
    message = str(caught.value)
    assert says in message
    assert message.startswith(f"--cameras {path}")
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    source = "rtsp://user:hunter2@10.0.0.7/stream"
    for wrong in ("quality = 'hunter2'", "fps = 'hunter2'", "loop = 'hunter2'", f"frames = '{source}'"):
        path = write(tmp_path, f"[[camera]]\nname = 'a'\nsource = '{source}'\n{wrong}")
        with pytest.raises(ConfigError) as caught:
            read_cameras(path, Settings())
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__  # pydantic's error shows the input


@pytest.mark.parametrize("make", ["nothing", "directory", "binary"])
def test_a_file_that_cannot_be_read(tmp_path: Path, make: str) -> None:
    path = tmp_path / "site.toml"
    if make == "directory":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="--cameras"):
        read_cameras(path, Settings())


def test_the_flags_word_for_the_name_is_as_good(tmp_path: Path) -> None:
    path = write(tmp_path, "[[camera]]\ncamera = 'gate'\nsource = 'x'")
    assert [camera.camera for camera in read_cameras(path, Settings())] == ["gate"]
