"""`streamer pipeline`: run frames through a pipeline of steps, without Kafka."""

import sys
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import ConfigError
from config.settings import DashboardSettings, EngineSettings, Settings, SourceSettings
from streamer.cli.command import Call, Command
from streamer.cli.output_file import drawing, write_text

if TYPE_CHECKING:
    from engine.pipeline.advice import Advice
    from engine.pipeline.outcome import Outcome
    from engine.pipeline.overview import PipelineStatistics
    from engine.pipeline.pipeline import Pipeline
    from streamer.web.server import WebServer

_DEFAULT_TARGET_FPS = 25.0
#: Different errors, and how much of each, that are told.
_MAX_MESSAGES, _MAX_MESSAGE_CHARS = 20, 500
#: Frames that come at less than this share of what the steps can do are what holds the pipeline up.
_SLOW_SOURCE = 0.8


def _run(call: Call) -> int:
    # Imported here: the help text needs none of it.
    from engine.pipeline.description import pipeline_from_toml
    from producers.encoding import JpegEncoder
    from producers.sources.uri import open_source
    from streamer.compose import engine_keywords
    from streamer.encoded_frames import encoded_frames
    from streamer.pipeline_picture import svg
    from streamer.stopping import stop_on_signals
    from streamer.terminal import print_json, working

    settings, arguments = call.loaded.settings, call.arguments
    if settings.source is None:
        raise ConfigError("--source URI is missing: try `--source synthetic:workpiece --frames 500`")
    source = open_source(
        settings.source, timeout_s=settings.source_timeout.total_seconds(), short_side_px=settings.short_side
    )
    source.check()
    if arguments.advise is not None and arguments.advise < 0:
        raise ConfigError(f"--advise {arguments.advise}: give frames per second, above 0")
    stop = stop_on_signals()
    frames = encoded_frames(
        source,
        JpegEncoder(settings.short_side, settings.quality),
        stop,
        fps=settings.fps,
        frames=settings.frames,
        does_loop=settings.loop,
    )
    pipeline = pipeline_from_toml(
        arguments.file, import_from=arguments.file.resolve().parent, keywords=engine_keywords(settings)
    )
    server = _server_of(settings) if arguments.dashboard else None
    tally = _Tally()
    with ExitStack() as stack:
        stack.callback(pipeline.close)
        with working("opening and warming up"):
            pipeline.start()
        if server is not None:
            stack.callback(server.close)
            _serve(server, pipeline, settings)
        with working("running; Ctrl-C ends it"):
            for outcome in pipeline.run(frames):
                tally.take(outcome)
        measured_fps = tally.fps()
        statistics = pipeline.statistics()
        advice = None
        if arguments.advise is not None and tally.done:
            advice = pipeline.advise(arguments.advise or settings.fps or _DEFAULT_TARGET_FPS)
    done, failures = tally.done, tally.failures
    if arguments.picture is not None:
        write_text(arguments.picture, svg(statistics, statistics.bottleneck))
    if arguments.json:
        print_json(_summary(done, failures, measured_fps, statistics, advice))
    else:
        _print(done, failures, measured_fps, statistics, advice, is_paced=settings.fps is not None or source.is_live)
    return 1 if failures else 0


class _Tally:
    """Counts outcomes."""

    def __init__(self) -> None:
        self.done = 0
        self.failures: dict[str, int] = {}
        self._began_s = 0.0

    def take(self, outcome: "Outcome") -> None:
        # To open a source takes its time; the rate counts from the first frame.
        self._began_s = self._began_s or time.monotonic()
        self.done += 1
        if outcome.error is not None:
            message = f"{type(outcome.error).__name__}: {outcome.error}"[:_MAX_MESSAGE_CHARS]
            if message not in self.failures and len(self.failures) >= _MAX_MESSAGES:
                message = "and others"
            self.failures[message] = self.failures.get(message, 0) + 1

    def fps(self) -> float:
        """Return the frames per second up to now."""
        took_s = time.monotonic() - self._began_s if self.done else 0.0
        return (self.done - 1) / took_s if took_s > 0 else 0.0


