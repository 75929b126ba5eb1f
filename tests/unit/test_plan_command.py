"""`streamer plan` without a measurement: its figures, its errors, its commands and its picture."""

import math
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from config.load import load
from engine.backends.qaic.backend import QaicOwn
from engine.backends.registry import backend_class
from engine.backends.simulator.figures import read_figures
from engine.backends.simulator.table import read_table
from engine.models.zoo.catalog import find_architecture
from engine.options_file import read_options
from engine.session_keywords import read_keywords
from streamer.classifiers.plan import Wishes, plan_of
from streamer.classifiers.work_directory import WorkDirectory
from streamer.cli.command import Command, make_parser, parse
from streamer.cli.main import main
from streamer.compose import engine_keywords
from streamer.sizing.host import other_work
from streamer.sizing.measure import REFERENCE
from streamer.sizing.plan import make_plan
from streamer.sizing.report import as_json
from streamer.sizing.wish import Wish
from tests.fakes.commands import json_of, output_of

WISH = ("plan", "--cameras", "300", "--fps", "5", "--model", "resnet50", "--latency-budget", "200ms", "--no-measure")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_plan_has_all_its_figures_and_the_same_ones_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    plan = json_of(capsys, *WISH)
    assert {"devices", "partitions", "host_cores", "batch_size", "p99_ms", "limit"} <= plan.keys()
    assert plan["row"] == "resnet50/best-throughput"
    assert (plan["frames_per_s"], plan["batch_size"]) == (1500, 14)
    assert plan["p99_ms"] <= 200
    assert plan["p99_ms"] == pytest.approx(sum(plan["p99_parts_ms"].values()), abs=0.3)
    assert plan["host"]["origin"] == "reference figures"
    assert plan["broker_disk_bytes"] >= 1500 * plan["host"]["frame_bytes"] * 600
    assert json_of(capsys, *WISH) == plan


def test_a_plan_for_people_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    plan = json_of(capsys, *WISH)
    table = output_of(capsys, *WISH)
    for word in ("300 cameras", "cards", "workers", "host cores", "p99", plan["limit"], *plan["commands"]):
        assert word in table


def test_figures_that_are_given_need_no_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in WISH if word != "--no-measure"]
    cheap = json_of(capsys, *words, "--decode-us", "100", "--stream-us", "200", "--headroom", "0")
    assert cheap["host"]["origin"] == "reference figures; decoding and stream given"
    assert cheap["host_cores"] == pytest.approx(1500 * 300e-6)
    assert cheap["decode_cores"] == pytest.approx(1500 * 100e-6)
    dear = json_of(capsys, *words, "--decode-us", "1000", "--stream-us", "200", "--headroom", "0")
    assert dear["host_cores"] == pytest.approx(1500 * 1200e-6)
    assert dear["workers"] > cheap["workers"]


@pytest.mark.parametrize(("flag", "given"), [("--decode-us", "decoding"), ("--stream-us", "stream")])
def test_what_is_given_is_named_beside_the_rest(capsys: pytest.CaptureFixture[str], flag: str, given: str) -> None:
    assert json_of(capsys, *WISH, flag, "100")["host"]["origin"] == f"reference figures; {given} given"
    assert f"host: reference figures; {given} given" in " ".join(output_of(capsys, *WISH, flag, "100").split())


