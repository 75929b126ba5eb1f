"""What the demo says on standard error while it runs."""

from datetime import timedelta

import pytest

from streamer.cli.demo import Shown
from streamer.demo.demo import Progress

KAFKA = "127.0.0.1:20011"


@pytest.mark.parametrize(
    ("seconds", "ends"), [(None, "Ctrl-C ends the demo"), (timedelta(seconds=30), "the demo ends after 30s")]
)
def test_addresses_are_said_once_and_how_it_ends(
    seconds: timedelta | None, ends: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(seconds)
    shown(Progress("waiting for the consumer", KAFKA))
    for captured in range(3):
        shown(Progress("running", KAFKA, "http://127.0.0.1:8050/", captured))
    shown(Progress("finishing", KAFKA))
    assert capsys.readouterr().err.splitlines() == [
        f"Kafka is at {KAFKA}: `streamer results --latency --bootstrap-servers {KAFKA}`",
        "waiting for the consumer",
        f"the dashboard is at http://127.0.0.1:8050/; {ends}",
        "running",
        "finishing",
    ]


def test_without_a_dashboard_there_is_no_word_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(timedelta(seconds=3))
    for step in ("waiting for the consumer", "running", "finishing"):
        shown(Progress(step, KAFKA))
    assert "dashboard" not in capsys.readouterr().err
