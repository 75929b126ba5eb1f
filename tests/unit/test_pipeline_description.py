"""Pipelines in TOML: what they may say, and what they build."""

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError, ImageError, PipelineError
from engine.pipeline.description import pipeline_from_toml
from engine.pipeline.step import Step
from engine.pipeline.tables import PipelineDescription, StepDescription, parse_pipeline
from engine.pipeline.warm_up import Warmup
from tests.fakes.deadlines import photo
from tests.fakes.onnx_models import TinyClassifier, save_segmenter

WHOLE = """
max_in_flight = 9

[[step]]
name = "decode"
use = "decode"
parallel_steps = 2

[[step]]
name = "classify"
model = "workpiece"
max_batch_size = 4
batch_timeout = "5ms"
warmup = "none"
backend = "onnxruntime"
session = { device = "cpu" }

[[step]]
name = "label"
use = "labels"
top = 3
after = ["classify"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "line.toml"
    path.write_text(dedent(text))
    return path


def parsed(*steps: dict[str, Any], **root: Any) -> PipelineDescription:
    return parse_pipeline({"step": list(steps), **root}, "line.toml")


def test_a_table_becomes_a_description() -> None:
    description = parsed(
        {"name": "decode", "use": "decode", "parallel_steps": 0},
        {"name": "m", "model": "m.onnx", "max_batch_size": 0, "batch_timeout": "1.5s", "warmup": "none"},
        {"name": "own", "python": "pkg.mod:Thing.call", "max_batch_size": 2, "after": ["m", "decode"]},
        max_in_flight=3,
    )
    assert description == PipelineDescription(
        "line.toml",
        (
            StepDescription("decode", "decode", parallel_steps=0),
            StepDescription("m", "model", max_batch_size=0, batch_timeout_s=1.5, model="m.onnx", warmup=Warmup.NONE),
            StepDescription("own", "python", ("m", "decode"), max_batch_size=2, function="pkg.mod:Thing.call"),
        ),
        3,
    )


def test_a_whole_file_classifies_pictures(tmp_path: Path) -> None:
    pipeline = pipeline_from_toml(write(tmp_path, WHOLE))
    assert pipeline.bound() == 9
    assert [step.parallel_steps for step in pipeline.steps] == [2, 1, 1]
    assert [step.max_batch_size for step in pipeline.steps] == [None, 4, None]
    assert pipeline.steps[1].batch_timeout_s == 0.005
    with pipeline:
        good, bad, text = pipeline.run([photo(), b"\xff\xd8\xff\xc0 no picture", "a name"])
    value = good.unwrap()
    assert len(value["classes"]) == 3
    assert value["classes"][0] == {"label": value["label"], "score": value["score"]}
    scores = [found["score"] for found in value["classes"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1.0001
    assert isinstance(bad.error, ImageError)
    assert isinstance(text.error, ImageError)


def test_one_picture_gives_the_same_answer_here_as_by_hand(tmp_path: Path) -> None:
    """A float model with NCHW: decode gives pixels, the model step does the rest of its preprocessing."""
    model = TinyClassifier(end="softmax")
    model.save(tmp_path / "tiny.onnx")
    (tmp_path / "tiny.toml").write_text("")
    text = f"""
        [[step]]
        name = "decode"
        use = "decode"
        [[step]]
        name = "keep"
        python = "builtins:tuple"
        max_batch_size = 4
        batch_timeout = "1ms"
        [[step]]
        name = "classify"
        model = "{tmp_path / "tiny.onnx"}"
        max_batch_size = 2
        [[step]]
        name = "label"
        use = "labels"
        """
    pipeline = pipeline_from_toml(write(tmp_path, text), keywords={"backend": "onnxruntime"})
    with pipeline:
        outcomes = [outcome.unwrap() for outcome in pipeline.run([photo(32, 32), photo(40, 50), photo(64, 48)])]
    assert [set(outcome) for outcome in outcomes] == [{"label", "score", "classes"}] * 3
    assert all(len(outcome["classes"]) == 4 for outcome in outcomes)
    assert all(outcome["label"].startswith("class_") for outcome in outcomes)


def test_a_model_that_nothing_decodes_for_takes_arrays(tmp_path: Path) -> None:
    save_segmenter(tmp_path / "mask.onnx")
    text = f"""
        [[step]]
        name = "mask"
        model = "{tmp_path / "mask.onnx"}"
        """
    with pipeline_from_toml(write(tmp_path, text), keywords={"backend": "onnxruntime"}) as pipeline:
        (outcome,) = pipeline.run([np.full((3, 32, 32), -1, np.float32)])
    assert not outcome.unwrap().any()


def test_own_code_is_imported_from_where_the_caller_says_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_steps.py").write_text("def double(item):\n    return item * 2\n\nNUMBER = 3\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = """
        [[step]]
        name = "own"
        python = "my_steps:{name}"
        """
    path = write(tmp_path, text.format(name="double"))
    with pytest.raises(PipelineError, match=r"line.toml: step own: python = 'my_steps:double' cannot be imported"):
        pipeline_from_toml(path)
    with pipeline_from_toml(path, import_from=tmp_path) as pipeline:
        assert [outcome.unwrap() for outcome in pipeline.run([1, 2])] == [2, 4]
    with pytest.raises(PipelineError, match="python = 'my_steps:NUMBER' is no function"):
        pipeline_from_toml(write(tmp_path, text.format(name="NUMBER")))
    with pytest.raises(PipelineError, match="python = 'my_steps:triple' is not there"):
        pipeline_from_toml(write(tmp_path, text.format(name="triple")))


DECODE = {"name": "decode", "use": "decode"}
MODEL = {"name": "classify", "model": "workpiece"}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], r"line.toml: a pipeline needs at least one \[\[step\]\] table"),
        ([{"use": "decode"}], "line.toml: step 1 has no name"),
        ([{"name": 3, "use": "decode"}], "line.toml: step 1: name is 3: give some text"),
        ([DECODE | {"paralel_steps": 2}], "step decode: unknown key paralel_steps: did you mean parallel_steps?"),
        ([DECODE | {"top": 2}], "step decode: unknown key top: that is not for a step with use = 'decode'"),
        ([DECODE | {"use": "decod"}], "step decode: use is 'decod': did you mean decode?"),
        ([DECODE | {"use": "xyz"}], "use is 'xyz': there are decode, model, labels"),
        ([{"name": "idle"}], "step idle does nothing: write use = "),
        ([{"name": "m", "use": "model"}], "step m: which model"),
        ([MODEL | {"use": "decode"}], "step classify has use = 'decode' and model = …: a step does one thing"),
        ([MODEL | {"python": "a:b"}], "step classify has model = … and python = …: a step does one thing"),
        ([{"name": "p", "python": "module.function"}], "python is 'module.function': give \"package.module:function\""),
        ([DECODE | {"parallel_steps": -1}], "parallel_steps is -1: give a whole number from 0"),
        ([DECODE | {"parallel_steps": True}], "parallel_steps is True"),
        ([MODEL | {"parallel_steps": 0}], "parallel_steps is 0: give a whole number from 1"),
        ([MODEL | {"max_batch_size": "4"}], "max_batch_size is '4'"),
        ([MODEL | {"batch_timeout": 20}], "batch_timeout is 20: give some text"),
        ([MODEL | {"batch_timeout": "20"}], "batch_timeout is '20': give a time with its unit, such as \"20ms\""),
        ([MODEL | {"warmup": "random"}], "warmup is 'random': did you mean random-data?"),
        ([MODEL | {"backend": "onnxrutime"}], "backend is 'onnxrutime': did you mean onnxruntime?"),
        ([DECODE | {"after": "x"}], "after is 'x': give a list of steps"),
        ([DECODE | {"after": [1]}], r"after is \[1\]: give a list of steps"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_step_and_key(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(PipelineError, match=message) as caught:
        parsed(*steps)
    assert str(caught.value).startswith("line.toml: ")
    assert "\n" not in str(caught.value)


def test_unknown_keys_before_the_steps_are_named() -> None:
    with pytest.raises(PipelineError, match=r"line.toml: unknown key steps: did you mean step\?"):
        parse_pipeline({"steps": []}, "line.toml")
    with pytest.raises(PipelineError, match=r"line.toml: max_in_flight is 0"):
        parsed(DECODE, max_in_flight=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[step]]\nname = "d"\nuse = "decode"', "step d .use = 'decode'. has to be followed by a model step"),
        ('[[step]]\nname = "l"\nuse = "labels"', "step l .use = 'labels'. has to be after a model step"),
        (
            WHOLE.replace('after = ["classify"]', 'after = ["clasify"]'),
            "'clasify', which is no step here: did you mean",
        ),
        (WHOLE.replace("max_batch_size = 4", "max_batch_size = 0"), "pass max_batch_size=1 or more"),
        ("[[step]", "is no TOML"),
    ],
)
def test_what_cannot_be_built_is_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PipelineError, match=message) as caught:
        pipeline_from_toml(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there_or_a_model_that_is_not(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read: No such file"):
        pipeline_from_toml(tmp_path / "none.toml")
    with pytest.raises(EngineError, match=r"nothing.onnx"):
        pipeline_from_toml(write(tmp_path, WHOLE.replace("workpiece", "nothing.onnx")))


def test_one_decoder_serves_two_models_only_where_they_take_one_size(tmp_path: Path) -> None:
    TinyClassifier().save(tmp_path / "small.onnx")
    text = f"""
        [[step]]
        name = "decode"
        use = "decode"
        [[step]]
        name = "one"
        model = "{tmp_path / "small.onnx"}"
        [[step]]
        name = "two"
        model = "{{other}}"
        after = ["decode"]
        [[step]]
        name = "label"
        use = "labels"
        after = ["{{after}}]
        """
    same = text.replace("{other}", str(tmp_path / "small.onnx"))
    with pipeline_from_toml(
        write(tmp_path, same.replace("{after}", 'two"')), keywords={"backend": "onnxruntime"}
    ) as pipeline:
        (outcome,) = pipeline.run([photo()])
    assert set(outcome.unwrap()) == {"one", "label"}
    both = same.replace("{after}", 'one", "two"')
    with pytest.raises(PipelineError, match="step label reads one and two: write a step with labels for each"):
        pipeline_from_toml(write(tmp_path, both), keywords={"backend": "onnxruntime"})
    other = text.replace("{other}", "workpiece").replace("{after}", 'two"')
    with pytest.raises(PipelineError, match="step decode decodes for one and two, which take pictures of different"):
        pipeline_from_toml(write(tmp_path, other), keywords={"backend": "onnxruntime"})


def test_what_is_built_can_be_configured(tmp_path: Path) -> None:
    pipeline = pipeline_from_toml(write(tmp_path, WHOLE))
    with pipeline:
        decode, classify, _ = pipeline.steps
        assert isinstance(decode, Step)
        decode.set_parallel_steps(3)
        classify.set_max_batch_size(2)
        assert [outcome.error for outcome in pipeline.run([photo()] * 5)] == [None] * 5
        assert {time.size for time in pipeline.statistics()["classify"].batch_times} <= {1, 2}
