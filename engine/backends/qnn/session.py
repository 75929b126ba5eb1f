"""A session of ONNX Runtime whose graph QNN takes, and what is kept of it between starts."""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnxruntime
from pydantic import Field

from engine.backends.base import OwnOptions
from engine.backends.onnxruntime import message, session_settings
from engine.backends.qnn.plugin import find_library, find_plugin_devices
from engine.backends.static_shapes import Sized, fingerprint
from engine.errors import CompileError, ModelError
from engine.models.files import ModelFile

log = logging.getLogger(__name__)

_CPU = "CPUExecutionProvider"
#: What only a quantised graph has; of one that was prepared before, nothing is known.
_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "EPContext"}


class QnnOwn(OwnOptions):
    """What only this back end knows."""

    allow_cpu_fallback: bool = Field(
        default=False, description="let ONNX Runtime's CPU compute the operators that QNN does not take"
    )


class QnnSession:
    """Opens a session, from what is kept in `output_dir` where that is.

    Attributes:
        session: ONNX Runtime's.
        detail: What computes, and what the CPU has to.
    """

    def __init__(self, model: ModelFile, one: Sized) -> None:
        self._package, library, name = find_library(one.options.device)
        self._library = str(library)
        self._options = one.options
        own = one.options.own if isinstance(one.options.own, QnnOwn) else QnnOwn()
        self._is_fallback_allowed = own.allow_cpu_fallback
        self.session = self._cached(model, one) if one.options.keywords.output_dir else self._open(model.path)
        on_qnn, on_cpu = _assigned(self.session)
        if not on_qnn:
            raise ModelError(f"QNN takes nothing of {model.path}: give another model, or use back end onnxruntime")
        if not on_qnn.keys() & _QUANTISED:
            log.warning("%s is not quantised: QNN computes it in floating point, which is slow", model.path)
        self.detail = f"{name}, onnxruntime-qnn {self._package.__version__}"
        if on_cpu:
            log.warning("%s: the CPU computes what QNN does not take: %s", model.path, _listed(on_cpu))
            self.detail += f", {on_cpu.total()} of {(on_qnn + on_cpu).total()} operators on the CPU"

    def _cached(self, model: ModelFile, one: Sized) -> Any:
        folder = Path(self._options.keywords.output_dir or "")
        symbols = sorted(one.options.keywords.symbols.items())
        made_by = (self._package.__version__, self._library, self._is_fallback_allowed)
        kept = folder / f"{model.path.stem}-{fingerprint(model.path, made_by, symbols)}.qnn.onnx"
        if kept.exists():
            try:
                return self._open(kept)
            except ModelError as exc:
                log.warning("%s is of no use, and is made again: %s", kept, exc)
        building = kept.with_suffix(f".{os.getpid()}.onnx")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            session = self._open(
                model.path,
                {
                    "ep.context_enable": "1",
                    "ep.context_file_path": str(building),
                    "ep.context_embed_mode": "1",
                },
            )
            if not building.exists():
                return session  # QNN has no part of it
            building.replace(kept)
        except OSError as exc:
            raise CompileError(f"{kept} cannot be written: {exc.strerror}: give another output_dir") from exc
        finally:
            with suppress(OSError):
                building.unlink()
        log.info("%s: what QNN prepared for a batch of %d is kept in %s", model.path, one.batch, kept)
        return session

    def _open(self, path: Path, settings: Mapping[str, str] | None = None) -> Any:
        try:
            return self._session_of(path, settings or {}, is_fallback_allowed=self._is_fallback_allowed)
        except Exception as exc:  # onnxruntime's errors have no common root but this
            if not self._is_fallback_allowed and (left := self._left_over(path)):
                raise ModelError(
                    f"{path}: QNN does not take {_listed(left)}: give a quantised model of operators that it has, or "
                    "allow_cpu_fallback"
                ) from exc
            raise ModelError(
                f"QNN cannot prepare {path}: {message(exc)} (give a complete .onnx file, best one that is quantised)"
            ) from exc

    def _left_over(self, path: Path) -> Counter[str]:
        """Return the operators that would be the CPU's; none where that is not what is wrong."""
        try:
            return _assigned(self._session_of(path, {}, is_fallback_allowed=True))[1]
        except Exception:  # noqa: BLE001 - then the first error tells more
            return Counter()

    def _session_of(self, path: Path, extras: Mapping[str, str], *, is_fallback_allowed: bool) -> Any:
        settings = session_settings(self._options, None)
        entries = {
            "session.disable_cpu_ep_fallback": "0" if is_fallback_allowed else "1",
            "session.record_ep_graph_assignment_info": "1",
        }
        for key, value in (entries | dict(extras)).items():
            settings.add_session_config_entry(key, value)
        # Else, where the CPU may help, it gets the quantising of inputs and outputs.
        provider = {"backend_path": self._library, "offload_graph_io_quantization": "0"}
        settings.add_provider_for_devices(find_plugin_devices(self._package), provider)
        return onnxruntime.InferenceSession(str(path), sess_options=settings)


def _assigned(session: Any) -> tuple[Counter[str], Counter[str]]:
    """Count the operators that QNN has, and those that the CPU has."""
    on_qnn, on_cpu = Counter[str](), Counter[str]()
    for part in session.get_provider_graph_assignment_info():
        counter = on_cpu if part.ep_name == _CPU else on_qnn
        counter.update(node.op_type for node in part.get_nodes())
    return on_qnn, on_cpu


def _listed(operators: Counter[str]) -> str:
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in sorted(operators.items()))
