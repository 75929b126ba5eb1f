"""The inputs on which a quantiser measures the range of every value."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ImageError, ModelError, NotAClassifierError, OptionsError
from engine.images.decode import decode_into
from engine.images.header import ImageLimits, read_header
from engine.models.classifier import describe
from engine.models.description import from_metadata, from_toml
from engine.models.program import Program
from engine.models.spec import ClassifierSpec, Preprocessing
from engine.models.tools.runnable import Arrays

#: What may stand for one input: the array itself, an array for each input's name, or an encoded picture.
Sample = NDArray[np.generic] | Mapping[str, NDArray[np.generic]] | bytes
Given = Path | Iterable[Sample] | None
#: More than this tells a quantiser nothing new, and takes memory.
MAX_SAMPLES = 512
_PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
#: Drawn pictures: noise, which excites edges, and patches of colour, which excite all else.
_NOISY, _SMOOTH = 8, 40
#: How wide the patches are, as parts of the picture, and how strong.
_PATCHES = ((2, 1.0), (5, 0.6), (16, 0.35), (64, 0.15))


class Calibration:
    """What a model is fed with while its values are measured.

    Attributes:
        batches: For each run an array for each input; empty where nothing was given and nothing can be drawn.
        notes: Where they come from, and what was assumed, in words.
    """

    def __init__(self, path: Path, program: Program, given: Given, *, draws: bool = True) -> None:
        """Gather the inputs.

        Args:
            path: The model's file, whose description says how pictures become inputs.
            program: What it takes.
            given: A directory of pictures, or samples; None where there are none.
            draws: Whether pictures are then drawn for a model that takes any.

        Raises:
            ModelError: The model takes no pictures, and pictures were given.
            OptionsError: The samples do not fit, or there are none.
        """
        self._path, self._program = path, program
        self.notes: list[str] = []
        rows: list[Arrays]
        if given is None:
            rows = self._drawn() if draws else []
        elif isinstance(given, str | Path):
            rows = self._of_directory(Path(given))
        else:
            rows = self._of_samples(given)
        self.batches = self._batched(rows)

    def _of_directory(self, folder: Path) -> list[Arrays]:
        if not folder.is_dir():
            raise OptionsError(f"there is no directory {folder}: name one with pictures to calibrate with")
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICTURE_SUFFIXES)
        if not files:
            raise OptionsError(f"{folder} holds no pictures ({', '.join(sorted(_PICTURE_SUFFIXES))})")
        step = max(1, -(-len(files) // MAX_SAMPLES))
        preprocessing = self._spec().preprocessing
        rows = []
        for file in files[::step]:
            try:
                rows.append(self._picture(file.read_bytes(), preprocessing))
            except (ImageError, OSError) as exc:
                raise ModelError(f"{file} cannot be used to calibrate: {exc}") from exc
        self.notes.append(f"ranges measured on {len(rows)} of {len(files)} pictures in {folder}")
        return rows

    def _of_samples(self, given: Iterable[Sample]) -> list[Arrays]:
        rows: list[Arrays] = []
        damaged = 0
        for sample in islice(given, MAX_SAMPLES):
            try:
                rows += self._rows(sample)
            except ImageError:  # cameras send such pictures now and then
                damaged += 1
        if not rows:
            why = f": {damaged} pictures cannot be decoded" if damaged else ": not one sample was given"
            raise OptionsError(f"there is nothing to calibrate with{why}")
        left_out = f", {damaged} that cannot be decoded left out" if damaged else ""
        self.notes.append(f"ranges measured on {len(rows)} samples{left_out}")
        return rows

    def _drawn(self) -> list[Arrays]:
        try:
            spec = self._spec()
        except NotAClassifierError:
            return []
        pixels = drawn_pictures(spec.preprocessing)
        self.notes.append(
            f"no calibration data: ranges measured on {len(pixels)} drawn pictures, so try it on real ones"
        )
        return [self._input(pixels[number : number + 1], spec.preprocessing) for number in range(len(pixels))]

    def _spec(self) -> ClassifierSpec:
        said = from_toml(self._path).over(from_metadata(self._program.metadata, self._path))
        spec = describe(self._path, self._program, said)
        for assumption in spec.assumptions:  # the flags that one names are those of another command
            note = f"{assumption.partition(' (--')[0]} (a model.toml beside the file says it)"
            if note not in self.notes:
                self.notes.append(note)
        return spec

    def _rows(self, sample: Sample) -> Iterator[Arrays]:
        """Give one sample's rows: each with a batch axis of 1."""
        if isinstance(sample, bytes):
            yield self._picture(sample, self._spec().preprocessing)
            return
        if isinstance(sample, np.ndarray):
            if len(self._program.inputs) != 1:
                names = ", ".join(spec.name for spec in self._program.inputs)
                raise OptionsError(f"{self._path} takes {names}: give a mapping with an array for each")
            sample = {self._program.inputs[0].name: sample}
        if not isinstance(sample, Mapping) or set(sample) != {spec.name for spec in self._program.inputs}:
            raise OptionsError(f"{self._path} takes {', '.join(spec.name for spec in self._program.inputs)}")
        whole: Arrays = {}
        for spec in self._program.inputs:
            values = np.asarray(sample[spec.name])
            values = values[None] if values.ndim == len(spec.shape) - 1 else values
            fits = values.ndim == len(spec.shape) and all(
                wanted in (None, size) for wanted, size in zip(spec.shape[1:], values.shape[1:], strict=True)
            )
            if not fits or values.dtype != spec.dtype or not len(values):
                shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
                raise OptionsError(
                    f"input {spec.name} of {self._path} takes {spec.dtype}[{shape}], not {values.dtype}"
                    f"{list(values.shape)}: calibrate with what it is run on"
                )
            whole[spec.name] = values
        for number in range(min(len(values) for values in whole.values())):
            yield {name: values[number : number + 1] for name, values in whole.items()}

    def _picture(self, data: bytes, preprocessing: Preprocessing) -> Arrays:
        """Decode a picture into one row. Raises `ImageError`."""
        rows = preprocessing.rows(1)
        decode_into(data, read_header(data, ImageLimits()), preprocessing.resize, rows[0])
        return self._input(rows, preprocessing)

    def _input(self, rows: NDArray[np.uint8], preprocessing: Preprocessing) -> Arrays:
        return {self._program.inputs[0].name: preprocessing.model_input(rows)}

    def _batched(self, rows: list[Arrays]) -> list[Arrays]:
        """Put rows together where the model's batch is fixed; the last batch is filled up with rows from the first."""
        size = (self._program.batch_sizes or (1,))[0]
        if size == 1 or not rows:
            return rows
        padded = rows + [rows[number % len(rows)] for number in range(-len(rows) % size)]
        return [
            {name: np.concatenate([row[name] for row in padded[begin : begin + size]]) for name in rows[0]}
            for begin in range(0, len(padded), size)
        ]


def drawn_pictures(preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return pictures for want of real ones, the same each time: uint8[count, height, width, 3], RGB."""
    random = np.random.default_rng(0)
    rows = preprocessing.rows(_NOISY + _SMOOTH)
    height, width = rows.shape[1:3]
    rows[:_NOISY] = random.integers(0, 256, rows[:_NOISY].shape, np.uint8)
    for row in rows[_NOISY:]:
        planes = np.zeros((3, height, width), np.float32)
        for side, strength in _PATCHES:
            for number in range(3):
                patches = Image.fromarray(random.random((side, side), np.float32))
                planes[number] += strength * np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC))
        planes = (planes - planes.min()) / np.ptp(planes)
        darkest, brightest = np.sort(random.random(2))
        row[:] = np.moveaxis((darkest + planes * (brightest - darkest)) * 255, 0, 2).astype(np.uint8)
    return rows
