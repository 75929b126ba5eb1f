import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import skimage
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from producers.encoding import JpegEncoder
from producers.errors import PictureError, SourceSettingError
from producers.image_type import MAGIC_BYTES, content_type_of
from producers.sources.base import Picture

Pixels = NDArray[np.uint8]
TYPES = ["JPEG", "PNG", "WEBP", "BMP"]


def photograph(name: str) -> Pixels:
    """Read one of the pictures that lie in scikit-image's wheel."""
    with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    return photograph("astronaut.png")  # 512x512


@pytest.fixture(scope="module")
def coffee() -> Pixels:
    return photograph("coffee.png")  # 600x400


def file_of(pixels: Pixels, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def difference(first: Pixels, second: Pixels) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean())


def reference(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


class TestPassingOn:
    @pytest.mark.parametrize("kind", TYPES)
    def test_a_file_that_fits_passes_byte_for_byte(self, kind: str, coffee: Pixels) -> None:
        data = file_of(coffee, kind)
        frame = JpegEncoder(400).encode(Picture(encoded=data))
        assert frame.data is data
        assert (frame.content_type, frame.width_px, frame.height_px) == (f"image/{kind.lower()}", 600, 400)

    @pytest.mark.parametrize("kind", TYPES)
    def test_without_a_short_side_every_file_passes(self, kind: str, astronaut: Pixels) -> None:
        data = file_of(astronaut, kind)
        assert JpegEncoder(None).encode(Picture(encoded=data)).data is data

    def test_a_file_passes_with_its_orientation(self, coffee: Pixels) -> None:
        data = file_of(coffee, "JPEG", exif=exif(6))
        frame = JpegEncoder(400).encode(Picture(encoded=data))
        assert frame.data is data
        assert (frame.width_px, frame.height_px) == (600, 400)


class TestShrinking:
    @pytest.mark.parametrize("kind", TYPES)
    @pytest.mark.parametrize("short_side_px", [399, 256, 100, 51])
    def test_a_larger_file_becomes_a_jpeg_of_that_short_side(
        self, kind: str, short_side_px: int, coffee: Pixels
    ) -> None:
        frame = JpegEncoder(short_side_px, 95).encode(Picture(encoded=file_of(coffee, kind)))
        assert frame.content_type == "image/jpeg"
        size = (round(short_side_px * 1.5 + 1e-9), short_side_px)
        assert (frame.width_px, frame.height_px) == decoded(frame.data).shape[1::-1] == size
        assert difference(decoded(frame.data), reference(coffee, size)) < 5

    @pytest.mark.parametrize("short_side_px", [399, 256, 100])
    def test_pixels_are_shrunk_alike(self, short_side_px: int, astronaut: Pixels) -> None:
        frame = JpegEncoder(short_side_px, 95).encode(Picture(pixels=astronaut))
        size = (short_side_px, short_side_px)
        assert (frame.width_px, frame.height_px) == size
        assert difference(decoded(frame.data), reference(astronaut, size)) < 5

    def test_nothing_is_enlarged(self, astronaut: Pixels) -> None:
        pixels = np.ascontiguousarray(astronaut[:101, :33])
        frame = JpegEncoder(256).encode(Picture(pixels=pixels))
        assert decoded(frame.data).shape == (101, 33, 3)

    def test_a_tall_picture_keeps_its_shape(self, coffee: Pixels) -> None:
        tall = np.ascontiguousarray(np.rot90(coffee))
        frame = JpegEncoder(200).encode(Picture(encoded=file_of(tall, "JPEG")))
        assert (frame.width_px, frame.height_px) == (200, 300)

    def test_a_thin_line_keeps_one_pixel(self) -> None:
        frame = JpegEncoder(1).encode(Picture(pixels=np.zeros((3, 3000, 3), np.uint8)))
        assert (frame.width_px, frame.height_px) == (1000, 1)

    def test_quality_is_applied(self, astronaut: Pixels) -> None:
        sizes = [len(JpegEncoder(256, quality).encode(Picture(pixels=astronaut)).data) for quality in (20, 60, 95)]
        assert sizes == sorted(sizes)
        assert sizes[2] > 2 * sizes[0]

    def test_colours_keep_their_channels(self) -> None:
        red = np.zeros((300, 300, 3), np.uint8)
        red[:, :, 0] = 255
        for picture in (
            Picture(pixels=red),
            Picture(encoded=file_of(red, "PNG")),
            Picture(encoded=file_of(red, "JPEG")),
        ):
            assert decoded(JpegEncoder(256).encode(picture).data).mean(axis=(0, 1)) == pytest.approx([254, 0, 0], abs=2)

    def test_a_cmyk_jpeg_keeps_its_colours(self, coffee: Pixels) -> None:
        buffer = BytesIO()
        Image.fromarray(coffee).convert("CMYK").save(buffer, "JPEG", quality=95)
        frame = JpegEncoder(256, 95).encode(Picture(encoded=buffer.getvalue()))
        assert difference(decoded(frame.data), reference(coffee, (384, 256))) < 6

    def test_a_grey_jpeg_becomes_rgb(self, coffee: Pixels) -> None:
        grey = coffee[:, :, 1]
        frame = JpegEncoder(256, 95).encode(Picture(encoded=file_of(grey, "JPEG")))
        assert difference(decoded(frame.data), reference(np.stack([grey] * 3, axis=2), (384, 256))) < 5

    def test_sixteen_bit_grey_is_scaled_not_clipped(self, coffee: Pixels) -> None:
        grey = coffee[:, :, 1]
        buffer = BytesIO()
        Image.fromarray(grey.astype(np.uint16) * 257).save(buffer, "PNG")
        frame = JpegEncoder(256, 95).encode(Picture(encoded=buffer.getvalue()))
        assert difference(decoded(frame.data), reference(np.stack([grey] * 3, axis=2), (384, 256))) < 5


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags.tobytes()


def orientation_of(data: bytes) -> int:
    with Image.open(BytesIO(data)) as image:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_a_picture_that_is_encoded_anew_stands_upright(self, kind: str, orientation: int, coffee: Pixels) -> None:
        data = file_of(coffee, kind, exif=exif(orientation))
        assert orientation_of(data) == orientation
        with Image.open(BytesIO(data)) as image:
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        frame = JpegEncoder(200, 95).encode(Picture(encoded=data))
        size = (200, 300) if orientation >= 5 else (300, 200)
        assert (frame.width_px, frame.height_px) == size
        assert difference(decoded(frame.data), reference(upright, size)) < 6
        assert orientation_of(frame.data) == 1

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
    @pytest.mark.parametrize("length", [0, 4, 12, 13, 20, 24])
    def test_damaged_exif_means_upright(self, length: int, coffee: Pixels) -> None:
        block = exif(6)[:length]
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        data = file_of(coffee, "JPEG")
        frame = JpegEncoder(200).encode(Picture(encoded=data[:2] + segment + data[2:]))
        assert (frame.width_px, frame.height_px) == (300, 200)

    def test_sixteen_bit_grey_stands_upright_too(self, coffee: Pixels) -> None:
        buffer = BytesIO()
        Image.fromarray(coffee[:, :, 1].astype(np.uint16) * 257).save(buffer, "PNG", exif=exif(6))
        frame = JpegEncoder(200).encode(Picture(encoded=buffer.getvalue()))
        assert (frame.width_px, frame.height_px) == (200, 300)


class TestRefusing:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda _: b"",
            lambda _: b"no picture at all, but long enough to be one",
            lambda data: data[:20],
            lambda data: data[: len(data) // 2],
        ],
        ids=["empty", "text", "header", "half"],
    )
    @pytest.mark.parametrize("kind", TYPES)
    def test_bytes_that_cannot_be_decoded(self, kind: str, spoil: Callable[[bytes], bytes], coffee: Pixels) -> None:
        with pytest.raises(PictureError):
            JpegEncoder(64).encode(Picture(encoded=spoil(file_of(coffee, kind))))

    def test_a_header_is_read_even_where_bytes_pass(self) -> None:
        with pytest.raises(PictureError):
            JpegEncoder(None).encode(Picture(encoded=b"\xff\xd8\xff\xe0 and no more"))

    @pytest.mark.parametrize("kind", ["PNG", "BMP"])
    def test_a_bomb_is_refused_from_its_header(self, kind: str) -> None:
        data = bytearray(file_of(np.zeros((300, 300, 3), np.uint8), kind))
        at, order = (16, ">II") if kind == "PNG" else (18, "<ii")
        struct.pack_into(order, data, at, 20_000, 20_000)
        if kind == "PNG":
            struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
        with pytest.raises(PictureError, match="20000x20000 pixels"):
            JpegEncoder(256).encode(Picture(encoded=bytes(data)))

    def test_a_jpeg_of_too_many_scans_is_refused(self, coffee: Pixels) -> None:
        data = file_of(coffee, "JPEG", progressive=True)
        JpegEncoder(256).encode(Picture(encoded=data))
        scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00"
        with pytest.raises(PictureError, match="scans"):
            JpegEncoder(None).encode(Picture(encoded=data[:-2] + scan * 101 + data[-2:]))

    @pytest.mark.parametrize(
        "pixels",
        [
            np.zeros((10, 10), np.uint8),
            np.zeros((10, 10, 4), np.uint8),
            np.zeros((10, 10, 3), np.float32),
            np.zeros((0, 10, 3), np.uint8),
            np.broadcast_to(np.uint8(0), (10_000, 10_000, 3)),
            np.zeros((1, 65_501, 3), np.uint8),
        ],
    )
    def test_pixels_of_another_shape(self, pixels: Pixels) -> None:
        with pytest.raises(PictureError):
            JpegEncoder(256).encode(Picture(pixels=pixels))

    def test_a_picture_of_nothing(self) -> None:
        with pytest.raises(PictureError):
            JpegEncoder().encode(Picture())

    def test_settings_out_of_range(self) -> None:
        for short_side_px, quality in [(0, 85), (-1, 85), (70_000, 85), (256, 0), (256, 101)]:
            with pytest.raises(SourceSettingError):
                JpegEncoder(short_side_px, quality)

    def test_one_bad_picture_ends_nothing(self, coffee: Pixels) -> None:
        assert not PictureError.retriable
        encoder = JpegEncoder(100)
        with pytest.raises(PictureError):
            encoder.encode(Picture(encoded=b"junk"))
        assert encoder.encode(Picture(pixels=coffee)).height_px == 100


