"""Pipelines that are described in a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import PipelineError, first_line
from engine.pipeline.building import build
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.tables import parse_pipeline


def pipeline_from_toml(
    path: str | Path, *, import_from: Path | None = None, keywords: Mapping[str, Any] | None = None
) -> Pipeline:
    """Build the pipeline that a TOML file describes: a `[[step]]` table for each step, in order.

    Keys of a step: `name`; what it does, one of `use = "decode"` (encoded picture → pixels for the model that
    follows), `model = "NAME or PATH"`, `use = "labels"` (the model's answer → label, score and classes, with `top`) and
    `python = "package.module:function"`; `parallel_steps`, `after`; of models and Python functions `max_batch_size`
    and `batch_timeout`; of models `warmup` ("random-data" or "none"), `backend`, and `session`, a table of Session
    keywords. A model's path is taken from the file's own folder where it is there. `max_in_flight` stands before the
    first table.

    Args:
        path: The file.
        import_from: A folder that `python = …` is imported from as well, such as the current directory; what is found
            there is run. None for what Python finds anyway.
        keywords: Of `Session`, such as `backend`, for every model step; those of a step win.

    Returns:
        The pipeline, with its models open: close it, or use it in a `with` block.

    Raises:
        PipelineError: The file cannot be read or used: one line with the file, the step and what to write.
        EngineError: A model or a device cannot be used.
    """
    try:
        with Path(path).open("rb") as file:
            values = tomllib.load(file)
    except OSError as exc:
        raise PipelineError(f"the pipeline {path} cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise PipelineError(f"{path} is no TOML: {first_line(exc)}") from exc
    description = parse_pipeline(values, str(path))
    return build(description, folder=Path(path).parent, import_from=import_from, keywords=keywords)
