"""`streamer demo --dashboard`: the dashboard beside the demo, until somebody ends both."""

import json
import os
import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fakes.programs import environ
from tests.fakes.waiting import wait_until

START_S = 90.0


@pytest.mark.slow
def test_the_demo_serves_its_dashboard_until_it_is_ended(kafka_tools: None, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "streamer", "demo", "--dashboard", "--cameras", "2", "--fps", "5", "--json"],
            env=environ(STREAMER_CONFIG=os.devnull),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as demo,
    ):
        try:
            wait_until(lambda: "the dashboard is at" in said.read_text(), "it says where it is", START_S)
            address = re.search(r"the dashboard is at (\S+);", said.read_text())
            assert address is not None
            wait_until(lambda: _ask(address[1], "readyz") == 200, "it reads Kafka")
            assert _ask(address[1], "") == 200
            demo.send_signal(signal.SIGTERM)
            output, _ = demo.communicate(timeout=START_S)
        finally:
            demo.kill()
    assert demo.returncode == 0, said.read_text()
    figures = json.loads(output)
    assert figures["lost"] == 0
    assert figures["published"] > 0
    with pytest.raises(OSError, match=r"."):
        _ask(address[1], "healthz")


def _ask(address: str, path: str) -> int:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().status
    finally:
        connection.close()
