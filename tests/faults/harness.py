"""One fault test: its topics, its cameras, its workers, and the verdict."""

import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Literal

from kafka.admin import ConfigResource, ConfigResourceType

from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan, create_topics
from tests.faults.colours import save_colour_model
from tests.faults.feeder import Feeder, FeedPlan
from tests.faults.ledger import Ledger
from tests.faults.verifier import Findings, Verifier
from tests.faults.worker import Program
from tests.integration.stage import Stage

Delivery = Literal["at-least-once", "exactly-once"]

PARTITIONS = 4
SESSION_S = 3.0
#: Frames polled and not yet committed, of one worker: the default.
IN_FLIGHT = 256
_ACCOUNT_DEADLINE_S = 90.0
_STOP_DEADLINE_S = 30.0


def new_stage(cluster: Kafka) -> Stage:
    """Make topics that no other test uses; results and dead letters say when the broker had them."""
    mark = uuid.uuid4().hex[:8]
    topics = TopicNames(*(f"{name}-{mark}" for name in ("frames", "results", "dead-letters", "status")))
    create_topics(cluster, TopicPlan(topics, partitions=PARTITIONS, frames_retention=timedelta(hours=1)))
    with closing(cluster.admin()) as admin:
        by_the_broker = {"message.timestamp.type": "LogAppendTime"}
        admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, topic, configs=by_the_broker)
                for topic in (topics.results, topics.dead_letters)
            ]
        )
    return Stage(cluster, topics)


class Scene:
    """What one test has. Everything that is started here is ended with its stack.

    Args:
        stage: Its topics.
        delivery: What its workers promise.
        folder: For the model and the workers' slots.
        stack: Ends what was started.
    """

    def __init__(self, stage: Stage, delivery: Delivery, folder: Path, stack: ExitStack) -> None:
        self.stage = stage
        self.delivery = delivery
        self.group = f"group-{uuid.uuid4().hex[:8]}"
        self.state_directory = folder / "state"
        self.workers: list[Program] = []
        self._folder = folder
        self._model = save_colour_model(folder / "colours.onnx")
        self._stack = stack
        self.verifier = Verifier(stage.cluster, stage.topics, self.group)
        stack.callback(self.verifier.close)

    @property
    def is_exactly_once(self) -> bool:
        return self.delivery == "exactly-once"

    def feed(self, plan: FeedPlan) -> Feeder:
        """Begin to send frames."""
        return self._stack.enter_context(Feeder(self.stage.cluster, self.stage.topics.frames, plan))

    def worker(
        self,
        *flags: str,
        faults: Sequence[str] | None = None,
        state_directory: Path | None = None,
        **variables: str,
    ) -> Program:
        """Start `streamer consume`.

        Args:
            flags: More of them; the last of a kind counts.
            faults: What is wrong with its device, in the words of `faulty_worker`; None for a sound one.
            state_directory: Another one than the scene's.
            variables: More of its environment.
        """
        command = [
            "consume", "--model", str(self._model), "--group", self.group, "--delivery", self.delivery, "--events",
            "--json", "--session-timeout", f"{SESSION_S:.0f}s",
            "--state-directory", str(state_directory or self.state_directory),
            "--backend", "onnxruntime" if faults is None else "faulty",
            *self.stage.flags(), *flags,
        ]  # fmt: skip
        letter = chr(ord("A") + len(self.workers))
        module = "streamer" if faults is None else "tests.faults.faulty_worker"
        arguments = command if faults is None else [*faults, "--", *command]
        program = Program(f"worker {letter}", module, arguments, self._folder / f"worker-{letter}.log", **variables)
        self.workers.append(self._stack.enter_context(program))
        return program

    def finish(
        self,
        ledger: Ledger,
        *,
        crashes: int = 0,
        most_duplicates: int | None = None,
        deadline_s: float = _ACCOUNT_DEADLINE_S,
    ) -> Findings:
        """Wait until all is accounted for, end the workers that still run, and check every invariant.

        Args:
            ledger: What was sent, all of it settled.
            crashes: How many workers were killed, or taken for dead.
            most_duplicates: Of outcomes; None for what the delivery promises.
            deadline_s: For the account.
        """
        self.verifier.wait_until_accounted(ledger, deadline_s)
        for worker in self.workers:
            if worker.is_running:
                worker.stop(_STOP_DEADLINE_S)
        if most_duplicates is None:
            most_duplicates = 0 if self.is_exactly_once else crashes * IN_FLIGHT
        events = [event for worker in self.workers for event in worker.events]
        findings = self.verifier.check(ledger, events, most_duplicates=most_duplicates)
        findings.require_none()
        self.require_quiet_logs()
        return findings

    def require_quiet_logs(self) -> None:
        """Fail where a worker's listener or callback raised, which the Kafka client only logs."""
        for worker in self.workers:
            for line in worker.lines:
                assert "Traceback" not in line, f"{worker.name}: {line}"
                assert "callback" not in line, f"{worker.name}: {line}"
