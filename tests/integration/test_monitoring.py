"""The metrics port of the real commands, and a real Prometheus that scrapes one of them."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from consumers.metrics import METRICS as CONSUMER_METRICS
from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.broker.ports import free_ports
from messaging.kafka import Kafka
from messaging.telemetry import Metric
from messaging.topics import TopicNames, TopicPlan, create_topics
from producers.metrics import METRICS as CAMERA_METRICS
from streamer.prometheus import prometheus_name
from tests.fakes.otlp_receiver import otlp_receiver
from tests.fakes.rtsp_camera import need
from tests.fakes.waiting import wait_until
from tests.faults.worker import Program
from tests.integration.stage import Stage, camera_frames

pytestmark = pytest.mark.broker

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


class Port:
    """A metrics port, asked as a monitor asks it."""

    def __init__(self) -> None:
        (self.number,) = free_ports(1)
        self.flags = ["--metrics-port", str(self.number)]

    def ask(self, path: str) -> tuple[int, str]:
        """Return the status, 0 where nobody answers, and the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=5)
        try:
            connection.request("GET", path, headers=OPENMETRICS)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def samples(self, name: str, **labels: str) -> list[Any]:
        """The samples of a name with these labels."""
        text = self.ask("/metrics")[1] or "# EOF\n"
        return [
            sample
            for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        return float(sum(sample.value for sample in self.samples(name, **labels)))


@contextmanager
def consumer(stage: Stage, port: Port, folder: Path, *flags: str, **variables: str) -> Iterator[Program]:
    command = ["consume", "--json", *port.flags, "--state-directory", str(folder / "state"), *stage.flags(), *flags]
    with Program("consumer", "streamer", command, folder / "consumer.log", **variables) as program:
        wait_until(lambda: port.ask("/readyz")[0] == 200, "the consumer is ready")
        yield program


def series(metric: Metric) -> str:
    name = prometheus_name(metric.name, metric.kind, metric.unit)
    return f"{name}_count" if metric.kind == "histogram" else name


@contextmanager
def prometheus(port: Port, folder: Path) -> Iterator[str]:
    """Debian's Prometheus with one target; its address."""
    program = shutil.which("prometheus")
    need(program is not None, "Debian's prometheus")
    (number,) = free_ports(1)
    config = {
        # An exemplar is in one answer alone: a scrape that is given up on a busy machine would take it along.
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "scrape_configs": [{"job_name": "streamer", "static_configs": [{"targets": [f"127.0.0.1:{port.number}"]}]}],
    }
    (folder / "prometheus.json").write_text(json.dumps(config))  # JSON is YAML
    command = [
        *(str(program), f"--config.file={folder / 'prometheus.json'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
        *(f"--web.listen-address=127.0.0.1:{number}", "--enable-feature=exemplar-storage", "--log.level=error"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{number}/api/v1"
    finally:
        process.terminate()
        process.wait(30)


def api(url: str, path: str, **query: str) -> Any:
    """Return the data of an answer of Prometheus; nothing while it starts."""
    try:
        with urllib.request.urlopen(f"{url}/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except OSError:
        return []


def value(url: str, query: str) -> float:
    data = api(url, "query", query=query)
    return sum(float(each["value"][1]) for each in data["result"]) if data else 0.0


def test_a_real_prometheus_scrapes_every_metric_and_the_exemplars_of_slow_frames(stage: Stage, tmp_path: Path) -> None:
    port = Port()
    with (
        otlp_receiver() as receiver,
        consumer(stage, port, tmp_path, OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint),
        prometheus(port, tmp_path) as url,
    ):
        assert port.total("streamer_frames_total") == 0
        assert len(port.samples("streamer_frames_total")) >= 12, "counters stand at 0 from the start"
        old, bad = camera_frames("b", 10, age_us=3_000_000), camera_frames("c", 3, data=b"no picture")
        stage.feed([*camera_frames("a", 30), *old, *bad])
        wait_until(lambda: value(url, 'streamer_frames_total{outcome="classified"}') == 40, "Prometheus has seen all")
        dead, measured = (
            'streamer_frames_total{outcome="dead-lettered",reason="not-an-image"}',
            "streamer_frame_end_to_end_duration_seconds_count",
        )
        wait_until(lambda: value(url, dead) == 3, "the dead letters, by reason")
        wait_until(lambda: value(url, measured) == 40, "the histogram has each of them")
        (target,) = api(url, "targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        known = set(api(url, "label/__name__/values"))
        nothing_to_say = {"streamer_consumer_loss_horizon_seconds", "streamer_shadow_frames_total"}
        expected = {series(metric) for metric in CONSUMER_METRICS} - nothing_to_say
        assert expected <= known
        query = {"query": "streamer_frame_end_to_end_duration_seconds_bucket", "start": "0", "end": "99999999999"}
        wait_until(lambda: api(url, "query_exemplars", **query), "an exemplar arrives")
        traces = {
            each["labels"]["trace_id"] for found in api(url, "query_exemplars", **query) for each in found["exemplars"]
        }
        slow = {frame.traceparent[3:35] for frame in old}
        assert traces & slow, "a slow frame leads to its trace"
        wait_until(lambda: len(receiver.spans_named("frame")) >= 13, "the slow and the dead are traced")
        traced = {span.trace_id.hex() for span in receiver.spans_named("frame")}
        assert traced >= slow | {frame.traceparent[3:35] for frame in bad}
        assert traces <= traced


def test_workers_share_one_port_which_counts_their_restarts(stage: Stage, tmp_path: Path) -> None:
    port = Port()
    with consumer(stage, port, tmp_path, "--workers", "2", "--events", "--session-timeout", "2s") as program:
        stage.feed([frame for number in range(8) for frame in camera_frames(f"camera-{number}", 10)])
        wait_until(lambda: port.total("streamer_frames_total", outcome="classified") == 80, "both report their frames")
        assert {sample.labels["worker"] for sample in port.samples("streamer_consumer_rebalances_total")} == {"1", "2"}
        assert port.total("streamer_workers_running") == 2
        victim = next(event.pid for event in program.events if event.kind == "assigned")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: port.ask("/readyz")[0] == 503, "one of two is not ready")
        assert port.ask("/healthz") == (200, "ok\n"), "its supervisor mends it"
        wait_until(lambda: port.ask("/readyz")[0] == 200, "it is back")
        assert port.total("streamer_worker_restarts_total") == 1


def test_a_consumer_is_not_ready_while_kafka_is_away_and_lives_on(tmp_path: Path) -> None:
    port = Port()
    with EmbeddedBroker(BrokerOptions()) as broker:
        cluster = Kafka(broker.bootstrap_servers)
        create_topics(cluster, TopicPlan(TopicNames(), partitions=1))
        with consumer(Stage(cluster, TopicNames()), port, tmp_path) as program:
            broker.stop()
            wait_until(lambda: port.ask("/readyz")[0] == 503, "it says that it is not ready")
            assert "Kafka has not acknowledged" in port.ask("/readyz")[1]
            assert port.ask("/healthz")[0] == 200
            program.kill()


def test_with_json_logs_every_line_of_standard_error_is_an_object(stage: Stage, tmp_path: Path) -> None:
    stage.feed(camera_frames("a", 2, data=b"no picture"))
    command = ["consume", "--log-format", "json", "--until-idle", "1s", "--group", "json", *stage.flags()]
    with Program("consumer", "streamer", command, tmp_path / "log") as program:
        assert program.wait_exit() == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    dead = [line for line in lines if line["logger"] == "consumers.dead_letter_log"]
    assert len(dead) == 2
    assert all(len(line["trace_id"]) == 32 for line in dead)
    assert lines[-1]["message"].startswith("0 classified, 0 skipped, 2 dead-lettered")


def test_cameras_report_themselves_and_are_not_ready_while_one_gives_nothing(stage: Stage, tmp_path: Path) -> None:
    port = Port()
    site = tmp_path / "site.toml"
    site.write_text(
        '[[camera]]\nname = "good"\nsource = "synthetic:workpiece"\nfps = 20\n'
        '[[camera]]\nname = "gone"\nsource = "http://127.0.0.1:9/snapshot.jpg"\nfps = 5\n'
    )
    command = ["produce", "--cameras", str(site), *port.flags, *stage.flags()]
    with Program("cameras", "streamer", command, tmp_path / "cameras.log"):
        wait_until(lambda: port.total("streamer_camera_sent_total", camera="good") > 10, "the good one sends")
        wait_until(
            lambda: port.total("streamer_camera_reconnects_total", camera="gone") > 0, "the other is tried again"
        )
        status, text = port.ask("/readyz")
        assert (status, text) == (503, "camera gone is retrying; 1 of 2 cameras give no frames\n")
        assert port.ask("/healthz")[0] == 200
        running = {sample.labels["camera"]: sample.value for sample in port.samples("streamer_camera_running")}
        assert running == {"good": 1, "gone": 0}
        assert port.total("streamer_camera_fps_declared", camera="good") == 20
        known = {line.split("{")[0].split(" ")[0] for line in port.ask("/metrics")[1].splitlines()}
        assert {series(metric) for metric in CAMERA_METRICS} <= known
