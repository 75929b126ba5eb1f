"""A Cloud AI 100 card that is not there: times by the vendor's published figures, answers by ONNX Runtime or none."""

import math
import os
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from engine.backends.base import Around, Backend, BackendOptions, Health, HostOptions, Inference, OwnOptions
from engine.backends.simulator.card import Card
from engine.backends.simulator.device import Host, SimulatedDevice
from engine.backends.simulator.figures import read_figures
from engine.backends.simulator.simulation import Placement, Simulation, frames_program, placement, with_batch_of
from engine.backends.simulator.table import PUBLISHED
from engine.errors import DeviceNotFoundError, InferenceError, NotOpenError, OptionsError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors

#: How many cards it knows by number. Each back end that is open has one of its own, whatever its number.
CARDS = 16
_CARD_NAMES = frozenset(map(str, range(CARDS)))
#: A benchmark has so much work waiting that the card is never idle while the caller's thread is: on a busy machine that
#: may be some time slices.
_AHEAD_S = 0.1


class SimulatorOwn(OwnOptions):
    """What only this back end knows."""

    row: str | None = Field(
        None, min_length=1, description="the published figures to go by, such as resnet50/best-throughput"
    )
    table: str | None = Field(
        None, min_length=1, description="a file with figures to go by instead of the published ones, in the same form"
    )
    compute: Literal["real", "none"] = Field(
        "real", description="real: answers by ONNX Runtime on this machine, no faster than it is; none: no answers"
    )


class SimulatorBackend(Backend):
    """Takes the time that the vendor measured for a card with `row`'s program on it.

    Each activation computes one batch at a time, however few rows of it hold data; `set_size` batches are in flight for
    each. With a model, the answers are those of ONNX Runtime and come no earlier than it has them; without one, or with
    `compute="none"`, there are none.
    """

    name = "simulator"
    needs_model = False
    is_simulated = True
    uses = frozenset({"dev_id", "num_activations", "set_size", "onnx_define_symbol"})
    Own = SimulatorOwn

    def __init__(self, table: Path = PUBLISHED) -> None:
        """Take the figures.

        Args:
            table: A file with the columns of the vendor's `lut_cv_classifiers.csv`.
        """
        self._table = table
        self._device: SimulatedDevice | None = None
        self._detail = ""
        self._simulation: Simulation | None = None

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it is the number of a card."""
        return name in _CARD_NAMES

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        """Put the program onto the card; see `Backend.open`.

        Raises:
            OptionsError: `row` is missing or unknown, or does not go with the other options or the model.
        """
        if self._device is not None:
            raise InferenceError(f"back end {self.name} is open already: close it first")
        if model is not None:
            self.check_model(model)
        number = _card_number(options)
        placed = self._placement(options)
        figures = placed.figures
        card = Card(placed.instances, figures.service_time_s, placed.set_size)
        host, program = None, frames_program(figures)
        if model is not None:
            host = Host(lambda found: with_batch_of(found, figures))
            program = host.open(model, _host_options(options, card.slots))
            if _own(options).compute == "none":
                host.close()
                host, program = None, replace(program, outputs=())
        simulation = placed.simulation
        self._simulation = simulation
        self._detail = (
            f"simulated card {number}, {simulation.row}: {simulation.images_per_s:.0f} images/s; {simulation.note}"
        )
        self._device = SimulatedDevice(card, program, host)
        self._device.start()
        return program

    def concurrency(self, options: BackendOptions) -> tuple[int, int]:
        """Return how many activations there are, and how many inferences each has in flight."""
        placed = self._placement(options)
        return placed.instances, placed.set_size

    @property
    def slots(self) -> int:
        """How many batches are in flight on the card."""
        device = self._device
        return device.card.slots if device is not None else 0

    @property
    def simulation(self) -> Simulation | None:
        """What the times rest upon; None before the first `open`."""
        return self._simulation

    def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
        """Hand over a batch; see `Backend.submit`."""
        return self._open_device().submit(inputs, count, around)

    @property
    def benchmark_depth(self) -> int:
        """How many batches a benchmark has waiting: more than the card has places for.

        A listed throughput with one batch in flight holds what the vendor's runner took between two batches. Were ours
        added to it, the card would seem slower than it was measured.
        """
        device = self._open_device()
        return device.card.slots + math.ceil(_AHEAD_S * device.card.batches_per_s)

    def health(self) -> Health:
        """Tell whether the card can be given work, and what its times rest upon."""
        device = self._device
        if device is None:
            return Health(is_ready=False, detail="no model is open")
        if device.host is not None and not (host := device.host.health()).is_ready:
            return host
        return Health(is_ready=True, detail=self._detail)

    def close(self) -> None:
        """Finish what was submitted, and let the card go."""
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def _open_device(self) -> SimulatedDevice:
        device = self._device  # another thread may close meanwhile
        if device is None:
            raise NotOpenError("the back end is closed")
        return device

    def _placement(self, options: BackendOptions) -> Placement:
        own = _own(options)
        row = own.row
        if row is None:
            raise OptionsError(
                f"back end {self.name} needs to know by which published figures to go: give row, such as "
                f'row="resnet50/best-throughput" (`streamer benchmark --rows` lists them)'
            )
        table = Path(own.table) if own.table is not None else self._table
        return placement(read_figures(table).find(row), options.keywords)


def _own(options: BackendOptions) -> SimulatorOwn:
    return options.own_of(SimulatorOwn)


def _card_number(options: BackendOptions) -> int:
    name = options.device if options.device is not None else str(options.keywords.dev_id)
    if name not in _CARD_NAMES:
        raise DeviceNotFoundError(f"back end simulator has no device {name!r}: it has 0 to {CARDS - 1}")
    return int(name)


def _host_options(options: BackendOptions, slots: int) -> BackendOptions:
    """Return how this machine computes: a thread for each core, shared by as many batches as the card has in flight."""
    cores = os.cpu_count() or 1
    batches = min(slots, cores)
    keywords = options.keywords.model_copy(update={"num_activations": batches, "set_size": 1})
    return replace(options, device=None, keywords=keywords, own=HostOptions(inference_threads=max(1, cores // batches)))
