"""What users were promised of their own models; each test makes the model that somebody brings."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.backends.base import BackendOptions
from engine.backends.registry import make_backend
from engine.errors import BackendError, DeviceNotFoundError, EngineError, ModelError, ModelNotFoundError
from engine.errors import NotAClassifierError as NoClassifier
from engine.images.decode import Resize
from engine.models.classifier import Classifier, open_classifier
from engine.models.description import ModelDescription
from engine.models.files import BUILT_IN
from engine.models.graph import last_operator
from engine.models.spec import IMAGENET_MEAN, IMAGENET_STD
from tests.fakes import onnx_models
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, scripted_program

DEADLINE_S = 20.0
IMAGENET = ModelDescription(mean=IMAGENET_MEAN, std=IMAGENET_STD)


@contextmanager
def opened(path: Path | str, said: ModelDescription | None = None) -> Iterator[Classifier]:
    classifier = open_classifier(str(path), make_backend("onnxruntime"), BackendOptions(), said)
    try:
        yield classifier
    finally:
        classifier.backend.close()


def pictures(classifier: Classifier, count: int) -> NDArray[np.uint8]:
    """Flat pictures of random colours: random pixels would all have the same mean."""
    resize = classifier.spec.preprocessing.resize
    colours = np.random.default_rng(11).integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colours, (count, resize.height_px, resize.width_px, 3)))


def scores(classifier: Classifier, rows: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    spec = classifier.spec
    values = spec.preprocessing.model_input(rows)
    outputs = classifier.backend.submit({spec.input_name: values}, count).result(DEADLINE_S).outputs
    return spec.probabilities(outputs[spec.output_name])


def assert_scores(classifier: Classifier, model: TinyClassifier, tolerance: float = 1e-4) -> None:
    """The published scores are the probabilities that the model means, for every row."""
    count = classifier.program.max_rows or 3
    rows = pictures(classifier, count)
    expected = model.probabilities(classifier.spec.preprocessing.model_input(rows))
    np.testing.assert_allclose(scores(classifier, rows, count), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("uint8", 1e-4), ("float32", 1e-4), ("float16", 5e-3)])
@pytest.mark.parametrize("batch", ["N", onnx_models.UNNAMED, -1, 1, 3], ids=str)
def test_every_layout_type_and_batch(tmp_path: Path, layout: Any, dtype: Any, tolerance: float, batch: Any) -> None:
    model = TinyClassifier(layout=layout, dtype=dtype, batch=batch)
    with opened(model.save(tmp_path / "m.onnx")) as classifier:
        assert classifier.spec.preprocessing.layout == layout
        assert classifier.spec.preprocessing.dtype == np.dtype(dtype)
        assert classifier.program.max_rows == (batch if batch in (1, 3) else None)
        assert_scores(classifier, model, tolerance)


@pytest.mark.parametrize("end", ["logits", "softmax", "log-softmax", "sigmoid", "decomposed-softmax"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("gain", [0.05, 4.0])
def test_a_score_is_a_probability_whatever_the_graph_ends_in(tmp_path: Path, end: Any, dtype: Any, gain: float) -> None:
    for trailing_ones in (0, 2):
        model = TinyClassifier(end=end, dtype=dtype, gain=gain, trailing_ones=trailing_ones)
        with opened(model.save(tmp_path / "m.onnx")) as classifier:
            assert_scores(classifier, model, 5e-3 if dtype == "float16" else 1e-4)


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_a_sigmoid_is_known_by_the_graph_and_logits_between_0_and_1_are_no_probabilities(
    tmp_path: Path, classes: int
) -> None:
    sigmoid = TinyClassifier(end="sigmoid", classes=classes)
    with opened(sigmoid.save(tmp_path / "sigmoid.onnx")) as classifier:
        assert classifier.spec.activation == "none"
    bright = onnx_models.save_with_features(tmp_path / "logits.onnx")  # the mean colour, 0 to 1
    said = ModelDescription(mean=(0, 0, 0), std=(1, 1, 1))
    with opened(bright, said) as classifier:
        assert classifier.spec.activation == "softmax"


def test_the_operator_that_ends_a_graph_is_read_from_the_file(tmp_path: Path) -> None:
    ends = {"logits": "MatMul", "softmax": "Softmax", "log-softmax": "LogSoftmax", "sigmoid": "Sigmoid"}
    for end, operator in ends.items():
        for dtype in ("float32", "float16"):
            model: Any = TinyClassifier(end=end, dtype=dtype, classes=300)  # type: ignore[arg-type]
            assert last_operator(model.save(tmp_path / "m.onnx"), "answer") == operator
    assert last_operator(BUILT_IN["workpiece"], "logits") == "Gemm"
    assert last_operator(tmp_path / "m.onnx", "unheard") is None


def test_a_file_that_is_no_graph_has_no_operator(tmp_path: Path) -> None:
    whole = TinyClassifier().save(tmp_path / "m.onnx").read_bytes()
    assert last_operator(tmp_path / "missing", "answer") is None
    for content in (b"", b"text and more", bytes(50), b"\xff" * 50, *(whole[:cut] for cut in range(1, len(whole), 7))):
        (tmp_path / "cut").write_bytes(content)
        assert last_operator(tmp_path / "cut", "answer") in {None, "MatMul"}


def test_what_the_user_says_of_the_activation_wins(tmp_path: Path) -> None:
    path = TinyClassifier(end="softmax").save(tmp_path / "m.onnx")
    with opened(path, ModelDescription(activation="softmax")) as classifier:
        assert classifier.spec.activation == "softmax"
    with opened(path) as classifier:
        assert classifier.spec.activation == "none"


@pytest.mark.parametrize("opset", [7, 11, 13, 17, 18, 21])
def test_every_opset(tmp_path: Path, opset: int) -> None:
    model = TinyClassifier(opset=opset, end="softmax" if opset >= 13 else "logits")
    with opened(model.save(tmp_path / "m.onnx")) as classifier:
        assert_scores(classifier, model)


@pytest.mark.parametrize(
    "options",
    [
        {"trailing_ones": 1},
        {"trailing_ones": 2},
        {"leading_ones": 2},
        {"is_silent": True},
        {"is_silent": True, "trailing_ones": 2, "end": "softmax"},
    ],
    ids=str,
)
def test_classes_may_stand_among_axes_of_one(tmp_path: Path, options: dict[str, Any]) -> None:
    model = TinyClassifier(**options)
    with opened(model.save(tmp_path / "m.onnx")) as classifier:
        assert len(classifier.spec.labels) == 4
        assert_scores(classifier, model)


def test_the_output_with_the_classes_is_found_among_others(tmp_path: Path) -> None:
    with opened(onnx_models.save_with_features(tmp_path / "m.onnx")) as classifier:
        assert classifier.spec.output_name == "classes"


def test_weights_among_the_inputs_are_no_second_input(tmp_path: Path) -> None:
    with opened(onnx_models.save_old_style(tmp_path / "m.onnx")) as classifier:
        assert classifier.spec.input_name == "image"


def test_padded_rows_change_no_answer_and_give_none(tmp_path: Path) -> None:
    model = TinyClassifier(dtype="uint8", layout="NHWC", batch=8)
    with opened(model.save(tmp_path / "m.onnx")) as classifier:
        rows = pictures(classifier, 8)
        expected = model.probabilities(rows)
        for count in range(1, 9):
            padded = np.concatenate([rows[:count], 255 - rows[count:]])
            np.testing.assert_allclose(scores(classifier, padded, count), expected[:count], rtol=0, atol=1e-4)


def test_any_batch_takes_every_size(tmp_path: Path) -> None:
    model = TinyClassifier(batch=-1)
    with opened(model.save(tmp_path / "m.onnx")) as classifier:
        for count in (1, 2, 8, 17):
            rows = pictures(classifier, count)
            expected = model.probabilities(classifier.spec.preprocessing.model_input(rows))
            np.testing.assert_allclose(scores(classifier, rows, count), expected, rtol=0, atol=1e-4)


class TestPreprocessing:
    def test_a_bare_float_model_has_imagenets_and_says_so(self, tmp_path: Path) -> None:
        model = TinyClassifier(height="h", width="w")
        with opened(model.save(tmp_path / "m.onnx")) as classifier:
            preprocessing = classifier.spec.preprocessing
            assert preprocessing.resize == Resize(256, 224, 224)
            assert (preprocessing.mean, preprocessing.std) == (IMAGENET_MEAN, IMAGENET_STD)
            said = classifier.spec.assumptions[0]
            assert "short side 256" in said
            assert "224×224" in said
            assert "ImageNet's mean and deviation" in said

    @pytest.mark.parametrize(("side", "short"), [(224, 256), (299, 342), (32, 37), (384, 439)])
    def test_the_graphs_own_size_is_the_crop(self, tmp_path: Path, side: int, short: int) -> None:
        with opened(TinyClassifier(height=side, width=side).save(tmp_path / "m.onnx")) as classifier:
            assert classifier.spec.preprocessing.resize == Resize(short, side, side)

    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    def test_height_is_told_from_width(self, tmp_path: Path, layout: Any) -> None:
        model = TinyClassifier(layout=layout, dtype="uint8", height=40, width=56)
        with opened(model.save(tmp_path / "m.onnx")) as classifier:
            assert classifier.spec.preprocessing.resize == Resize(56, 40, 56)
            assert_scores(classifier, model)

    def test_a_bare_uint8_model_takes_the_resized_pixels_as_they_are(self, tmp_path: Path) -> None:
        with opened(TinyClassifier(dtype="uint8").save(tmp_path / "m.onnx")) as classifier:
            preprocessing = classifier.spec.preprocessing
            assert preprocessing.resize == Resize(32, 32, 32)
            assert (preprocessing.mean, preprocessing.std) == (None, None)
            assert not any("preprocessing" in said for said in classifier.spec.assumptions)

    def test_uint8_of_any_size_is_224(self, tmp_path: Path) -> None:
        model = TinyClassifier(dtype="uint8", height=onnx_models.UNNAMED, width=onnx_models.UNNAMED)
        with opened(model.save(tmp_path / "m.onnx")) as classifier:
            assert classifier.spec.preprocessing.resize == Resize(224, 224, 224)

    def test_the_half_that_nobody_described_is_said(self, tmp_path: Path) -> None:
        path = TinyClassifier().save(tmp_path / "m.onnx")
        with opened(path, ModelDescription(mean=(0, 0, 0), std=(1, 1, 1))) as classifier:
            assert "short side 37" in classifier.spec.assumptions[0]
            assert "ImageNet's mean" not in classifier.spec.assumptions[0]
        with opened(path, ModelDescription(short_side_px=40)) as classifier:
            assert "ImageNet's mean" in classifier.spec.assumptions[0]
            assert "short side" not in classifier.spec.assumptions[0].partition("(")[0]

    def test_nothing_is_assumed_where_everything_is_described(self, tmp_path: Path) -> None:
        described = ModelDescription(
            labels=("a", "b", "c", "d"), short_side_px=36, mean=(0.1, 0.2, 0.3), std=(1, 0.5, 0.25)
        )
        with opened(TinyClassifier().save(tmp_path / "m.onnx"), described) as classifier:
            assert classifier.spec.assumptions == ()
            assert classifier.spec.preprocessing.resize == Resize(36, 32, 32)
            assert classifier.spec.preprocessing.mean == (0.1, 0.2, 0.3)

    def test_the_user_wins_over_the_toml_file_and_that_over_the_metadata(self, tmp_path: Path) -> None:
        metadata = {
            "streamer.name": "meta",
            "streamer.labels": json.dumps(["a", "b", "c", "d"]),
            "streamer.preprocessing": json.dumps({"short_side": 33, "mean": [0.1, 0.1, 0.1], "std": [1, 1, 1]}),
        }
        path = TinyClassifier(metadata=metadata).save(tmp_path / "m.onnx")
        with opened(path) as classifier:
            spec = classifier.spec
            assert (spec.name, spec.labels) == ("meta", ("a", "b", "c", "d"))
            assert (spec.preprocessing.resize.short_side_px, spec.preprocessing.mean) == (33, (0.1, 0.1, 0.1))
        (tmp_path / "model.toml").write_text('name = "toml"\n[preprocessing]\nshort_side = 34')
        with opened(path) as classifier:
            spec = classifier.spec
            assert (spec.name, spec.labels[0]) == ("toml", "a")
            assert (spec.preprocessing.resize.short_side_px, spec.preprocessing.mean) == (34, (0.1, 0.1, 0.1))
        with opened(path, ModelDescription(short_side_px=35)) as classifier:
            assert classifier.spec.name == "toml"
            assert classifier.spec.preprocessing.resize.short_side_px == 35

    def test_the_layout_of_an_input_of_any_size_is_the_users_to_say(self, tmp_path: Path) -> None:
        model = TinyClassifier(layout="NHWC", height=None, width=None, channels=None)
        path = model.save(tmp_path / "m.onnx")
        with pytest.raises(NoClassifier, match="--model-layout"), opened(path):
            pass
        with opened(path, ModelDescription(layout="NHWC")) as classifier:
            assert_scores(classifier, model)

    @pytest.mark.parametrize(
        ("options", "toml", "named"),
        [
            ({}, "crop = [16, 16]", r"crop is \[16, 16\]"),
            ({}, "short_side = 31", "short side 31 is below"),
            ({}, 'layout = "NHWC"', "32 channels"),
            ({}, 'dtype = "uint8"', "not uint8"),
            ({"dtype": "uint8"}, "mean = [0, 0, 0]\nstd = [1, 1, 1]", "without mean and std"),
        ],
    )
    def test_a_description_that_contradicts_the_graph_is_refused(
        self, tmp_path: Path, options: dict[str, Any], toml: str, named: str
    ) -> None:
        (tmp_path / "model.toml").write_text(f"[preprocessing]\n{toml}")
        with pytest.raises(ModelError, match=named), opened(TinyClassifier(**options).save(tmp_path / "m.onnx")):
            pass

    def test_a_crop_for_an_input_of_any_size(self, tmp_path: Path) -> None:
        (tmp_path / "model.toml").write_text("[preprocessing]\ncrop = [20, 30]")
        with opened(TinyClassifier(height="h", width="w").save(tmp_path / "m.onnx")) as classifier:
            assert classifier.spec.preprocessing.resize == Resize(34, 20, 30)


class TestLabels:
    def test_without_labels_classes_are_numbered(self, tmp_path: Path) -> None:
        for classes in (2, 999, 1001):
            with opened(TinyClassifier(classes=classes).save(tmp_path / "m.onnx")) as classifier:
                assert classifier.spec.labels == tuple(f"class_{number}" for number in range(classes))
                assert "labels are not given" in classifier.spec.assumptions[-1]

    def test_a_thousand_classes_are_imagenets(self, tmp_path: Path) -> None:
        with opened(TinyClassifier(classes=1000).save(tmp_path / "m.onnx")) as classifier:
            assert len(classifier.spec.labels) == 1000
            assert classifier.spec.labels[0].startswith("tench")
            assert "ImageNet" in classifier.spec.assumptions[-1]

    def test_a_thousand_labels_of_ones_own_are_kept(self, tmp_path: Path) -> None:
        own = tuple(f"part {number}" for number in range(1000))
        path = TinyClassifier(classes=1000).save(tmp_path / "m.onnx")
        with opened(path, ModelDescription(labels=own)) as classifier:
            assert classifier.spec.labels == own

    @pytest.mark.parametrize("count", [1, 3, 5])
    def test_labels_that_do_not_match_the_classes_are_refused_with_both_numbers(
        self, tmp_path: Path, count: int
    ) -> None:
        path = TinyClassifier().save(tmp_path / "m.onnx")
        with pytest.raises(ModelError, match=rf"m\.onnx has 4 classes and {count} labels"):
            open_classifier(
                str(path), make_backend("onnxruntime"), BackendOptions(), ModelDescription(labels=("x",) * count)
            )


SPOILED: dict[str, tuple[Callable[[Path], object], type[EngineError], str]] = {
    "missing": (lambda _: None, ModelNotFoundError, "give the path"),
    "a folder": (lambda path: path.mkdir(), ModelNotFoundError, "give the path"),
    "empty": (lambda path: path.write_bytes(b""), ModelError, "cannot load"),
    "text": (lambda path: path.write_text("hello\nworld"), ModelError, "cannot load"),
    "cut": (
        lambda path: path.write_bytes(TinyClassifier().save(path).read_bytes()[:200]),
        ModelError,
        "cannot load",
    ),
    "unsupported operator": (onnx_models.save_unsupported_operator, ModelError, "Unheard"),
    "detector": (onnx_models.save_detector, NoClassifier, "one value for each"),
    "open detector": (lambda path: onnx_models.save_detector(path, is_open=True), NoClassifier, "one value for each"),
    "regressor": (onnx_models.save_regressor, NoClassifier, "one value per class"),
    "silent regressor": (lambda path: TinyClassifier(classes=1, is_silent=True).save(path), NoClassifier, "one value"),
    "segmenter": (onnx_models.save_segmenter, NoClassifier, "one value per class"),
    "one number a batch": (onnx_models.save_summary, NoClassifier, "one value for each"),
    "two inputs": (onnx_models.save_two_inputs, NoClassifier, "2 inputs"),
    "one picture at a time": (onnx_models.save_one_at_a_time, ModelError, "random pixels"),
    "not a number": (onnx_models.save_nan, ModelError, "NaN"),
    "grey": (lambda path: TinyClassifier(channels=1).save(path), NoClassifier, "3 channels"),
    "float64": (lambda path: TinyClassifier(dtype="float64").save(path), NoClassifier, "float64"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_cannot_be_used_is_named_in_one_line_with_exit_2(tmp_path: Path, name: str) -> None:
    spoil, kind, says = SPOILED[name]
    path = tmp_path / "model.onnx"
    spoil(path)
    backend = make_backend("onnxruntime")
    with pytest.raises(kind, match=says) as caught:
        open_classifier(str(path), backend, BackendOptions())
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert caught.value.exit_code == 2
    assert not backend.health().is_ready, "closed again"


@pytest.mark.parametrize("name", ["workpeice", "a" * 5000, "null\0byte", "~nobody-of-this-name/m.onnx", ""])
def test_names_that_are_no_files_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"workpiece") as caught:
        open_classifier(name, make_backend("onnxruntime"), BackendOptions())
    assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = TinyClassifier().save(tmp_path / "m.onnx")
    path.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"), opened(path):
        pass


def test_a_bad_flag_is_refused_before_the_model_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the settings"):
        open_classifier("workpiece", ScriptedBackend(), BackendOptions(), ModelDescription(std=(1, 1, 1)))


def test_a_device_that_fails_the_trial_is_a_model_error(tmp_path: Path) -> None:
    backend = ScriptedBackend(Script(failures={0: "out of memory"}))
    with pytest.raises(ModelError, match="out of memory"):
        open_classifier(str(save_scripted_model(tmp_path / "m")), backend, BackendOptions())
    assert not backend.health().is_ready


def test_any_back_end_will_do(tmp_path: Path) -> None:
    backend = ScriptedBackend(Script(scripted_program(metadata={"streamer.labels": '["r", "g", "b"]'})))
    classifier = open_classifier(str(save_scripted_model(tmp_path / "m")), backend, BackendOptions())
    assert classifier.spec.labels == ("r", "g", "b")
    assert classifier.spec.activation == "softmax"
    backend.close()


def test_the_built_in_model() -> None:
    with opened("workpiece") as classifier:
        spec = classifier.spec
        assert (spec.name, spec.labels) == ("workpiece", ("ok", "scratch", "dent", "crack", "hole"))
        assert spec.preprocessing.takes_pixels
        assert spec.assumptions == ()
        assert spec.digest.startswith("sha256:")


def test_an_unknown_back_end_is_named_with_a_hint() -> None:
    with pytest.raises(BackendError, match="did you mean onnxruntime") as caught:
        make_backend("onnxruntme")
    assert caught.value.exit_code == 2


def test_an_unknown_device_closes_the_back_end() -> None:
    backend = make_backend("onnxruntime")
    with pytest.raises(DeviceNotFoundError):
        open_classifier("workpiece", backend, BackendOptions(device="7"))
    assert not backend.health().is_ready
