"""A step that runs a model on a device."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.backends.base import Backend, BackendOptions
from engine.errors import EngineError, PipelineError
from engine.models.files import locate_model
from engine.pipeline.batch_sizes import BatchSizes, batch_sizes
from engine.pipeline.feeds import ArrayFeed, Row
from engine.pipeline.outcome import Failed
from engine.pipeline.step import BATCH_TIMEOUT_S, Step
from engine.pipeline.warm_up import OpenModel, Warmup, warm_up
from engine.session_keywords import read_keywords

__all__ = ["GPURuntimeComponent", "ModelStep", "Warmup"]

log = logging.getLogger(__name__)


class ModelStep(Step):
    """Runs a model: `use_model` says which.

    An item is an array as the model takes it, without the axis of the batch (a dict of name → array where it has
    several inputs); its value is its row of the output (a dict where there are several). A thread hands a batch to the
    device and waits for it, while the next one fills.
    """

    def __init__(
        self,
        name: str = "model",
        *,
        parallel_steps: int | None = None,
        batch_timeout_s: float = BATCH_TIMEOUT_S,
        after: Iterable[Step | str] | None = None,
    ) -> None:
        """Name the step.

        Args:
            name: What statistics, errors and other steps call it.
            parallel_steps: Batches on the device at a time; None for as many as it has places for.
            batch_timeout_s: How long a batch's first item waits for company.
            after: The steps that it follows; None for the one before it.
        """
        super().__init__(
            name,
            self._run,
            1,
            parallel_steps=1 if parallel_steps is None else parallel_steps,
            batch_timeout_s=batch_timeout_s,
            after=after,
        )
        self._follows_slots = parallel_steps is None
        self._model: OpenModel | None = None
        self._reopen: Callable[[], OpenModel] | None = None
        self._sizes: BatchSizes | None = None
        self._slots = 1
        self._warmup = Warmup.NONE
        self._times_s: dict[int, float] = {}

    def use_model(
        self,
        path: str | Path,
        max_batch_size: int | None = None,
        warmup: Warmup = Warmup.RANDOM_DATA,
        *,
        backend: str | Backend | None = None,
        **keywords: Any,
    ) -> None:
        """Open a model; the pipeline closes it.

        Args:
            path: Its file, or a built-in model's name.
            max_batch_size: Items in a batch, at the most, for a model whose first axis is open (-1, a name, or
                nothing at all); 0 for one that is made for one size; None for 1 or 0, whichever fits.
            warmup: What is done as the pipeline starts.
            backend: Its name, or one that is not open yet; None for a card where there is one, else the CPU.
            **keywords: Those of `Session`: `device`, `num_activations`, `onnx_define_symbol`, `options_path` …

        Raises:
            PipelineError: `max_batch_size` does not fit the model, or `warmup` is no `Warmup`.
            OptionsError: A keyword cannot be used.
            ModelError: The file cannot be used.
            BackendError: There is no such back end.
            DeviceNotFoundError: There is no such device.
        """
        if not isinstance(warmup, Warmup):
            raise PipelineError(f"step {self.name}: warmup is {warmup!r}: give Warmup.RANDOM_DATA or Warmup.NONE")
        if isinstance(backend, Backend):
            chosen, options = backend, BackendOptions()
        else:
            said = read_keywords({**keywords, "backend": backend}, open_batch=max_batch_size or 1)
            chosen, options = said.backend(), said.options
            if said.reason:
                log.info("step %s: %s", self.name, said.reason)

        def open_model() -> OpenModel:
            file = locate_model(path)
            program = chosen.open(chosen.compile(file, options), options)
            return OpenModel(file.path, chosen, program, ArrayFeed(self.name, program))

        self.use_opened(open_model(), open_model, max_batch_size, warmup)

    def use_opened(
        self, model: OpenModel, reopen: Callable[[], OpenModel], max_batch_size: int | None, warmup: Warmup
    ) -> None:
        """Take over a model that is open; the pipeline closes it.

        Args:
            model: It.
            reopen: Opens it again, for another pipeline after that.
            max_batch_size: As of `use_model`.
            warmup: What is done as the pipeline starts.

        Raises:
            PipelineError: `max_batch_size` does not fit the model, or the step runs already.
        """
        try:
            if self.is_attached:
                raise PipelineError(f"step {self.name} runs in a pipeline: close that before it uses another model")
            sizes = batch_sizes(model.path, model.program, max_batch_size)
            if warmup is Warmup.RANDOM_DATA:
                model.feed.random_item(np.random.default_rng(0))
        except BaseException:
            model.backend.close()
            raise
        self.close()
        self._model, self._reopen, self._sizes, self._warmup = model, reopen, sizes, warmup
        self._slots = max(model.backend.slots, 1)
        self._times_s = {}
        super().set_max_batch_size(sizes.max_size)
        self._batch_limit = sizes.max_size
        if self._follows_slots:
            super().set_parallel_steps(self._slots)

    @property
    def has_fixed_batch(self) -> bool:
        """Whether the model takes one batch size alone."""
        return self._sizes is not None and self._sizes.is_fixed

    @property
    def parallel_limit(self) -> int | None:
        """How many batches the device works on at a time."""
        return self._slots

    @property
    def known_times_s(self) -> Mapping[int, float]:
        """What the warm-up has measured, by batch size."""
        return self._times_s

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Change how many items a batch has at the most; see `Step.set_max_batch_size`.

        Raises:
            PipelineError: The model does not take such batches.
        """
        if self._sizes is not None:
            self._sizes.check(self.name, max_batch_size)
        super().set_max_batch_size(max_batch_size)

    def set_parallel_steps(self, parallel_steps: int) -> None:
        """Change how many batches are on the device at a time; see `Step.set_parallel_steps`."""
        super().set_parallel_steps(parallel_steps)
        self._follows_slots = False

    def open(self) -> None:
        """Warm the model up; open it again first where it was closed.

        Raises:
            PipelineError: No model was given, or it fails random data.
        """
        if self._reopen is None:
            raise PipelineError(f"step {self.name} has no model: call its use_model first")
        if self._model is None:
            self._model = self._reopen()
        if self._warmup is Warmup.RANDOM_DATA and self._sizes is not None:
            sizes = self._sizes.to_try(self.max_batch_size or 1)
            self._times_s = warm_up(self.name, self._model, sizes, self._run)

    def close(self) -> None:
        """Close the back end."""
        model, self._model = self._model, None
        if model is not None:
            model.backend.close()

    def _run(self, items: list[Any]) -> list[Any]:
        """Give a batch to the device and wait for it; an item that does not fit fails alone."""
        model = self._model
        if model is None:
            raise PipelineError(f"step {self.name} has no open model: its pipeline was closed")
        values: list[Any] = [None] * len(items)
        places: list[int] = []
        rows: list[Row] = []
        for place, item in enumerate(items):
            try:
                rows.append(model.feed.row(item))
                places.append(place)
            except EngineError as exc:
                values[place] = Failed(exc)
        if rows:
            inputs = model.feed.inputs(rows, model.program.rows_for(len(rows)))
            answers = model.feed.values(model.backend.submit(inputs, len(rows)).result().outputs, len(rows))
            for place, answer in zip(places, answers, strict=True):
                values[place] = answer
        return values


GPURuntimeComponent = ModelStep
