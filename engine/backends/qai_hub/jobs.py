"""Jobs of AI Hub, awaited; models that were compiled there, remembered."""

import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.qai_hub.client import Hub, plain
from engine.backends.qai_hub.errors import NotYetError, RefusedError, mapped
from engine.backends.qai_hub.options import QaiHubOwn
from engine.backends.static_shapes import Sized, fingerprint
from engine.errors import CompileError
from engine.models.files import ModelFile
from engine.models.onnx_file import read_onnx
from engine.models.program import Program, Tensors

log = logging.getLogger(__name__)

#: Size and type of each input by its name, as the client takes them.
InputSpecs = Mapping[str, tuple[tuple[int, ...], str]]


def submit_compile_job(
    hub: Hub, model: Any, device: Any, specs: InputSpecs | None, deadline_s: float, *, name: str | None = None
) -> Any:
    """Have a model compiled; at most once, since a call that was not answered may have been heard.

    Args:
        hub: AI Hub.
        model: A model of the client's.
        device: A device of the client's.
        specs: Size and type of each input; None leaves them to the model.
        deadline_s: Until when a busy hub is asked again, `time.monotonic`.
        name: The job's; None for the model's.

    Raises:
        BackendError, HubError: As for `Hub.ask`.
    """
    keywords = {"device": device, "name": name, "options": compile_options(hub.own)}
    return hub.ask(
        f"the compilation of {model.name or model.model_id}",
        lambda: hub.client.submit_compile_job(model, input_specs=specs, **keywords),
        deadline_s,
        again="unheard",
    )


def submit_inference_job(
    hub: Hub, target: Any, device: Any, inputs: Tensors, deadline_s: float, *, name: str | None = None
) -> Any:
    """Send one sample and have it inferred; the job at most once.

    Args:
        hub: AI Hub.
        target: A model of the client's that the device can run.
        device: A device of the client's.
        inputs: An array by the name of each input.
        deadline_s: Until when a busy hub is asked again, `time.monotonic`.
        name: The job's; None for the model's.

    Raises:
        BackendError, HubError: As for `Hub.ask`.
    """
    entries = {input_name: [np.ascontiguousarray(values)] for input_name, values in inputs.items()}
    data = hub.ask("an upload", lambda: hub.client.upload_dataset(entries), deadline_s, again="always")
    return hub.ask(
        "an inference job",
        lambda: hub.client.submit_inference_job(
            target, device, data, name=name, options=hub.own.job_options, retry=False
        ),
        deadline_s,
        again="unheard",
    )


def output_of(hub: Hub, job: Any, deadline_s: float) -> dict[str, NDArray[np.generic]]:
    """Fetch what an inference job of one sample gave: an array by the name of each output; none where it has none.

    Raises:
        BackendError, HubError: As for `Hub.ask`; `RefusedError` where an output has another number of samples.
    """
    what = f"the output of job {job.job_id}"
    given = hub.ask(what, job.download_output_data, deadline_s, again="always") or {}
    if any(len(samples) != 1 for samples in given.values()):
        raise RefusedError(f"AI Hub: {what} is not of one sample ({job.url})")
    return {name: np.asarray(samples[0]) for name, samples in given.items()}


def await_job(hub: Hub, job: Any, deadline_s: float, *, whose: str = "AI Hub") -> None:
    """Wait until a job is done; each of its states is logged once.

    A look that fails is taken again until the deadline: the job goes on meanwhile.

    Args:
        hub: AI Hub.
        job: A job of the client's.
        deadline_s: Until when it is waited for, `time.monotonic`.
        whose: What the log calls its owner.

    Raises:
        RefusedError: The job failed or vanished; its id and address are named.
        NotYetError: It is not finished in time.
        BackendError, HubError: As for `Hub.ask`.
    """
    own, name, began_s, seen = hub.own, f"{job.job_type} job {job.job_id}", time.monotonic(), None
    while True:
        status = hub.ask(f"the state of {name}", job.get_status, deadline_s, again="always")
        if status.code != seen:
            log.info("%s: %s: %s after %.0f s (%s)", whose, name, status.code, time.monotonic() - began_s, job.url)
            seen = status.code
        if status.success:
            return
        if status.failure:
            raise RefusedError(f"AI Hub: {name} failed: {plain(status.message or 'it does not say why')} ({job.url})")
        if time.monotonic() + own.poll_interval > deadline_s:
            raise NotYetError(
                f"AI Hub: {name} is still {status.code} after {own.job_timeout:g} s and is given up ({job.url}): "
                "give a longer job_timeout"
            )
        hub.pause(own.poll_interval)


