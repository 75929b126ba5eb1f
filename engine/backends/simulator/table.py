"""The vendor's look-up table: how each classifier is compiled and run on one card, and what was measured of it."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from engine.errors import OptionsError

#: Source: quic/cloud-ai-sdk samples/python/aws_ai100_benchmarking/cv_classifiers/lut_cv_classifiers.csv, as it is.
PUBLISHED = Path(__file__).with_name("aic100_cv_classifiers.csv")
#: What a program is compiled for.
Objective = Literal["best-latency", "best-throughput", "balanced"]
#: More than any card holds, and than any classifier is shown.
MAX_BATCH_SIZE, MAX_IMAGE_SIZE_PX = 4096, 8192
_MAX_DIGITS, _SHOWN_CHARS = 9, 40
#: Those that a table has to have; what else it has is not read.
_COLUMNS = (
    "MODEL_NAME", "BATCH_SIZE", "IMAGE_SIZE", "CORES", "INSTANCES", "OLS", "MOS", "SET_SIZE", "PRECISION", "OBJECTIVE",
    "THPS", "LATENCY",
)  # fmt: skip
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
BEST_THROUGHPUT: Objective = "best-throughput"


@dataclass(frozen=True, slots=True)
class TableRow:
    """How a model is compiled and run for an objective.

    Attributes:
        objective: What it is compiled for, an `Objective`; another word in somebody's table is never asked for.
        batch_size: Images in a batch.
        image_size_px: Both sides of an image.
        cores: AI cores of an instance.
        instances: Copies of the program that fill the card, each with one batch in service.
        set_size: Batches in flight for each instance, the one in service included.
        ols: The compiler's splitting factor.
        mos: The compiler's effort to save on-chip memory; empty for its default.
        extra: Further flags of the compiler, as its command line takes them; empty for none.
        images_per_s: Of the whole card; None where it was not measured.
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
    extra: str
    precision: str
    images_per_s: float | None
    latency_p95_ms: float | None

    @property
    def name(self) -> str:
        """MODEL/OBJECTIVE, unique in a table."""
        return f"{self.model}/{self.objective}"


@dataclass(frozen=True, slots=True)
class LookUpTable:
    """A table.

    Attributes:
        path: Where it was read.
        rows: By `TableRow.name`, in the file's order.
    """

    path: Path
    rows: Mapping[str, TableRow]

    def find(self, model: str, objective: str) -> TableRow | None:
        """Return the row of a model and an objective; None where there is none."""
        return self.rows.get(f"{model}/{objective}")


def read_table(path: Path = PUBLISHED) -> LookUpTable:
    """Read a table with the columns of the vendor's `lut_cv_classifiers.csv`.

    Raises:
        OptionsError: It cannot be read; the message names the line and the column.
    """
    rows: dict[str, TableRow] = {}
    for line, cells in _lines(path):
        where = f"{path}, line {line}"
        row = _row(cells, where)
        if row.name in rows:
            raise OptionsError(f"{where}: {row.name} is listed twice: remove one")
        rows[row.name] = row
    return LookUpTable(path, rows)


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Give the lines that hold something: the vendor's table has blank ones, and begins with a byte order mark."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="")
            if lacking := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
                raise OptionsError(f"the table {path} has no {', '.join(lacking)}: its first line names its columns")
            for cells in reader:
                if any(cell for cell in cells.values()):
                    yield reader.line_num, cells
    except OSError as exc:
        raise OptionsError(f"the table {path} cannot be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise OptionsError(f"the table {path} cannot be read: {exc}: give CSV in UTF-8") from exc


def _row(cells: Mapping[str, str | None], where: str) -> TableRow:
    return TableRow(
        model=_text(cells, "MODEL_NAME", where),
        objective=_text(cells, "OBJECTIVE", where),
        batch_size=_count(cells, "BATCH_SIZE", where),
        image_size_px=_count(cells, "IMAGE_SIZE", where),
        cores=_count(cells, "CORES", where),
        instances=_count(cells, "INSTANCES", where),
        set_size=_count(cells, "SET_SIZE", where),
        ols=_count(cells, "OLS", where),
        mos=_text(cells, "MOS", where),
        extra=(cells.get("EXTRA") or "").strip(),
        precision=_text(cells, "PRECISION", where),
        images_per_s=_number(cells, "THPS", where) if _text(cells, "THPS", where) else None,
        latency_p95_ms=_number(cells, "LATENCY", where) if _text(cells, "LATENCY", where) else None,
    )


def _text(cells: Mapping[str, str | None], column: str, where: str) -> str:
    cell = cells.get(column)
    if cell is None:
        raise OptionsError(f"{where}: there is no {column}: give a cell for each column")
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
    most = MAX_IMAGE_SIZE_PX if column == "IMAGE_SIZE" else MAX_BATCH_SIZE
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not (is_number and 1 <= int(text) <= most):
        raise OptionsError(f"{where}: {column} is {text[:_SHOWN_CHARS]!r}: give a whole number from 1 to {most}")
    return int(text)
