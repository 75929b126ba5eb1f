"""The vendor's figures are read as they are published; what they do not say is not made up."""

from pathlib import Path

import pytest

from engine.backends.simulator.figures import CardFigures, FigureTable, read_figures
from engine.backends.simulator.table import PUBLISHED, read_table
from engine.errors import OptionsError

HEADER = (
    "\ufeffMODEL_NAME,TASK,BATCH_SIZE,IMAGE_SIZE,CORES,INSTANCES,OLS,MOS,EXTRA,SET_SIZE,PRECISION,OBJECTIVE,"
    "THPS,LATENCY"
)
LINE = "net,image-classification,4,32,7,2,1,,,3,fp16,best-throughput,1000,24"


@pytest.fixture(scope="module")
def published() -> FigureTable:
    return read_figures()


def saved(folder: Path, *lines: str) -> Path:
    path = folder / "own.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8")
    return path


def test_every_published_row_is_read(published: FigureTable) -> None:
    assert (len(published.rows), len(published.unmeasured)) == (100, 9)
    assert all(name == row.name for name, row in published.rows.items())
    assert {row.objective for row in published.rows.values()} == {"best-throughput", "best-latency"}
    # 14 cores are filled by every row.
    assert all(row.instances == 14 // row.cores for row in published.rows.values())


def test_a_row_says_what_the_table_says(published: FigureTable) -> None:
    assert published.find("resnet50/best-throughput") == CardFigures(
        model="resnet50",
        objective="best-throughput",
        batch_size=14,
        image_size_px=224,
        cores=7,
        instances=2,
        set_size=6,
        ols=1,
        mos="1",
        extra="-multicast-weights",
        precision="fp16",
        images_per_s=7721.331,
        latency_p95_ms=21.7330191,
    )


def test_rows_without_figures_say_how_a_model_is_compiled_and_run() -> None:
    table = read_table()
    assert len(table.rows) == 109
    row = table.find("resnet-50", "best-latency")
    assert row is not None
    assert (row.cores, row.instances, row.ols, row.mos, row.set_size) == (14, 1, 1, "1,7", 3)
    assert row.extra == "-sdp-cluster-sizes=7,7 -multicast-weights -use-producer-dma=1"
    assert (row.images_per_s, row.latency_p95_ms) == (None, None)
    assert table.find("resnet50", "balanced") is None


def test_a_table_may_lack_what_few_need(tmp_path: Path) -> None:
    header, line = HEADER.replace("EXTRA,", ""), LINE.replace("1,,,3", "1,,3")
    row = read_table(saved(tmp_path, header, line)).find("net", "best-throughput")
    assert row is not None
    assert (row.extra, row.set_size) == ("", 3)


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (f"{'9' * 5000},32", r"line 2: BATCH_SIZE is '9{40}': give a whole number from 1 to 4096$"),
        ("4097,32", "line 2: BATCH_SIZE is '4097'"),
        ("4,8193", "line 2: IMAGE_SIZE is '8193': give a whole number from 1 to 8192$"),
        ("0,32", "line 2: BATCH_SIZE is '0'"),
    ],
)
def test_a_size_that_nobody_means_is_refused(tmp_path: Path, cells: str, named: str) -> None:
    with pytest.raises(OptionsError, match=named):
        read_table(saved(tmp_path, HEADER, LINE.replace("4,32", cells)))
    assert read_table(saved(tmp_path, HEADER, LINE.replace("4,32", "4096,8192")))


def test_a_model_without_an_objective_is_its_best_throughput(published: FigureTable) -> None:
    assert published.find("resnet50") is published.find("resnet50/best-throughput")
    assert published.find("resnet50") is not published.find("resnet50/best-latency")


def test_time_and_latency_follow_from_throughput(published: FigureTable) -> None:
    row = published.find("resnet50")
    assert row.service_time_s == pytest.approx(14 * 2 / 7721.331)
    assert row.latency_predicted_ms == pytest.approx(14 * 2 * 6 / 7721.331 * 1e3)
    assert row.latency_is_reproduced
    assert not published.find("vgg13_bn").latency_is_reproduced
    assert sum(row.latency_is_reproduced for row in published.rows.values()) == 45


@pytest.mark.parametrize("model", ["resnet-50", "resnet-152", "vit-base-patch16-224"])
def test_rows_without_figures_are_refused_by_name(published: FigureTable, model: str) -> None:
    for objective in ("best-throughput", "best-latency", "balanced"):
        with pytest.raises(OptionsError, match=f"row {model}/{objective}: .* lists no throughput"):
            published.find(f"{model}/{objective}")


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ("resnet5", "did you mean resnet50"),
        ("renset50/best-latency", "did you mean resnet50"),
        ("resnet50/best-latencies", "resnet50 has best-throughput, best-latency"),
        ("resnet50/balanced", "resnet50 has best-throughput, best-latency"),
        ("?", "for example alexnet/best-throughput"),
        ("", "for example alexnet/best-throughput"),
    ],
)
def test_an_unknown_row_comes_with_a_hint(published: FigureTable, row: str, hint: str) -> None:
    with pytest.raises(OptionsError, match=hint) as caught:
        published.find(row)
    assert "\n" not in str(caught.value)


def test_an_own_table_may_have_fewer_columns_blank_lines_and_no_latency(tmp_path: Path) -> None:
    lines = [HEADER, "", ",,,,,", LINE, "other" + LINE[3:-2], ""]
    table = read_figures(saved(tmp_path, *lines))
    assert table.find("net").latency_p95_ms == 24
    assert table.find("net").latency_is_reproduced
    assert table.find("other").latency_p95_ms is None
    assert not table.find("other").latency_is_reproduced


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        (",4,32", ",0,32", "line 2: BATCH_SIZE is '0'"),
        (",4,32", ",four,32", "line 2: BATCH_SIZE is 'four'"),
        (",4,32", ",4.5,32", "line 2: BATCH_SIZE is '4.5'"),
        (",1000,", ",-1,", "line 2: THPS is '-1'"),
        (",1000,", ",nan,", "line 2: THPS is 'nan'"),
        (",1000,", ",inf,", "line 2: THPS is 'inf'"),
        (",24", ",soon", "line 2: LATENCY is 'soon'"),
        (",best-throughput,1000,24", "", "line 2: there is no OBJECTIVE"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path: Path, was: str, becomes: str, named: str) -> None:
    assert was in LINE
    with pytest.raises(OptionsError, match=named) as caught:
        read_figures(saved(tmp_path, HEADER, LINE.replace(was, becomes)))
    assert "\n" not in str(caught.value)


def test_a_row_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="line 3: net/best-throughput is listed twice"):
        read_figures(saved(tmp_path, HEADER, LINE, LINE))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"a,b\n1,2\n"])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "own.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionsError, match=r"own\.csv"):
        read_figures(path)


def test_a_row_without_figures_points_to_its_namesake(published: FigureTable) -> None:
    with pytest.raises(OptionsError, match=r"lists no throughput.*did you mean resnet50"):
        published.find("resnet-50")


def test_the_figures_come_with_their_licence() -> None:
    assert "Qualcomm Technologies" in PUBLISHED.with_name("LICENSE.figures").read_text(encoding="utf-8")
