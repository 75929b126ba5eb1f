"""An account at the stand-in of AI Hub, as the hub's own client finds it, and models in it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.backends.qai_hub import client as hub_client
from engine.backends.qai_hub.options import QaiHubOwn
from tests.fakes.hub_server import HubServer, hub_server
from tests.fakes.onnx_models import TinyClassifier

DEVICE = "Samsung Galaxy S24 (Family)"
#: Looks follow one another at once.
QUICK = QaiHubOwn(poll_interval=0.002)


@contextmanager
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """Run a stand-in and have its client find it; nothing looks for another machine, or waits as long as in earnest."""
    plain = socket.getaddrinfo

    def guarded(host: str, *rest: Any, **keywords: Any) -> Any:
        assert host == "127.0.0.1", f"something asks for {host}"
        return plain(host, *rest, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    monkeypatch.setattr("qai_hub.util.session.BACKOFF_FACTOR", 0.0)
    monkeypatch.setattr(hub_client, "_FIRST_WAIT_S", 0.01)
    with hub_server() as hub:
        for name, value in client_environ(hub, tmp_path).items():
            monkeypatch.setenv(name, value)
        yield hub
    assert not hub.unknown


def client_environ(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    """What a process needs so that the client finds this stand-in."""
    profile = hub.save_profile(tmp_path / "client.ini")
    return {"NO_PROXY": "127.0.0.1", "QAIHUB_CLIENT_INI": os.fspath(profile)}


def uploaded(hub: HubServer, tmp_path: Path, name: str = "tiny", model: TinyClassifier | None = None) -> str:
    """Put a classifier into the account, one that takes float32[1, 3, 32, 32] where none is given; its id."""
    path = (model or TinyClassifier(batch=1)).save(tmp_path / f"{name}.onnx")
    return hub.state.put_model(path.read_bytes(), name)
