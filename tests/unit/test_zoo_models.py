"""A handful of small classifiers: built, exported, and asked. `make test-zoo` does it with all of them."""

import copy
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine.errors import BackendError, ModelError, OptionsError
from engine.models.zoo.agreement import AGREEMENT_BOUND
from engine.models.zoo.building import ZooModel, build
from engine.models.zoo.catalog import ARCHITECTURES
from engine.models.zoo.export import LARGEST_OPSET, export_onnx
from tests.fakes.optional_backends import need
from tests.zoo.verification import assert_usable, closest, pictures, run, verify

SIDE_PX = 64


@pytest.fixture(scope="module")
def _software() -> None:
    for module in ("torch", "torchvision", "transformers"):
        need(module)


@pytest.fixture(scope="module")
def squeezenet(_software: None) -> ZooModel:
    return build(ARCHITECTURES["squeezenet1_1"], "random", SIDE_PX)


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        "mobilenet_v3_small",
        "shufflenet_v2_x0_5",
        "vit-base-patch16-224",
    ],
)
@pytest.mark.usefixtures("_software")
def test_its_export_answers_as_torch_does_and_other_pictures_have_other_answers(name: str, tmp_path: Path) -> None:
    assert_usable(verify(ARCHITECTURES[name], tmp_path / "model.onnx", SIDE_PX))


@pytest.mark.usefixtures("_software")
def test_the_blocks_of_a_resnet_are_weakened_and_nothing_else() -> None:
    module = build(ARCHITECTURES["resnet18"], "random", SIDE_PX).module
    weights = {name: float(value[0]) for name, value in module.named_parameters() if value.ndim == 1}
    weakened = {name for name, value in weights.items() if value == 0.25}
    assert weakened == {f"layer{stage}.{block}.bn2.weight" for stage in (1, 2, 3, 4) for block in (0, 1)}
    assert weights["layer2.0.downsample.1.weight"] == weights["layer2.0.bn1.weight"] == 1


@pytest.mark.usefixtures("_software")
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 9), (6, 12), (8, 7), (13, 20)])
def test_pooling_that_can_be_exported_is_torchs(height: int, width: int) -> None:
    import torch

    from engine.models.zoo.from_torchvision import ExportablePool

    maps = torch.rand(2, 3, height, width)
    expected = torch.nn.functional.adaptive_avg_pool2d(maps, 6)
    assert torch.allclose(ExportablePool(6)(maps), expected, atol=1e-6)


@pytest.mark.usefixtures("_software")
def test_the_libraries_own_random_weights_would_prove_nothing() -> None:
    import torch
    from torchvision.models import get_model

    from engine.models.zoo.random_weights import seeded

    with seeded(0):
        plain = get_model("shufflenet_v2_x0_5", weights=None).eval()
    with torch.inference_mode():
        answers = plain(torch.from_numpy(pictures(SIDE_PX))).numpy()
    assert closest(answers) < AGREEMENT_BOUND


def test_a_seed_gives_the_same_weights_each_time_and_another_seed_others(squeezenet: ZooModel) -> None:
    import torch

    torch.manual_seed(1)
    drawn = torch.randn(4)
    torch.manual_seed(1)
    again = build(ARCHITECTURES["squeezenet1_1"], "random", SIDE_PX)
    assert torch.equal(torch.randn(4), drawn), "the caller's own sequence went on as if nothing was"
    other = build(ARCHITECTURES["squeezenet1_1"], "random", SIDE_PX, seed=1)
    batch = pictures(SIDE_PX)
    assert np.array_equal(again.answer(batch), squeezenet.answer(batch))
    assert np.abs(other.answer(batch) - squeezenet.answer(batch)).max() > 0.1


def test_the_opset_that_was_asked_for_is_the_files(squeezenet: ZooModel, tmp_path: Path) -> None:
    for opset in (11, 13, 17):
        export = export_onnx(squeezenet, tmp_path / "model.onnx", opset=opset)
        assert (export.opset, export.notes) == (opset, ())


def test_an_opset_too_small_for_the_network_is_raised_with_a_note(squeezenet: ZooModel, tmp_path: Path) -> None:
    smallest = squeezenet.architecture.smallest_opset
    export = export_onnx(squeezenet, tmp_path / "model.onnx", opset=1)
    assert export.opset == smallest
    assert export.notes == (f"opset 1 has not all operators of squeezenet1_1: the file has opset {smallest}",)


@pytest.mark.parametrize("opset", [0, -3, LARGEST_OPSET + 1])
def test_an_opset_that_is_never_exported_is_refused(squeezenet: ZooModel, tmp_path: Path, opset: int) -> None:
    with pytest.raises(OptionsError, match=f"^opset {opset}: torch exports squeezenet1_1 with "):
        export_onnx(squeezenet, tmp_path / "model.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_a_batch_without_pictures_is_refused(squeezenet: ZooModel, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"^batch size 0: "):
        export_onnx(squeezenet, tmp_path / "model.onnx", batch_size=0)


def test_constants_beyond_float16_are_clipped_and_noted(squeezenet: ZooModel, tmp_path: Path) -> None:
    import torch

    extreme = copy.deepcopy(squeezenet.module)
    with torch.no_grad():
        extreme.classifier[1].bias[:3] = torch.tensor([1e5, -1e6, 65504.0])
    export = export_onnx(ZooModel(squeezenet.architecture, extreme, "random", SIDE_PX), tmp_path / "model.onnx")
    assert export.notes == ("1 constants beyond float16 are clipped to ±65504: classifier.1.bias",)
    file = onnx.load(export.path)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    assert list(values["classifier.1.bias"][:3]) == [65504, -65504, 65504]
    assert all(np.abs(value).max() <= 65504 for value in values.values() if value.dtype == np.float32)
    batch = pictures(SIDE_PX, 1)
    assert run(export.path, batch)[0, 0] == pytest.approx(65504, rel=1e-3)


def test_a_place_that_cannot_be_written_is_one_line(squeezenet: ZooModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"^squeezenet1_1 cannot be exported to .*file/model.onnx with opset 13"
    ) as error:
        export_onnx(squeezenet, tmp_path / "file" / "model.onnx")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("_software")
@pytest.mark.parametrize(("name", "side_px"), [("squeezenet1_1", 8), ("alexnet", 32)])
def test_pictures_too_small_for_the_network_are_refused(name: str, side_px: int) -> None:
    with pytest.raises(OptionsError, match=f"^image size {side_px} is too small for {name}: ") as error:
        build(ARCHITECTURES[name], "random", side_px)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "side_px"), [("vit_b_32", 100), ("vit-base-patch16-224", 8), ("alexnet", 0)])
def test_a_size_that_is_no_size_is_refused_before_anything_is_imported(name: str, side_px: int) -> None:
    with pytest.raises(OptionsError, match=f"^image size {side_px}: {name} takes multiples of "):
        build(ARCHITECTURES[name], "pretrained", side_px)


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_missing_software_is_named_with_the_line_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing != "torch":
        need("torch")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BackendError) as error:
        build(ARCHITECTURES["resnet-152"], "random", SIDE_PX)
    assert str(error.value) == (
        f"classifier resnet-152 needs the Python package {missing}: pip install 'aic-streamer[classifiers]'"
    )
