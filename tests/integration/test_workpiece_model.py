"""The built-in model, on frames that it was not trained on, compressed and decoded as the engine does it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import simplejpeg
from numpy.typing import NDArray

import engine.models.builtin
from producers.sources.synthetic.workpiece import LABELS, WorkpieceRenderer

MODEL = Path(engine.models.builtin.__file__).parent / "workpiece.onnx"

#: Training used the seeds below 1,000,000.
UNSEEN_SEED = 77_000_000


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])


def unseen(count: int, quality: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = [], []
    for index in range(count):
        if index % 50 == 0:
            renderer = WorkpieceRenderer(UNSEEN_SEED + quality * 100 + index // 50)
        pixels, label = renderer.render()
        data = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420")
        images.append(
            simplejpeg.decode_jpeg(data, "RGB", fastdct=True, fastupsample=True, min_height=128, min_width=128)
        )
        labels.append(LABELS.index(label))
    return np.stack(images), np.array(labels)


def test_it_says_what_it_is(session: ort.InferenceSession) -> None:
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["batch", 128, 128, 3])
    assert (logits.name, logits.type, logits.shape) == ("logits", "tensor(float)", ["batch", 5])
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["streamer.labels"]) == list(LABELS)
    assert properties["streamer.name"] == "workpiece"
    assert properties["streamer.activation"] == "softmax"
    assert json.loads(properties["streamer.preprocessing"]) == {
        "short_side": 128,
        "crop": [128, 128],
        "mean": None,
        "std": None,
        "layout": "NHWC",
        "dtype": "uint8",
    }


def test_the_card_belongs_to_this_file() -> None:
    content = MODEL.read_bytes()
    card = MODEL.with_suffix(".md").read_text()
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content):,} bytes" in card
    assert len(content) < 1_000_000


@pytest.mark.parametrize("quality", [60, 85])
def test_it_tells_unseen_workpieces_apart(session: ort.InferenceSession, quality: int) -> None:
    images, labels = unseen(400, quality)
    (logits,) = session.run(None, {"image": images})
    assert (logits.argmax(axis=1) == labels).mean() >= 0.97


def test_a_frames_answer_does_not_depend_on_its_batch(session: ort.InferenceSession) -> None:
    images, _ = unseen(9, 85)
    (together,) = session.run(None, {"image": images})
    alone = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-4)
