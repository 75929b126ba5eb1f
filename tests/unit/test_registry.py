"""Back ends are found by name, and what is not asked for need not be there."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.backends.registry import backend_names, make_backend
from engine.errors import BackendError


def test_every_name_gives_the_back_end_of_that_name() -> None:
    assert set(backend_names()) == {"onnxruntime", "openvino", "qaic", "qnn", "qai_hub", "tinygrad", "simulator"}
    for name in backend_names():
        assert make_backend(name).name == name


@pytest.mark.parametrize(("name", "hint"), [("onnxrutime", "did you mean onnxruntime"), ("abacus", "there are onnx")])
def test_an_unknown_name_comes_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(BackendError, match=hint) as caught:
        make_backend(name)
    assert caught.value.exit_code == 2


def test_missing_software_is_a_back_end_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "engine.backends.onnxruntime", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match="onnxruntime cannot be loaded") as caught:
        make_backend("onnxruntime")
    assert caught.value.exit_code == 2


def test_only_the_back_end_itself_needs_its_software() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "import engine.backends.base, engine.backends.registry, engine.batching, engine.models.classifier\n"
        "import engine.pipeline.pipeline\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=root, check=True, timeout=60)
