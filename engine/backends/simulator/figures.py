"""The vendor's published figures: how fast one Cloud AI 100 card classifies, model by model."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from engine.backends.simulator.table import BEST_THROUGHPUT, PUBLISHED, TableRow, read_table
from engine.errors import OptionsError
from engine.options import nearest

#: A listed latency counts as reproduced when Little's law comes so near to it, as a share.
TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class CardFigures(TableRow):
    """What is published of one program on one card: a row whose throughput was measured."""

    images_per_s: float

    @property
    def service_time_s(self) -> float:
        """How long an instance works on one batch, so that all of them together reach `images_per_s`."""
        return self.batch_size * self.instances / self.images_per_s

    @property
    def latency_predicted_ms(self) -> float:
        """The latency of a card with all its batches in flight, by Little's law: batches in flight over their rate."""
        return self.service_time_s * self.set_size * 1e3

    @property
    def latency_is_reproduced(self) -> bool:
        """Whether the listed latency follows from the listed throughput."""
        listed_ms = self.latency_p95_ms
        return listed_ms is not None and abs(self.latency_predicted_ms - listed_ms) <= TOLERANCE * listed_ms


@dataclass(frozen=True, slots=True)
class FigureTable:
    """A table of figures.

    Attributes:
        path: Where it was read.
        rows: By `CardFigures.name`, in the file's order.
        unmeasured: Names of the rows that list a configuration and no throughput.
    """

    path: Path
    rows: Mapping[str, CardFigures]
    unmeasured: tuple[str, ...]

    def find(self, row: str) -> CardFigures:
        """Return a row.

        Args:
            row: MODEL/OBJECTIVE; MODEL alone is its best-throughput.

        Raises:
            OptionsError: There is none, or it has no figures.
        """
        model, _, objective = row.partition("/")
        name = f"{model}/{objective or BEST_THROUGHPUT}"
        if name in self.rows:
            return self.rows[name]
        objectives = [figures.objective for figures in self.rows.values() if figures.model == model]
        hint = (
            f": {model} has {', '.join(objectives)}"
            if objectives
            else nearest(model, [figures.model for figures in self.rows.values()])
        )
        example = next(iter(self.rows), "none")
        hint = hint or f": there are {len(self.rows)}, for example {example}"
        if name in self.unmeasured:
            measured = " and ".join(dict.fromkeys(figures.objective for figures in self.rows.values()))
            hint += f" (there are figures of {measured})" if measured and not objectives else ""
            raise OptionsError(f"row {name}: {self.path.name} lists no throughput for it, nothing to simulate{hint}")
        raise OptionsError(f"{self.path.name} has no row {name}{hint}")


def read_figures(path: Path = PUBLISHED) -> FigureTable:
    """Read the figures of a table; see `read_table`.

    Raises:
        OptionsError: It cannot be read; the message names the line and the column.
    """
    table = read_table(path)
    measured = {name: _figures(row) for name, row in table.rows.items() if row.images_per_s is not None}
    return FigureTable(path, measured, tuple(name for name in table.rows if name not in measured))


def _figures(row: TableRow) -> CardFigures:
    return CardFigures(**{field.name: getattr(row, field.name) for field in fields(row)})
