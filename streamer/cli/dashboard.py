"""`streamer dashboard`: everything that Kafka knows of cameras and frames, live in the browser."""

import logging
import sys

from config.settings import DashboardSettings, KafkaSettings
from streamer.cli.command import Call, Command
from streamer.cli.page_flags import add_page_flags
from streamer.stopping import stop_on_signals
from streamer.terminal import print_json

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 0.5


class ProblemLog:
    """Logs what the pages say is wrong: once when it comes, and once when it goes."""

    def __init__(self) -> None:
        """Begin with nothing wrong."""
        self._problem = ""

    def note(self, problem: str) -> None:
        """Take what is wrong at this moment, in one line; "" where nothing is."""
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            log.warning("%s", problem)
        else:
            log.info("all topics can be read")


def _run(call: Call) -> int:
    from streamer.compose import kafka_of, topic_names
    from streamer.watch.site import Site
    from streamer.web.errors import WebFailedError
    from streamer.web.opening import address_line, server_of

    settings = call.loaded.settings
    server = server_of(settings.dashboard)
    kafka, topics = kafka_of(settings), topic_names(settings)

    from streamer.web.dashboard.app import Dashboard  # it needs the extra

    stop = stop_on_signals()
    site = Site(kafka, topics)
    dashboard = Dashboard(site, kafka, topics)
    dashboard.add_to(server.app)
    problems = ProblemLog()
    try:
        server.start()
        site.start()  # Kafka may be away: pages say so meanwhile
        if call.arguments.json:
            print_json({"address": server.address})
        else:
            print(address_line("dashboard", server.address, settings.dashboard), file=sys.stderr, flush=True)
        if call.arguments.open:
            import webbrowser

            webbrowser.open(server.address)
        while not stop.wait(_CHECK_INTERVAL_S):
            if not server.is_running():
                raise WebFailedError(f"the server at {server.address} ended by itself")
            problems.note(site.state.problem)
    finally:
        server.close()
        dashboard.close()
        site.close()
    return 0


COMMAND = Command(
    help="Show everything that Kafka knows of cameras and frames, live in the browser: pictures and their labels,\n"
    "latency by part, the ledger of each camera, devices, results, dead letters and how to put them back.\n\n"
    "It reads beside all others, without a consumer group, and writes nothing but what you put back; run it anywhere,\n"
    "any number of times. It needs the extra `dashboard`: pip install 'aic-streamer[dashboard]'.",
    run=_run,
    settings=((DashboardSettings, "dashboard"), (KafkaSettings, "")),
    add_arguments=add_page_flags,
    examples="streamer dashboard\nstreamer dashboard --port 9000 --open\n"
    "STREAMER_DASHBOARD_TOKEN=… streamer dashboard --host 0.0.0.0 --allowed-host line.example",
)
