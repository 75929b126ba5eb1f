"""`streamer classifier --all`: one model after the other. Whatever ends it, what was found until then is kept."""

from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext

from engine.errors import first_line
from engine.models.zoo.catalog import ARCHITECTURES
from streamer.classifiers.measuring import Say
from streamer.classifiers.report import Report, csv_text
from streamer.cli.classifier_report import difference, draw, outcome, point_of, print_all, print_notes, say_aside
from streamer.cli.output_file import GrowingText
from streamer.cli.progress import ProgressBar
from streamer.terminal import print_json

_INTERRUPTED = 130
Attempt = Callable[[str, Say], Report]


class AllModels:
    """What the models have given so far; each is said, and written into the CSV, as it ends.

    Attributes:
        reports: Of those that ran.
        failures: Why the others did not, and which ran with wrong answers; by the model's name.
        rows: All of them for programs, in the order in which they ended.
    """

    def __init__(self, attempt: Attempt, csv: GrowingText | None) -> None:
        """Take what runs a model, and where its row goes."""
        self.reports: list[Report] = []
        self.failures: dict[str, str] = {}
        self.rows: list[dict[str, object]] = []
        self._attempt = attempt
        self._csv = csv

    def run(self) -> None:
        """Run every model; one that fails stops none of the others."""
        if self._csv is not None:
            self._csv.add(csv_text([]))
        with ProgressBar("") as progress:
            for number, name in enumerate(ARCHITECTURES):

                def say(doing: str, number: int = number, name: str = name) -> None:
                    progress(number, len(ARCHITECTURES), f"{name}: {doing}")

                try:
                    report = self._attempt(name, say)
                except Exception as exc:  # noqa: BLE001 - whatever it is, the others are run
                    is_known = isinstance(getattr(exc, "exit_code", None), int)
                    error = first_line(exc) if is_known else f"{type(exc).__name__}: {first_line(exc)}"
                    self._keep(name, {"model": name}, error, error)
                    continue
                self.reports.append(report)
                error = difference(report) if report.is_wrong else ""
                self._keep(name, report.as_json(), error, outcome(report))
                print_notes(report.notes, name)

    def _keep(self, name: str, found: dict[str, object], error: str, said: str) -> None:
        row = found | {"error": error or None}
        self.rows.append(row)
        if error:
            self.failures[name] = error
        if self._csv is not None:
            self._csv.add(csv_text([row], has_header=False))
        say_aside(f"{len(self.rows)}/{len(ARCHITECTURES)} {name}: {said}")


def run_all(arguments: Namespace, backend: str, attempt: Attempt) -> int:
    """Run every model, and show what they gave; Ctrl-C ends it with those that there are.

    Raises:
        OutputError: A file cannot be written.
    """
    is_interrupted = False
    with GrowingText(arguments.csv) if arguments.csv is not None else nullcontext() as csv:
        models = AllModels(attempt, csv)
        try:
            models.run()
        except KeyboardInterrupt:
            is_interrupted = True
    reports, failures = models.reports, models.failures
    if arguments.json:
        counts = {"backend": backend, "done": len(reports), "failed": len(failures), "interrupted": is_interrupted}
        print_json(counts | {"results": models.rows})
    else:
        print_all(reports, failures)
    draw(arguments, point_of(reports), f"{len(reports)} classifiers on back end {backend}")
    if is_interrupted:
        say_aside(f"interrupted after {len(models.rows)} of {len(ARCHITECTURES)} models: these are all there are")
        return _INTERRUPTED
    return 1 if failures else 0
