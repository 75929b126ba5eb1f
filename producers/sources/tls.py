"""Whose certificates are believed."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from producers.errors import SourceSettingError
from producers.sources.address import Address

_TLS_SCHEMES = frozenset({"https", "rtsps"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trust:
    """How a camera's certificate is looked at.

    Attributes:
        authorities: A file of certificates (PEM), one of which has to vouch for the camera's.
        is_checked: False where anybody may answer.
    """

    authorities: str
    is_checked: bool = True


def trust_of(address: Address, shown: str) -> Trust:
    """Read what stands behind an address's `#`: `tls-ca=FILE`, or `tls-verify=off`.

    Without either, the system's authorities have to vouch for the camera, by the name or address that was given.

    Args:
        address: The camera's address.
        shown: The same, redacted, for messages.

    Raises:
        SourceSettingError: An option is unknown, has no such value, or the address has no TLS.
    """
    authorities = ssl.get_default_verify_paths().cafile or DEFAULT_CA_BUNDLE_PATH
    if not address.tls_options:
        return Trust(authorities)
    options = dict(parse_qsl(address.tls_options, keep_blank_values=True))
    if address.scheme not in _TLS_SCHEMES:
        raise SourceSettingError(f"{shown}: {address.scheme} has no certificates to check; leave #tls-... out")
    if options == {"tls-verify": "off"}:
        _log.warning("%s: its certificate is not checked (tls-verify=off), so anybody may answer", shown)
        return Trust(authorities, is_checked=False)
    if set(options) != {"tls-ca"}:
        raise SourceSettingError(f"{shown}: behind # may stand tls-ca=FILE or tls-verify=off, one of them")
    if not Path(options["tls-ca"]).is_file():
        raise SourceSettingError(f"{shown}: tls-ca names no file; give one with certificates (PEM)")
    return Trust(options["tls-ca"])
