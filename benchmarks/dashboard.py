"""What the dashboard costs while a browser looks at the wall: its share of a core, its memory, the first picture.

`benchmarks/watch.py` plays the site; the dashboard is a process of its own, and Chromium looks at it in a window that
shows all cameras. Run it by `python -m benchmarks.dashboard`; `--seconds 600` shows whether memory is flat.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from selenium.webdriver import Chrome

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.kafka import Kafka
from messaging.topics import TopicPlan, create_topics
from tests.browser.chromium import chromium, look_like

_WARM_UP_S = 20.0
_POLL_S = 0.05
_SHOWN = (
    "return [...document.querySelectorAll('.tile img')].filter((image) => image.naturalWidth && !image.hidden).length"
)
_ASKED = "return performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/api/wall')).length"


class Watched:
    """A process, as the kernel counts it."""

    def __init__(self, pid: int) -> None:
        """Remember which."""
        self._folder = Path("/proc") / str(pid)

    @property
    def cpu_s(self) -> float:
        """The CPU time that it has taken."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mb(self) -> float:
        """Its resident memory."""
        return int((self._folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(browser: Chrome, address: str, process: Watched, cameras: int, seconds: float) -> dict[str, float]:
    """Look at the wall, and return the figures."""
    look_like(browser, 1920, 3000)
    began_s = time.monotonic()
    browser.get(address)
    first_s = _wait(browser, began_s, 1)
    all_s = _wait(browser, began_s, cameras)
    time.sleep(_WARM_UP_S)
    browser.execute_script("performance.clearResourceTimings(); performance.setResourceTimingBufferSize(1e6)")
    began_s, began_cpu_s, began_mb = time.monotonic(), process.cpu_s, process.memory_mb
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    return {
        "first_picture_s": round(first_s, 2),
        "all_pictures_s": round(all_s, 2),
        "core_share": round((process.cpu_s - began_cpu_s) / took_s, 3),
        "questions_per_second": round(browser.execute_script(_ASKED) / took_s, 2),
        "memory_mb": round(process.memory_mb, 1),
        "memory_growth_mb": round(process.memory_mb - began_mb, 1),
    }


def _wait(browser: Chrome, began_s: float, pictures: int) -> float:
    while browser.execute_script(_SHOWN) < pictures:
        if time.monotonic() - began_s > 60:
            raise SystemExit("the wall stays empty")
        time.sleep(_POLL_S)
    return time.monotonic() - began_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--fps", type=float, default=5.0, help="of each camera")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to look")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(BrokerOptions(port=0)))
        create_topics(Kafka(broker.bootstrap_servers), TopicPlan())
        site = ("--cameras", str(arguments.cameras), "--fps", str(arguments.fps))
        _start(stack, "benchmarks.watch", "--play", broker.bootstrap_servers, *site)
        flags = ("--port", "0", "--json", "--bootstrap-servers", broker.bootstrap_servers)
        dashboard = _start(stack, "streamer", "dashboard", *flags)
        assert dashboard.stdout is not None
        address = json.loads(dashboard.stdout.readline())["address"]
        time.sleep(_WARM_UP_S)
        browser = stack.enter_context(chromium())
        report = measure(browser, address, Watched(dashboard.pid), arguments.cameras, arguments.seconds)
    for name, value in report.items():
        print(f"{name:24} {value}")


def _start(stack: ExitStack, module: str, *arguments: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


if __name__ == "__main__":
    main()
