"""What one run is: each value from the command line, else from the look-up table, else the vendor's default. Pure."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from engine.backends.simulator.table import (
    BEST_THROUGHPUT,
    MAX_BATCH_SIZE,
    MAX_IMAGE_SIZE_PX,
    PUBLISHED,
    LookUpTable,
    Objective,
    TableRow,
    read_table,
)
from engine.models.zoo.catalog import DEFAULT_OPSET, Architecture
from streamer.classifiers.errors import PlanError
from streamer.classifiers.extra_flags import wrong_with
from streamer.terminal import is_harmless

Origin = Literal["flag", "table", "default", "search", "raised"]

ORIGIN_WORDS: Mapping[Origin, str] = {
    "flag": "given",
    "table": "from the table",
    "default": "by default",
    "search": "found by the search",
    "raised": "raised for the model",
}

#: Source: quic/cloud-ai-sdk models/vision/classification/run_cv_classifier.py, whose choices these are.
CARD_CORES = 14
MAX_OLS = 14
MAX_SET_SIZE = 10
MAX_DEVICE = 7
DEFAULT_TIME_S = 20.0
DEFAULTS: Mapping[str, Any] = {
    "batch_size": 1,
    "cores": 2,
    "instances": 7,
    "ols": 1,
    "mos": "",
    "extra": "",
    "set_size": 10,
}
#: The most of each; the least is 1.
LIMITS: Mapping[str, int] = {"cores": CARD_CORES, "instances": CARD_CORES, "ols": MAX_OLS, "set_size": MAX_SET_SIZE}
_MOS = re.compile(r"\d+(,\d+)*", re.ASCII)
#: The table that takes the place of the built-in one, where it stands in the current directory.
LUT_NAME = "lut_cv_classifiers.csv"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody asks for; None where he leaves it to the table.

    Attributes:
        image_size_px: Width and height of the pictures.
        ols: The compiler's overlap split factor.
        mos: The compiler's maximum output channel split, such as `2` or `1,7`.
        set_size: Batches in flight for each instance.
        extra: Further flags of the compiler.
        time_s: For how long batches are begun.
        device: The card's number.
    """

    objective: Objective = BEST_THROUGHPUT
    opset: int | None = None
    batch_size: int | None = None
    image_size_px: int | None = None
    cores: int | None = None
    instances: int | None = None
    ols: int | None = None
    mos: str | None = None
    set_size: int | None = None
    extra: str | None = None
    time_s: float = DEFAULT_TIME_S
    device: int = 0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How a model is exported, compiled and run.

    Attributes:
        cores: AI cores of an instance; `instances` of them fit on the card's 14.
        opset: The one that is asked for; the file may need a later one.
        origins: For each value that may come from the table, where it came from.
        table: The look-up table.
        row: The row of it that the plan began with; None where it has none.
    """

    model: str
    objective: Objective
    opset: int
    batch_size: int
    image_size_px: int
    cores: int
    instances: int
    ols: int
    mos: str
    set_size: int
    extra: str
    time_s: float = DEFAULT_TIME_S
    device: int = 0
    origins: Mapping[str, Origin] = field(default_factory=dict)
    table: Path = PUBLISHED
    row: TableRow | None = None

    @property
    def motif(self) -> str:
        """What the names of its folders end in. Source: the vendor's run_cv_classifier.py."""
        mos = f"-MOS{self.mos}" if self.mos else ""
        return f"B{self.batch_size}-C{self.cores}-A{self.instances}-OLS{self.ols}{mos}-{self.objective}"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of a batch of pictures: images, channels, height, width."""
        return (self.batch_size, 3, self.image_size_px, self.image_size_px)

    @property
    def listed(self) -> tuple[float | None, float | None]:
        """Images per second and p95 latency in ms that the table lists for just this plan; None where it does not."""
        row = self.row
        if row is None or any(getattr(row, name) != getattr(self, name) for name in (*DEFAULTS, "image_size_px")):
            return None, None
        return row.images_per_s, row.latency_p95_ms

    def changed(self, **values: Any) -> Self:
        """Return the plan with other values."""
        return replace(self, **values)


def plan_of(wishes: Wishes, architecture: Architecture, table: LookUpTable) -> RunPlan:
    """Put a plan together.

    Args:
        wishes: What the command line says.
        architecture: The model.
        table: Where values come from that the command line does not say.

    Raises:
        PlanError: A value is out of its range, or the card has fewer cores than that.
    """
    row = table.find(architecture.name, wishes.objective)
    wanted, of_row = asdict(wishes), asdict(row) if row is not None else {}
    defaults = {**DEFAULTS, "image_size_px": architecture.image_size_px}
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {"opset": "flag" if wishes.opset is not None else "default"}
    for name, default in defaults.items():
        if wanted[name] is not None:
            values[name], origins[name] = wanted[name], "flag"
        elif name in of_row:
            values[name], origins[name] = of_row[name], "table"
        else:
            values[name], origins[name] = default, "default"
    plan = RunPlan(
        model=architecture.name,
        objective=wishes.objective,
        opset=wishes.opset or DEFAULT_OPSET,
        time_s=wishes.time_s,
        device=wishes.device,
        origins=origins,
        table=table.path,
        row=row,
        **values,
    )
    _check(plan)
    return plan


def find_table(given: Path | None, folder: Path) -> LookUpTable:
    """Read the look-up table: the given one, else the one in the folder, else the built-in one.

    Raises:
        OptionsError: It cannot be read; the message names the line and the column.
    """
    own = folder / LUT_NAME
    return read_table(given or (own if own.is_file() else PUBLISHED))


def row_of(plan: RunPlan, images_per_s: float, latency_p95_ms: float, precision: str) -> TableRow:
    """Return the row of a table that leads to this plan."""
    return TableRow(
        model=plan.model,
        objective=plan.objective,
        batch_size=plan.batch_size,
        image_size_px=plan.image_size_px,
        cores=plan.cores,
        instances=plan.instances,
        set_size=plan.set_size,
        ols=plan.ols,
        mos=plan.mos,
        extra=plan.extra,
        precision=precision,
        images_per_s=images_per_s,
        latency_p95_ms=latency_p95_ms,
    )


def _check(plan: RunPlan) -> None:
    for name, limit in LIMITS.items():
        if not 1 <= getattr(plan, name) <= limit:
            raise PlanError(f"{plan.model}: {name} is {_said(plan, name)}: it is from 1 to {limit}")
    for name, most in (("batch_size", MAX_BATCH_SIZE), ("image_size_px", MAX_IMAGE_SIZE_PX)):
        if getattr(plan, name) > most:
            raise PlanError(f"{plan.model}: {name} is {_said(plan, name)}: it is {most} at the most")
    if wrong := wrong_with(plan.extra):
        raise PlanError(f"{plan.model}: extra is {_said(plan, 'extra')}: {wrong}")
    if not is_harmless(str(plan.table.resolve())):
        raise PlanError(f"the table {str(plan.table)!r}: there are control characters in its path: give it another")
    if plan.mos and not _MOS.fullmatch(plan.mos):
        raise PlanError(f"{plan.model}: mos is {_said(plan, 'mos')}: give a number, or one for each cluster as in 1,7")
    if plan.cores * plan.instances > CARD_CORES:
        raise PlanError(
            f"{plan.model}: cores {_said(plan, 'cores')} × instances {_said(plan, 'instances')} are "
            f"{plan.cores * plan.instances}, and the card has {CARD_CORES}: give fewer --cores or --instances"
        )


def _said(plan: RunPlan, name: str) -> str:
    """Return a value and where it came from."""
    origin = plan.origins[name]
    value = getattr(plan, name)
    return f"{value!r} ({f'from {plan.table.name}' if origin == 'table' else ORIGIN_WORDS[origin]})"
