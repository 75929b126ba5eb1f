"""A dashboard over a broker, two cameras and a consumer, all as processes of their own, and a browser."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from selenium.webdriver import Chrome

from messaging.broker import EmbeddedBroker
from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan, create_topics
from streamer.processes import CommandProcess
from tests.browser.chromium import chromium, console_of, is_there, look_like
from tests.fakes.programs import environ
from tests.fakes.rtsp_camera import need
from tests.integration.stage import Stage

START_S = 60.0


@dataclass(frozen=True)
class Scene:
    """What runs.

    Attributes:
        address: Of the dashboard, with a slash at the end.
        processes: Two cameras and a consumer.
    """

    stage: Stage
    address: str
    processes: tuple[CommandProcess, ...] = ()


def start(stack: ExitStack, name: str, *arguments: str) -> CommandProcess:
    """Start a command that ends with the stack."""
    process = stack.enter_context(CommandProcess(f"streamer {name}", [name, *arguments]))
    process.start(environ(STREAMER_CONFIG=os.devnull))
    return process


def start_dashboard(stack: ExitStack, *arguments: str) -> str:
    """Start a dashboard at a free port, and return its address."""
    address: str = start(stack, "dashboard", "--port", "0", "--json", *arguments).first_json(START_S)["address"]
    return address


@pytest.fixture(scope="module")
def _scene(broker: EmbeddedBroker) -> Iterator[Scene]:
    need(is_there(), "chromium and its driver")
    mark = uuid.uuid4().hex[:8]
    topics = TopicNames(*(f"{name}-{mark}" for name in ("frames", "results", "dead-letters", "status")))
    stage = Stage(Kafka(broker.bootstrap_servers), topics)
    create_topics(stage.cluster, TopicPlan(topics, partitions=4))
    with ExitStack() as stack:
        address = start_dashboard(stack, *stage.flags())
        processes = [start(stack, "consume", "--group", "line", *stage.flags())]
        for camera in ("line-1", "line-2"):
            source = ("--source", "synthetic:workpiece", "--fps", "2")
            processes.append(start(stack, "produce", "--camera", camera, *source, *stage.flags()))
        yield Scene(stage, address, tuple(processes))


@pytest.fixture
def scene(_scene: Scene) -> Scene:
    """The module's scene; where one of its processes is gone, the test says what that one said."""
    assert all(process.is_running() for process in _scene.processes)
    return _scene


@pytest.fixture(scope="module")
def _browser() -> Iterator[Chrome]:
    need(is_there(), "chromium and its driver")
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(_browser: Chrome) -> Chrome:
    """The module's browser, as if it was new: a desk's window, no cookies."""
    look_like(_browser, 1280, 860)
    _browser.get("about:blank")
    _browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    console_of(_browser)
    return _browser
