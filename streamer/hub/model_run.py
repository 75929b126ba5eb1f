"""One model's way at AI Hub: compiled, fed and inferred, each job submitted once."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from engine.backends.qai_hub.client import Hub
from engine.backends.qai_hub.errors import RefusedError, StoppedError, UnreachableError
from engine.backends.qai_hub.jobs import (
    InputSpecs,
    await_job,
    compile_options,
    output_of,
    submit_compile_job,
    submit_inference_job,
)
from engine.errors import BackendError, EngineError
from streamer.hub.find_job import find_job
from streamer.hub.inputs import Input, InputSpec, read_spec
from streamer.hub.models import is_compiled, needs_sizes
from streamer.hub.pictures import digest_of
from streamer.hub.state import JobKind, JobNote, JobState

log = logging.getLogger(__name__)

_RETRY = "--retry-failed submits it again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a model.

    Attributes:
        model: Its id.
        name: What its owner called it.
        failure: Why there is no result, in one line; None where there is one.
        outputs: The result: an array by the name of each output.
        spec: What it was given.
        compile_job: The job that compiled it; None where it was compiled already, or it did not come so far.
        target: The compiled model.
        inference_job: The job that ran it.
        is_earlier: Whether an earlier run had its result, which was fetched again.
        seconds: How long it took, the time of an earlier run left out.
    """

    model: str
    name: str = ""
    failure: str | None = None
    outputs: dict[str, NDArray[np.generic]] | None = None
    spec: InputSpec | None = None
    compile_job: str | None = None
    target: str | None = None
    inference_job: str | None = None
    is_earlier: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class ModelRun:
    """Runs models on one device, one at a time in each thread that calls it: never more than one job is in flight.

    Attributes:
        hub: AI Hub.
        device: A device of the client's.
        state: Remembers the jobs.
        shape: The input's, in the place of the models' own.
    """

    hub: Hub
    device: Any
    state: JobState = field(default_factory=JobState)
    shape: tuple[int, ...] | None = None

    def __call__(self, model_id: str, data: Input) -> Outcome:
        """Run a model; what goes wrong with it is in the outcome.

        Raises:
            BackendError: AI Hub does not accept the token.
            StateError: The jobs cannot be remembered.
            StoppedError: The run was told to stop.
        """
        way = _Way(self, model_id, data)
        began_s = time.monotonic()
        try:
            outputs = way.outputs()
        except (BackendError, StoppedError):
            raise
        except EngineError as exc:
            outcome = replace(way.outcome, failure=" ".join(str(exc).split()))
        else:
            outcome = replace(way.outcome, outputs=outputs)
        return replace(outcome, seconds=time.monotonic() - began_s)


