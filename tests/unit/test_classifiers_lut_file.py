"""A row is put into a table, and every other byte stays."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from engine.backends.simulator.table import PUBLISHED, TableRow, read_table
from engine.errors import OptionsError
from streamer.classifiers.errors import ClassifierError
from streamer.classifiers.lut_file import with_row, write_row

ROW = TableRow(
    model="resnet50",
    objective="best-throughput",
    batch_size=9,
    image_size_px=224,
    cores=7,
    instances=1,
    set_size=3,
    ols=1,
    mos="1,6",
    extra="-multicast-weights",
    precision="fp16",
    images_per_s=1234.5,
    latency_p95_ms=6.5,
)


def test_the_rows_place_is_kept_and_every_other_line(tmp_path: Path) -> None:
    path = tmp_path / "lut.csv"
    before = PUBLISHED.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    path.write_bytes(before)
    path.chmod(0o640)
    write_row(path, ROW)
    old, new = before.split(b"\r\n"), path.read_bytes().split(b"\r\n")
    assert new[0].startswith(b"\xef\xbb\xbfMODEL_NAME")
    changed = [number for number, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    assert len(changed) == 1
    assert old[changed[0]].startswith(b"resnet50,image-classification,14,")
    assert read_table(path).find("resnet50", "best-throughput") == ROW
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["lut.csv"]


def test_a_new_one_stands_at_the_end_also_of_a_last_line_without_an_end(tmp_path: Path) -> None:
    text = PUBLISHED.read_text(encoding="utf-8").rstrip("\n")
    row = replace(ROW, objective="balanced", mos="", extra="", latency_p95_ms=None)
    lines = with_row(text, row).splitlines()
    assert lines[:-1] == text.splitlines()
    assert lines[-1] == "resnet50,image-classification,9,224,7,1,1,,,3,fp16,balanced,1234.5,,"
    path = tmp_path / "lut.csv"
    path.write_text(with_row(text, row), encoding="utf-8")
    assert len(read_table(path).rows) == 110


def test_a_table_that_is_not_there_begins_as_the_built_in_one(tmp_path: Path) -> None:
    write_row(tmp_path / "new.csv", ROW)
    table = read_table(tmp_path / "new.csv")
    assert len(table.rows) == 109
    assert table.find("resnet50", "best-throughput") == ROW
    assert table.find("alexnet", "best-latency") == read_table().find("alexnet", "best-latency")


def test_the_columns_order_is_the_files() -> None:
    text = "OBJECTIVE,MODEL_NAME,NOTE,BATCH_SIZE\nbest-throughput,resnet50,mine,1\n"
    assert with_row(text, ROW) == "OBJECTIVE,MODEL_NAME,NOTE,BATCH_SIZE\nbest-throughput,resnet50,,9\n"


def test_what_is_no_table_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lut.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(OptionsError, match=r"lut\.csv has no MODEL_NAME"):
        write_row(path, ROW)
    assert path.read_text(encoding="utf-8") == "a,b\n1,2\n"
    with pytest.raises(ClassifierError, match="cannot be written"):
        write_row(tmp_path / "nowhere" / "lut.csv", ROW)
