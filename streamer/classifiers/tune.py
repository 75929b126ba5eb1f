"""`--tune`: tries batch sizes, instances and set sizes on a device, and has the best one run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.backends.simulator.figures import read_figures
from engine.backends.simulator.table import TableRow
from engine.errors import EngineError, first_line
from engine.models.zoo.building import Weights
from streamer.classifiers.device import Device, simulated
from streamer.classifiers.errors import ClassifierError
from streamer.classifiers.measuring import Say, random_pictures, time_of
from streamer.classifiers.plan import CARD_CORES, MAX_SET_SIZE, Origin, RunPlan, row_of
from streamer.classifiers.records import Exported
from streamer.classifiers.report import Report, Timing
from streamer.classifiers.runner import ClassifierRun
from streamer.classifiers.search import Search, Trial

#: How long each trial runs where nobody says.
TRIAL_S = 2.0
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
Told = Callable[[int, int, Trial], None]


def tune(
    plan: RunPlan, device: Device, weights: Weights | None, base: Path, say: Say, told: Told
) -> tuple[Search, Trial]:
    """Search; what the command line says of batch, instances and set size stays as it is.

    Args:
        plan: Where it begins; its time is that of a trial.
        device: Where it is tried.
        weights: None for `pretrained`.
        base: Where the model's working directory is made.
        say: Told what goes on.
        told: Told of each trial: how many there were, how many there may be, and what it gave.

    Returns:
        All trials, and the best.

    Raises:
        ClassifierError: No trial worked.
        EngineError: The model cannot be made, or the device not be used at all.
    """
    begin = started(plan, device)
    run = ClassifierRun(begin, device, weights, base)
    run.check()
    with run.directory.opened():
        _, exported = run.export(say)
        space = space_of(begin, device, has_open_batch=exported.batch_size is None)
        search = Search(begin, space)
        for trial in search.run(lambda one: _attempt(one, device, run, exported), lambda one: is_possible(one, device)):
            told(len(search.trials), search.most_trials, trial)
    if search.best is None:
        raise ClassifierError(f"no trial of {plan.model} worked on {device.name}: {search.trials[0].error}")
    return search, search.best


def started(plan: RunPlan, device: Device) -> RunPlan:
    """Return the plan as a device without a card's queues would run it."""
    activations, set_size = device.concurrency(plan)
    return plan.changed(instances=activations, set_size=set_size)


def space_of(plan: RunPlan, device: Device, *, has_open_batch: bool) -> dict[str, tuple[int, ...]]:
    """Return which values are tried: none of what the command line says, and of batches those that there are.

    A simulated card has the batches that were measured on as many cores, and no more.
    """
    most_instances, most_in_flight = CARD_CORES // plan.cores, MAX_SET_SIZE
    if device.is_simulator:
        rows = read_figures(simulated(plan)[1]).rows.values()
        alike = [row for row in rows if (row.model, row.cores) == (plan.model, plan.cores)]
        batch_sizes = tuple(sorted({row.batch_size for row in alike}))
        most_instances = min(most_instances, *(row.instances for row in alike))
    else:
        batch_sizes = _BATCH_SIZES if has_open_batch else (plan.batch_size,)
        if not device.has_card:
            most_instances = max(1, min(most_instances, device.cpu_cores))
            most_in_flight = min(most_in_flight, device.cpu_cores)
    space = {
        "batch_size": batch_sizes,
        "instances": tuple(range(1, most_instances + 1)),
        "set_size": tuple(range(1, most_in_flight + 1)),
    }
    return {name: values for name, values in space.items() if plan.origins.get(name) != "flag"}


def found(plan: RunPlan, search: Search, best: Trial, time_s: float) -> RunPlan:
    """Return the plan with what a search has found, for a run of so long."""
    origins: dict[str, Origin] = {**plan.origins, **dict.fromkeys(search.space, "search")}
    values = {name: getattr(best.plan, name) for name in search.space}
    return replace(plan, time_s=time_s, origins=origins).changed(**values)


def row_to_keep(report: Report, device: Device) -> TableRow | None:
    """Return the row that leads to what was found; None where its answers are wrong, as nobody should follow it."""
    if report.is_wrong:
        return None
    timing = report.timing
    return row_of(report.plan, timing.images_per_s, timing.latency_p95_ms, device.precision)


def notes_of(plan: RunPlan, device: Device) -> list[str]:
    """Return what a search on this device cannot know, a line each."""
    if not device.is_simulator:
        return []
    batch_sizes = ", ".join(map(str, space_of(replace(plan, origins={}), device, has_open_batch=True)["batch_size"]))
    note = (
        f"the simulated card knows batches of {batch_sizes} on {plan.cores} cores, as published; each instance adds as "
        "much, and a set size adds latency alone: on a card a larger one hides the host's own gaps, so search there too"
    )
    return [note]


def is_possible(plan: RunPlan, device: Device) -> bool:
    """Tell whether a device runs a plan as it stands: without a card's queues, each batch in flight needs a core."""
    return device.has_card or device.concurrency(plan) == (plan.instances, plan.set_size)


def _attempt(plan: RunPlan, device: Device, run: ClassifierRun, exported: Exported) -> Trial:
    keywords = device.keywords(plan, run.directory.compiled, has_open_batch=exported.batch_size is None)
    keywords.pop("output_dir", None)  # the folders are for the run at the end
    try:
        result = time_of(run.directory.model, keywords, random_pictures(plan), plan.time_s)
    except (EngineError, MemoryError) as exc:
        return Trial(plan, None, first_line(exc))
    return Trial(plan, Timing.of(result))
