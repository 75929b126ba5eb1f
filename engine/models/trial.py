"""Trying a model on random pixels: what only its answers show."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend
from engine.errors import InferenceError, ModelError, NotAClassifierError
from engine.models.description import ModelDescription, read_labels
from engine.models.graph import last_operator
from engine.models.program import Program
from engine.models.spec import Activation, ClassifierSpec

_IMAGENET_LABELS = Path(__file__).parent / "imagenet_labels.txt"
_IMAGENET_CLASSES = 1000
#: What ends in one of these gives each class a probability of its own; they need not sum to 1.
_PROBABILITY_OPERATORS = {"Sigmoid", "HardSigmoid"}
#: Rows whose sums are this near to 1 are probabilities already (float16 sums are off by 1e-3).
_SUM_TOLERANCE = 4e-3
_TIMEOUT_S = 120.0
_ROWS = 4

_Answers = Mapping[str, NDArray[np.generic]]


def complete(spec: ClassifierSpec, program: Program, backend: Backend, said: ModelDescription) -> ClassifierSpec:
    """Run the model on random pixels, and complete output, labels and activation; this warms the device up as well.

    Raises:
        ModelError: It does not run, or is no classifier.
    """
    candidates = _candidates(spec.path, program)
    answers = _answers(spec, program, backend)
    name = next((name for name in candidates if _holds_classes(name, answers)), None)
    if name is None:
        given = ", ".join(f"{name} {list(answer.shape[1:])}" for name, answer in answers.items())
        raise NotAClassifierError(
            f"{spec.path} is no classifier: a picture gives {given or 'no row of its own'}, "
            "not one value for each of two or more classes"
        )
    values = answers[name].reshape(len(answers[name]), -1).astype(np.float64)
    if np.isnan(values).any(axis=1).all():
        raise ModelError(f"{spec.path} answers pictures of random pixels with NaN: check its export and precision")
    classes = values.shape[1]
    assumptions = list(spec.assumptions)
    labels = spec.labels
    if not labels and classes == _IMAGENET_CLASSES:
        labels = read_labels(_IMAGENET_LABELS)
        assumptions.append("labels are not given: the names of ImageNet's 1,000 classes (--model-labels)")
    elif not labels:
        labels = tuple(f"class_{number}" for number in range(classes))
        assumptions.append(f"labels are not given: class_0 … class_{classes - 1} (--model-labels)")
    if len(labels) != classes:
        raise ModelError(f"{spec.path} has {classes} classes and {len(labels)} labels: give one for each")
    activation = cast("Activation", said.activation or _activation(values, spec.path, name))
    return replace(spec, output_name=name, labels=labels, activation=activation, assumptions=tuple(assumptions))


def _candidates(path: Path, program: Program) -> list[str]:
    """Return the outputs that can hold one value per class; those whose shape says so come first."""
    sure, possible = [], []
    for output in program.outputs:
        axes = output.shape[1:]
        if not np.issubdtype(output.dtype, np.floating):
            continue
        # A graph that says nothing of the shape has no axes here.
        if not output.shape or None in axes:
            possible.append(output.name)
        elif sum(size != 1 for size in axes) == 1:
            sure.append(output.name)
    if not sure and not possible:
        shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in program.outputs)
        raise NotAClassifierError(f"{path} is no classifier: no output has one value per class ({shapes})")
    return sure + possible


def _answers(spec: ClassifierSpec, program: Program, backend: Backend) -> _Answers:
    """Return the outputs for at least `_ROWS` pictures of random pixels, where they have a row for each."""
    resize, count = spec.preprocessing.resize, program.max_rows or _ROWS
    random = np.random.default_rng(0)
    batches = []
    for _ in range(0, _ROWS, count):
        pixels = random.integers(0, 256, (count, resize.height_px, resize.width_px, 3), dtype=np.uint8)
        try:
            future = backend.submit({spec.input_name: spec.preprocessing.model_input(pixels)}, count)
            batches.append(future.result(_TIMEOUT_S).outputs)
        except InferenceError as exc:
            hint = "" if program.max_rows else " (export it with a fixed batch if it takes fewer at a time)"
            raise ModelError(f"{spec.path} cannot classify {count} pictures of random pixels: {exc}{hint}") from exc
        except TimeoutError as exc:
            raise ModelError(f"{spec.path} gave no answer to {count} pictures in {_TIMEOUT_S:.0f} s") from exc
    return {
        name: np.concatenate([batch[name] for batch in batches])
        for name in batches[0]
        if all(batch[name].ndim and len(batch[name]) == count for batch in batches)
        and len({batch[name].shape for batch in batches}) == 1
    }


def _holds_classes(name: str, answers: _Answers) -> bool:
    """Tell whether an output has one value for each of two or more classes, and not one for each of some boxes."""
    if name not in answers or answers[name].ndim < 2:
        return False
    shape = answers[name].shape[1:]
    classes = max(shape)
    has_boxes = any(answer.shape[1:] == (classes, 4) for answer in answers.values())
    return classes == np.prod(shape) and classes > 1 and not has_boxes


def _activation(values: NDArray[np.float64], path: Path, output: str) -> Activation:
    """Tell by the answers to random pixels, and else by the graph's last operator, whether they are probabilities."""
    if values.min() < 0 or values.max() > 1 + _SUM_TOLERANCE:
        return "softmax"
    if np.allclose(values.sum(axis=1), 1, atol=_SUM_TOLERANCE):
        return "none"
    return "none" if last_operator(path, output) in _PROBABILITY_OPERATORS else "softmax"
