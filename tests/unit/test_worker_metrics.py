"""Asking workers for one port: those that are well, that start, that hang, that say they are not ready."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from streamer import worker_metrics
from streamer.metrics_server import Answers, MetricsServer
from streamer.supervisor import Supervisor, Timing
from streamer.worker_metrics import WorkerAnswers, socket_of


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="streamer-") as path:  # pytest's own are too long for a socket
        yield Path(path)


def asked(directory: Path, workers: int = 2) -> Answers:
    return WorkerAnswers(directory, Supervisor([], workers, Timing()), workers).answers()


def serving(stack: ExitStack, directory: Path, number: int, alive: str = "", ready: str = "") -> None:
    text = f'# HELP a A\n# TYPE a gauge\na{{worker="{number}"}} {number}\n'.encode()
    server = MetricsServer(Answers(lambda _: (text, "text/plain"), lambda: alive, lambda: ready))
    server.start(socket_of(directory, number))
    stack.callback(server.close)


def test_all_are_asked_and_said_as_one(directory: Path) -> None:
    with ExitStack() as stack:
        serving(stack, directory, 1)
        serving(stack, directory, 2)
        answers = asked(directory)
        text = answers.metrics("")[0].decode()
        assert text.count("# TYPE a gauge") == 1
        assert 'a{worker="1"} 1' in text
        assert 'a{worker="2"} 2' in text
        assert "streamer_workers_running 2.0" in text
        assert (answers.why_not_alive(), answers.why_not_ready()) == ("", "")


def test_what_one_says_is_said_of_the_whole(directory: Path) -> None:
    with ExitStack() as stack:
        serving(stack, directory, 1)
        serving(stack, directory, 2, alive="the poll loop hangs", ready="it drains, and ends")
        answers = asked(directory)
        assert answers.why_not_alive() == "worker 2: the poll loop hangs"
        assert answers.why_not_ready() == "worker 2: it drains, and ends"


def test_one_that_is_started_again_lives_and_is_not_ready(directory: Path) -> None:
    with ExitStack() as stack:
        serving(stack, directory, 1)
        answers = asked(directory)
        assert answers.why_not_alive() == ""
        assert answers.why_not_ready() == "worker 2: it does not answer"


def test_one_that_takes_questions_and_never_answers_hangs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_metrics, "_TIMEOUT_S", 0.05)
    with ExitStack() as stack:
        for number in (1, 2):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.bind(str(socket_of(directory, number)))
            silent.listen()
        answers = asked(directory)
        assert answers.why_not_alive() == "", "it may be busy"
        monkeypatch.setattr(worker_metrics, "HANGS_AFTER_S", 0.0)
        assert answers.why_not_alive().startswith("worker 1: it has not answered for ")
