"""A plan, and whether it held, for programs and for people. Pure."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamer.sizing.commands import (
    consume_command,
    kept_ms,
    model_command,
    options,
    options_file,
    options_text,
    topics_command,
)
from streamer.sizing.plan import Limit, Plan
from streamer.sizing.trial import LoadTrial
from streamer.sizing.verify import Verification
from streamer.sizing.words import counted, small

#: More cards than this have commands that differ in a number alone.
_SHOWN_COMMANDS = 4
_LIMITS: dict[Limit, str] = {
    "device": "the cards' throughput",
    "host": "what one worker process does",
    "latency": "the latency budget",
}


def as_json(
    plan: Plan, warnings: Sequence[str] = (), hints: Sequence[str] = (), options_path: Path | None = None
) -> dict[str, Any]:
    """Return the plan as one object.

    Args:
        plan: What is planned.
        warnings: What makes its figures doubtful.
        hints: Why it is as it is.
        options_path: Where the compiler's options are written; None for nowhere yet.
    """
    figures, host, broker, latency = plan.lane.figures, plan.lane.host, plan.broker, plan.latency
    return {
        "cameras": plan.wish.cameras,
        "fps": plan.wish.fps,
        "frames_per_s": round(plan.wish.total_fps, 3),
        "row": figures.name,
        "devices": plan.devices,
        "consumers": plan.devices,
        "workers_per_device": plan.workers_per_device,
        "workers": plan.workers,
        "activations": plan.lane.activations,
        "set_size": figures.set_size,
        "batch_size": plan.batch_size,
        "mean_batch_size": round(plan.mean_batch, 2),
        "latency_budget_ms": round(plan.wish.budget_s * 1e3, 3),
        "partitions": plan.partitions,
        "host_cores": round(plan.host_cores, 4),
        "decode_cores": round(plan.decode_cores, 4),
        "broker_disk_bytes": broker.disk_bytes,
        "broker_disk_write_bytes_per_s": round(broker.disk_write_bytes_per_s),
        "broker_network_in_bytes_per_s": round(broker.network_in_bytes_per_s),
        "broker_network_out_bytes_per_s": round(broker.network_out_bytes_per_s),
        "p99_ms": round(latency.total_s * 1e3, 1),
        "p99_parts_ms": {
            "transit": round(latency.transit_s * 1e3, 1),
            "fill": round(latency.fill_s * 1e3, 1),
            "decode": round(latency.decode_s * 1e3, 1),
            "device": round(latency.device_s * 1e3, 1),
            "queue": round(latency.queue_s * 1e3, 1),
        },
        "limit": plan.limit,
        "max_cameras": plan.max_cameras,
        "headroom": plan.wish.headroom,
        "host": {
            "origin": host.origin,
            "decode_us": round(host.decode_us, 1),
            "frame_us": round(host.frame_us, 1),
            "batch_us": round(host.batch_us, 1),
            "worker_cores": round(host.worker_cores, 3),
            "transit_ms": round(host.transit_ms, 2),
            "frame_bytes": plan.wish.frame_bytes,
        },
        "options": options(plan),
        "model_command": shlex.join(model_command(plan)) or None,
        "commands": commands(plan, options_path),
        "warnings": list(warnings),
        "hints": list(hints),
    }


def as_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """Return the plan as rows of a table: what, how much, and why."""
    lane, host, broker, latency = plan.lane, plan.lane.host, plan.broker, plan.latency
    figures, wish = lane.figures, plan.wish
    cards = f"{figures.name}, {figures.images_per_s:,.0f} images/s each, of which the busiest gives {plan.card_use:.0%}"
    workers = (
        f"{plan.workers_per_device} on a card, with {lane.activations} of its "
        f"{counted(figures.instances, 'activation')} each; a worker does {lane.host_fps:,.0f} frames/s at the most, "
        f"the fullest has {plan.worker_fps:,.0f}"
    )
    cores = (
        f"{small(plan.decode_cores)} for decoding ({host.decode_us:.0f} µs a frame), the rest for the stream "
        f"({host.cpu_us(plan.mean_batch) - host.decode_us:.0f} µs); {wish.headroom:.0%} stay free"
    )
    parts = {
        "way": latency.transit_s,
        "batch fills": latency.fill_s,
        "decoding": latency.decode_s,
        "card": latency.device_s,
        "queues": latency.queue_s,
    }
    return [
        ("cards", str(plan.devices), cards),
        ("consumers", str(plan.devices), "one for each card, all in one group"),
        ("workers", str(plan.workers), workers),
        ("batch size", str(plan.batch_size), f"as compiled for the card; {plan.mean_batch:.1f} frames on average"),
        ("batches close after", f"{kept_ms(lane)} ms", "from capture, less what a batch takes (--latency-budget)"),
        ("partitions", str(plan.partitions), "as many for each worker"),
        ("host cores", small(plan.host_cores), cores),
        ("broker's disk", _bytes(broker.disk_bytes), f"{_bytes(broker.disk_write_bytes_per_s)}/s are written"),
        (
            "broker's network",
            f"{broker.network_in_bytes_per_s * 8 / 1e6:,.1f} Mbit/s",
            f"in, and as much out; frames of {wish.frame_bytes:,} bytes",
        ),
        (
            "p99",
            f"{latency.total_s * 1e3:.0f} ms",
            ", ".join(f"{name} {time_s * 1e3:.0f}" for name, time_s in parts.items()),
        ),
        (
            "limit",
            plan.limit,
            f"{_LIMITS[plan.limit]}, at {counted(plan.max_cameras, 'camera')} on the same cards and workers",
        ),
    ]


def commands(plan: Plan, options_path: Path | None = None) -> list[str]:
    """Return the command lines that make it real; the model's and the options' files have to be there."""
    file = str(options_path or options_file(plan))
    return [
        shlex.join(topics_command(plan)),
        *(shlex.join(consume_command(plan, device, file)) for device in range(plan.devices)),
    ]


def shown_commands(plan: Plan, options_path: Path | None = None) -> list[str]:
    """Return the same with what they need before, but of many cards the first few alone."""
    file = str(options_path or options_file(plan))
    state = "written" if options_path is not None else f"`--options {shlex.quote(file)}` writes it"
    lines = [
        f"# {file}: how the program is compiled ({state})",
        *(f"#   {line}" for line in options_text(plan).splitlines()),
    ]
    if words := model_command(plan):
        lines += ["# once, for the model's file:", shlex.join(words)]
    rest = commands(plan, options_path)
    if plan.devices <= _SHOWN_COMMANDS:
        return [*lines, *rest]
    return [*lines, *rest[:_SHOWN_COMMANDS], f"# and so on, up to --device {plan.devices - 1}"]


def verification_as_json(found: Verification) -> dict[str, Any]:
    """Return what was found as one object."""
    return {
        "cores": found.cores,
        "scale": round(found.scale, 4),
        "saturated_fps": [round(fps, 1) for fps in found.saturated_fps],
        "drift": round(found.drift, 4),
        "predicted_cameras": found.predicted_cameras,
        "found_cameras": found.found_cameras,
        "cameras_error": round(found.cameras_error, 4),
        "planned_cameras": found.planned_cameras,
        "predicted_p99_ms": round(found.predicted_p99_ms, 1),
        "found_p99_ms": _finite(found.found_p99_ms),
        "found_p99_of_all_ms": _finite(found.found_p99_of_all_ms),
        "p99_error": round(found.p99_error, 4),
        "drop_rate": round(found.found_drop_rate, 6),
        "within_tolerance": found.has_held,
        "trials": [_trial(trial) for trial in found.trials],
    }


def _trial(trial: LoadTrial) -> dict[str, Any]:
    return {
        "cameras": trial.cameras,
        "captured": trial.load.captured,
        "sent": trial.load.sent,
        "results": len(trial.answers),
        "p99_ms": _finite(trial.p99_ms),
        "p99_of_all_ms": _finite(trial.p99_of_all_ms),
        "mean_batch_size": round(trial.mean_batch, 2),
        "drop_rate": round(trial.drop_rate, 6),
        "caught_up": trial.has_caught_up,
        "cameras_late_p99_ms": trial.load.late_p99_ms,
        "worker_cpu_us": round(trial.cpu_us, 1),
        "load_cpu_us": trial.load.cpu_us,
    }


def _finite(time_ms: float) -> float | None:
    return round(time_ms, 1) if math.isfinite(time_ms) else None


def verification_rows(found: Verification) -> list[tuple[str, str, str, str]]:
    """Return what was found as rows of a table: what, predicted, found, and how far they are apart."""
    return [
        (
            "cameras at the most",
            str(found.predicted_cameras),
            str(found.found_cameras),
            f"{found.cameras_error:+.0%}",
        ),
        (
            f"p99 with {found.planned_cameras} cameras",
            f"{found.predicted_p99_ms:.0f} ms",
            f"{found.found_p99_ms:.0f} ms",
            f"{found.p99_error:+.0%}",
        ),
    ]


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
