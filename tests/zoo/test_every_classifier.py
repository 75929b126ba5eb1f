"""Every classifier of the catalogue at its own image size, one after the other: `make test-zoo`."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.models.zoo.catalog import ARCHITECTURES
from tests.fakes.optional_backends import need
from tests.zoo.verification import assert_usable, verify


@pytest.mark.zoo
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_its_export_answers_as_torch_does(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    architecture = ARCHITECTURES[name]
    record_property("classifier", name)
    need("torch")
    need(architecture.origin)
    path = tmp_path / "model.onnx"
    try:
        verified = verify(architecture, path)
    finally:
        path.unlink(missing_ok=True)
        gc.collect()
    record_property("opset", verified.export.opset)
    record_property("dynamic batch", "yes" if verified.export.has_dynamic_batch else "no")
    record_property("max|Δ|/max|y|", f"{verified.agreement.relative_difference:.1e}")
    record_property("same top class", "yes" if verified.agreement.same_top_class else "no")
    assert_usable(verified)
