"""What can go wrong with the embedded broker.

BrokerError
├── BrokerSettingError        an option or property cannot be used                              (exit 2)
├── BrokerBusyError           the port or the data directory is taken                           (exit 2)
├── BrokerMissingError        no Java or no Kafka is on this machine                            (exit 2)
├── BrokerDownloadError       Kafka's jars could not be fetched now                  (exit 1, retriable)
└── BrokerFailedError         Kafka did not start, did not answer, or ended by itself           (exit 1)
"""

from typing import ClassVar


class BrokerError(Exception):
    """The root of the embedded broker's errors."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class BrokerSettingError(BrokerError):
    """The broker cannot be run as it was asked for: a wrong option, a property that is not to be set."""

    exit_code = 2


class BrokerBusyError(BrokerError):
    """Another program has the port, or another broker has the data directory."""

    exit_code = 2


class BrokerMissingError(BrokerError):
    """A part that is needed is not installed; the message says how to install it."""

    exit_code = 2


class BrokerDownloadError(BrokerError):
    """The jars could not be fetched; with a network they can be."""

    retriable = True


class BrokerFailedError(BrokerError):
    """Kafka itself failed; the message quotes its log."""