def header_of(data: bytes) -> tuple[str, int, int]:
    frame = JpegEncoder(None).encode(Picture(encoded=data))
    return frame.content_type, frame.width_px, frame.height_px


class TestHeader:
    @pytest.mark.parametrize("kind", TYPES)
    def test_size_and_type(self, kind: str, coffee: Pixels) -> None:
        data = file_of(coffee, kind)
        assert content_type_of(data[:MAGIC_BYTES]) == f"image/{kind.lower()}"
        assert header_of(data) == (f"image/{kind.lower()}", 600, 400)

    @pytest.mark.parametrize(
        "options", [{"lossless": True}, {"lossless": False}, {"exif": exif(1)}], ids=["VP8L", "VP8", "VP8X"]
    )
    def test_each_kind_of_webp(self, options: dict[str, object], coffee: Pixels) -> None:
        assert header_of(file_of(coffee[:123, :457], "WEBP", **options)) == ("image/webp", 457, 123)

    def test_a_bmp_from_the_top(self) -> None:
        data = bytearray(file_of(np.zeros((3, 5, 3), np.uint8), "BMP"))
        struct.pack_into("<i", data, 22, -3)
        assert header_of(bytes(data)) == ("image/bmp", 5, 3)

    def test_a_jpeg_of_several_pictures_is_a_jpeg(self, coffee: Pixels) -> None:
        buffer = BytesIO()
        Image.fromarray(coffee).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(coffee[::2, ::2])])
        assert header_of(buffer.getvalue()) == ("image/jpeg", 600, 400)

    @pytest.mark.parametrize(
        "text", [b"BMW is a maker of cars and engines", b"RIFF1234WAVE", b"GIF89a", b"\x00" * 40, b""]
    )
    def test_what_is_no_image(self, text: bytes) -> None:
        assert content_type_of(text) is None

    def test_a_photograph_taken_as_jpeg(self) -> None:
        data = (Path(skimage.__file__).parent / "data" / "rocket.jpg").read_bytes()
        height_px, width_px = simplejpeg.decode_jpeg(data).shape[:2]
        frame = JpegEncoder(256).encode(Picture(encoded=data))
        assert min(frame.width_px, frame.height_px) == 256
        assert frame.width_px / frame.height_px == pytest.approx(width_px / height_px, rel=0.01)
