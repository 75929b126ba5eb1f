"""The Python in the documents runs, and the pipeline that they show is one."""

import re
from pathlib import Path

import pytest

from engine.pipeline.description import pipeline_from_toml
from tests.fakes.programs import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        (page.name, body)
        for page in pages
        for kind, body in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_runs(page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})


def test_there_is_some() -> None:
    assert len(blocks("python")) >= 3


@pytest.mark.parametrize(("page", "text"), [block for block in blocks("toml") if "[[step]]" in block[1]])
def test_pipelines_are_pipelines(page: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(text)
    with pipeline_from_toml(tmp_path / "pipeline.toml", keywords={"backend": "onnxruntime"}) as pipeline:
        assert [step.name for step in pipeline.steps] == ["decode", "classify", "label"], page
