"""The commands that make a plan real, and the file that they read. Pure."""

import math
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from config.types import format_duration
from engine.models.zoo.catalog import ARCHITECTURES
from streamer.classifiers.device import compile_keywords
from streamer.sizing.lane import KEPT_SHARE, Lane
from streamer.sizing.plan import Plan
from streamer.sizing.wish import Wish

GROUP = "site"


def topics_command(plan: Plan) -> list[str]:
    """Return the words that make the topics."""
    return [
        *("streamer", "topics", "create", "--partitions", str(plan.partitions)),
        *("--frames-retention", _duration(plan.wish.retention_s)),
        *("--frames-retention-bytes", str(plan.broker.retention_bytes)),
    ]


def model_command(plan: Plan) -> list[str]:
    """Return the words that make the model's file; none where it is nobody's but yours."""
    figures = plan.lane.figures
    if figures.model not in ARCHITECTURES:
        return []
    return ["streamer", "classifier", "-m", figures.model, "--objective", figures.objective]


def model_file(plan: Plan) -> str:
    """Return the model's file: where `model_command` puts it."""
    model = plan.lane.figures.model
    return str(PurePath(model, "model", "model.onnx")) if model in ARCHITECTURES else f"{model}.onnx"


def options_file(plan: Plan) -> str:
    """Return what the file of the compiler's options is called, where nobody says another name."""
    return f"{plan.lane.figures.name.replace('/', '-')}.yaml"


def options(plan: Plan) -> dict[str, Any]:
    """Return the keywords of a session that compile the program which the plan goes by."""
    return compile_keywords(plan.lane.figures)


def options_text(plan: Plan) -> str:
    """Return the same as the YAML of `--options-path`."""
    import yaml  # takes as long to import as all the rest

    said: str = yaml.safe_dump(options(plan), sort_keys=False)
    return said


def consume_command(plan: Plan, device: int, options_path: str) -> list[str]:
    """Return the words that run the workers of a card."""
    return [
        *("streamer", "consume", "--device", str(device), "--group", GROUP, "--workers", str(plan.workers_per_device)),
        *("--backend", "qaic", "--model", model_file(plan), "--options-path", options_path),
        *_batches(plan.lane),
        *_shedding(plan.wish),
    ]


def simulated_command(lane: Lane, wish: Wish | None = None) -> list[str]:
    """Return the words after `streamer` that run one worker on a simulated card."""
    return [
        *("consume", "--device", "0", "--backend", "simulator", "--row", lane.figures.name, "--compute", "none"),
        *_batches(lane),
        *(_shedding(wish) if wish is not None else ()),
    ]


def kept_ms(lane: Lane) -> int:
    """Return the latency that batches are told to keep, in whole ms."""
    return max(math.floor(lane.budget_s * KEPT_SHARE * 1e3), 1)


def _shedding(wish: Wish) -> list[str]:
    """Return what lets frames be skipped, where they may be."""
    return ["--policy", "freshest", "--max-age", _duration(wish.budget_s)] if wish.drop_rate else []


def _batches(lane: Lane) -> list[str]:
    """Return how a worker makes its batches, and how many it has on the card."""
    figures = lane.figures
    return [
        *("--batch-size", str(figures.batch_size), "--latency-budget", f"{kept_ms(lane)}ms"),
        *("--activations", str(lane.activations), "--set-size", str(figures.set_size)),
    ]


def _duration(time_s: float) -> str:
    return format_duration(timedelta(seconds=time_s))