class _Way:
    """One model's way, and how far it came."""

    def __init__(self, run: ModelRun, model_id: str, data: Input) -> None:
        self._hub, self._device, self._state, self._data = run.hub, run.device, run.state, data
        self._shape = run.shape or None
        self.outcome = Outcome(model_id)

    def outputs(self) -> dict[str, NDArray[np.generic]]:
        """Go all of it."""
        model = self._model(self.outcome.model)
        self._say(name=model.name)
        if is_compiled(self._hub, model):
            target, spec = model, self._spec_of(model, None, None)
            self._say(target=model.model_id)
        else:
            target, spec = self._compiled(model)
        values = self._data.fit(spec)
        self._say(spec=spec)
        key = self._key("inference", target.model_id, str(spec), self._data.digest, self._hub.own.job_options)
        note, job = self._done(
            "inference",
            key,
            lambda name, deadline_s: submit_inference_job(
                self._hub, target, self._device, {spec.name: values}, deadline_s, name=name
            ),
        )
        try:
            outputs = output_of(self._hub, job, self._deadline_s())
            if not outputs:
                raise RefusedError(f"AI Hub: job {job.job_id} gave no output ({job.url})")
        except RefusedError as exc:
            self._state.put(key, note, failure=str(exc))
            raise
        return outputs

    def _compiled(self, model: Any) -> tuple[Any, InputSpec]:
        """Have the model compiled, unless it is."""
        specs = self._compile_specs(model)
        key = self._key("compile", model.model_id, sorted((specs or {}).items()), compile_options(self._hub.own))
        note, target = self._state.get(key), None
        if note is not None and note.is_done and note.target:
            try:
                target = self._model(note.target)
            except RefusedError as exc:
                log.warning("%s: its compiled model %s is gone and is made again: %s", model.model_id, note.target, exc)
                self._state.forget(key)
        if target is None:
            note, job = self._done(
                "compile",
                key,
                lambda name, deadline_s: submit_compile_job(
                    self._hub, model, self._device, specs, deadline_s, name=name
                ),
            )
            made = job.get_target_model()
            if made is None:
                raise RefusedError(f"AI Hub: compile job {job.job_id} is done and has no model ({job.url})")
            note = self._state.put(key, note, target=made.model_id)
            target = self._model(made.model_id)
        self._say(compile_job=note.job if note else None, target=target.model_id)
        return target, self._spec_of(target, note.job if note else None, specs)

    def _compile_specs(self, model: Any) -> InputSpecs | None:
        """Return the sizes to compile for; None leaves them to the model, which says them itself."""
        own = self._read(model)
        if self._shape is not None:
            own = replace(own or InputSpec(), shape=self._shape)
        elif own is None or not own.shape:
            if not needs_sizes(model):
                return None
            own = (own or InputSpec()).closed(self._data.shape)
        own = own.closed(self._data.shape)
        return {own.name: (own.shape, own.dtype)}

    def _spec_of(self, target: Any, job_id: str | None, specs: InputSpecs | None) -> InputSpec:
        """Return what a compiled model takes: as it says itself, as its job says, or else as it was compiled for."""
        spec = self._read(target)
        if spec is None and job_id is not None:
            job = self._ask(f"job {job_id}", lambda: self._hub.client.get_job(job_id))
            specs = self._ask(f"the inputs of job {job_id}", job.get_target_shapes) or specs
        if spec is None and specs and len(specs) == 1:
            ((name, (shape, dtype)),) = specs.items()
            spec = InputSpec(name, tuple(shape), dtype)
        return (spec or InputSpec()).closed(self._shape or self._data.shape)

    def _done(self, kind: JobKind, key: str, submit: Callable[[str, float], Any]) -> tuple[JobNote, Any]:
        """Return a job that is done: the one that is remembered, or a new one.

        Raises:
            RefusedError: It failed, now or in an earlier run.
        """
        note = self._state.get(key)
        if note is not None and note.failure:
            self._say(**{f"{kind}_job": note.job})
            raise RefusedError(f"{note.failure} (in an earlier run; {_RETRY})")
        is_new = note is None
        if note is None:
            # Before it is submitted: whatever happens to this program, the name finds the job.
            name = f"streamer-{self.outcome.model}-{uuid4().hex}"
            note = self._state.put(key, JobNote(kind, self.outcome.model, self._device.name, name, time.time()))
        deadline_s = self._deadline_s()
        try:
            job = self._submitted(note, partial(submit, note.name, deadline_s), deadline_s, is_new=is_new)
            note = self._state.put(key, note, job=job.job_id)
            self._say(**{f"{kind}_job": job.job_id})
            self._say(is_earlier=note.is_done)
            if not note.is_done:
                await_job(self._hub, job, deadline_s, whose=self.outcome.model)
        except RefusedError as exc:
            self._state.put(key, note, failure=str(exc))
            raise
        return self._state.put(key, note, is_done=True), job

    def _submitted(self, note: JobNote, submit: Callable[[], Any], deadline_s: float, *, is_new: bool) -> Any:
        """Return the job, submitted now unless AI Hub has it already; where that stays open, look, and try again."""
        pause_s, is_open = self._hub.own.poll_interval, not is_new
        while True:
            try:
                job = self._found(note) if is_open else None
                return submit() if job is None else job
            except UnreachableError as exc:
                if time.monotonic() + pause_s > deadline_s:
                    raise
                log.warning("%s: %s; looked at again in %.0f s", note.model, exc, pause_s)
                is_open = True
                self._hub.pause(pause_s)

    def _found(self, note: JobNote) -> Any:
        """Return the job that AI Hub has; None where it has none."""
        job_id = note.job or find_job(self._hub, note.kind, note.name, note.since_s)
        if job_id is None:
            return None
        return self._ask(f"job {job_id}", lambda: self._hub.client.get_job(job_id))

    def _model(self, model_id: str) -> Any:
        return self._ask(f"model {model_id}", lambda: self._hub.client.get_model(model_id))

    def _read(self, model: Any) -> InputSpec | None:
        return read_spec(self._ask(f"the inputs of {model.model_id}", lambda: model.input_spec))

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        return self._hub.ask(what, call, self._deadline_s(), again="always")

    def _deadline_s(self) -> float:
        return time.monotonic() + self._hub.own.job_timeout

    def _key(self, *circumstances: object) -> str:
        device = (self._device.name, self._device.os, self._device.attributes)
        return digest_of(self._hub.client.config.api_url.encode(), device, *circumstances)

    def _say(self, **found: Any) -> None:
        self.outcome = replace(self.outcome, **found)
