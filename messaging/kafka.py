"""Kafka clients with the settings that this program needs; each line that departs from a default says why."""

import logging
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import kafka
import kafka.errors
from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import murmur2

from messaging.connections import ConnectionWatch
from messaging.errors import BrokerAddressError, BrokerRefusedError, BrokerUnavailableError, MessagingError
from messaging.record_reading import read_any_record
from messaging.security import Security
from messaging.selector import QuickSelector

log = logging.getLogger(__name__)

#: The largest record, on the clients and (by `topics create`) on the topics.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
#: The largest picture that fits into a message beside its headers.
MAX_FRAME_BYTES = MAX_MESSAGE_BYTES - 64 * 1024

#: Messages wait this long for a broker that went away; what bounds them is the bound on whatever they are made of.
DAY_MS = 24 * 3600 * 1000

#: Where nobody listens at the start, it is an error within this time. Source: measured, a healthy local broker
#: answers within 0.3 s, and the whole command has to end within 10 s.
BOOTSTRAP_TIMEOUT_S = 5.0


def close_producer(producer: Any, timeout_s: float) -> None:
    """Close a producer, for `timeout_s` at most; what it still holds is lost then.

    A failed close leaves it half open, and kafka-python would try again, and fail loudly, when it is collected.
    """
    try:
        producer.close(timeout=timeout_s)
    except kafka.errors.KafkaError as exc:
        log.warning("Kafka did not answer before the end: %s", exc)
        producer._sender.force_close()  # noqa: SLF001 - there is no public way; its thread would try for ever
        producer._closed = True  # noqa: SLF001 - the same


def quiet_kafka_logs() -> None:
    """Keep kafka-python's logs at INFO or above: at DEBUG it logs passwords and the bytes of frames.

    Where nobody set a level it is WARNING, whatever becomes of the root logger later; never is one made chattier.
    """
    top = logging.getLogger("kafka")
    if top.level == logging.NOTSET:
        top.setLevel(logging.WARNING)
    for name in ("kafka", *(name for name in logging.root.manager.loggerDict if name.startswith("kafka."))):
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)


# kafka-python takes anything for an address and then waits for an answer.
_ADDRESS = re.compile(r"(?:[A-Z_]+://)?(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:/,@\[\]]+)(?::(\d{1,5}))?", re.ASCII)


