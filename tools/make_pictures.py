"""Makes the picture of the README: workpieces as the synthetic camera draws them, and what the model says of each.

Run: `python tools/make_pictures.py`; it writes docs/images/workpieces.png.
"""

from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageDraw, ImageFont

from engine.backends.base import BackendOptions
from engine.backends.registry import make_backend
from engine.images.decode import decode_into
from engine.images.header import ImageLimits, read_header
from engine.models.classifier import open_classifier
from producers.sources.synthetic.workpiece import LABELS, WorkpieceRenderer

_TARGET = Path(__file__).parent.parent / "docs" / "images" / "workpieces.png"
_TILE_PX, _CAPTION_PX, _GAP_PX = 192, 26, 8


def main() -> None:
    """Draw one workpiece of each class, classify it, and write the sheet."""
    classifier = open_classifier("workpiece", make_backend("onnxruntime"), BackendOptions())
    spec = classifier.spec
    found: dict[str, bytes] = {}
    for seed in range(12, 60):
        pixels, truth = WorkpieceRenderer(seed).render()
        found.setdefault(truth, simplejpeg.encode_jpeg(pixels, quality=85, colorspace="RGB"))
    width = len(LABELS) * (_TILE_PX + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, _TILE_PX + _CAPTION_PX + 2 * _GAP_PX), "#16181d")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, label in enumerate(LABELS):
        data = found[label]
        rows = spec.preprocessing.rows(1)
        decode_into(data, read_header(data, ImageLimits()), spec.preprocessing.resize, rows[0])
        output = classifier.backend.submit({spec.input_name: rows}, 1).result().outputs[spec.output_name]
        scores = spec.probabilities(output)[0]
        best = int(np.argmax(scores))
        left = _GAP_PX + column * (_TILE_PX + _GAP_PX)
        picture = Image.fromarray(simplejpeg.decode_jpeg(data)).resize((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, _GAP_PX))
        draw.text((left + 2, _TILE_PX + _GAP_PX + 6), f"{spec.labels[best]}  {scores[best]:.2f}", "#d7dae0", font)
    classifier.backend.close()
    _TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(_TARGET, optimize=True)
    print(f"{_TARGET}: {_TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
