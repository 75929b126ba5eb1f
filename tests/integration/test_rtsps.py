"""RTSP over TLS: whose certificate is taken, against a real TLS listener; and what FFmpeg says of addresses."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from producers.errors import SourceFailedError
from producers.sources.video import VideoSource
from tests.fakes.certificates import make_certificate
from tests.fakes.deadlines import TIMEOUT_S


class Listener:
    """Speaks TLS and then refuses: what it was asked shows whether its certificate was taken."""

    def __init__(self, certificate: Path) -> None:
        self.asked: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="tls listener")
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                raw, _ = self._socket.accept()
                raw.settimeout(TIMEOUT_S)
                with suppress(OSError), self._context.wrap_socket(raw, server_side=True) as connected:
                    if request := connected.recv(4096):
                        self.asked.append(request)
                        connected.sendall(b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def listening(certificate: Path) -> Iterator[Listener]:
    listener = Listener(certificate)
    try:
        yield listener
    finally:
        listener.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


def failure_of(uri: str) -> str:
    source = VideoSource(uri, timeout_s=TIMEOUT_S)
    with pytest.raises(SourceFailedError) as caught:
        source.open()
    source.close()
    return str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with listening(certificate) as listener:
        said = failure_of(f"rtsps://Quser:Qpass@127.0.0.1:{listener.port}/x")
        assert listener.asked == []
    assert "certificate" in said
    assert "#tls-ca=FILE" in said
    assert "Q" not in said


def test_one_that_the_address_names_is_taken(certificate: Path) -> None:
    with listening(certificate) as listener:
        said = failure_of(f"rtsps://127.0.0.1:{listener.port}/x#tls-ca={certificate}")
        assert listener.asked[0].startswith(f"OPTIONS rtsps://127.0.0.1:{listener.port}/x RTSP".encode())
    assert "404" in said


def test_one_of_another_host_is_refused(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "DNS:other.example")
    with listening(certificate) as listener:
        failure_of(f"rtsps://127.0.0.1:{listener.port}/x#tls-ca={certificate}")
        assert listener.asked == []


def test_any_is_taken_where_the_address_says_so(certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    with listening(certificate) as listener:
        assert "404" in failure_of(f"rtsps://127.0.0.1:{listener.port}/x#tls-verify=off")
        assert len(listener.asked) == 1
    assert "its certificate is not checked" in caplog.text


def test_ffmpeg_writes_no_address_to_the_terminal() -> None:
    """It would quote all of it; nothing may pass Python by, either."""
    script = (
        "import logging, sys; logging.basicConfig(level=1)\n"
        "from producers.sources.video import VideoSource\n"
        "source = VideoSource('rtsp://Quser:Qpass@127.0.0.1:9/x', timeout_s=5)\n"
        "try: source.open()\n"
        "except Exception as exc: print(exc)\n"
        "source.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "Connection refused" in done.stdout
    assert "Quser" not in done.stdout + done.stderr
    assert "Qpass" not in done.stdout + done.stderr
