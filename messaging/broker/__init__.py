"""A real Apache Kafka on this machine, from Python packages alone: no Java, Maven or Docker is needed."""

from messaging.broker.cluster import EmbeddedBroker
from messaging.broker.errors import (
    BrokerBusyError,
    BrokerDownloadError,
    BrokerError,
    BrokerFailedError,
    BrokerMissingError,
    BrokerSettingError,
)
from messaging.broker.options import BrokerOptions, ProgressCallback, StartProgress, StartStep

__all__ = [
    "BrokerBusyError",
    "BrokerDownloadError",
    "BrokerError",
    "BrokerFailedError",
    "BrokerMissingError",
    "BrokerOptions",
    "BrokerSettingError",
    "EmbeddedBroker",
    "ProgressCallback",
    "StartProgress",
    "StartStep",
]