def test_programs_see_what_makes_the_figures_doubtful(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_of(capsys, *WISH)["warnings"] == [], "nothing was measured"
    warning = other_work(1.3, 2)
    assert warning is not None
    assert "busy with other work (1.3 processes for 2 cores)" in warning
    assert other_work(1.0, 2) is None
    plan = make_plan([read_figures().find("resnet50")], Wish(300, 5.0, 0.2, 25_000), REFERENCE)
    assert as_json(plan, [warning])["warnings"] == [warning]


def test_a_tight_budget_takes_another_program_and_a_balance_of_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_of(capsys, *WISH, "--latency-budget", "25ms", "--fps", "1")["row"] == "resnet50/best-latency"
    assert json_of(capsys, *WISH, "--objective", "best-latency")["row"] == "resnet50/best-latency"


def test_large_frames_cost_disk_network_and_cores(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = json_of(capsys, *WISH), json_of(capsys, *WISH, "--short-side", "512", "--frame-bytes", "60000")
    assert large["host"]["frame_bytes"] == 60_000
    assert large["decode_cores"] > 4 * small["decode_cores"]
    assert large["broker_network_in_bytes_per_s"] > 1500 * 60_000
    half = json_of(capsys, *WISH, "--retention", "5m")
    less = small["broker_disk_bytes"] - half["broker_disk_bytes"]
    assert less == pytest.approx(1500 * small["host"]["frame_bytes"] * 300 * 7 / 6, rel=0.05), "and one segment"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--latency-budget", "5ms"), "give --latency-budget "),
        (("--fps", "1000", "--decode-us", "5000"), "frames/s are feasible"),
        (("--cameras", "1000000"), "cameras are feasible"),
    ],
)
def test_what_cannot_be_had_is_one_line_that_says_what_can(
    capsys: pytest.CaptureFixture[str], more: tuple[str, ...], told: str
) -> None:
    assert main([*WISH, *more]) == 1
    output, error = capsys.readouterr()
    assert told in error
    assert error.count("\n") == 1
    assert output == ""


def test_what_it_says_to_be_feasible_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WISH, "--latency-budget", "5ms"]) == 1
    budget = capsys.readouterr().err.partition("--latency-budget ")[2].split()[0]
    json_of(capsys, *WISH, "--latency-budget", budget)
    assert main([*WISH, "--cameras", "1000000"]) == 1
    cameras = capsys.readouterr().err.partition("up to ")[2].split()[0]
    json_of(capsys, *WISH, "--cameras", cameras)
    assert main([*WISH, "--cameras", str(int(cameras) + 1)]) == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("plan", "--model", "resnet50"), "--cameras N is missing"),
        (("plan", "--cameras", "3"), "--model NAME is missing"),
        (("plan", "--cameras", "0", "--model", "resnet50"), "--cameras"),
        ((*WISH, "--model", "resnet51"), "resnet51"),
        ((*WISH, "--cameras", "1e3"), "--cameras: input should be a valid integer: write digits alone, such as 1000"),
        ((*WISH, "--model", "resnet-50"), "did you mean resnet50? (there are figures of best-throughput and best-"),
        ((*WISH, "--model", "resnet50", "--objective", "balanced"), "resnet50 has best-throughput, best-latency"),
        ((*WISH, "--options", "missing/card.yaml"), "no directory missing"),
        ((*WISH, "--latency-budget", "200"), "unit"),
        ((*WISH, "--picture", "plan.png"), "plan.svg"),
        # Before its minute of measuring.
        (("plan", "--cameras", "3", "--model", "resnet50", "--picture", "missing/plan.svg"), "no directory missing"),
    ],
)
def test_a_wish_that_cannot_be_meant(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str) -> None:
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1


def test_the_commands_are_ones_that_the_program_takes(capsys: pytest.CaptureFixture[str]) -> None:
    plan = json_of(capsys, *WISH, "--cameras", "3000", "--drop-rate", "0.01", "--retention", "90s")
    topics, *consumers = plan["commands"]
    settings = settings_of(topics)
    assert (settings.partitions, settings.frames_retention.total_seconds()) == (plan["partitions"], 90)
    assert settings.frames_retention_bytes * plan["partitions"] >= 15_000 * plan["host"]["frame_bytes"] * 90
    assert len(consumers) == plan["devices"]
    assert [settings_of(line).device for line in consumers] == [str(device) for device in range(plan["devices"])]
    consumer = settings_of(consumers[-1])
    assert (consumer.batch_size, consumer.workers) == (14, plan["workers_per_device"])
    assert (consumer.activations, consumer.set_size) == (plan["activations"], plan["set_size"])
    assert consumer.latency_budget is not None
    assert consumer.latency_budget.total_seconds() < 0.2
    assert consumer.policy == "freshest"
    assert len({settings_of(line).group for line in consumers}) == 1, "cards share the frames"


