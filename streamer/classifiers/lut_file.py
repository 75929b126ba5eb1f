"""Writing a row into a look-up table, and leaving everything else of the file as it is."""

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.backends.simulator.table import PUBLISHED, TableRow, read_table
from streamer.classifiers.errors import ClassifierError

_BYTE_ORDER_MARK = "\ufeff"


def write_row(path: Path, row: TableRow) -> None:
    """Put a row into a table, in the place of the one of the same model and objective, else at the end.

    A table that is not there yet begins as the built-in one: it takes that one's place for all models.

    Raises:
        OptionsError: What is there is no table.
        ClassifierError: It cannot be written.
    """
    before = path if path.exists() else PUBLISHED
    read_table(before)  # refuses what is none
    with before.open(encoding="utf-8", newline="") as file:
        text = with_row(file.read(), row)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            shutil.copymode(before, name)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise ClassifierError(f"the table {path} cannot be written: {exc.strerror}") from exc


def with_row(text: str, row: TableRow) -> str:
    """Return a table's text with a row in it; its mark, its blank lines and its ends of lines stay.

    Args:
        text: A table with a line for each row.
        row: The one that is put in.
    """
    lines = list(io.StringIO(text, newline=""))
    head = next(number for number, line in enumerate(lines) if line.strip(f"{_BYTE_ORDER_MARK}\r\n\t ,"))
    columns = _cells(lines[head].removeprefix(_BYTE_ORDER_MARK))
    end = "\r\n" if lines[head].endswith("\r\n") else "\n"
    new = _line(columns, row, end)
    for number, line in enumerate(lines[head + 1 :], head + 1):
        cells = dict(zip(columns, _cells(line), strict=False))
        if (cells.get("MODEL_NAME", "").strip(), cells.get("OBJECTIVE", "").strip()) == (row.model, row.objective):
            lines[number] = new
            return "".join(lines)
    if not lines[-1].endswith("\n"):
        lines[-1] += end
    return "".join([*lines, new])


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _line(columns: Sequence[str], row: TableRow, end: str) -> str:
    values = {
        "MODEL_NAME": row.model,
        "TASK": "image-classification",
        "BATCH_SIZE": row.batch_size,
        "IMAGE_SIZE": row.image_size_px,
        "CORES": row.cores,
        "INSTANCES": row.instances,
        "OLS": row.ols,
        "MOS": row.mos,
        "EXTRA": row.extra,
        "SET_SIZE": row.set_size,
        "PRECISION": row.precision,
        "OBJECTIVE": row.objective,
        "THPS": f"{row.images_per_s:.6g}" if row.images_per_s is not None else "",
        "LATENCY": f"{row.latency_p95_ms:.6g}" if row.latency_p95_ms is not None else "",
    }
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerow([values.get(column.strip(), "") for column in columns])
    return text.getvalue()
