"""Checks of the model, and of the device that runs it."""

import time
from collections.abc import Sequence

import numpy as np

from config.settings import Settings
from engine.models.classifier import Classifier
from streamer.compose import classifier_of
from streamer.doctor.check import Finding

_BATCHES = 5
_ANSWER_TIMEOUT_S = 30.0


def model_and_device(settings: Settings) -> Sequence[Finding]:
    """Open the model where `streamer consume` would, ask the device how it is, and measure a micro-batch.

    Raises:
        EngineError: The model, the back end or the device cannot be used.
    """
    began_s = time.monotonic()
    classifier = classifier_of(settings)
    took_s = time.monotonic() - began_s
    try:
        return [_model(classifier, took_s), _device(classifier, settings)]
    finally:
        classifier.backend.close()


def _model(classifier: Classifier, took_s: float) -> Finding:
    spec = classifier.spec
    resize = spec.preprocessing.resize
    found = (
        f"{spec.name}: {len(spec.labels)} classes, {resize.width_px}×{resize.height_px} px, {spec.digest[:19]}…, "
        f"opened in {took_s:.1f} s"
    )
    return Finding("model", "ok", "; ".join([found, *spec.assumptions]))


def _device(classifier: Classifier, settings: Settings) -> Finding:
    health = classifier.backend.health()
    if not health.is_ready:
        return Finding("device", "fail", health.detail, "choose another with --backend")
    spec = classifier.spec
    count = classifier.program.max_rows or settings.batch_size
    resize = spec.preprocessing.resize
    pixels = np.zeros((count, resize.height_px, resize.width_px, 3), np.uint8)
    rows = spec.preprocessing.model_input(pixels)
    took_s = []
    for _ in range(_BATCHES):
        inference = classifier.backend.submit({spec.input_name: rows}, count).result(_ANSWER_TIMEOUT_S)
        took_s.append(inference.finished_at_s - inference.started_at_s)
    found = f"{health.detail}; a micro-batch of {count} takes {sorted(took_s)[_BATCHES // 2] * 1000:.1f} ms"
    return Finding("device", "ok", found)
