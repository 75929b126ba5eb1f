"""Fixtures of the tests that need a broker."""

import uuid

import pytest

from messaging.broker import EmbeddedBroker
from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan, create_topics
from tests.integration.stage import Stage


@pytest.fixture
def stage(broker: EmbeddedBroker) -> Stage:
    mark = uuid.uuid4().hex[:8]
    topics = TopicNames(*(f"{name}-{mark}" for name in ("frames", "results", "dead-letters", "status")))
    cluster = Kafka(broker.bootstrap_servers)
    create_topics(cluster, TopicPlan(topics, partitions=4))
    return Stage(cluster, topics)
