"""The vendor's published figures: how fast one Cloud AI 100 card classifies, model by model."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import OptionsError
from engine.options import nearest

#: Source: quic/cloud-ai-sdk samples/python/aws_ai100_benchmarking/cv_classifiers/lut_cv_classifiers.csv, as it is.
PUBLISHED = Path(__file__).with_name("aic100_cv_classifiers.csv")
BEST_THROUGHPUT = "best-throughput"
#: A listed latency counts as reproduced when Little's law comes so near to it, as a share.
TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class CardFigures:
    """What is published of one program on one card.

    Attributes:
        objective: What it was compiled for: `best-throughput`, `best-latency`, `balanced`.
        batch_size: Images in a batch.
        image_size_px: Both sides of an image.
        cores: AI cores of an instance.
        instances: Copies of the program that fill the card, each with one batch in service.
        set_size: Batches in flight for each instance, the one in service included.
        ols: The compiler's splitting factor.
        mos: The compiler's effort to save on-chip memory; empty for its default.
        images_per_s: Of the whole card.
        latency_p95_ms: Of a batch; None where it is not listed.
    """

    model: str
    objective: str
    batch_size: int
    image_size_px: int
    cores: int
    instances: int
    set_size: int
    ols: int
    mos: str
    precision: str
    images_per_s: float
    latency_p95_ms: float | None

    @property
    def name(self) -> str:
        """MODEL/OBJECTIVE, unique in a table."""
        return f"{self.model}/{self.objective}"

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
        if name in self.unmeasured:
            raise OptionsError(f"row {name}: {self.path.name} lists no throughput for it, nothing to simulate{hint}")
        example = next(iter(self.rows), "none")
        hint = hint or f": there are {len(self.rows)}, for example {example}"
        raise OptionsError(f"{self.path.name} has no row {name}{hint}")


def read_figures(path: Path = PUBLISHED) -> FigureTable:
    """Read a table with the columns of the vendor's `lut_cv_classifiers.csv`.

    Raises:
        OptionsError: It cannot be read; the message names the line and the column.
    """
    rows: dict[str, CardFigures] = {}
    unmeasured: list[str] = []
    for line, cells in _lines(path):
        where = f"{path}, line {line}"
        name = f"{_text(cells, 'MODEL_NAME', where)}/{_text(cells, 'OBJECTIVE', where)}"
        if name in rows or name in unmeasured:
            raise OptionsError(f"{where}: {name} is listed twice: remove one")
        if _text(cells, "THPS", where):
            rows[name] = _figures(cells, where)
        else:
            unmeasured.append(name)
    return FigureTable(path, rows, tuple(unmeasured))


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Give the lines that hold something: the vendor's table has blank ones, and begins with a byte order mark."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="")
            for cells in reader:
                if any(cell for cell in cells.values()):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise OptionsError(f"the figures {path} cannot be read: {exc}: give a file like {PUBLISHED}") from exc


def _figures(cells: Mapping[str, str | None], where: str) -> CardFigures:
    return CardFigures(
        model=_text(cells, "MODEL_NAME", where),
        objective=_text(cells, "OBJECTIVE", where),
        batch_size=_count(cells, "BATCH_SIZE", where),
        image_size_px=_count(cells, "IMAGE_SIZE", where),
        cores=_count(cells, "CORES", where),
        instances=_count(cells, "INSTANCES", where),
        set_size=_count(cells, "SET_SIZE", where),
        ols=_count(cells, "OLS", where),
        mos=_text(cells, "MOS", where),
        precision=_text(cells, "PRECISION", where),
        images_per_s=_number(cells, "THPS", where),
        latency_p95_ms=_number(cells, "LATENCY", where) if _text(cells, "LATENCY", where) else None,
    )


def _text(cells: Mapping[str, str | None], column: str, where: str) -> str:
    cell = cells.get(column)
    if cell is None:
        raise OptionsError(f"{where}: there is no {column}: give the columns of {PUBLISHED}")
    return cell.strip()


def _number(cells: Mapping[str, str | None], column: str, where: str) -> float:
    text = _text(cells, column, where)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise OptionsError(f"{where}: {column} is {text!r}: give a number above 0")
    return number


def _count(cells: Mapping[str, str | None], column: str, where: str) -> int:
    text = _text(cells, column, where)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise OptionsError(f"{where}: {column} is {text!r}: give a whole number above 0")
    return int(text)