@pytest.mark.parametrize("objective", ["best-throughput", "best-latency"])
@pytest.mark.parametrize("model", ["resnet50", "vit_b_16", "squeezenet1_1"])
def test_the_commands_build_the_program_that_the_plan_goes_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, objective: str
) -> None:
    words = (*WISH, "--model", model, "--objective", objective)
    plan = json_of(capsys, *words, "--options", "card of mine.yaml")
    row = read_figures().find(f"{model}/{objective}")
    wanted = {
        "aic_num_cores": row.cores,
        "ols": row.ols,
        "mos": row.mos,
        "extra_flags": row.extra,
        "convert_to_fp16": True,
        "stats_batchsize": row.batch_size,
    }
    path = tmp_path / "card of mine.yaml"
    assert read_options(path).values == plan["options"] == {name: value for name, value in wanted.items() if value}
    consumer = settings_of(plan["commands"][-1])
    said = read_keywords(engine_keywords(consumer), open_batch=consumer.batch_size)
    assert said.backend is backend_class("qaic")
    assert (said.options.keywords.aic_num_cores, said.options.keywords.mos) == (row.cores, row.mos or None)
    assert (said.options.own_of(QaicOwn).extra_flags or "") == row.extra
    table = output_of(capsys, *words)
    assert f"# {model}-{objective}.yaml: how the program is compiled" in table
    assert f"aic_num_cores: {row.cores}\n" in table


def test_the_model_of_the_commands_is_the_one_that_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = json_of(capsys, *WISH)
    assert plan["model_command"] == "streamer classifier -m resnet50 --objective best-throughput"
    assert plan["model_command"] in output_of(capsys, *WISH)
    wishes = Wishes(objective="best-throughput")
    made = WorkDirectory(Path(), plan_of(wishes, find_architecture("resnet50"), read_table()), "qaic").model
    file = settings_of(plan["commands"][-1]).model
    assert tmp_path / file == made


@pytest.mark.parametrize("file", ["resnet50.onnx", "models/resnet50.onnx", "resnet50/model/model.onnx"])
def test_a_model_may_be_given_as_its_file(capsys: pytest.CaptureFixture[str], file: str) -> None:
    assert json_of(capsys, *WISH, "--model", file) == json_of(capsys, *WISH)


@pytest.mark.parametrize(("cameras", "partitions"), [("1", 8), ("3", 8), ("20", 16), ("300", 16)])
def test_a_partition_keeps_the_frames_of_all_cameras_it_has(
    capsys: pytest.CaptureFixture[str], cameras: str, partitions: int
) -> None:
    plan = json_of(capsys, *WISH, "--cameras", cameras, "--frame-bytes", "60000")
    kept = settings_of(plan["commands"][0]).frames_retention_bytes
    a_camera = 5 * 60_000 * 600
    even = int(cameras) / plan["partitions"]
    most = even + 2 * math.sqrt(even * (1 - 1 / plan["partitions"]))
    assert kept >= a_camera * max(min(most, int(cameras)), 1)
    assert kept < a_camera * (most * 2 + 3)


def test_frames_of_many_bytes_cost_more_than_disk_and_network(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*WISH, "--short-side", "1080", "--cameras", "20")
    small, large = (json_of(capsys, *words, "--frame-bytes", size) for size in ("200000", "800000"))
    for cost in ("decode_us", "frame_us", "transit_ms"):
        assert large["host"][cost] > small["host"][cost]
    assert 9000 < large["host"]["decode_us"] < 13_000
    assert large["warnings"] == []
    unlikely = json_of(capsys, *WISH, "--cameras", "20", "--frame-bytes", "800000")
    assert "give the frames' --short-side" in unlikely["warnings"][0]


