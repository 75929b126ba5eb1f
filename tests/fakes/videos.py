"""Small H.264 files whose frames can be told apart."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def level_of(index: int) -> int:
    """The grey level of a video's frame; it repeats after 30."""
    return 30 + 6 * (index % 30)


def write_video(path: Path, frames: int = 10, width_px: int = 320, height_px: int = 240, fps: int = 20) -> Path:
    """Write a video: frame i is grey of `level_of(i)`, with a red upper left quarter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        for index in range(frames):
            stream_frame = av.VideoFrame.from_ndarray(_frame(index, width_px, height_px), format="rgb24")
            container.mux(stream.encode(stream_frame))
        container.mux(stream.encode())
    return path


def level_in(pixels: NDArray[np.uint8]) -> float:
    """The grey level of the lower right quarter of uint8[height, width, 3]."""
    height_px, width_px = pixels.shape[:2]
    return float(pixels[height_px * 5 // 8 :, width_px * 5 // 8 :].mean())


def _frame(index: int, width_px: int, height_px: int) -> NDArray[np.uint8]:
    frame = np.full((height_px, width_px, 3), level_of(index), np.uint8)
    frame[: height_px // 2, : width_px // 2] = (200, 20, 20)
    return frame
