"""Make the pictures of the dashboard in `docs/images`, from cameras and a consumer that really run.

python -m tools.screenshots            # all of them, about a minute and a half
python -m tools.screenshots frame      # those whose name has this word in it
"""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import NamedTuple

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka
from messaging.timestamps import now_us
from messaging.topics import TopicNames, TopicPlan, create_topics
from messaging.trace_context import new_traceparent
from producers.encoding import JpegEncoder
from producers.sources.uri import open_source
from streamer.encoded_frames import encoded_frames
from streamer.processes import CommandProcess
from tests.browser.chromium import chromium, look_like

_FOLDER = Path(__file__).parents[1] / "docs" / "images"
_START_S = 60.0
#: Charts and means need a while before they say something.
_WARM_UP_S = 60.0
_CAMERAS = ("belt-1", "belt-2", "belt-3", "belt-4", "press-1", "press-2", "paint-1", "paint-2", "gate-in", "gate-out")
_SETTLED_S = 2.5


class Shot(NamedTuple):
    """A picture to make: its name, its page, the size of the window, and the theme."""

    name: str
    page: str
    width_px: int = 1280
    height_px: int = 800
    is_dark: bool = True


_SHOTS = (
    Shot("dashboard-cameras-dark", ""),
    Shot("dashboard-cameras-light", "", is_dark=False),
    Shot("dashboard-cameras-phone", "", 390, 844),
    Shot("dashboard-throughput-dark", "throughput"),
    Shot("dashboard-ledger-light", "ledger", is_dark=False),
    Shot("dashboard-devices-light", "devices", is_dark=False),
    Shot("dashboard-results-dark", "results"),
    Shot("dashboard-dead-letters-light", "dead-letters", is_dark=False),
    Shot("dashboard-pipeline-dark", "pipeline", 1280, 560),
    Shot("dashboard-frame-dark", "frame"),
)


def main(words: list[str]) -> int:
    """Start everything, and make the pictures whose names have one of the words in them, or all."""
    wanted = [shot for shot in _SHOTS if not words or any(word in shot.name for word in words)]
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())
        broker = stack.enter_context(EmbeddedBroker(BrokerOptions(port=0)))
        kafka, topics = Kafka(broker.bootstrap_servers), TopicNames()
        create_topics(kafka, TopicPlan(topics))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")} | {
            "STREAMER_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "STREAMER_CONFIG": os.devnull,
            "XDG_STATE_HOME": data,
        }

        def start(*words: str) -> CommandProcess:
            process = stack.enter_context(CommandProcess(f"streamer {words[0]}", list(words)))
            process.start(environ)
            return process

        address = start("dashboard", "--port", "0", "--json").first_json(_START_S)["address"]
        start("consume", "--device", "0")
        (Path(data) / "site.toml").write_text(_site())
        start("produce", "--cameras", str(Path(data) / "site.toml"))
        _send_broken_frames(kafka, topics)
        browser = stack.enter_context(chromium())
        browser.get(address)  # somebody looks, so that there are pictures
        time.sleep(_WARM_UP_S)
        for shot in wanted:
            _make(browser, address, shot)
    return 0


def _site() -> str:
    return "".join(
        f'[[camera]]\nname = "{name}"\nsource = "synthetic:workpiece"\nfps = {3 + number % 3}\n'
        for number, name in enumerate(_CAMERAS)
    )


def _send_broken_frames(kafka: Kafka, topics: TopicNames) -> None:
    """Send pictures that end too early, as from a camera with a bad cable, and one that is no picture."""
    source = open_source("synthetic:workpiece", timeout_s=10.0, short_side_px=256)

    encoder = JpegEncoder(256, 85)
    pictures = encoded_frames(source, encoder, Event(), fps=None, frames=4, does_loop=False)
    producer = kafka.producer(linger_ms=5)
    for number, data in enumerate([*(picture[: len(picture) * 2 // 3] for picture in pictures), b"<html>502</html>"]):
        frame = Frame(
            camera="yard",
            session="0d9fd2",
            sequence=number,
            frame_id=frame_id("yard", "0d9fd2", number),
            captured_at_us=now_us(),
            data=data,
            content_type="image/jpeg",
            traceparent=new_traceparent(),
        )
        key, value, headers, timestamp_ms = write_frame(frame)
        producer.send(topics.frames, value, key, headers, timestamp_ms=timestamp_ms)
    producer.flush(30.0)
    producer.close()


def _make(browser: Chrome, address: str, shot: Shot) -> None:
    look_like(browser, shot.width_px, shot.height_px, is_dark=shot.is_dark)
    wait = WebDriverWait(browser, 30.0)
    browser.get(address + (shot.page if shot.page != "frame" else ""))
    if shot.page == "frame":
        tile = wait.until(lambda page: page.find_element(By.CSS_SELECTOR, "a.tile.is-good[href]"))
        browser.get(tile.get_attribute("href") or address)
        wait.until(lambda page: page.find_element(By.CSS_SELECTOR, ".way-list"))
    if shot.page == "dead-letters":
        choose = (
            "const last = [...document.querySelectorAll('tbody button')].at(-1); last?.click(); return Boolean(last)"
        )
        wait.until(lambda page: page.execute_script(choose))
        wait.until(lambda page: page.find_element(By.CSS_SELECTOR, ".letter .facts"))
    time.sleep(_SETTLED_S)
    path = _FOLDER / f"{shot.name}.png"
    Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB").save(path, optimize=True)
    print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
