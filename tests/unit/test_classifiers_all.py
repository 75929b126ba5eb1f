"""All models in a row: each is said and written as it ends, and whatever ends them, what was found is kept."""

import csv
import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.backends.simulator.table import read_table
from engine.models.zoo.agreement import compare
from engine.models.zoo.catalog import ARCHITECTURES, find_architecture
from streamer.classifiers.errors import ClassifierError
from streamer.classifiers.measuring import Say
from streamer.classifiers.plan import Wishes, plan_of
from streamer.classifiers.report import Report, Timing
from streamer.cli.classifier_all import run_all

FIRST, SECOND, THIRD, *_ = ARCHITECTURES


def report_of(name: str) -> Report:
    """A run whose answers are right."""
    answers = np.array([[1, 2]], np.float32)
    return Report(
        plan=plan_of(Wishes(), find_architecture(name), read_table()),
        backend="onnxruntime",
        detail="a CPU",
        is_simulated=False,
        weights="random",
        opset=13,
        concurrency=(1, 1),
        timing=Timing(1234.5, 100, 1.0, 5.0, 6.25, 7.0),
        answers=answers,
        agreement=compare(answers, answers),
        is_judged=True,
        directory=Path(),
        notes=(),
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def arguments(tmp_path: Path) -> Namespace:
    return Namespace(csv=tmp_path / "all.csv", picture=tmp_path / "all.svg", json=False)


def test_each_model_is_said_and_written_as_it_ends(arguments: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, tuple[str, list[str]]] = {}

    def attempt(name: str, say: Say) -> Report:
        say("building")
        seen[name] = capsys.readouterr().err, [row["model"] for row in rows_of(arguments.csv)]
        if name == SECOND:
            raise ClassifierError("no room\nat all")
        if name == THIRD:
            raise ZeroDivisionError("by 0")
        return report_of(name)

    assert run_all(arguments, "onnxruntime", attempt) == 1
    assert list(seen) == list(ARCHITECTURES)
    assert seen[FIRST] == ("", [])
    assert seen[SECOND] == (
        f"1/53 {FIRST}: 1,234.5 Inf/s, p95 6.25 ms a batch, differs from torch by 0, the same top class\n",
        [FIRST],
    )
    assert seen[THIRD] == (f"2/53 {SECOND}: no room\n", [FIRST, SECOND])
    assert [row["error"] for row in rows_of(arguments.csv)[:3]] == [
        "",
        "no room",
        "ZeroDivisionError: by 0",
    ]
    assert "51 models run, 2 failed" in capsys.readouterr().out


def test_an_interrupt_keeps_those_that_are_done(arguments: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    def attempt(name: str, _: Say) -> Report:
        if name == SECOND:
            raise KeyboardInterrupt
        return report_of(name)

    assert run_all(arguments, "onnxruntime", attempt) == 130
    out, err = capsys.readouterr()
    assert "1 models run, 0 failed" in out
    assert FIRST in out
    assert err.splitlines()[1:] == ["interrupted after 1 of 53 models: these are all there are"]
    assert FIRST in arguments.picture.read_text(encoding="utf-8")
    assert [row["model"] for row in rows_of(arguments.csv)] == [FIRST]
    arguments.json = True
    assert run_all(arguments, "onnxruntime", attempt) == 130
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["done"], found["interrupted"], len(found["results"])) == (1, True, 1)


def test_of_few_batches_a_note_says_so() -> None:
    timing = Timing(1.0, 20, 1.0, 5.0, 6.0, 7.0)
    assert timing.notes == []
    (note,) = replace(timing, batches=19).notes
    assert note == "19 batches are too few for a p95, which is the longest: a longer --time, or -b 1"
