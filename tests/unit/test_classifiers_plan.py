"""Each value of a run: the user's, else the table's, else the vendor's default; and what no card can be."""

import shlex
from pathlib import Path

import pytest

from engine.backends.qaic.sdk import COMPILERS
from engine.backends.simulator.table import PUBLISHED, read_table
from engine.errors import OptionsError
from engine.models.zoo.catalog import find_architecture
from streamer.classifiers.commands import card_commands, compile_command
from streamer.classifiers.device import find_device
from streamer.classifiers.errors import PlanError
from streamer.classifiers.extra_flags import wrong_with
from streamer.classifiers.plan import LUT_NAME, Wishes, find_table, plan_of
from streamer.classifiers.work_directory import WorkDirectory
from streamer.terminal import is_harmless

PUBLISHED_TABLE = read_table()
HEADER = (
    "\ufeffMODEL_NAME,TASK,BATCH_SIZE,IMAGE_SIZE,CORES,INSTANCES,OLS,MOS,EXTRA,SET_SIZE,PRECISION,OBJECTIVE,"
    "THPS,LATENCY"
)
OWN = "alexnet,image-classification,3,64,5,2,4,2, -ddr-stats,7,fp16,best-throughput,,"


def own_table(folder: Path, *lines: str) -> Path:
    path = folder / LUT_NAME
    path.write_text("\r\n".join([HEADER, "", ",,,,", *lines]), encoding="utf-8")
    return path


def test_the_published_tables_flags_are_taken() -> None:
    flags = [row.extra for row in PUBLISHED_TABLE.rows.values() if row.extra]
    assert len(flags) > 50
    assert not any(map(wrong_with, flags))


def test_the_run_says_no_flag_that_is_taken(tmp_path: Path) -> None:
    plan = plan_of(Wishes(extra=""), find_architecture("resnet50"), PUBLISHED_TABLE)
    for compiler in COMPILERS:
        line = compile_command(plan, WorkDirectory(tmp_path, plan, "qaic"), compiler, has_open_batch=True)
        flags = shlex.split(line)[1:]
        assert len(flags) > 7
        assert all("the run itself says" in wrong_with(flag) for flag in flags)


def test_where_nothing_is_said_the_table_is_followed_and_best_throughput_is_meant() -> None:
    plan = plan_of(Wishes(), find_architecture("resnet50"), PUBLISHED_TABLE)
    assert (plan.objective, plan.batch_size, plan.image_size_px, plan.cores) == ("best-throughput", 14, 224, 7)
    assert (plan.instances, plan.set_size, plan.ols, plan.mos, plan.extra) == (2, 6, 1, "1", "-multicast-weights")
    assert (plan.opset, plan.time_s, plan.device) == (13, 20.0, 0)
    assert {origin for name, origin in plan.origins.items() if name != "opset"} == {"table"}
    assert plan.listed == (7721.331, 21.7330191)
    latency = plan_of(Wishes(objective="best-latency"), find_architecture("resnet50"), PUBLISHED_TABLE)
    assert (latency.batch_size, latency.set_size, latency.ols, latency.mos) == (1, 1, 2, "")


def test_what_the_user_says_comes_first_one_by_one() -> None:
    plan = plan_of(Wishes(batch_size=4, mos="1,7", extra="-x"), find_architecture("resnet50"), PUBLISHED_TABLE)
    assert (plan.batch_size, plan.mos, plan.extra, plan.cores, plan.set_size) == (4, "1,7", "-x", 7, 6)
    assert [plan.origins[name] for name in ("batch_size", "mos", "cores")] == ["flag", "flag", "table"]
    assert plan.listed == (None, None)
    without = plan_of(Wishes(mos="", extra=""), find_architecture("resnet50"), PUBLISHED_TABLE)
    assert (without.mos, without.extra) == ("", "")


@pytest.mark.parametrize(("model", "side_px"), [("alexnet", 224), ("inception_v3", 299), ("efficientnet_b7", 600)])
def test_a_model_without_a_row_has_the_vendors_defaults(tmp_path: Path, model: str, side_px: int) -> None:
    table = read_table(own_table(tmp_path))
    plan = plan_of(Wishes(), find_architecture(model), table)
    assert (plan.batch_size, plan.cores, plan.instances, plan.ols, plan.set_size) == (1, 2, 7, 1, 10)
    assert (plan.mos, plan.extra, plan.image_size_px, plan.opset) == ("", "", side_px, 13)
    assert set(plan.origins.values()) == {"default"}


def test_an_objective_without_a_row_has_the_defaults() -> None:
    plan = plan_of(Wishes(objective="balanced"), find_architecture("resnet50"), PUBLISHED_TABLE)
    assert (plan.batch_size, plan.cores, plan.instances) == (1, 2, 7)
    hub = plan_of(Wishes(objective="balanced"), find_architecture("resnet-50"), PUBLISHED_TABLE)
    assert (hub.batch_size, hub.cores, hub.instances, hub.mos) == (2, 12, 1, "1,6")


