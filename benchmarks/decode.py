"""CPU time of decoding one frame into its row, beside the usual way with Pillow, in the same run.

python benchmarks/decode.py [--rounds 7] [--frames 40]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header

LIMITS = ImageLimits()
#: What, width and height of the frame, and what becomes of it.
CASES = (
    ("256x256 in place", 256, 256, Resize(256, 256, 256)),
    ("256x256 at half scale", 256, 256, Resize(128, 128, 128)),
    ("256x256 cropped", 256, 256, Resize(256, 224, 224)),
    ("400x300", 400, 300, Resize(256, 224, 224)),
    ("640x480", 640, 480, Resize(256, 224, 224)),
    ("1280x720", 1280, 720, Resize(256, 224, 224)),
    ("1920x1080", 1920, 1080, Resize(256, 224, 224)),
)


def main() -> None:
    """Run as a command; the last line is JSON."""
    parser = argparse.ArgumentParser(description="CPU time of decoding.")
    parser.add_argument("--rounds", type=int, default=7, help="in each, ours and Pillow's take turns")
    parser.add_argument("--frames", type=int, default=40, help="frames of a round; large pictures take a tenth")
    arguments = parser.parse_args()
    report = {}
    for name, width_px, height_px, resize in CASES:
        frame = camera_frame(width_px, height_px)
        row = np.zeros((resize.height_px, resize.width_px, 3), np.uint8)
        frames = arguments.frames if width_px <= 256 else max(arguments.frames // 10, 1)
        ours, pillows = [], []
        for _ in range(arguments.rounds):
            ours.append(cpu_us(lambda: by_engine(frame, resize, row), frames))  # noqa: B023 - called at once
            pillows.append(cpu_us(lambda: by_pillow(frame, resize, row), frames))  # noqa: B023
        figures = {
            "bytes": len(frame),
            "ours_us": round(statistics.median(ours), 1),
            "pillow_us": round(statistics.median(pillows), 1),
            "ratio": round(statistics.median(ours) / statistics.median(pillows), 3),
        }
        report[name] = figures
        print(f"{name}: {figures['ours_us']} us, Pillow {figures['pillow_us']} us: {figures['ratio']} of it")
    print(json.dumps(report))


def camera_frame(width_px: int, height_px: int) -> bytes:
    """Return a JPEG that has about the detail of a camera's."""
    random = np.random.default_rng(5)
    coarse = Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width_px, height_px), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(noisy), quality=80, colorsubsampling="420")
    return data


def by_engine(frame: bytes, resize: Resize, row: NDArray[np.uint8]) -> None:
    """Check the header and decode into the row, as the consumer does."""
    decode_into(frame, read_header(frame, LIMITS), resize, row)


def by_pillow(frame: bytes, resize: Resize, row: NDArray[np.uint8]) -> None:
    """Decode, resize and crop with Pillow alone."""
    image = Image.open(BytesIO(frame)).convert("RGB")
    height_px, width_px = resize.resized(image.height, image.width)
    top, left = resize.offset(height_px, width_px)
    resized = image.resize((width_px, height_px), Image.Resampling.BILINEAR)
    row[:] = np.asarray(resized.crop((left, top, left + resize.width_px, top + resize.height_px)))


def cpu_us(decode: Callable[[], None], frames: int) -> float:
    """Return the CPU time of one frame, in µs."""
    begun_s = time.process_time()
    for _ in range(frames):
        decode()
    return (time.process_time() - begun_s) / frames * 1e6


if __name__ == "__main__":
    main()
