"""What telemetry costs the consumer: CPU per frame with everything on, beside the same without any, in turn.

On: the metrics port, scraped every 5 s; traces by OTLP to a collector on this machine, with one frame in a hundred
sampled at its camera, and every frame slower than 500 ms traced afterwards, within the limit. The frames are a backlog,
so all of them are slow. The consumer is the real command; as in `consumer_cpu.py` the price of the start is left out.
"""

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

from benchmarks.consumer_cpu import consume, feed, near_free_model, pictures
from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.broker.ports import free_ports
from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan, create_topics

_SAMPLED_EVERY = 100
#: Prometheus's own default is 15 s, or 60.
_SCRAPE_INTERVAL_S = 5.0


class _Collector(BaseHTTPRequestHandler):
    """Takes whatever is exported, and counts it."""

    received_bytes = 0

    def do_POST(self) -> None:
        """Take it."""
        type(self).received_bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


def scrape(url: str, until: Event) -> None:
    """Ask for the metrics again and again, as far as there is somebody to ask."""
    while not until.wait(_SCRAPE_INTERVAL_S):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
        except OSError:
            continue


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8000, help="frames of a long run")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured, in turn")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    jpegs, few, many = pictures(64), arguments.frames // 8, arguments.frames
    collector = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    Thread(target=collector.serve_forever, daemon=True).start()
    port = free_ports(1)[0]
    done = Event()
    Thread(target=scrape, args=(f"http://127.0.0.1:{port}/metrics", done), daemon=True).start()
    variables = {
        False: {"OTEL_SDK_DISABLED": "true"},
        True: {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",  # Prometheus has them: a second way would be paid for a second time
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        },
    }
    flags = {False: [], True: ["--metrics-port", str(port)]}
    per_frame_us: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerOptions()) as broker:
        model = Path(folder) / "near-free.onnx"
        near_free_model(model)
        cluster = Kafka(broker.bootstrap_servers)
        topics = {count: TopicNames(frames=f"frames-{count}", results=f"results-{count}") for count in (few, many)}
        for count, names in topics.items():
            create_topics(cluster, TopicPlan(names))
            feed(cluster, names, jpegs, count, _SAMPLED_EVERY)
        time.sleep(1.0)  # so that each of them is slow
        for number in range(arguments.rounds):
            for is_on in (False, True) if number % 2 == 0 else (True, False):
                group = ["--group", f"group-{number}-{is_on}", *flags[is_on]]
                few_s, many_s = (
                    consume(cluster, topics[count], model, group, variables[is_on])[0] for count in (few, many)
                )
                per_frame_us[is_on].append((many_s - few_s) / (many - few) * 1e6)
    done.set()
    collector.shutdown()
    ratios = [on / off for off, on in zip(per_frame_us[False], per_frame_us[True], strict=True)]
    report = {
        "off_cpu_us_per_frame": [round(value, 1) for value in per_frame_us[False]],
        "on_cpu_us_per_frame": [round(value, 1) for value in per_frame_us[True]],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio_median": round(statistics.median(ratios), 3),
        "exported_bytes": _Collector.received_bytes,
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