def test_a_table_in_the_folder_takes_the_place_of_the_built_in_one_and_a_given_one_that_of_both(tmp_path: Path) -> None:
    assert find_table(None, tmp_path).path == PUBLISHED
    own_table(tmp_path, OWN)
    plan = plan_of(Wishes(), find_architecture("alexnet"), find_table(None, tmp_path))
    assert (plan.batch_size, plan.image_size_px, plan.cores, plan.ols, plan.set_size) == (3, 64, 5, 4, 7)
    assert plan.extra == "-ddr-stats"
    # All of it: what it has not has no row.
    assert plan_of(Wishes(), find_architecture("resnet50"), find_table(None, tmp_path)).batch_size == 1
    assert find_table(PUBLISHED, tmp_path).path == PUBLISHED
    with pytest.raises(OptionsError, match=r"nowhere\.csv"):
        find_table(tmp_path / "nowhere.csv", tmp_path)


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        (Wishes(instances=3), r"cores 7 \(from the table\) × instances 3 \(given\) are 21.* card has 14"),
        (Wishes(cores=8, instances=2), "are 16"),
        (Wishes(mos="one"), "mos is 'one'"),
        (Wishes(mos="1;7"), "mos is '1;7'"),
    ],
)
def test_a_card_has_14_cores(wishes: Wishes, named: str) -> None:
    with pytest.raises(PlanError, match=named.replace("the table", "aic100_cv_classifiers.csv")) as caught:
        plan_of(wishes, find_architecture("resnet50"), PUBLISHED_TABLE)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_table_out_of_range_is_told_by_its_name(tmp_path: Path) -> None:
    table = read_table(own_table(tmp_path, OWN.replace(",7,fp16", ",11,fp16")))
    with pytest.raises(PlanError, match=rf"set_size is 11 \(from {LUT_NAME}\): it is from 1 to 10"):
        plan_of(Wishes(), find_architecture("alexnet"), table)


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        (Wishes(extra='"a\ntouch x\n"'), r"extra is '\"a\\ntouch x\\n\"' \(given\): give flags in one line"),
        (Wishes(extra="-a\u2028touch x"), r"extra is '-a\\u2028touch x'"),
        (Wishes(extra="-a\x1b[2J"), r"extra is '-a\\x1b\[2J'"),
        (Wishes(extra='-a "b'), "every quotation mark closed"),
        (Wishes(extra="-a b"), "'b' is no flag: each begins with a dash"),
        (Wishes(extra="-a --"), "'--' is no flag"),
        (Wishes(extra="-ddr-stats -ols=4"), r"extra is .* \(given\): the run itself says -ols: give --ols"),
        (Wishes(extra="--aic-num-cores=3"), "says -aic-num-cores: give --cores"),
        (Wishes(extra="-batchsize=3"), "says -batchsize: give --batch-size"),
        (Wishes(extra="-m=x.onnx"), "says -m: give --model-name"),
        (Wishes(extra="-compile-only"), "says -compile-only: leave it out"),
        (Wishes(mos="1\n"), r"mos is '1\\n'"),
        (Wishes(batch_size=4097), "batch_size is 4097 .*: it is 4096 at the most"),
        (Wishes(image_size_px=8193), "image_size_px is 8193 .*: it is 8192 at the most"),
    ],
)
def test_what_would_be_more_than_a_value_of_a_command_is_refused(wishes: Wishes, named: str) -> None:
    with pytest.raises(PlanError, match=named) as caught:
        plan_of(wishes, find_architecture("resnet50"), PUBLISHED_TABLE)
    assert is_harmless(str(caught.value))


def test_what_a_table_would_smuggle_into_a_command_is_refused(tmp_path: Path) -> None:
    line = OWN.replace(" -ddr-stats", '"""a\ntouch x\n: """')
    with pytest.raises(PlanError, match=rf"extra is .* \(from {LUT_NAME}\)"):
        plan_of(Wishes(), find_architecture("alexnet"), read_table(own_table(tmp_path, line)))
    folder = tmp_path / "a\ntouch x"
    folder.mkdir()
    with pytest.raises(PlanError, match="control characters in its path"):
        plan_of(Wishes(), find_architecture("alexnet"), read_table(own_table(folder, OWN)))
    with pytest.raises(PlanError, match="control characters in its path"):
        find_device("onnxruntime", folder / "options.yaml")


def test_every_line_of_a_command_for_show_is_a_comment(tmp_path: Path) -> None:
    plan = plan_of(Wishes(), find_architecture("resnet50"), PUBLISHED_TABLE).changed(extra='"a\ntouch x\n"')
    text = card_commands(plan, WorkDirectory(tmp_path, plan, "qaic"), has_open_batch=True)
    shown = text.split("before that:\n")[1].split("\n\n")[0]
    assert shown.count("\n") == 2
    assert all(line.startswith("# ") for line in shown.splitlines())


def test_folders_are_called_as_the_vendors_script_calls_them(tmp_path: Path) -> None:
    plan = plan_of(Wishes(mos="1,7"), find_architecture("resnet50"), PUBLISHED_TABLE)
    card = WorkDirectory(tmp_path, plan, "qaic")
    motif = "B14-C7-A2-OLS1-MOS1,7-best-throughput"
    names = [card.relative(path) for path in (card.model, card.input, card.compiled, card.output, card.commands)]
    assert names == [
        "model/model.onnx",
        "inputFiles/input_img_14x3x224x224.raw",
        f"compiled-bin-fp16-{motif}",
        f"outputFiles/fp16-{motif}/output-activation-0-inf-0.bin",
        f"commands-{motif}.txt",
    ]
    assert card.root == tmp_path / "resnet50"
    # What two back ends made never meets.
    assert WorkDirectory(tmp_path, plan, "onnxruntime").compiled != card.compiled
    without = plan_of(Wishes(objective="best-latency"), find_architecture("resnet50"), PUBLISHED_TABLE)
    assert without.motif == "B1-C7-A2-OLS2-best-latency"
