"""What every kind of sink does: it delivers one message after the other to one receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.records.outbox import OutboxMessage

__all__ = ["Sink", "SinkAwayError", "SinkBusyError", "SinkRefusedError"]


class SinkAwayError(PadimError):
    """The receiver cannot be reached, is too slow or does not behave: the message is to be sent again later.

    Attributes:
        retry_after: seconds that the receiver asked to wait; None if it did not.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SinkBusyError(SinkAwayError):
    """The receiver is there and takes nothing now: to be sent again later, over the same connection."""


class SinkRefusedError(PadimError):
    """The receiver will never take this message: it is set aside, and the next one is sent."""


class Sink(Protocol):
    """One receiver. All methods are called by one thread; none may take much longer than the timeout.

    A sink is made from settings whose ``${NAME}`` are replaced. It is opened once; after any error it is
    closed, and another one is made.
    """

    def open(self) -> None:
        """Connect to the receiver, or begin to listen; also while no message waits.

        Raises:
            SinkAwayError: it cannot be reached now.
            PadimError: settings are not usable, such as a file of certificates that is not there.
        """

    def send(self, message: OutboxMessage) -> None:
        """Deliver a message; return when the receiver has confirmed it.

        The same message may come again, with the same ``uid``.

        Raises:
            SinkAwayError: it was not confirmed; the message will be sent again.
            SinkRefusedError: the receiver refuses this message for good.
        """

    def health(self) -> str:
        """Return why the connection no longer works; empty while it does. Asked about once a second, so it
        must not wait for the receiver."""

    def close(self) -> None:
        """Disconnect; may be called at any time, raises nothing."""
