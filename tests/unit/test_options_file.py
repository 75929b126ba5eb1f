"""Keywords from YAML: plain values, with the line of whatever is wrong."""

from pathlib import Path

import pytest

from engine.errors import OptionsError
from engine.options_file import read_options


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "options.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_vendors_sample_is_read(tmp_path: Path) -> None:
    text = "aic_num_cores: 4\nnum_activations: 1\nconvert_to_fp16: true\nonnx_define_symbol:\n  batch: 1\n"
    options = read_options(written(tmp_path, text))
    assert options.values == {
        "aic_num_cores": 4,
        "num_activations": 1,
        "convert_to_fp16": True,
        "onnx_define_symbol": {"batch": 1},
    }
    options.check_names(set(options.values))


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read_options(written(tmp_path, "# nothing\n")).values == {}


def test_an_unknown_key_is_named_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    options = read_options(written(tmp_path, "num_activations: 1\naic_num_core: 4\n"))
    with pytest.raises(OptionsError, match=r"options\.yaml, line 2: .*aic_num_core: did you mean aic_num_cores"):
        options.check_names({"num_activations", "aic_num_cores"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", "line 2.*python"),
        ("a: !secret x\n", "line 1.*secret"),
        ("a: &x [1]\nb: *x\n", "line 2: aliases"),
        ("a: 1\na: 2\n", "line 2: a is given twice"),
        ("- a\n", "no mapping"),
        ("a: [1\n", "line"),
        ("? [a]\n: 1\n", "line 1: a key is no name"),
        (b"a: \xff\xfe\n", "no YAML"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested over"),
        ("a" * (64 * 1024 + 1), "no options file"),
    ],
)
def test_what_is_no_plain_mapping_is_refused_in_one_line(tmp_path: Path, text: str | bytes, named: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(OptionsError, match=named) as caught:
        read_options(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"missing\.yaml"):
        read_options(tmp_path / "missing.yaml")