def addresses(bootstrap_servers: str) -> list[str]:
    """Split `host:port` pairs at their commas.

    Raises:
        BrokerAddressError: One is no address.
    """
    found = [address.strip() for address in bootstrap_servers.split(",")]
    for address in found:
        match = _ADDRESS.fullmatch(address)
        if match is None or (match[1] and not 1 <= int(match[1]) <= 65535):
            raise BrokerAddressError(f"bad broker address {address!r}: give host:port, such as 127.0.0.1:9092")
    return found


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where the cluster is. It makes clients; it holds no connection.

    Making one raises `BrokerAddressError` where the bootstrap servers cannot be an address.

    Attributes:
        bootstrap_servers: One or more `host:port`, separated by commas.
        client_id: What this program calls itself in the broker's logs and quotas.
        security: TLS and login of every client.
        answer_timeout_s: How long a client that starts waits for a broker that takes connections and does not answer,
            as a busy machine's does for a while.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    client_id: str = "streamer"
    security: Security = field(default_factory=Security)
    answer_timeout_s: float = 20.0

    def producer(self, *, linger_ms: int, delivery_timeout_ms: int = 120_000, **overrides: Any) -> Any:
        """Make a producer (`kafka.KafkaProducer`). It is thread-safe; its memory is not bounded (bound it yourself).

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        return self._connect(
            kafka.KafkaProducer,
            metrics_enabled=False,  # they cost CPU for every record, and nobody reads them
            # acks=1 without idempotence would only warn; with it, a conflict raises.
            enable_idempotence=True,
            acks="all",
            # An idempotent producer has one batch per partition in flight; at the default of 16 KiB that is one
            # frame per round trip (measured: 393 → 140 µs of CPU for a frame of 30 KB).
            batch_size=512 * 1024,
            linger_ms=linger_ms,
            delivery_timeout_ms=delivery_timeout_ms,
            request_timeout_ms=min(30_000, delivery_timeout_ms - linger_ms),
            max_request_size=MAX_MESSAGE_BYTES,
            max_block_ms=5_000,
            # Sticky keys, one murmur2 per camera and not per frame.
            partitioner=CameraPartitioner(),
            reconnect_backoff_max_ms=2_000,
            **overrides,
        )

    def consumer(self, *, group: str | None = None, **overrides: Any) -> Any:
        """Make a consumer (`kafka.KafkaConsumer`), for one thread. Without `group` it reads by `assign`.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        read_any_record()
        settings: dict[str, Any] = {
            "group_id": group,
            "metrics_enabled": False,
            # Auto-commit commits polled positions before a rejoin: frames in a micro-batch would be lost.
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            # At 45 s, the default, a killed and restarted member stalls its whole group for 43 s.
            "session_timeout_ms": 10_000,
            "heartbeat_interval_ms": 1_000,
            # Measured, consume alone: 200 → 57–100 µs of CPU a frame with these three.
            "fetch_max_bytes": 8 * 1024 * 1024,
            "max_partition_fetch_bytes": 1024 * 1024,
            "receive_buffer_bytes": 4 * 1024 * 1024,
            # The default of 500 is 100 MB of 200 KB frames.
            "max_poll_records": 64,
            "allow_auto_create_topics": False,
            "reconnect_backoff_max_ms": 2_000,
        }
        return self._connect(kafka.KafkaConsumer, **settings | overrides)

    def admin(self) -> Any:
        """Make an admin client (`kafka.KafkaAdminClient`).

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        return self._connect(kafka.KafkaAdminClient)

    def _connect(self, client: Callable[..., Any], **settings: Any) -> Any:
        quiet_kafka_logs()
        servers = addresses(self.bootstrap_servers)
        settings |= self.security.client_settings(servers)
        until_s = time.monotonic() + self.answer_timeout_s
        while True:
            watch = ConnectionWatch()
            try:
                with ExitStack() as unmade:
                    unmade.callback(watch.close)
                    made = client(
                        bootstrap_servers=servers,
                        client_id=self.client_id,
                        selector=QuickSelector,
                        bootstrap_timeout_ms=round(BOOTSTRAP_TIMEOUT_S * 1000),
                        kafka_client=watch,
                        **settings,
                    )
                    unmade.pop_all()
                    return made
            except (kafka.errors.KafkaTimeoutError, kafka.errors.KafkaConnectionError) as exc:
                if watch.refusal is not None:
                    raise BrokerRefusedError(watch.refusal.found, watch.refusal.mend) from exc
                if not watch.is_unanswered or (left_s := until_s - time.monotonic()) <= 0:
                    raise BrokerUnavailableError.at(self.bootstrap_servers) from exc
                log.warning("Kafka at %s is slow to answer; waiting up to %.0f s more", self.bootstrap_servers, left_s)
            except kafka.errors.KafkaError as exc:
                raise MessagingError(f"cannot talk to Kafka at {self.bootstrap_servers}: {exc}") from exc


class CameraPartitioner(Partitioner):  # type: ignore[misc]  # kafka-python has no types
    """The partition that Java's default partitioner gives a key, remembered for each camera.

    murmur2 in Python costs 13 µs a frame; cameras are few, so a small cache is enough.
    """

    def partition(
        self,
        topic: str,
        key: object,
        serialized_key: bytes | None,
        value: object,
        serialized_value: object,
        cluster: Any,
    ) -> int:
        """Return the partition for `serialized_key`, as kafka-python asks for it."""
        del key, value, serialized_value
        partitions = cluster.partitions_for_topic(topic)
        if not partitions:
            raise ValueError(f"topic {topic} is not in the cluster's metadata")
        return partition_of(serialized_key or b"", len(partitions))


@lru_cache(maxsize=4096)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` in a topic of `partitions`, as Java's default partitioner has it.

    Source: `org.apache.kafka.clients.producer.internals.BuiltInPartitioner.partitionForKey`.
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
