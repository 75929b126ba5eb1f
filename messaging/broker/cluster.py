"""A real Apache Kafka on this machine, of one node or three."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from messaging.broker.errors import BrokerError, BrokerFailedError, BrokerSettingError
from messaging.broker.jars import find_jars
from messaging.broker.java import find_java
from messaging.broker.launcher import KafkaLauncher, write_properties
from messaging.broker.node import Node, quote_log
from messaging.broker.options import BrokerOptions, ProgressCallback, StartProgress, StartStep, ignore_progress
from messaging.broker.ports import choose_addresses
from messaging.broker.properties import server_properties
from messaging.broker.readiness import ask_cluster
from messaging.broker.storage import DataDirectory

_POLL_S = 0.05
_ANSWER_TIMEOUT_S = 1.0


class EmbeddedBroker:
    """A real Apache Kafka in KRaft mode, reachable from this machine only.

    Used by one thread, which must live as long as the broker: on Linux the nodes die with the thread that started
    them, and with this process however it ends. Only `wait` may run while another thread calls `stop`.

    Args:
        options: What it should be like.
        on_progress: Told what the start is doing, by the thread that starts.
    """

    def __init__(
        self, options: BrokerOptions | None = None, *, on_progress: ProgressCallback = ignore_progress
    ) -> None:
        self._options = options or BrokerOptions()
        self._on_progress = on_progress
        self._directory: DataDirectory | None = None
        self._launcher: KafkaLauncher | None = None
        self._cluster_id = ""
        self._nodes: dict[int, Node] = {}
        self._stopped = threading.Event()

    @property
    def bootstrap_servers(self) -> str:
        """The addresses for clients, as `host:port,host:port`; empty while it is not started."""
        return ",".join(node.address.bootstrap_server for node in self._nodes.values())

    @property
    def pids(self) -> Mapping[int, int]:
        """The process of each node that runs, by the node's number."""
        return {number: pid for number, node in self._nodes.items() if (pid := node.pid) is not None}

    @property
    def data_directory(self) -> Path | None:
        """Where topics are kept; None while it is not started."""
        return self._directory.path if self._directory else None

    def start(self, timeout_s: float = 60.0) -> None:
        """Start all nodes and wait until each of them answers for the whole cluster.

        Args:
            timeout_s: For Kafka's own start, in s; fetching its jars the first time is not counted.

        Raises:
            BrokerBusyError: A port or the data directory is taken; nothing was started.
            BrokerMissingError: There is no Java or no Kafka.
            BrokerDownloadError: Kafka could not be fetched.
            BrokerSettingError: The options cannot be used, or the broker runs already.
            BrokerFailedError: Kafka ended by itself or did not answer in time; the message quotes its log.
        """
        if self._directory is not None:
            raise BrokerSettingError(f"the broker runs already, at {self.bootstrap_servers}")
        self._stopped.clear()
        self._directory = DataDirectory(self._options.data_directory)
        try:
            self._prepare(self._directory)
            deadline = time.monotonic() + timeout_s
            for node in self._nodes.values():
                self._spawn(node)
            self._wait_until_ready(deadline)
        except BaseException:
            self.stop(timeout_s=0.0)
            raise

    def _prepare(self, directory: DataDirectory) -> None:
        """Do all that comes before the first node: what can be refused is refused before Java is run."""
        addresses = choose_addresses(self._options)
        self._cluster_id = directory.cluster_id(self._options.nodes)
        settings = {
            address.node: server_properties(
                address, addresses, directory.path / f"node-{address.node}" / "data", self._options
            )
            for address in addresses
        }
        self._launcher = KafkaLauncher(find_java(), find_jars(self._on_progress))
        self._nodes = {
            address.node: Node(address, directory.node_directory(address.node), directory.lock_descriptor)
            for address in addresses
        }
        for number, node in self._nodes.items():
            write_properties(node.properties_path, settings[number])
            node.log_path.unlink(missing_ok=True)
        fresh = [n for n in self._nodes.values() if not (n.log_path.parent / "data" / "meta.properties").exists()]
        if fresh:
            self._on_progress(StartProgress(StartStep.FORMAT, 0, len(fresh)))
            with ThreadPoolExecutor(len(fresh)) as pool:
                list(pool.map(lambda node: self._require_launcher().format_storage(node, self._cluster_id), fresh))

    def start_node(self, node: int, timeout_s: float = 60.0) -> None:
        """Start one node again after `kill_node`, and wait until it answers.

        Raises:
            BrokerSettingError: There is no such node, or it runs.
            BrokerFailedError: It ended by itself or did not answer in time.
        """
        stopped = self._node(node)
        if stopped.pid is not None:
            raise BrokerSettingError(f"node {node} runs already; kill it first")
        self._spawn(stopped)
        self._wait_until_node_answers(stopped, frozenset({node}), time.monotonic() + timeout_s)

    def kill_node(self, node: int) -> None:
        """Kill one node as a power cut would; harmless where it does not run."""
        self._node(node).kill()

    def pause_node(self, node: int) -> None:
        """Freeze one node: its port takes connections and nothing answers."""
        self._node(node).pause()

    def resume_node(self, node: int) -> None:
        """Let a frozen node go on."""
        self._node(node).resume()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the broker is stopped by another thread or a signal's exception.

        Args:
            timeout_s: The most to wait, in s; None for ever.

        Returns:
            Whether it was stopped; False after the time-out.

        Raises:
            BrokerFailedError: A node ended by itself (`kill_node` does not count).
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._stopped.wait(_POLL_S):
            for node in tuple(self._nodes.values()):
                if not self._stopped.is_set():
                    node.require_running()
            if deadline is not None and time.monotonic() >= deadline:
                return False
        return True

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop all nodes: SIGTERM, and SIGKILL after the time-out. Stopping twice is harmless.

        Args:
            timeout_s: For all nodes together to shut down cleanly, in s.
        """
        self._stopped.set()
        deadline = time.monotonic() + timeout_s
        for node in self._nodes.values():
            node.terminate()
        for node in self._nodes.values():
            if not node.wait(deadline - time.monotonic()):
                node.kill()
            node.forget()
        self._nodes = {}
        if self._directory is not None:
            self._directory.close()
            self._directory = None

    def __enter__(self) -> Self:
        """Start the broker for a `with` block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _require_launcher(self) -> KafkaLauncher:
        """Give the launcher, which is there once `start` has found Java and Kafka."""
        assert self._launcher is not None
        return self._launcher

    def _node(self, number: int) -> Node:
        """Give a node by its number."""
        if number not in self._nodes:
            raise BrokerSettingError(f"there is no node {number}; nodes that were started: {sorted(self._nodes)}")
        return self._nodes[number]

    def _spawn(self, node: Node) -> None:
        """Start one node's process."""
        node.spawn(self._require_launcher().node_command(self._options, node.properties_path))

    def _wait_until_ready(self, deadline: float) -> None:
        """Wait until every node answers and names all of them."""
        everyone = frozenset(self._nodes)
        for done, node in enumerate(self._nodes.values()):
            self._on_progress(StartProgress(StartStep.START, done, len(everyone)))
            self._wait_until_node_answers(node, everyone, deadline)
        self._on_progress(StartProgress(StartStep.START, len(everyone), len(everyone)))

    def _wait_until_node_answers(self, node: Node, wanted: frozenset[int], deadline: float) -> None:
        """Wait until one node answers and names the wanted ones among those that serve."""
        while time.monotonic() < deadline:
            for each in self._nodes.values():
                each.require_running()
            answer = ask_cluster(node.address.port, _ANSWER_TIMEOUT_S)
            if answer is not None and answer.cluster_id != self._cluster_id:
                raise BrokerError(f"port {node.address.port} was taken by another Kafka meanwhile; start again")
            if answer is not None and wanted <= answer.nodes:
                return
            node.wait(_POLL_S)
        raise BrokerFailedError(
            f"node {node.address.node} of the Kafka broker did not answer at {node.address.bootstrap_server} in time "
            f"({quote_log(node.read_log())}); its log is {node.log_path}"
        )
