"""The back end `qaic` on the stand-in of a card, for suites that know nothing of set sizes and compiled programs."""

import atexit
import hashlib
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from engine.backends.base import BackendOptions
from engine.backends.qaic.backend import QaicBackend
from engine.backends.qaic.sdk import Sdk
from engine.models.files import ModelFile
from engine.models.program import Program
from engine.options import SessionOptions
from tests.fakes.qaic.sdk import install_sdk


class StandInCard(QaicBackend):
    """One place for each activation; a model is compiled once for the whole run."""

    def __init__(self, batch: int | None) -> None:
        super().__init__(_installed())
        self._batch = batch

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        keywords = {**options.keywords.model_dump(exclude_unset=True), "set_size": 1}
        if model is not None and model.path.is_file():
            name = hashlib.sha256(model.path.read_bytes()).hexdigest()
            keywords["output_dir"] = str(_installed().root.with_name(f"qpc-{name}-{self._batch}"))
        return super().open(model, replace(options, keywords=SessionOptions(**keywords)))


@cache
def _installed() -> Sdk:
    """One tree for the whole run: Python imports a module once."""
    folder = Path(tempfile.mkdtemp(prefix="stand-in-sdk-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return install_sdk(folder / "qti-aic")
