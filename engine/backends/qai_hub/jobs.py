"""Jobs of AI Hub, awaited; models that were compiled there, remembered."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.backends.qai_hub.client import Hub, plain
from engine.backends.qai_hub.options import QaiHubOwn
from engine.backends.static_shapes import Sized, fingerprint
from engine.errors import CompileError, EngineError
from engine.models.files import ModelFile
from engine.models.onnx_file import read_onnx
from engine.models.program import Program

log = logging.getLogger(__name__)


def await_job(hub: Hub, job: Any, own: QaiHubOwn, deadline_s: float, failure: type[EngineError]) -> None:
    """Wait until a job is done; each of its states is logged once.

    A look that fails is taken again until the deadline: the job goes on meanwhile.

    Raises:
        EngineError: A `failure`: the job failed, vanished or is not finished in time; its id and address are named.
    """
    name, began_s, seen = f"{job.job_type} job {job.job_id}", time.monotonic(), None
    while True:
        status = hub.call(f"the state of {name}", failure, job.get_status, deadline_s, again=True)
        if status.code != seen:
            log.info("AI Hub: %s: %s after %.0f s (%s)", name, status.code, time.monotonic() - began_s, job.url)
            seen = status.code
        if status.success:
            return
        if status.failure:
            raise failure(f"AI Hub: {name} failed: {_one_line(status.message)} ({job.url})")
        if time.monotonic() + own.poll_interval > deadline_s:
            raise failure(
                f"AI Hub: {name} is still {status.code} after {own.job_timeout:g} s and is given up ({job.url}): "
                "give a longer job_timeout"
            )
        time.sleep(own.poll_interval)


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
        own = one.options.own if isinstance(one.options.own, QaiHubOwn) else QaiHubOwn()
        options = f"--target_runtime {own.target_runtime} {own.compile_options}".strip()
        symbols = sorted(one.options.keywords.symbols.items())
        wanted = (hub.client.config.api_url, device.name, device.os, device.attributes, options, symbols)
        key = fingerprint(model.path, *wanted)
        folder = one.options.keywords.output_dir
        note = Path(folder) / f"{model.path.stem}-{key}.qai_hub.json" if folder else None
        if target := self._known(hub, key, note):
            return target
        deadline_s = time.monotonic() + own.job_timeout
        job = self._submit(hub, model, program, deadline_s, {"device": device, "options": options})
        await_job(hub, job, own, deadline_s, CompileError)
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

    def _submit(
        self, hub: Hub, model: ModelFile, program: Program, deadline_s: float, keywords: Mapping[str, Any]
    ) -> Any:
        specs = {spec.name: (tuple(size or 1 for size in spec.shape), spec.dtype.name) for spec in program.inputs}
        loaded = read_onnx(model.path, with_external_data=True)

        def submit(call: Callable[[], Any]) -> Any:
            return hub.call(f"to compile {model.path}", CompileError, call, deadline_s, again=False)

        uploaded = submit(lambda: hub.client.upload_model(loaded, name=model.path.name))
        job = submit(lambda: hub.client.submit_compile_job(uploaded, input_specs=specs, **keywords))
        log.info("AI Hub: compile job %s of %s for %s (%s)", job.job_id, model.path, keywords["device"].name, job.url)
        return job


def _write(note: Path, content: Mapping[str, str]) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    except OSError as exc:
        raise CompileError(f"{note} cannot be written: {exc.strerror}: give another output_dir") from exc


def _one_line(text: str | None) -> str:
    return " ".join((text or "it does not say why").split())
