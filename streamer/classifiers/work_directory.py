"""The directory that a model's runs work in: what is where, and that nothing of somebody else's is written over.

Its form is that of the vendor's script. Source: quic/cloud-ai-sdk models/vision/classification/run_cv_classifier.py.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec

from streamer.classifiers.device import CARD_BACKEND
from streamer.classifiers.errors import ClassifierError, PlanError
from streamer.classifiers.plan import RunPlan

#: The list of the files that are ours, and may be replaced.
OURS_NAME = ".streamer-classifier.json"


class WorkDirectory:
    """The directory of one model, with the folders of one run in it.

    Attributes:
        root: It is called as the model.
        name: What the names of this run's folders end in: its motif, and the back end where that is not the card's,
            as the vendor's own folders have none.
    """

    def __init__(self, base: Path, plan: RunPlan, backend: str) -> None:
        self.root = base.resolve() / plan.model
        self.name = plan.motif if backend == CARD_BACKEND else f"{plan.motif}-{backend}"
        shape = "x".join(map(str, plan.shape))
        self.model = self.root / "model" / "model.onnx"
        self.export_record = self.root / "model" / "model.json"
        self.input = self.root / "inputFiles" / f"input_img_{shape}.raw"
        self.batch_io = self.root / "inputFiles" / f"aic_batch_io_{shape}.json"
        self.input_list = self.root / f"list_{shape}.txt"
        self.reference = self.root / "model" / f"torch-output_{shape}.raw"
        self.compiled = self.root / f"compiled-bin-fp16-{self.name}"
        self.compile_record = self.root / "model" / f"compiled-{self.name}.json"
        self.outputs = self.root / "outputFiles" / f"fp16-{self.name}"
        self.output = self.outputs / "output-activation-0-inf-0.bin"
        self.commands = self.root / f"commands-{self.name}.txt"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the directory, and keep it from other runs meanwhile.

        Raises:
            PlanError: It cannot be made, or another run has it.
            ClassifierError: A file in it cannot be read or written; of the block as well.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise PlanError(
                f"the working directory {self.root} cannot be used: {exc.strerror}: give another --work-dir"
            ) from exc
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise PlanError(f"another run works in {self.root}: wait for it, or give another --work-dir") from exc
            yield
        except OSError as exc:
            raise ClassifierError(f"{exc.filename or self.root}: {exc.strerror or exc}") from exc
        finally:
            os.close(handle)

    def claim(self, path: Path) -> None:
        """Take note that a file is ours to write and to replace, and make its folder.

        Raises:
            PlanError: It is there already, and no run has made it; or it, or a folder that it is in, is a link.
        """
        ours = self._ours()
        name = str(path.relative_to(self.root))
        folders = path.parents[: len(path.relative_to(self.root).parts) - 1]
        if link := next((place for place in (*folders, path) if place.is_symlink()), None):
            raise PlanError(f"{link} is a link, and nothing is written through one: take it away")
        if name not in ours:
            if path.exists() or path.is_symlink():
                raise PlanError(
                    f"{path} is in the way, and no run has made it: move it away, or give another --work-dir"
                )
            # Noted before it is written: a run that breaks off leaves nothing behind that the next one refuses.
            _replace(self.root / OURS_NAME, json.dumps(sorted({*ours, name}), indent=1).encode())
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes | str) -> None:
        """Write a file whole, or not at all.

        Raises:
            PlanError: One is there that no run has made.
        """
        self.claim(path)
        _replace(path, data.encode() if isinstance(data, str) else data)

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """Give a place beside a file, for somebody who writes it himself; it becomes the file at the end of the block.

        Raises:
            PlanError: One is there that no run has made.
        """
        self.claim(path)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            yield made
            made.replace(path)

    def relative(self, path: Path) -> str:
        """Return a path as it is called from the directory, where the commands are run."""
        return str(path.relative_to(self.root))

    def _ours(self) -> frozenset[str]:
        try:
            return frozenset(msgspec.json.decode((self.root / OURS_NAME).read_bytes(), type=list[str]))
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, RecursionError) as exc:
            raise PlanError(f"{self.root / OURS_NAME} cannot be read: {exc}: give another --work-dir") from exc


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
