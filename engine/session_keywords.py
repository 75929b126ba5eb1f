"""Keywords of a session, from the call and from a YAML file: whose they are, and what becomes of them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from engine.backends.base import Backend, BackendOptions, Company, OwnOptions
from engine.backends.registry import backend_class, backend_names, default_backend
from engine.errors import OptionsError
from engine.options import SessionOptions, nearest, parse, session_options

if TYPE_CHECKING:
    from engine.options_file import OptionsFile

log = logging.getLogger(__name__)


class General(OwnOptions):
    """What a session takes besides `backend`, `options_path`, the vendor's 61 and a back end's own."""

    device: str | None = Field(
        None, min_length=1, description="the back end's own name for it: `cpu`, `cuda:0`, a card"
    )
    compile: bool = Field(default=True, description="whether the model is compiled as the session is made")
    data_path_timeout: float = Field(
        60.0, gt=0, le=7 * 24 * 3600, description="seconds; a device that is silent for so long is given up and probed"
    )


@dataclass(frozen=True, slots=True)
class SessionKeywords:
    """What the keywords of a session come to.

    Attributes:
        reason: Why it is that back end, in one line, where nobody named one.
    """

    backend: type[Backend]
    options: BackendOptions
    compile: bool
    reason: str = ""


def read_keywords(
    keywords: Mapping[str, Any], *, company: Company = "none", is_strict: bool = True, open_batch: int = 1
) -> SessionKeywords:
    """Sort keywords out. What the back end ignores is named in the log, in one line.

    Args:
        keywords: Names and values.
        company: What inferences have beside them; it chooses what nobody gave.
        open_batch: The batch of a model that leaves it open, on devices that take no open sizes.
        is_strict: Whether a `device` that is no name of the back end's is refused by it, rather than left out.

    Raises:
        OptionsError: A name is unknown, a value out of range or refused.
        BackendError: There is no such back end.
    """
    given = dict(keywords)
    path = given.pop("options_path", None)
    file = _read_file(path) if path is not None else None
    if file is not None:
        given = {**file.values, **given}
    # Which names there are is the back end's to say, so its own name comes first.
    backend, reason = _backend(given.get("backend"))
    known = {*SessionOptions.model_fields, "allocator_dealloc_delay", "backend", *General.model_fields}
    known |= backend.Own.model_fields.keys()
    if file is not None:
        file.check_names(known)
    given = {**backend.defaults.get(company, {}), **given}
    for name in given:
        if name not in known:
            hint = _owner_of(name, backend) or nearest(name, {*known, "options_path"})
            raise OptionsError(f"back end {backend.name} has no option {name}{hint}")
    if file is not None:
        _check_values(file)
    own = {name: given[name] for name in backend.Own.model_fields if name in given}
    general = {name: given[name] for name in General.model_fields if name in given}
    vendors = session_options({name: given[name] for name in given.keys() - own.keys() - general.keys() - {"backend"}})
    _treat(backend, vendors)
    said = parse(General, general, "Session")
    device = said.device
    if device is not None and not is_strict and not backend.has_device_name(device):
        device = None
    parsed = parse(backend.Own, own, f"back end {backend.name}")
    options = BackendOptions(device, vendors, said.data_path_timeout, parsed, open_batch)
    return SessionKeywords(backend, options, said.compile, reason)


def _check_values(file: "OptionsFile") -> None:
    """Refuse a wrong value of the vendor's keywords one by one, for the line."""
    for name in file.values.keys() & SessionOptions.model_fields.keys():
        session_options({name: file.values[name]}, f"{file.path}, line {file.lines[name]}")


def _read_file(path: Any) -> "OptionsFile":
    from engine.options_file import read_options  # YAML takes as long to import as all the rest of this

    return read_options(path)


def _backend(name: object) -> tuple[type[Backend], str]:
    """Return the back end of a name, else the default one, and why it is that."""
    reason = ""
    if name is None:
        name, reason = default_backend()
    if not isinstance(name, str):
        raise OptionsError(f"Session: backend is {name!r}, not a name")
    return backend_class(name), reason


def _owner_of(name: str, backend: type[Backend]) -> str:
    """Return a hint at the back ends that have a keyword of their own of this name, or nothing."""
    others = (backend_class(other) for other in backend_names())
    owners = [other.name for other in others if other is not backend and name in other.Own.model_fields]
    return f": it is one of back end {' and '.join(owners)}" if owners else ""


def _treat(backend: type[Backend], options: SessionOptions) -> None:
    """Refuse what the back end refuses, and say once what it ignores."""
    ignored = []
    for name in sorted(options.model_fields_set):
        treatment = backend.treatment(name)
        if treatment == "refused" and getattr(options, name) not in (None, False):
            raise OptionsError(f"back end {backend.name} refuses {name}: {backend.refuses[name]}")
        if treatment == "ignored":
            ignored.append(name)
    if ignored:
        log.warning("back end %s ignores %s", backend.name, ", ".join(ignored))
