"""How a plan is told to a back end, and what of it the back end has no use for. Pure."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.backends.base import Backend, HostOptions
from engine.backends.registry import backend_class, default_backend
from engine.backends.simulator.figures import CardFigures, read_figures
from engine.backends.simulator.table import PUBLISHED
from engine.models.zoo.catalog import BATCH_AXIS
from streamer.classifiers.errors import PlanError
from streamer.classifiers.plan import RunPlan
from streamer.terminal import is_harmless

#: The one that runs on a real card.
CARD_BACKEND = "qaic"
SIMULATOR = "simulator"
#: Those that compute in another precision than float32: their answers are compared, and not judged.
_INEXACT = frozenset({CARD_BACKEND, "qnn", "qai_hub"})
#: A large batch of a large network takes a small machine minutes.
_SLOW_MACHINE_S = 1800.0
#: What only a card's compiler hears of, beside the cores.
_COMPILED = ("ols", "mos", "extra")


class CardProgram(Protocol):
    """How a model is compiled for a card: a plan, or a row of the table."""

    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def cores(self) -> int: ...  # noqa: D102
    @property
    def ols(self) -> int: ...  # noqa: D102
    @property
    def mos(self) -> str: ...  # noqa: D102
    @property
    def extra(self) -> str: ...  # noqa: D102


def compile_keywords(program: CardProgram) -> dict[str, Any]:
    """Return the keywords of a `Session` that compile such a program for a card; all programs are of fp16."""
    said: dict[str, Any] = {
        "aic_num_cores": program.cores,
        "ols": program.ols,
        "convert_to_fp16": True,
        "stats_batchsize": program.batch_size,
    }
    return said | {name: value for name, value in (("mos", program.mos), ("extra_flags", program.extra)) if value}


@dataclass(frozen=True, slots=True)
class Device:
    """A back end that runs plans.

    Attributes:
        cpu_cores: How many this machine has.
        options_path: A YAML file with further keywords of its sessions.
    """

    backend: type[Backend]
    cpu_cores: int
    options_path: Path | None = None

    @property
    def name(self) -> str:
        """The back end's name."""
        return self.backend.name

    @property
    def is_simulator(self) -> bool:
        """Whether it only takes the time that a card would."""
        return self.name == SIMULATOR

    @property
    def is_exact(self) -> bool:
        """Whether it computes in float32, as torch does."""
        return self.name not in _INEXACT

    @property
    def is_card(self) -> bool:
        """Whether it runs on a real card."""
        return self.name == CARD_BACKEND

    @property
    def precision(self) -> str:
        """What a table says of its figures; those of a simulated card are a card's."""
        return "fp32" if self.is_exact and not self.is_simulator else "fp16"

    @property
    def has_card(self) -> bool:
        """Whether a plan's instances and set size are its own, and not those of another kind of device."""
        return self.is_card or self.is_simulator

    def concurrency(self, plan: RunPlan) -> tuple[int, int]:
        """Return how many activations there are, and how many batches each has in flight.

        A table's instances and set size are a card's. Elsewhere each batch in flight takes memory and a core, so what
        nobody asked for is cut to the cores.
        """
        if self.has_card:
            return plan.instances, plan.set_size
        asked = plan.origins.get("instances") == "flag", plan.origins.get("set_size") == "flag"
        activations = plan.instances if asked[0] else min(plan.instances, self.cpu_cores)
        return activations, plan.set_size if asked[1] else max(1, min(plan.set_size, self.cpu_cores // activations))

    def keywords(self, plan: RunPlan, output_dir: Path, *, has_open_batch: bool) -> dict[str, Any]:
        """Return the keywords of a `Session` that runs a plan.

        Args:
            plan: What is run.
            output_dir: Where a back end that compiles keeps what it makes.
            has_open_batch: Whether the model's file leaves the batch open.

        Raises:
            PlanError: The simulator has no figures for it.
            OptionsError: The same, or its table cannot be read.
        """
        activations, set_size = self.concurrency(plan)
        said: dict[str, Any] = {"backend": self.name, "num_activations": activations, "set_size": set_size}
        if has_open_batch:
            said["onnx_define_symbol"] = {BATCH_AXIS: plan.batch_size}
        if self.has_card:
            said["dev_id"] = plan.device
        if not self.is_card:
            said["data_path_timeout"] = _SLOW_MACHINE_S
        if "output_dir" in self.backend.uses:
            said["output_dir"] = str(output_dir)
        if issubclass(self.backend.Own, HostOptions):
            said["inference_threads"] = max(1, self.cpu_cores // (activations * set_size))
        if self.is_card:
            said |= compile_keywords(plan)
        if self.options_path is not None:
            said["options_path"] = str(self.options_path)
        if self.is_simulator:
            figures, table = simulated(plan)
            said |= {"row": figures.name, "table": str(table)}
        return said

    def notes(self, plan: RunPlan) -> list[str]:
        """Return what somebody should know who reads the figures, a line each."""
        if self.is_simulator:
            figures, _ = simulated(plan)
            others = [
                f"{flag} {getattr(figures, name) or 'none'}"
                for flag, name in (("--image-size", "image_size_px"), *((f"--{name}", name) for name in _COMPILED))
                if getattr(figures, name) != getattr(plan, name)
            ]
            return [f"the simulator goes by figures for {', '.join(others)}"] if others else []
        notes = []
        if (activations := self.concurrency(plan)) != (plan.instances, plan.set_size) and not self.has_card:
            notes.append(
                f"instances {plan.instances} × set size {plan.set_size} are a card's: {self.name} has "
                f"{activations[0]} × {activations[1]} here (--instances and --set-size say otherwise)"
            )
        unused = [f"--{name}" for name in ("cores", *_COMPILED) if plan.origins.get(name) == "flag"]
        if unused and not self.is_card:
            notes.append(f"{', '.join(unused)} speak to a card's compiler: {self.name} has no use for them")
        return notes


def find_device(name: str | None, options_path: Path | None = None) -> tuple[Device, str]:
    """Return the back end of a name, else the default one, and why it is that.

    Args:
        name: None for the default one.
        options_path: A YAML file with further keywords of its sessions.

    Raises:
        BackendError: There is none of that name, or its software is missing.
        PlanError: The file's path cannot be written into a line.
    """
    reason = ""
    if name is None:
        name, reason = default_backend()
    file = options_path.resolve() if options_path is not None else None
    if file is not None and not is_harmless(str(file)):
        raise PlanError(f"the file {str(file)!r}: there are control characters in its path: give it another")
    return Device(backend_class(name), os.cpu_count() or 1, file), reason


def simulated(plan: RunPlan) -> tuple[CardFigures, Path]:
    """Return the figures that a simulated card goes by, and their table: of programs like the plan's alone.

    Batch and cores are compiled in, and nobody has measured others. The plan's own table is asked first.

    Raises:
        PlanError: There are figures of the model, and none for such a program.
        OptionsError: There are none of the model.
    """
    tables = [plan.table] if plan.table == PUBLISHED else [plan.table, PUBLISHED]
    measured = [(row, path) for path in tables for row in read_figures(path).rows.values() if row.model == plan.model]
    if not measured:
        read_figures(tables[-1]).find(f"{plan.model}/{plan.objective}")  # its error says why
    fitting = [(row, path) for row, path in measured if (row.batch_size, row.cores) == (plan.batch_size, plan.cores)]
    if not fitting:
        there_are = " and ".join(
            f"batches of {row.batch_size} on {row.cores} cores ({row.name})" for row, _ in measured
        )
        raise PlanError(
            f"nobody has measured {plan.model} with batches of {plan.batch_size} on {plan.cores} cores, so there is "
            f"nothing to simulate: there are {there_are}; leave --batch-size and --cores "
            "out, or give another --backend"
        )
    return next((found for found in fitting if found[0].objective == plan.objective), fitting[0])
