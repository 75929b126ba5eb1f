"""Records that other clients can make and kafka-python alone cannot read."""

from confluent_kafka import Producer

from tests.integration.stage import DEADLINE_S, Stage, consume_all, jpeg


def test_a_header_whose_name_is_no_utf8_stops_nobody(stage: Stage) -> None:
    producer = Producer({"bootstrap.servers": stage.cluster.bootstrap_servers, "enable.idempotence": True})
    producer.produce(stage.topics.frames, key=b"before", value=jpeg(1), partition=0)
    assert producer.flush(DEADLINE_S) == 0

    class Name(str):
        """A header's name that is encoded to bytes which are no UTF-8."""

        __slots__ = ()

        def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
            del encoding, errors
            return b"\xff\xfe-name"

    ours = stage.cluster.producer(linger_ms=0)
    headers = [(Name("x"), b"1"), ("ce_subject", b"poisoned")]
    ours.send(stage.topics.frames, jpeg(2), b"k", headers, partition=0)
    ours.flush(DEADLINE_S)
    ours.close()
    producer.produce(stage.topics.frames, key=b"after", value=jpeg(3), partition=0)
    assert producer.flush(DEADLINE_S) == 0

    consume_all(stage.settings())
    assert len(stage.results()) == 3
    assert {result.camera for result in stage.results()} == {"before", "poisoned", "after"}
