"""`streamer classifier`: benchmark a well-known classifier, from its weights to its answers."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.cli.classifier_flags import add_flags, models
from streamer.cli.command import Call, Command, UsageError

if TYPE_CHECKING:
    from engine.backends.simulator.table import LookUpTable
    from streamer.classifiers.device import Device
    from streamer.classifiers.plan import RunPlan, Wishes
    from streamer.classifiers.report import Report
    from streamer.classifiers.search import Search, Trial

_PROGRAM = "streamer classifier"


def _run(call: Call) -> int:
    from engine.backends.simulator.table import PUBLISHED
    from streamer.classifiers.device import find_device
    from streamer.classifiers.plan import find_table
    from streamer.cli.classifier_report import say_aside

    arguments = call.arguments
    settings = call.loaded.settings
    device, reason = find_device(arguments.backend or settings.backend, arguments.options_path or settings.options_path)
    _check(arguments, device)
    if reason:
        say_aside(f"{reason} (--backend names another)")
    # A search writes a table that need not be there yet.
    given = None if arguments.tune and arguments.lut is not None and not arguments.lut.exists() else arguments.lut
    table = find_table(given, Path())
    if given is None and table.path != PUBLISHED:
        say_aside(f"the table is {table.path.resolve()}, of the current directory (--lut names another)")
    if arguments.all:
        return _run_all(arguments, device, table)
    return (_tune if arguments.tune else _run_one)(arguments, device, _plan(arguments, arguments.model_name, table))


def _check(arguments: Namespace, device: "Device") -> None:
    """Refuse what cannot be meant, before anything is done."""
    from streamer.classifiers.plan import LUT_NAME

    wrong = ""
    if arguments.all == (arguments.model_name is not None):
        wrong = "give --model-name NAME or --all" + (", not both" if arguments.all else "")
    elif arguments.tune and (arguments.all or arguments.run_only):
        wrong = "--tune searches for one model, which it exports: leave --all and --run-only out"
    elif arguments.tune and arguments.lut is None and not device.is_card:
        wrong = (
            f"--tune on {device.name}: name a table with --lut FILE: what runs on a card follows {LUT_NAME}, and these "
            "are no card's figures"
        )
    if wrong:
        raise UsageError(f"{_PROGRAM}: {wrong}")


def _run_one(arguments: Namespace, device: "Device", plan: "RunPlan") -> int:
    from streamer.cli.classifier_report import point_of, print_notes, print_report, write_files
    from streamer.terminal import print_json, working

    with working(plan.model) as status:
        report = _report(arguments, device, plan, lambda doing: status(f"{plan.model}: {doing}"))
    print_notes(report.notes)
    if arguments.json:
        print_json(report.as_json())
    else:
        print_report(report)
    write_files(arguments, [report.as_json()], point_of([report]), f"{plan.model} on {report.detail}")
    return _exit_code(report)


def _run_all(arguments: Namespace, device: "Device", table: "LookUpTable") -> int:
    from streamer.cli.classifier_all import run_all

    return run_all(
        arguments, device.name, lambda name, say: _report(arguments, device, _plan(arguments, name, table), say)
    )


def _tune(arguments: Namespace, device: "Device", plan: "RunPlan") -> int:
    """Search, run the best, and write its row, unless its answers are wrong."""
    from streamer.classifiers.lut_file import write_row
    from streamer.classifiers.plan import DEFAULT_TIME_S, LUT_NAME
    from streamer.classifiers.tune import found, notes_of, row_to_keep
    from streamer.cli.classifier_report import (
        point_of,
        points_of_search,
        print_notes,
        print_report,
        print_trials,
        trial_json,
        write_files,
    )
    from streamer.terminal import harmless, print_json, working

    search, best = _search(arguments, device, plan)
    final = found(plan, search, best, arguments.time or DEFAULT_TIME_S)
    with working(plan.model) as status:
        report = _report(arguments, device, final, lambda doing: status(f"{plan.model}, the best: {doing}"))
    path: Path = arguments.lut or Path(LUT_NAME)
    row = row_to_keep(report, device)
    if row is not None:
        write_row(path, row)
    kept = f"is written to {path}" if row is not None else "is not written: its answers are wrong"
    notes = [*report.notes, *notes_of(plan, device)]
    print_notes(notes)
    trials = [trial_json(trial, best) for trial in search.trials]
    points = [*points_of_search(search, is_simulated=report.is_simulated), *point_of([report])]
    if arguments.json:
        print_json(report.as_json() | {"notes": notes, "lut": str(path) if row is not None else None, "trials": trials})
    else:
        print_trials(search)
        print_report(report)
        print(harmless(f"row {plan.model}/{plan.objective} {kept}", 1000))
    write_files(arguments, [report.as_json()], points, f"{plan.model} on {report.detail}")
    return _exit_code(report)


def _search(arguments: Namespace, device: "Device", plan: "RunPlan") -> "tuple[Search, Trial]":
    from dataclasses import replace

    from streamer.classifiers.tune import TRIAL_S, tune
    from streamer.cli.progress import ProgressBar

    trial_plan = replace(plan, time_s=arguments.time or TRIAL_S)
    with ProgressBar(f"{plan.model}: exporting") as progress:
        return tune(
            trial_plan,
            device,
            arguments.weights,
            arguments.work_dir,
            lambda doing: progress(0, 1, f"{plan.model}: {doing}"),
            lambda done, most, trial: progress(done, most, f"{plan.model}: {trial.label}"),
        )


def _report(arguments: Namespace, device: "Device", plan: "RunPlan", say: Callable[[str], None]) -> "Report":
    from streamer.classifiers.runner import ClassifierRun

    run = ClassifierRun(plan, device, arguments.weights, arguments.work_dir)
    return run.run_only(say) if arguments.run_only else run.run(say)


def _plan(arguments: Namespace, name: str, table: "LookUpTable") -> "RunPlan":
    from engine.models.zoo.catalog import find_architecture
    from streamer.classifiers.plan import plan_of

    return plan_of(_wishes(arguments), find_architecture(name), table)


def _wishes(arguments: Namespace) -> "Wishes":
    from streamer.classifiers.plan import DEFAULT_TIME_S, Wishes

    return Wishes(
        objective=arguments.objective,
        opset=arguments.opset,
        batch_size=arguments.batch_size,
        image_size_px=arguments.image_size,
        cores=arguments.cores,
        instances=arguments.instances,
        ols=arguments.ols,
        mos=arguments.mos,
        set_size=arguments.set_size,
        extra=arguments.extra,
        time_s=arguments.time or DEFAULT_TIME_S,
        device=arguments.device,
    )


def _exit_code(report: "Report") -> int:
    if report.is_wrong:
        from streamer.cli.classifier_report import difference, say_aside

        say_aside(f"{_PROGRAM}: {report.plan.model}: {difference(report)}")
        return 1
    return 0


COMMAND = Command(
    help="Benchmark a well-known classifier: download, export to ONNX, compile, run on random pictures, and compare\n"
    "the answers with torch's. What is made stays in a directory that is called as the model.\n\n"
    f"models:\n{models()}",
    run=_run,
    add_arguments=add_flags,
    examples="streamer classifier -m resnet50 --backend simulator --weights random\n"
    "streamer classifier -m resnet-50 -o best-latency\n"
    "streamer classifier -m vit_b_16 -b 4 -c 4 -i 3 --time 5s --backend onnxruntime --json\n"
    "streamer classifier -m mobilenet_v2 --tune --backend onnxruntime --weights random --lut mine.csv\n"
    "streamer classifier --all --backend simulator --weights random --time 2 --csv all.csv --picture all.svg",
)
