"""The commands that make a plan real. Pure."""

import math
from datetime import timedelta

from config.types import format_duration
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


def consume_command(plan: Plan, device: int) -> list[str]:
    """Return the words that run the workers of a card."""
    return [
        *("streamer", "consume", "--device", str(device), "--group", GROUP, "--workers", str(plan.workers_per_device)),
        *("--backend", "qaic", "--model", f"{plan.lane.figures.model}.onnx"),
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
