"""`streamer pipeline run … --dashboard`: the page on which a pipeline is changed while it runs."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import console_of
from tests.browser.test_dashboard import sees
from tests.fakes.programs import environ
from tests.fakes.waiting import wait_until

START_S = 60.0
STEPS = """
[[step]]
name = "decode"
use = "decode"
parallel_steps = 2
[[step]]
name = "classify"
model = "workpiece"
max_batch_size = 4
"""


def give(browser: Chrome, field: str, number: int, value: str) -> None:
    """Write into the field of that name of a step."""
    path = f"(//div[@role='listitem'])[{number}]//input[@aria-label='{field}']"
    wait_until(lambda: bool(browser.find_elements(By.XPATH, path)), f"step {number} has a field {field}")
    found = browser.find_element(By.XPATH, path)
    found.send_keys(Keys.CONTROL, "a")
    found.send_keys(value, Keys.TAB)


@pytest.mark.slow
def test_threads_and_batches_are_changed_while_it_runs(browser: Chrome, tmp_path: Path) -> None:
    said = tmp_path / "said"
    (tmp_path / "pipeline.toml").write_text(STEPS)
    source = ("--source", "synthetic:workpiece", "--fps", "20")
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "streamer", "pipeline", "run", "pipeline.toml", *source),
                *("--dashboard", "--port", "0", "--json"),
            ],
            cwd=tmp_path,
            env=environ(STREAMER_CONFIG=os.devnull),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            wait_until(lambda: "page is at" in said.read_text(), "it says where it is", START_S)
            address = re.search(r"page is at (\S+);", said.read_text())
            assert address is not None
            browser.get(address[1])
            sees(browser, "bottleneck")
            give(browser, "Parallel steps", 1, "3")
            sees(browser, "decode: parallel steps is 3 now.")
            give(browser, "Batch size", 2, "2")
            sees(browser, "classify: batch size is 2 now.")
            give(browser, "Parallel steps", 1, "5000")
            sees(browser, "step decode: parallel_steps is 5000: give 0 to")
            assert console_of(browser) == []
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=START_S)
        finally:
            process.kill()
    assert process.returncode == 0, said.read_text()
    steps = {step["name"]: step for step in json.loads(output.splitlines()[-1])["steps"]}
    assert (steps["decode"]["parallel_steps"], steps["classify"]["max_batch_size"]) == (3, 2)
