"""The workers and their devices: how full the batches are, how busy the device, and how far behind."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from nicegui import ui

from messaging.status import PartitionStatus
from streamer.watch.site import Site
from streamer.watch.views import WorkerView
from streamer.web import words
from streamer.web.dashboard import states
from streamer.web.dashboard.left_out import LeftOut
from streamer.web.parts import Column, Figure, LiveTable, Text, empty, panel

_INTERVAL_S = 1.0
_WORKERS = (
    Column("group", "Group"),
    Column("device", "Device"),
    Column("state", "State", kind="tag"),
    Column("horizon", "Loss horizon", kind="tag"),
    Column("lag", "Lag", kind="number"),
    Column("lost", "Lost", kind="number"),
    Column("utilisation", "Utilisation", kind="bar"),
    Column("batch", "Batch size", kind="number"),
    Column("waiting", "Waiting", kind="number"),
    Column("in_flight", "In flight", kind="number"),
    Column("worker", "Worker"),
    Column("model", "Model"),
)
_PARTITIONS = (
    Column("group", "Group"),
    Column("partition", "Partition", kind="number"),
    Column("lag", "Lag", kind="number"),
    Column("horizon", "Loss horizon", kind="tag"),
    Column("position", "Next offset", kind="number"),
    Column("worker", "Worker"),
)
#: Frames are deleted unread so soon: somebody has to do something.
_SOON_S = 60.0
#: Every one of them is worked out and compared once a second.
_MAX_PARTITION_ROWS = 1000


class DevicesPage:
    """Draws the page, and keeps it true."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        with ui.element("div").classes("figures") as self._figures:
            self._workers = Figure("Workers")
            self._busiest = Figure("Busiest device")
            self._lag = Figure("Lag")
            self._horizon = Figure("Loss horizon")
        self._table = LiveTable(_WORKERS, page_rows=25, label="Workers")
        with panel("Partitions", "who reads what, and how far behind") as self._panel:
            self._partitions = LiveTable(_PARTITIONS, page_rows=10, label="Partitions")
            self._more = Text("p").classes("muted")
        self._left_out = LeftOut(site)
        self._empty = empty(
            "memory",
            "No worker yet",
            "A device's consumer reports itself once a second.",
            "streamer consume --device 0",
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        workers = self._site.workers()
        self._table.show([worker_row(worker) for worker in workers])
        running = [worker for worker in workers if states.worker_state(worker.status, worker.age_s)[1] != "bad"]
        partitions, more = partition_rows(running)
        self._partitions.show(partitions)
        self._more.show(f"and {words.count(more)} more")
        self._more.set_visibility(more > 0)
        self._left_out.refresh()
        self._panel.set_visibility(bool(partitions))
        self._figures.set_visibility(bool(workers))
        self._empty.set_visibility(not workers)
        if workers:
            self._show(running, len(workers))

    def _show(self, running: list[WorkerView], total: int) -> None:
        held = [each for worker in running for each in worker.status.partitions]
        soonest_s = soonest(held)
        self._workers.show(f"{len(running)} / {total}", "reporting", "plain" if len(running) == total else "warn")
        busiest = max(running, key=lambda worker: worker.status.utilisation, default=None)
        if busiest is not None:
            self._busiest.show(
                words.percent(busiest.status.utilisation), f"device {busiest.status.device} of {busiest.status.group}"
            )
        self._lag.show(words.count(sum(each.lag or 0 for each in held)), "frames not read yet")
        if soonest_s is None:
            self._horizon.show("none", "no loss is to be expected")
        else:
            self._horizon.show(
                words.seconds(soonest_s), "until unread frames are deleted", "bad" if soonest_s < _SOON_S else "warn"
            )


def soonest(partitions: list[PartitionStatus]) -> float | None:
    """Return how soon the first unread frame is deleted, in s; None where that is not to be expected."""
    return min((each.loss_horizon_s for each in partitions if each.loss_horizon_s is not None), default=None)


def worker_row(worker: WorkerView) -> dict[str, Any]:
    """Return a worker's line."""
    status = worker.status
    state, tone = states.worker_state(status, worker.age_s)
    return {
        "id": worker.name,
        "group": status.group,
        "device": status.device,
        "worker": f"{status.host} / {status.slot}",
        "state": state,
        "state_tone": tone,
        "model": f"{status.model} on {status.backend}{', simulated' if status.simulated else ''}",
        "utilisation": words.percent(status.utilisation),
        "utilisation_percent": round(min(max(status.utilisation, 0.0), 1.0) * 100),
        "batch": round(status.batch_size_mean, 1),
        "waiting": status.waiting_frames,
        "in_flight": status.frames_in_flight,
        "lag": sum(each.lag or 0 for each in status.partitions),
        "lost": status.frames_lost,
    } | _horizon(soonest(list(status.partitions)))


def partition_rows(workers: Sequence[WorkerView]) -> tuple[list[dict[str, Any]], int]:
    """Return the lines of the partitions that workers hold, 1,000 at the most, and how many more there are."""
    held = ((worker, each) for worker in workers for each in worker.status.partitions)
    rows = [partition_row(*each) for each in islice(held, _MAX_PARTITION_ROWS)]
    return rows, sum(len(worker.status.partitions) for worker in workers) - len(rows)


def partition_row(worker: WorkerView, partition: PartitionStatus) -> dict[str, Any]:
    """Return the line of a partition that a worker holds."""
    status = worker.status
    return {
        "id": f"{worker.name}/{partition.partition}",
        "group": status.group,
        "partition": partition.partition,
        "worker": f"{status.host} / {status.slot}",
        "position": partition.position,
        "lag": partition.lag,
    } | _horizon(partition.loss_horizon_s)


def _horizon(loss_horizon_s: float | None) -> dict[str, str]:
    if loss_horizon_s is None:
        return {"horizon": "no loss", "horizon_tone": "plain"}
    return {"horizon": words.seconds(loss_horizon_s), "horizon_tone": "bad" if loss_horizon_s < _SOON_S else "warn"}
