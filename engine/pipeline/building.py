"""From a pipeline's description to the pipeline: models are opened, functions found."""

import logging
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.errors import PipelineError
from engine.images.header import ImageLimits
from engine.models.classifier import open_classifier
from engine.models.spec import ClassifierSpec
from engine.pipeline.feeds import ArrayFeed, Feed, PixelFeed
from engine.pipeline.functions import DecodeImage, NameClasses
from engine.pipeline.graph import Graph, arrange
from engine.pipeline.model_step import ModelStep
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step
from engine.pipeline.tables import PipelineDescription, StepDescription
from engine.pipeline.warm_up import OpenModel
from engine.session_keywords import read_keywords

log = logging.getLogger(__name__)


def build(
    description: PipelineDescription,
    *,
    folder: Path,
    import_from: Path | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Build a pipeline; its models are open, its threads not started.

    Args:
        description: What was described.
        folder: Where models are looked for first.
        import_from: A folder that code of the user's own is imported from as well; None for what Python finds anyway.
        keywords: Of `Session`, for every model step; those of a step win.

    Raises:
        PipelineError: Steps do not fit each other, or a function is not found.
        EngineError: A model or a device cannot be used.
    """
    try:
        return _Builder(description, folder, import_from, keywords or {}).build()
    except PipelineError as exc:
        if str(exc).startswith(description.origin):
            raise
        raise PipelineError(f"{description.origin}: {exc}") from exc


class _Builder:
    """Holds what was opened, to close it where the rest fails."""

    def __init__(
        self, description: PipelineDescription, folder: Path, import_from: Path | None, keywords: Mapping[str, Any]
    ) -> None:
        self._description = description
        self._folder = folder
        self._import_from = import_from
        self._keywords = keywords
        self._steps = description.steps
        self._graph: Graph = arrange([step.name for step in self._steps], [step.after for step in self._steps])
        self._models: dict[int, ModelStep] = {}
        self._specs: dict[int, ClassifierSpec] = {}

    def build(self) -> Pipeline:
        try:
            for index, step in enumerate(self._steps):
                if step.use == "model":
                    self._open(index, step)
            steps = [self._step(index, step) for index, step in enumerate(self._steps)]
            return Pipeline(steps, max_in_flight=self._description.max_in_flight)
        except BaseException:
            for model in self._models.values():
                model.close()
            raise

    def _step(self, index: int, step: StepDescription) -> Step:
        if step.use == "model":
            return self._models[index]
        if step.use == "decode":
            function: Any = DecodeImage(self._spec_for(index).preprocessing, ImageLimits())
        elif step.use == "labels":
            function = NameClasses(self._spec_for(index), step.top)
        else:
            function = self._function(step)
        return Step(
            step.name,
            function,
            step.max_batch_size,
            parallel_steps=1 if step.parallel_steps is None else step.parallel_steps,
            batch_timeout_s=step.batch_timeout_s,
            after=step.after,
        )

    def _open(self, index: int, step: StepDescription) -> None:
        """Open a model: as a classifier where a step that decodes or names classes goes by it."""
        model = self._models[index] = ModelStep(
            step.name, parallel_steps=step.parallel_steps, batch_timeout_s=step.batch_timeout_s, after=step.after
        )
        keywords = {**self._keywords, **step.session}
        if step.backend is not None:
            keywords["backend"] = step.backend
        beside = self._folder / step.model
        path = str(beside) if beside.exists() else step.model
        uses = {self._steps[other].use for other in self._around(index) if index in self._models_of(other)}
        if not uses & {"decode", "labels"}:
            model.use_model(path, step.max_batch_size, step.warmup, **keywords)
            return
        said = read_keywords(keywords, open_batch=step.max_batch_size or 1)

        def open_model() -> OpenModel:
            classifier = open_classifier(path, said.backend(), said.options)
            spec = self._specs[index] = classifier.spec
            for assumption in spec.assumptions:
                log.warning("step %s: %s", step.name, assumption)
            feed: Feed = ArrayFeed(step.name, classifier.program)
            if "decode" in uses:
                feed = PixelFeed(step.name, spec)
            return OpenModel(spec.path, classifier.backend, classifier.program, feed)

        model.use_opened(open_model(), open_model, step.max_batch_size, step.warmup)

    def _around(self, index: int) -> tuple[int, ...]:
        return (*self._graph.ancestors(index), *self._graph.descendants(index))

    def _models_of(self, index: int) -> tuple[int, ...]:
        """Return the models that a decoding step feeds, or that a labelling step reads, with no other in between."""
        use = self._steps[index].use
        if use not in ("decode", "labels"):
            return ()
        beside = self._graph.successors if use == "decode" else self._graph.predecessors
        found: set[int] = set()
        waiting = list(beside[index])
        while waiting:
            step = waiting.pop()
            if self._steps[step].use == "model":
                found.add(step)
            else:
                waiting.extend(beside[step])
        return tuple(sorted(found))

    def _spec_for(self, index: int) -> ClassifierSpec:
        step = self._steps[index]
        models = self._models_of(index)
        if not models:
            where = "followed by" if step.use == "decode" else "after"
            raise PipelineError(f"step {step.name} (use = {step.use!r}) has to be {where} a model step")
        names = " and ".join(self._steps[other].name for other in models)
        if step.use == "labels" and len(models) > 1:
            raise PipelineError(f"step {step.name} reads {names}: write a step with labels for each")
        specs = [self._specs[other] for other in models]
        if any(spec.preprocessing.resize != specs[0].preprocessing.resize for spec in specs):
            raise PipelineError(
                f"step {step.name} decodes for {names}, which take pictures of different sizes: write one for each"
            )
        return specs[0]

    def _function(self, step: StepDescription) -> Any:
        module_name, _, path = step.function.partition(":")
        if self._import_from is not None and str(self._import_from) not in sys.path:
            sys.path.append(str(self._import_from))  # last, so that nothing of the machine is shadowed
        try:
            function: Any = import_module(module_name)
            for name in path.split("."):
                function = getattr(function, name)
        except AttributeError as exc:
            raise PipelineError(f"step {step.name}: python = {step.function!r} is not there: {exc}") from exc
        except (Exception, SystemExit) as exc:  # the module is the user's, and may raise anything
            raise PipelineError(
                f"step {step.name}: python = {step.function!r} cannot be imported: {type(exc).__name__}: {exc}"
            ) from exc
        if not callable(function):
            raise PipelineError(f"step {step.name}: python = {step.function!r} is no function")
        return function