def _server_of(settings: Settings) -> "WebServer":
    from streamer.web.opening import server_of

    return server_of(settings.dashboard)


def _serve(server: "WebServer", pipeline: "Pipeline", settings: Settings) -> None:
    from streamer.web.live_pipeline import LivePipeline
    from streamer.web.opening import address_line

    LivePipeline(pipeline).add_pages()
    server.start()
    print(address_line("pipeline's page", server.address, settings.dashboard), file=sys.stderr, flush=True)


def _summary(
    done: int, failures: dict[str, int], fps: float, statistics: "PipelineStatistics", advice: "Advice | None"
) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "frames": done,
        "failed": sum(failures.values()),
        "errors": failures,
        "fps": round(fps, 3),
        "predicted_fps": statistics.predicted_fps,
        "bottleneck": statistics.bottleneck,
        "steps": [asdict(step) | {"mean_batch_size": step.mean_batch_size} for step in statistics],
        "advice": asdict(advice) if advice is not None else None,
    }


def _print(
    done: int,
    failures: dict[str, int],
    fps: float,
    statistics: "PipelineStatistics",
    advice: "Advice | None",
    *,
    is_paced: bool,
) -> None:
    from streamer.pipeline_picture import bars
    from streamer.terminal import harmless, print_table

    print_table(
        f"{done} frames, {fps:.1f} frames/s",
        ("step", "parallel", "batch", "calls", "mean ms", "p50", "p95", "p99", "max", "waiting ms", "busy"),
        (
            (
                step.name,
                step.parallel_steps or "inline",
                "–" if step.max_batch_size is None else f"{step.mean_batch_size:.1f} of {step.max_batch_size}",
                step.executions,
                *(
                    f"{time_s * 1000:.2f}"
                    for time_s in (
                        step.execution.mean_s,
                        step.execution.p50_s,
                        step.execution.p95_s,
                        step.execution.p99_s,
                        step.execution.max_s,
                        step.waiting.mean_s,
                    )
                ),
                f"{step.utilisation:.0%}",
            )
            for step in statistics
        ),
    )
    print("\n".join(harmless(line, 200) for line in bars(statistics)))
    if statistics.bottleneck is not None and statistics.predicted_fps is not None:
        print(f"bottleneck: {harmless(statistics.bottleneck)}, {statistics.predicted_fps:.1f} frames/s by prediction")
        if fps < _SLOW_SOURCE * statistics.predicted_fps:
            print(f"the frames came at {fps:.1f} frames/s: {'as --fps asked' if is_paced else 'the source held it up'}")
    if advice is not None:
        print("\n".join(harmless(line, 500) for line in str(advice).splitlines()))
    for message, count in failures.items():
        print(f"{count} failed: {harmless(message, 500)}", file=sys.stderr)


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the pipeline: a [[step]] table for each step")
    parser.add_argument(
        "--advise",
        metavar="FPS",
        nargs="?",
        type=float,
        const=0.0,
        help="say how many parallel steps and which batches reach so many frames/s (default: --fps, else 25)",
    )
    parser.add_argument("--picture", metavar="FILE.svg", type=drawing, help="draw the times of the steps")
    parser.add_argument(
        "--dashboard",
        action="store_true",
        help="serve a page with the figures as they come, on which threads and batch sizes can be changed",
    )
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


COMMAND = Command(
    help="Pipelines of steps, without Kafka.",
    subcommands={
        "run": Command(
            help="Run the frames of a source through the steps of a file, and print where the time goes.\n\n"
            "Frames come as fast as the steps take them, unless --fps or a live source sets the pace.",
            run=_run,
            settings=((SourceSettings, ""), (EngineSettings, ""), (DashboardSettings, "dashboard")),
            add_arguments=_arguments,
            examples="streamer pipeline run pipeline.toml --source synthetic:workpiece --frames 500\n"
            "streamer pipeline run pipeline.toml --source film.mp4 --advise 100 --picture steps.svg\n"
            "streamer pipeline run pipeline.toml --source synthetic:workpiece --dashboard",
        )
    },
)
