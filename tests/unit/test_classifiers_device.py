"""What a back end is told of a plan: all of it, or what it has a use for."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from config.settings import PlanSettings
from engine.backends.registry import backend_class
from engine.backends.simulator.table import OBJECTIVES, PUBLISHED, read_table
from engine.errors import OptionsError
from engine.models.zoo.agreement import compare
from engine.models.zoo.catalog import find_architecture
from streamer.classifiers.device import Device, simulated
from streamer.classifiers.errors import PlanError
from streamer.classifiers.plan import RunPlan, Wishes, plan_of
from streamer.classifiers.report import Report, Timing
from streamer.classifiers.tune import is_possible, notes_of, row_to_keep, space_of, started

HEADER = "MODEL_NAME,TASK,BATCH_SIZE,IMAGE_SIZE,CORES,INSTANCES,OLS,MOS,EXTRA,SET_SIZE,PRECISION,OBJECTIVE,THPS,LATENCY"


def plan(model: str = "resnet50", table: Path = PUBLISHED, **wishes: object) -> RunPlan:
    return plan_of(Wishes(**wishes), find_architecture(model), read_table(table))  # type: ignore[arg-type]


def device(name: str, cpu_cores: int = 4) -> Device:
    return Device(backend_class(name), cpu_cores)


def keywords(name: str, of: RunPlan, *, has_open_batch: bool = True) -> dict[str, object]:
    return device(name).keywords(of, Path("out"), has_open_batch=has_open_batch)


def test_a_card_is_told_everything() -> None:
    assert keywords("qaic", plan(mos="1,7", device=3)) == {
        "backend": "qaic",
        "num_activations": 2,
        "set_size": 6,
        "onnx_define_symbol": {"batch_size": 14},
        "dev_id": 3,
        "output_dir": "out",
        "aic_num_cores": 7,
        "ols": 1,
        "mos": "1,7",
        "convert_to_fp16": True,
        "stats_batchsize": 14,
        "extra_flags": "-multicast-weights",
    }
    fixed = keywords("qaic", plan(objective="best-latency"), has_open_batch=False)
    assert not {"mos", "onnx_define_symbol"} & fixed.keys()


def test_a_host_computes_no_more_at_a_time_than_it_has_cores_unless_somebody_says_so() -> None:
    host = device("onnxruntime")
    assert host.concurrency(plan()) == (2, 2)  # of 2 × 6
    assert device("onnxruntime", 1).concurrency(plan()) == (1, 1)
    assert host.concurrency(plan(instances=1)) == (1, 4)
    assert host.concurrency(plan(set_size=9)) == (2, 9)
    told = keywords("onnxruntime", plan(instances=2, set_size=1))
    assert (told["num_activations"], told["set_size"], told["inference_threads"]) == (2, 1, 2)
    assert not {"dev_id", "aic_num_cores", "convert_to_fp16", "extra_flags", "row"} & told.keys()
    assert "inference_threads" not in keywords("tinygrad", plan())
    (note,) = host.notes(plan())
    assert "2 × set size 6 are a card's: onnxruntime has 2 × 2" in note
    assert host.notes(plan(instances=2, set_size=2)) == []


def test_a_file_of_keywords_is_passed_on() -> None:
    told = Device(backend_class("onnxruntime"), 4, Path("/x.yaml")).keywords(plan(), Path("out"), has_open_batch=True)
    assert told["options_path"] == "/x.yaml"


def test_what_only_a_compiler_hears_is_told_where_somebody_asked_for_it() -> None:
    notes = device("onnxruntime").notes(plan(instances=1, set_size=1, cores=2, extra="-x"))
    assert notes == ["--cores, --extra speak to a card's compiler: onnxruntime has no use for them"]
    assert device("qaic").notes(plan(cores=2, extra="-x")) == []


def test_the_simulator_goes_by_figures_of_the_same_batch_and_cores() -> None:
    told = keywords("simulator", plan())
    assert (told["row"], told["table"], told["num_activations"]) == ("resnet50/best-throughput", str(PUBLISHED), 2)
    # Batches of 1 on 7 cores were measured for the other objective.
    assert keywords("simulator", plan(batch_size=1))["row"] == "resnet50/best-latency"
    with pytest.raises(PlanError, match=r"batches of 2 on 7 cores.*14 on 7 cores \(resnet50/best-throughput\)"):
        keywords("simulator", plan(batch_size=2))
    with pytest.raises(OptionsError, match="lists no throughput"):
        keywords("simulator", plan("resnet-50"))
    assert device("simulator").notes(plan()) == []
    (note,) = device("simulator").notes(plan(ols=2, image_size_px=64))
    assert note == "the simulator goes by figures for --image-size 224, --ols 1"


def test_figures_of_an_own_table_come_first(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    line = "resnet50,x,4,64,7,2,1,,,3,fp16,best-throughput,"
    table.write_text(f"{HEADER}\n{line}1000,24\n", encoding="utf-8")
    figures, path = simulated(plan(table=table))
    assert (figures.images_per_s, path) == (1000.0, table)
    # One that lists no throughput leaves that to the published ones.
    table.write_text(f"{HEADER}\n{line.replace(',4,64', ',14,224')},\n", encoding="utf-8")
    assert simulated(plan(table=table))[1] == PUBLISHED


def test_a_search_leaves_alone_what_is_given_and_what_cannot_be() -> None:
    host = device("onnxruntime")
    begin = started(plan(batch_size=4), host)
    assert (begin.batch_size, begin.instances, begin.set_size) == (4, 2, 2)
    assert space_of(begin, host, has_open_batch=True) == {"instances": (1, 2), "set_size": (1, 2, 3, 4)}
    assert space_of(plan(), host, has_open_batch=False)["batch_size"] == (14,)
    assert is_possible(begin.changed(instances=1, set_size=4), host)
    assert not is_possible(begin.changed(instances=2, set_size=4), host)
    card = space_of(plan(), device("qaic"), has_open_batch=True)
    assert (card["instances"], card["set_size"]) == ((1, 2), tuple(range(1, 11)))


def test_a_search_on_the_simulator_says_what_it_cannot_know() -> None:
    simulator = device("simulator")
    assert space_of(plan(), simulator, has_open_batch=True)["batch_size"] == (1, 14)
    assert space_of(plan("vgg19"), simulator, has_open_batch=True)["batch_size"] == (15,)
    (note,) = notes_of(plan(), simulator)
    assert "batches of 1, 14 on 7 cores" in note
    assert notes_of(plan(), device("onnxruntime")) == []


PRECISIONS = {"qaic": "fp16", "simulator": "fp16", "qnn": "fp16", "qai_hub": "fp16", "onnxruntime": "fp32"}


def report_of(name: str, answers: list[float]) -> Report:
    """A run of a model whose right answers are 1 and 2."""
    ours, right = np.array([answers], np.float32), np.array([[1, 2]], np.float32)
    return Report(
        plan=plan(),
        backend=name,
        detail=name,
        is_simulated=False,
        weights="random",
        opset=13,
        concurrency=(1, 1),
        timing=Timing(100.0, 10, 1.0, 5.0, 6.0, 7.0),
        answers=ours,
        agreement=compare(ours, right),
        is_judged=device(name).is_exact,
        directory=Path(),
        notes=(),
    )


@pytest.mark.parametrize(("name", "precision"), PRECISIONS.items())
def test_a_row_says_in_what_precision_its_figures_were_computed(name: str, precision: str) -> None:
    row = row_to_keep(report_of(name, [1, 2]), device(name))
    assert row is not None
    assert (row.model, row.images_per_s, row.latency_p95_ms, row.precision) == ("resnet50", 100.0, 6.0, precision)


def test_no_row_leads_to_wrong_answers() -> None:
    assert row_to_keep(report_of("onnxruntime", [2, 1]), device("onnxruntime")) is None
    assert row_to_keep(report_of("qaic", [2, 1]), device("qaic")) is not None, "which is not judged"


def test_a_plan_is_asked_for_the_objectives_that_tables_have() -> None:
    literal, _ = get_args(PlanSettings.model_fields["objective"].annotation)
    assert set(get_args(literal)) == set(OBJECTIVES)
