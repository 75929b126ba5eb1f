"""Which programs of a table a plan may use. Pure."""

from pathlib import PurePath

from engine.backends.simulator.figures import CardFigures, FigureTable
from engine.backends.simulator.table import Objective


def find_programs(table: FigureTable, given: str, objective: Objective | None) -> list[CardFigures]:
    """Return the programs of a model that may be used, those for throughput first.

    Args:
        table: What was measured.
        given: The model's name, or its file: one that is called as the model, or where `streamer classifier` puts it.
        objective: What it has to be compiled for; None for anything.

    Raises:
        OptionsError: There is none.
    """
    model = _model_of(table, given)
    if objective is not None:
        return [table.find(f"{model}/{objective}")]
    first = table.find(model)
    return [first, *(row for row in table.rows.values() if row.model == model and row is not first)]


def _model_of(table: FigureTable, given: str) -> str:
    path = PurePath(given)
    models = {name.partition("/")[0] for name in (*table.rows, *table.unmeasured)}
    if given in models or path.suffix != ".onnx":
        return given
    name = path.parent.parent.name if path.parts[-2:] == ("model", "model.onnx") else path.stem
    return name if name in models else given
