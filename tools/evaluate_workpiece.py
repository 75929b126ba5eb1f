"""Measure the built-in workpiece model on drawn frames that it has never seen, the way the engine sees them.

Each frame is drawn at 256 x 256, compressed as JPEG and decoded to 128 x 128 with DCT scaling. Run from the
repository's root:

    python tools/evaluate_workpiece.py [--frames 2000] [--json FILE]
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnxruntime as ort
import simplejpeg
from numpy.typing import NDArray

from producers.sources.synthetic.workpiece import LABELS, WorkpieceRenderer

MODEL = Path(__file__).parents[1] / "engine/models/builtin/workpiece.onnx"

#: Training uses the renderer seeds below this one, evaluation those from here on.
FIRST_UNSEEN_SEED = 1_000_000

#: A renderer keeps its belt, lamp and bodies, so many renderers of few frames vary more than few of many.
FRAMES_PER_RENDERER = 50

QUALITIES = (60, 70, 80, 85, 90, 95)
MODEL_SIDE_PX = 128


def frames(first_seed: int, count: int) -> Iterator[tuple[NDArray[np.uint8], int, int]]:
    """Draw frames and bring each through JPEG.

    Args:
        first_seed: The first renderer's seed; one more for every `FRAMES_PER_RENDERER` frames.
        count: How many frames.

    Yields:
        uint8[128, 128, 3], RGB, the index of its label, and the JPEG quality.
    """
    choice = Random(first_seed)
    for index in range(count):
        if index % FRAMES_PER_RENDERER == 0:
            renderer = WorkpieceRenderer(first_seed + index // FRAMES_PER_RENDERER)
        pixels, label = renderer.render()
        quality = choice.choice(QUALITIES)
        data = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420", fastdct=True)
        small = simplejpeg.decode_jpeg(
            data, "RGB", fastdct=True, fastupsample=True, min_height=MODEL_SIDE_PX, min_width=MODEL_SIDE_PX
        )
        yield small, LABELS.index(label), quality


def session(model: Path) -> ort.InferenceSession:
    """Open the model on one CPU thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def evaluate(model: Path, count: int, batch: int = 8) -> dict[str, Any]:
    """Classify `count` unseen frames.

    Returns:
        Accuracy, recall for each label, the confusion matrix (rows: truth, columns: answer), accuracy by JPEG
        quality, CPU time and the model file's size and digest; all fit for JSON.
    """
    runner = session(model)
    data = list(frames(FIRST_UNSEEN_SEED, count))
    images = np.stack([image for image, _, _ in data])
    truth = np.array([label for _, label, _ in data])
    quality = np.array([q for _, _, q in data])
    runner.run(None, {"image": images[:batch]})
    started = time.process_time()
    logits = [runner.run(None, {"image": images[i : i + batch]})[0] for i in range(0, count, batch)]
    cpu_s = time.process_time() - started
    answer = np.concatenate(logits).argmax(axis=1)
    confusion = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(confusion, (truth, answer), 1)
    content = model.read_bytes()
    return {
        "frames": count,
        "accuracy": float((truth == answer).mean()),
        "recall": {label: float(confusion[i, i] / max(1, confusion[i].sum())) for i, label in enumerate(LABELS)},
        "confusion": confusion.tolist(),
        "accuracy_by_quality": {str(q): float((truth == answer)[quality == q].mean()) for q in np.unique(quality)},
        "cpu_ms_per_image": cpu_s / count * 1e3,
        "batch": batch,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def show(report: dict[str, Any]) -> None:
    """Print a report as a table."""
    print(f"accuracy {report['accuracy']:.4f} on {report['frames']} unseen frames")
    print(f"{'truth':<8}  recall " + "".join(f"{label:>9}" for label in LABELS) + "   <- answer")
    for label, row in zip(LABELS, report["confusion"], strict=True):
        print(f"{label:<8}  {report['recall'][label]:.4f} " + "".join(f"{n:9d}" for n in row))
    print("by JPEG quality: " + ", ".join(f"{q}: {a:.4f}" for q, a in report["accuracy_by_quality"].items()))
    print(f"CPU {report['cpu_ms_per_image']:.3f} ms an image at batch {report['batch']}, one thread")
    print(f"file {report['bytes']} bytes, sha256 {report['sha256']}")


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description="Measure the built-in workpiece model on unseen frames.")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    arguments = parser.parse_args()
    report = evaluate(arguments.model, arguments.frames, arguments.batch)
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
