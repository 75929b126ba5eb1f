"""What can go wrong between this program and Kafka.

MessagingError
├── BrokerUnavailableError    nothing answers at the bootstrap servers            (exit 1, retriable)
├── BrokerRefusedError        something answers, and there is no way in           (exit 1)
├── TokenError                there is no token to log in with                    (exit 1)
│   └── NoTokenNowError       the provider does not answer, or is broken          (exit 1, retriable)
├── SecuritySettingError      TLS or login cannot be as they are asked for        (exit 2)
├── BrokerAddressError        the bootstrap servers cannot be an address          (exit 2)
├── StuckTransactionError     a transaction got no answer in its time             (exit 1, retriable)
├── FencedProducerError       somebody else has the transactional id              (exit 1)
├── TopicError                a topic is missing, refused or wrongly set up       (exit 1)
└── MessageError              a message does not follow its contract              (exit 1)
"""

from typing import ClassVar

_SETTINGS_MEND = "`streamer config show` says where each setting comes from, docs/security.md what it is for"


class MessagingError(Exception):
    """The root of the errors between this program and Kafka."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class BrokerUnavailableError(MessagingError):
    """No broker answered in time."""

    retriable = True

    @classmethod
    def at(cls, bootstrap_servers: str) -> "BrokerUnavailableError":
        """Name the address and the way out, in one line."""
        return cls(
            f"no Kafka broker answers at {bootstrap_servers}: start one with `streamer broker`, "
            "or name yours with --bootstrap-servers"
        )


class BrokerRefusedError(MessagingError):
    """Something answers, but TLS or the login fails.

    Attributes:
        mend: What to check; the end of the message.
    """

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(f"{found}: {mend}" if mend else found)
        self.mend = mend


class TokenError(MessagingError):
    """The token to log in with cannot be had, or has ended.

    Attributes:
        mend: Where to look; the message says what is wrong.
    """

    mend: ClassVar[str] = _SETTINGS_MEND


class NoTokenNowError(TokenError):
    """The provider of tokens gave no answer, or one that says that it is broken."""

    retriable = True


class SecuritySettingError(MessagingError):
    """TLS or login cannot be as they are asked for: something is missing, contradicts itself, or cannot be read.

    Attributes:
        mend: Where to look; the message says what is wrong.
    """

    exit_code = 2
    mend: ClassVar[str] = _SETTINGS_MEND


class BrokerAddressError(MessagingError):
    """The bootstrap servers are no `host:port`, so nobody is asked."""

    exit_code = 2


class StuckTransactionError(MessagingError):
    """A transaction got no answer in its time; whether it was committed, if that was asked for, is not known."""

    retriable = True


class FencedProducerError(MessagingError):
    """Somebody else has the transactional id by now, or the broker ended the transaction because it was too old.

    Attributes:
        has_outlived: Whether the transaction was older than its time-out.
    """

    def __init__(self, message: str, *, has_outlived: bool) -> None:
        super().__init__(message)
        self.has_outlived = has_outlived


class TopicError(MessagingError):
    """A topic is missing and may not be created, or its settings cannot carry frames."""


class MessageError(MessagingError):
    """A message cannot be read as what its type says it is."""


def missing_right(text: str) -> str:
    """Return what to do where an error's text says that the broker denies something to this user, else ""."""
    is_denied = "AuthorizationFailedError" in text  # kafka-python's errors begin with their name
    return "this user lacks a right; docs/security.md lists what each role needs" if is_denied else ""
