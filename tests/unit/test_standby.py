"""`--standby`: what can be said, what it comes to, and what is refused before anything is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from config.settings import Settings
from engine.backends.base import HostOptions
from engine.backends.failover import FailoverBackend, Standby
from engine.backends.onnxruntime import OnnxRuntimeBackend
from engine.backends.openvino.backend import OpenVinoBackend
from engine.backends.qaic.backend import QaicBackend
from engine.errors import ModelNotFoundError
from engine.models.files import BUILT_IN
from engine.models.store.store import ModelStore
from engine.session_keywords import read_keywords
from streamer.compose import classifier_of, engine_keywords
from streamer.standby import backend_of
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.qaic.sdk import nothing_installed

ROW = "resnet50/best-latency"


def backend_for(settings: Settings, model: str | None = "workpiece") -> Any:
    wanted = engine_keywords(settings) | {"device": settings.device}
    keywords = read_keywords(wanted, company="decoding", is_strict=False, open_batch=settings.batch_size)
    return backend_of(settings, keywords, wanted, model)


def standby_of(**said: Any) -> Standby:
    backend = backend_for(Settings(**said))
    assert isinstance(backend, FailoverBackend)
    return backend._standby


def test_without_a_word_there_is_none() -> None:
    assert type(backend_for(Settings(backend="onnxruntime"))) is OnnxRuntimeBackend


@pytest.mark.parametrize(
    ("backend", "said", "expected"),
    [
        ("qaic", "cpu", (OnnxRuntimeBackend, "cpu")),
        ("openvino", "cpu", (OnnxRuntimeBackend, "cpu")),
        ("onnxruntime", "openvino", (OpenVinoBackend, "CPU")),
        ("onnxruntime", "openvino:GPU.1", (OpenVinoBackend, "GPU.1")),
        ("onnxruntime", "cuda:1", (OnnxRuntimeBackend, "cuda:1")),
        ("onnxruntime", "onnxruntime:cuda:1", (OnnxRuntimeBackend, "cuda:1")),
        ("qaic", "1", (QaicBackend, "1")),
        ("qaic", "2:3", (QaicBackend, "2:3")),
        ("onnxruntime", "qaic", (QaicBackend, "0")),
    ],
)
def test_what_it_comes_to(backend: str, said: str, expected: tuple[type, str]) -> None:
    standby = standby_of(backend=backend, standby=said)
    assert (type(standby.backend), standby.device) == expected
    assert standby.model is not None
    assert standby.model.path == BUILT_IN["workpiece"]


def test_a_standby_on_the_same_back_end_has_the_same_options_and_another_only_the_time_out() -> None:
    shared = {"data_path_timeout": "3s", "batch_size": 4}
    same = standby_of(backend="simulator", row=ROW, device="0", standby="1", activations=3, **shared).options
    assert (same.device, same.keywords.num_activations, same.data_path_timeout_s) == ("1", 3, 3.0)
    other = standby_of(backend="simulator", row=ROW, standby="cpu", activations=3, **shared).options
    assert (other.keywords.num_activations, other.data_path_timeout_s, other.open_batch) == (2, 3.0, 4)
    assert other.own_of(HostOptions).inference_threads == 1, "the cores are shared with decoding"


def test_its_model_is_its_own_where_one_is_named(tmp_path: Path) -> None:
    qpc = tmp_path / "programqpc.bin"
    qpc.write_bytes(b"\x7c\xcd\xa1\x00")
    own = tmp_path / "own.onnx"
    own.write_bytes(BUILT_IN["workpiece"].read_bytes())
    settings = Settings(backend="qaic", standby="cpu", model=str(qpc), standby_model=str(own))
    backend = backend_for(settings, settings.model)
    assert backend._standby.model.path == own


def qpc_for_the_cpu(folder: Path) -> dict[str, Any]:
    (folder / "programqpc.bin").write_bytes(b"\x7c\xcd\xa1\x00")
    return {"backend": "qaic", "standby": "cpu", "model": str(folder / "programqpc.bin")}


def followed_model(folder: Path) -> dict[str, Any]:
    own = TinyClassifier(layout="NCHW", batch="batch").save(folder / "model.onnx")
    ModelStore(folder / "models").add(own, "gate", origin="a test")
    return {
        "backend": "qaic",
        "standby": "cpu",
        "model": "gate",
        "model_store": folder / "models",
        "standby_model": str(own),
    }


REFUSED: dict[str, tuple[Callable[[Path], dict[str, Any]], type[Exception], str]] = {
    "itself": (lambda _: {"backend": "onnxruntime", "standby": "cpu"}, ConfigError, "--standby cpu is the device"),
    "itself by name": (lambda _: {"backend": "openvino", "standby": "openvino:cpu"}, ConfigError, "is the device"),
    "itself, both by default": (lambda _: {"backend": "qaic", "standby": "qaic"}, ConfigError, "is the device"),
    "its own card": (lambda _: {"backend": "qaic", "device": "1", "standby": "1"}, ConfigError, "is the device"),
    "its default card": (lambda _: {"backend": "qaic", "device": "gate", "standby": "0"}, ConfigError, "is the device"),
    "a slip": (lambda _: {"backend": "qaic", "standby": "opnvino"}, ConfigError, "did you mean openvino"),
    "no such back end": (lambda _: {"backend": "qaic", "standby": "tpu:0"}, ConfigError, "no back end, and no device"),
    "no card of the CPU's": (lambda _: {"backend": "onnxruntime", "standby": "1"}, ConfigError, "of back end onnxr"),
    "a model without a standby": (lambda _: {"standby_model": "x.onnx"}, ConfigError, "--standby-model is the model"),
    "a QPC": (qpc_for_the_cpu, ConfigError, r"cannot take .*programqpc\.bin \(qpc\): .*--standby-model"),
    "no such model": (
        lambda _: {"backend": "qaic", "standby": "cpu", "standby_model": "none.onnx"},
        ModelNotFoundError,
        r"none\.onnx",
    ),
    "one file beside a model that changes": (followed_model, ConfigError, "model gate of the store may change"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_standby_is_refused_before_anything_is_opened(tmp_path: Path, name: str) -> None:
    said, kind, expected = REFUSED[name]
    # A card that is not there would be refused for another reason.
    with nothing_installed(), pytest.raises(kind, match=expected) as caught:
        classifier_of(Settings(**said(tmp_path)))
    assert "\n" not in str(caught.value)