def test_what_one_broker_does_not_bear_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*WISH, "--short-side", "1080", "--frame-bytes", "1M", "--latency-budget", "1s", "--decode-us", "300")
    assert json_of(capsys, *words, "--cameras", "150")["warnings"] == []
    (warning,) = json_of(capsys, *words, "--cameras", "500")["warnings"]
    assert "20.0 Gbit/s" in warning
    assert "among 3 brokers" in warning


def test_it_says_why_there_are_more_cards_than_their_rate_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    (why,) = json_of(capsys, *WISH)["hints"]
    assert "2 cards where 1 would have the rate" in why
    assert why.endswith("--headroom 0 needs 1")
    assert json_of(capsys, *WISH, "--headroom", "0")["devices"] == 1
    assert why in output_of(capsys, *WISH)
    assert json_of(capsys, *WISH, "--cameras", "10")["hints"] == []


def test_it_says_from_which_budget_fewer_cards_do(capsys: pytest.CaptureFixture[str]) -> None:
    hurried = json_of(capsys, *WISH, "--latency-budget", "19ms")
    _, idle = hurried["hints"]
    steps = re.findall(r"(\d+) ms: (\d+) card", idle)
    assert steps
    devices = hurried["devices"]
    for budget_ms, cards in steps:
        assert json_of(capsys, *WISH, "--latency-budget", f"{budget_ms}ms")["devices"] == int(cards) <= devices / 2
        devices = int(cards)


def test_small_plans_are_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    table = " ".join(output_of(capsys, *WISH, "--cameras", "1").split())
    assert "1 camera of 5 frames/s" in table
    assert " 1 cameras" not in table
    assert re.search(r"host cores │ 0\.00\d │ 0\.00\d for decoding", table)


def settings_of(line: str) -> Any:
    words = shlex.split(line)[1:]
    command: Command = import_module(f"streamer.cli.{words[0]}").COMMAND
    rest = words[1:]
    while command.subcommands:
        command, rest = command.subcommands[rest[0]], rest[1:]
    flags, _ = parse(make_parser("streamer", command), rest)
    return load(flags).settings


def test_the_picture_shows_wish_budget_and_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = json_of(capsys, *WISH, "--picture", "plan.svg")
    drawing = ET.fromstring((tmp_path / "plan.svg").read_text(encoding="utf-8"))
    texts = " ".join(element.text or "" for element in drawing.iter())
    for word in ("300 cameras", "budget 200 ms", f"{plan['max_cameras']} cameras: {plan['limit']}"):
        assert word in texts
    assert any(element.tag.endswith("polyline") for element in drawing.iter())


@pytest.mark.parametrize("cameras", ["1", "4", "300", "2500000"])
def test_the_picture_has_round_axes_and_its_words_stand_beside_the_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cameras: str
) -> None:
    words = (*WISH, "--fps", "0.05") if cameras == "2500000" else WISH
    json_of(capsys, *words, "--cameras", cameras, "--picture", "plan.svg")
    drawing = ET.fromstring((tmp_path / "plan.svg").read_text(encoding="utf-8"))
    texts = {element.text: element.attrib for element in drawing.iter() if element.tag.endswith("text")}
    numbers = [text.replace(",", "") for text in texts if text and re.fullmatch(r"[\d,]+", text)]
    assert len(numbers) > 6
    assert all(len(number.rstrip("0")) <= 3 for number in numbers), numbers
    (polyline,) = (element for element in drawing.iter() if element.tag.endswith("polyline"))
    highest = min(float(point.split(",")[1]) for point in polyline.attrib["points"].split())
    (wished,) = (
        at for text, at in texts.items() if text and " p99 " in text and "camera" in text and "frames" not in text
    )
    assert float(wished["y"]) < highest
    assert any(text and "wait for company" in text for text in texts)