def compile_options(own: QaiHubOwn) -> str:
    """Return the options of compile jobs, as AI Hub reads them."""
    return f"--target_runtime {own.target_runtime} {own.compile_options}".strip()


@dataclass
class Compiler:
    """Has a model compiled, once for each device, size and set of options.

    What was compiled is remembered as long as this object lives, and in `output_dir` for other processes.
    """

    _targets: dict[str, str] = field(default_factory=dict)

    def target(self, hub: Hub, device: Any, model: ModelFile, one: Sized, program: Program) -> Any:
        """Return the compiled model, as AI Hub's client knows it.

        Raises:
            ModelError: AI Hub takes no such inputs.
            CompileError: The job failed.
            DeviceLostError: AI Hub cannot be reached.
        """
        symbols = sorted(one.options.keywords.symbols.items())
        wanted = (
            hub.client.config.api_url,
            device.name,
            device.os,
            device.attributes,
            compile_options(hub.own),
            symbols,
        )
        key = fingerprint(model.path, *wanted)
        folder = one.options.keywords.output_dir
        note = Path(folder) / f"{model.path.stem}-{key}.qai_hub.json" if folder else None
        if target := self._known(hub, key, note):
            return target
        deadline_s = time.monotonic() + hub.own.job_timeout
        with mapped(CompileError):
            job = self._submit(hub, device, model, program, deadline_s)
            await_job(hub, job, deadline_s)
        target = job.get_target_model()
        if target is None:
            raise CompileError(f"AI Hub: compile job {job.job_id} is done and has no model ({job.url})")
        self._targets[key] = target.model_id
        if note:
            _write(note, {"model": target.model_id, "job": job.job_id, "device": device.name, "url": job.url})
        return target

    def _known(self, hub: Hub, key: str, note: Path | None) -> Any:
        """Return what was compiled before, if AI Hub still has it."""
        model_id = self._targets.get(key)
        if model_id is None and note is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                model_id = str(json.loads(note.read_text("utf-8"))["model"])
        if model_id is None:
            return None
        try:
            target = hub.client.get_model(model_id)
        except Exception as exc:  # noqa: BLE001 - whatever it is, compiling again tells
            log.warning("AI Hub: the model %s that was compiled before is gone: %s", model_id, plain(exc))
            self._targets.pop(key, None)
            return None
        self._targets[key] = model_id
        return target

    def _submit(self, hub: Hub, device: Any, model: ModelFile, program: Program, deadline_s: float) -> Any:
        specs = {spec.name: (tuple(size or 1 for size in spec.shape), spec.dtype.name) for spec in program.inputs}
        loaded = read_onnx(model.path, with_external_data=True)
        uploaded = hub.ask(
            f"the compilation of {model.path}",
            lambda: hub.client.upload_model(loaded, name=model.path.name),
            deadline_s,
            again="unheard",
        )
        job = submit_compile_job(hub, uploaded, device, specs, deadline_s)
        log.info("AI Hub: compile job %s of %s for %s (%s)", job.job_id, model.path, device.name, job.url)
        return job


def _write(note: Path, content: Mapping[str, str]) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    except OSError as exc:
        raise CompileError(f"{note} cannot be written: {exc.strerror}: give another output_dir") from exc
