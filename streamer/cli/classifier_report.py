"""What `streamer classifier` prints and writes."""

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from streamer.classifiers.picture import Kind, Point, svg
from streamer.classifiers.plan import ORIGIN_WORDS, Origin
from streamer.classifiers.report import Report, csv_text
from streamer.classifiers.search import Search, Trial
from streamer.cli.output_file import write_text
from streamer.terminal import harmless, print_table


def print_report(report: Report) -> None:
    """Print a run's figures as a table."""
    plan, timing = report.plan, report.timing
    images_per_s, latency_ms = plan.listed
    activations, set_size = report.concurrency
    values = ", ".join(f"{value:.4g}" for value in report.first_values)
    rows = [
        ("Inf/s", f"{timing.images_per_s:,.1f}{_listed(images_per_s, ',.1f')}"),
        ("latency p95", f"{timing.latency_p95_ms:.2f} ms a batch{_listed(latency_ms, '.2f')}"),
        ("latency p50, p99", f"{timing.latency_p50_ms:.2f} ms, {timing.latency_p99_ms:.2f} ms"),
        ("batches", f"{timing.batches:,} of {plan.batch_size} in {timing.took_s:.2f} s"),
        ("largest difference from torch", _gap(report)),
        ("outputs", f"{'×'.join(map(str, report.answers.shape))}: {values} …"),
        (
            "program",
            f"batch {plan.batch_size}, {plan.image_size_px} px, opset {report.opset}, {report.weights} weights",
        ),
        ("in flight", f"{activations} instances × set size {set_size}"),
        ("card", f"cores {plan.cores}, OLS {plan.ols}, MOS {plan.mos or 'none'}, extra {plan.extra or 'none'}"),
        ("values", _origins(plan.origins)),
        ("directory", report.directory),
    ]
    print_table(f"{plan.model}, {plan.objective}, on {report.detail}", ("figure", "value"), rows)


def print_all(reports: Sequence[Report], failures: Mapping[str, str]) -> None:
    """Print a row for every model, those that failed at the end."""
    done = {report.plan.model for report in reports}
    rows: list[Sequence[object]] = [
        (
            report.plan.model,
            f"{report.timing.images_per_s:,.1f}",
            f"{report.timing.latency_p95_ms:.2f}",
            f"{report.agreement.max_abs_difference:.2g}",
            report.plan.batch_size,
            f"{report.concurrency[0]} × {report.concurrency[1]}",
            report.opset,
            failures.get(report.plan.model, ""),
        )
        for report in reports
    ]
    rows += [(name, *[""] * 6, error) for name, error in failures.items() if name not in done]
    columns = ("model", "Inf/s", "latency p95 ms", "difference", "batch", "in flight", "opset", "error")
    title = f"{len(reports)} models run, {len(failures)} failed"
    print_table(f"{title}; all simulated" if any(report.is_simulated for report in reports) else title, columns, rows)


def print_trials(search: Search) -> None:
    """Print what a search has tried."""
    rows = [
        (
            f"{'→ ' if trial is search.best else '  '}{trial.label}",
            *(("–", "–") if trial.timing is None else _figures(trial)),
            trial.error,
        )
        for trial in search.trials
    ]
    print_table("batch, instances (A) and set size", ("trial", "images/s", "latency p95 ms", "error"), rows)


def outcome(report: Report) -> str:
    """Return how fast a run was, and how right, in one line."""
    timing = report.timing
    said = difference(report) if report.is_wrong else f"differs from torch by {_gap(report)}"
    return f"{timing.images_per_s:,.1f} Inf/s, p95 {timing.latency_p95_ms:.2f} ms a batch, {said}"


def difference(report: Report) -> str:
    """Return how far wrong answers are from torch's."""
    agreement = report.agreement
    classes = "the same top classes" if agreement.same_top_class else "other top classes"
    return f"answers differ from torch's by {agreement.max_abs_difference:.3g}, with {classes}"


def print_notes(notes: Sequence[str], model: str = "") -> None:
    """Print notes on standard error, a line each."""
    for note in notes:
        say_aside(f"note: {model + ': ' if model else ''}{note}")


def say_aside(line: str) -> None:
    """Print a line on standard error."""
    print(harmless(line, 1000), file=sys.stderr)


def trial_json(trial: Trial, best: Trial) -> dict[str, object]:
    """Return a trial for programs."""
    timing = trial.timing
    return {
        "batch_size": trial.plan.batch_size,
        "instances": trial.plan.instances,
        "set_size": trial.plan.set_size,
        "inferences_per_second": timing.images_per_s if timing is not None else None,
        "latency_ms": timing.latency_p95_ms if timing is not None else None,
        "is_best": trial is best,
        "error": trial.error or None,
    }


def point_of(reports: Sequence[Report]) -> list[Point]:
    """Return the marks of runs, and what the table lists for them."""
    points = []
    for report in reports:
        timing, (images_per_s, latency_ms) = report.timing, report.plan.listed
        kind: Kind = "simulated" if report.is_simulated else "measured"
        points.append(Point(report.plan.model, timing.images_per_s, timing.latency_p95_ms, kind))
        if len(reports) == 1 and images_per_s is not None and latency_ms is not None:
            points.append(Point("as listed", images_per_s, latency_ms, "listed"))
    return points


def points_of_search(search: Search, *, is_simulated: bool) -> list[Point]:
    """Return the marks of a search's trials."""
    kind: Kind = "simulated" if is_simulated else "measured"
    return [
        Point(
            trial.label,
            trial.timing.images_per_s,
            trial.timing.latency_p95_ms,
            "best" if trial is search.best else kind,
        )
        for trial in search.trials
        if trial.timing is not None
    ]


def write_files(
    arguments: Namespace, rows: Sequence[Mapping[str, object]], points: Sequence[Point], title: str
) -> None:
    """Write `--csv` and `--picture`, where they are given.

    Raises:
        OutputError: One cannot be written.
    """
    if arguments.csv is not None:
        write_text(arguments.csv, csv_text(rows))
    draw(arguments, points, title)


def draw(arguments: Namespace, points: Sequence[Point], title: str) -> None:
    """Write `--picture`, where it is given.

    Raises:
        OutputError: It cannot be written.
    """
    if arguments.picture is not None:
        write_text(arguments.picture, svg(points, title))


def _origins(origins: Mapping[str, Origin]) -> str:
    """Return which values came from where."""
    names: dict[Origin, list[str]] = {}
    for name, origin in origins.items():
        names.setdefault(origin, []).append(name.removesuffix("_px").replace("_", " "))
    return "; ".join(f"{ORIGIN_WORDS[origin]}: {', '.join(listed)}" for origin, listed in names.items())


def _figures(trial: Trial) -> tuple[str, str]:
    assert trial.timing is not None
    return f"{trial.timing.images_per_s:,.1f}", f"{trial.timing.latency_p95_ms:.2f}"


def _listed(value: float | None, form: str) -> str:
    return f" (the table lists {value:{form}})" if value is not None else ""


def _gap(report: Report) -> str:
    top = "the same top class" if report.agreement.same_top_class else "ANOTHER TOP CLASS"
    return f"{report.agreement.max_abs_difference:.3g}, {top}"
