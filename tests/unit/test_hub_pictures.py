"""`process_image`: a picture from an address or a file, made to fit an input."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.errors import InferenceError
from producers.errors import PictureError, ProducerError, SourceFailedError, SourceNotFoundError, SourceSettingError
from streamer.hub import process_image
from streamer.hub.inputs import ArrayInput, InputSpec, PictureInput
from tests.fakes.pictures import EOI, encoded, frame_header, photograph_of
from tests.fakes.web_camera import web_camera


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """200×100: left half red, right half blue."""
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, :100, 0], pixels[:, 100:, 2] = 255, 128
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    return tmp_path / "halves.png"


def test_a_picture_is_scaled_and_stands_where_the_shape_says(halves: Path) -> None:
    nhwc = process_image(str(halves), (1, 32, 32, 3))
    assert nhwc.shape == (1, 32, 32, 3)
    assert nhwc.dtype == np.float32
    assert nhwc.flags.c_contiguous
    np.testing.assert_allclose(nhwc[0, 16, 2], [1, 0, 0])
    np.testing.assert_allclose(nhwc[0, 16, 29], [0, 0, 128 / 255], atol=1e-6)
    nchw = process_image(str(halves), (1, 3, 32, 32))
    np.testing.assert_array_equal(nchw, nhwc.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(process_image(str(halves), (3, 32, 32)), nchw[0])
    np.testing.assert_array_equal(process_image(str(halves), (2, 32, 32, 3)), np.concatenate([nhwc, nhwc]))


def test_nothing_is_distorted_and_the_centre_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((64, 256, 3), np.uint8)
    pixels[:, 96:160] = 255  # the centre, as high as wide
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(process_image(str(tmp_path / "wide.png"), (1, 32, 32, 3))[:, :, 2:30], 1)
    # And nothing more than has to be is cut away.
    pixels[:, 96:112] = 128
    Image.fromarray(pixels).save(tmp_path / "striped.png")
    striped = process_image(str(tmp_path / "striped.png"), (1, 32, 32, 3))[0, 16, :, 0]
    np.testing.assert_allclose(striped[[2, 6, 10, 29]], [128 / 255, 128 / 255, 1, 1])
    # An input that is wider than high shows more of it.
    wide = process_image(f"file://{tmp_path}/wide.png", (1, 3, 32, 64))
    assert wide.shape == (1, 3, 32, 64)
    assert wide[0, 0, 16, 2] == 1


def test_the_last_size_decides_where_both_could_be_channels() -> None:
    assert process_image_of_grey((1, 3, 8, 3)).shape == (1, 3, 8, 3)


def process_image_of_grey(shape: tuple[int, ...]) -> NDArray[np.float32]:
    data = encoded(np.full((9, 9, 3), 51, np.uint8), "PNG")
    values = np.asarray(PictureInput(data, "grey").fit(InputSpec(shape=shape)), np.float32)
    np.testing.assert_allclose(values, 0.2, rtol=1e-6)
    return values


def test_a_picture_comes_from_an_address() -> None:
    image = encoded(photograph_of(120, 90), "JPEG")
    with web_camera(image) as camera:
        values = process_image(f"{camera.url}/image.jpg", (1, 24, 24, 3))
        np.testing.assert_array_equal(values, process_image(f"{camera.url}/redirect/3", (1, 24, 24, 3)))
        for path, says in (
            ("none", "status 404"),
            ("text", "text/html instead of"),
            ("redirect/4", "more than 3 redirects"),
            (f"loop/{quote('file:///etc/hostname', safe='')}", "no http address"),
            ("packed", "more bytes than|instead of"),
        ):
            with pytest.raises(SourceFailedError, match=says) as caught:
                process_image(f"{camera.url}/{path}?token=hunter2", (1, 24, 24, 3))
            assert "hunter2" not in str(caught.value)
    assert values.std() > 0.1


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("nowhere.jpg", SourceNotFoundError, "no such picture: give a file, or an http"),
        (".", SourceNotFoundError, "no such picture"),
        ("ftp://host/cat.jpg", SourceNotFoundError, "no such picture"),
        ("a\0b", SourceNotFoundError, "give"),
        ("file://elsewhere/cat.jpg", SourceSettingError, "file:///path"),
        ("http://user:hunter2@@/", SourceSettingError, "no address"),
        ("text.txt", PictureError, r"not-an-image\): give another picture"),
        ("empty.jpg", PictureError, "empty"),
        ("large.jpg", PictureError, "too-large"),
        ("bomb.jpg", PictureError, "too-many-pixels"),
    ],
)
def test_what_is_no_picture_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, error: type[ProducerError], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("no picture")
    Path("empty.jpg").touch()
    with Path("large.jpg").open("wb") as file:
        file.truncate(9 * 1024 * 1024)
    Path("bomb.jpg").write_bytes(b"\xff\xd8" + frame_header(30_000, 30_000) + EOI)
    with pytest.raises(error, match=says) as caught:
        process_image(url, (1, 8, 8, 3))
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 8, 8, 4), (8, 8), (1, 0, 8, 3), (1, 100_000, 100_000, 3), (), (1, 1, 8, 8, 3)]
)
def test_a_shape_that_takes_no_picture_is_refused(halves: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(SourceSettingError, match=r"takes no picture: its shape has to be like 1,224,224,3"):
        process_image(str(halves), shape)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (InputSpec(dtype="float16"), np.float16(0.2)),
        (InputSpec(dtype="uint8"), np.uint8(51)),
        (InputSpec(dtype="uint8", scale=0.1, zero_point=7), np.uint8(9)),
        (InputSpec(dtype="int8", scale=1 / 255, zero_point=-128), np.int8(-77)),
        (InputSpec(dtype="int8", scale=0.001), np.int8(127)),
    ],
)
def test_a_picture_takes_the_type_of_the_model(spec: InputSpec, expected: np.generic) -> None:
    data = encoded(np.full((9, 9, 3), 51, np.uint8), "PNG")
    values = PictureInput(data, "grey").fit(InputSpec("x", (1, 4, 4, 3), spec.dtype, spec.scale, spec.zero_point))
    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)


def test_a_type_that_says_nothing_of_pictures_is_refused() -> None:
    data = encoded(np.full((9, 9, 3), 51, np.uint8), "PNG")
    for dtype in ("int32", "int8", "bool"):
        with pytest.raises(InferenceError, match=f"takes image {dtype}.*give it an array"):
            PictureInput(data, "grey").fit(InputSpec(shape=(1, 4, 4, 3), dtype=dtype))
    with pytest.raises(InferenceError, match="takes no picture"):
        PictureInput(data, "grey").fit(InputSpec(shape=(1, 10)))


def test_an_array_is_turned_to_the_order_of_the_model_and_never_cut() -> None:
    values = np.random.default_rng(1).random((1, 6, 5, 3)).astype(np.float32)
    given = ArrayInput(values)
    np.testing.assert_array_equal(given.fit(InputSpec(shape=(1, 6, 5, 3))), values)
    np.testing.assert_array_equal(given.fit(InputSpec(shape=(1, 3, 6, 5))), values.transpose(0, 3, 1, 2))
    planar = ArrayInput(values.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(planar.fit(InputSpec(shape=(1, 6, 5, 3))), values)
    with pytest.raises(InferenceError, match=r"takes image float32\[1, 7, 5, 3\], not float32\[1, 6, 5, 3\]"):
        given.fit(InputSpec(shape=(1, 7, 5, 3)))
    pixels = ArrayInput(np.full((1, 4, 4, 3), 51, np.uint8))
    fitted = np.asarray(pixels.fit(InputSpec(shape=(1, 4, 4, 3))), np.float32)
    np.testing.assert_allclose(fitted, 0.2, rtol=1e-6)


def test_other_data_have_another_digest() -> None:
    values = np.zeros((1, 4, 4, 3), np.float32)
    digests = {
        ArrayInput(values).digest,
        ArrayInput(values.astype(np.float64)).digest,
        ArrayInput(values.reshape(1, 4, 12)).digest,
        ArrayInput(values + 1).digest,
        PictureInput(encoded(np.zeros((9, 9, 3), np.uint8), "PNG"), "x").digest,
        PictureInput(encoded(np.ones((9, 9, 3), np.uint8), "PNG"), "x").digest,
    }
    assert len(digests) == 6
    assert ArrayInput(values.copy()).digest in digests


def test_the_hubs_client_is_not_imported_before_it_is_needed(halves: Path) -> None:
    program = (
        "import sys, streamer.hub; streamer.hub.process_image(sys.argv[1], (1, 8, 8, 3)); "
        "print('qai_hub' in sys.modules, 'h5py' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(halves)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False False\n"
