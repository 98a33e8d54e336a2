"""Post messages to an address of the web, signed and confirmed by the status of the reply."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from padim._version import __version__
from padim.errors import PadimError
from padim.records.sink_settings import WebhookSettings
from padim.service.sinks.base import SinkAwayError, SinkRefusedError
from padim.service.sinks.certificates import tls_context
from padim.text import one_line

if TYPE_CHECKING:
    from padim.records.outbox import OutboxMessage

__all__ = ["WebhookSink", "signature"]

# Statuses of 400 to 499 that say "later", not "never".
_LATER = frozenset({408, 409, 421, 423, 425, 429})
_LONGEST_REPLY = 2_000


class WebhookSink:
    """One address; each message is one POST whose body is the message as JSON.

    A status of 200 to 299 confirms it. One of 400 to 499 refuses it for good, except those that ask to come
    again later; anything else counts as away. Redirections are not followed: what a message is sent to stands
    in the file of sinks.
    """

    def __init__(self, settings: WebhookSettings, root: Path, *, testing: bool = False) -> None:
        self._settings = settings
        self._client: httpx.Client | None = None

    def open(self) -> None:
        """Prepare the connection; it is made by the first message."""
        # Made for https only, as reading all certificates of the system takes half a second.
        encrypted = self._settings.url.startswith("https:")
        context = tls_context(self._settings.name, self._settings.ca_file) if encrypted else False
        self._client = httpx.Client(
            timeout=self._settings.timeout,
            verify=context,
            follow_redirects=False,
            # What the environment says about proxies and passwords is of people, not of a line.
            trust_env=False,
            headers={"User-Agent": f"padim/{__version__}"},
        )

    def send(self, message: OutboxMessage) -> None:
        """Post a message and wait for the reply."""
        assert self._client is not None, "not opened"
        body = json.dumps(message.document(), ensure_ascii=False).encode()
        headers = {name: value.get_secret_value() for name, value in self._settings.headers.items()}
        headers |= {
            "Content-Type": "application/json",
            # Names that receivers know which remember what they have done already.
            "Idempotency-Key": message.uid,
            "X-Padim-Message": message.uid,
            "X-Padim-Kind": message.kind,
        }
        secret = self._settings.secret.get_secret_value()
        if secret:
            now = int(time.time())
            headers |= {"X-Padim-Timestamp": str(now), "X-Padim-Signature": signature(secret, now, body)}
        end = time.monotonic() + self._settings.timeout
        try:
            with self._client.stream("POST", self._settings.url, content=body, headers=headers) as reply:
                said = b""
                # A reply that does not end is not waited for: its status is all that counts.
                for part in reply.iter_raw():
                    said += part
                    if len(said) >= _LONGEST_REPLY or time.monotonic() > end:
                        break
                _check(reply, said)
        except httpx.TimeoutException as error:
            limit = f"{self._settings.timeout:g} seconds"
            raise SinkAwayError(f"{self._settings.where}: no reply within {limit}") from error
        except (httpx.TransportError, OSError) as error:
            raise SinkAwayError(f"{self._settings.where}: {error or type(error).__name__}") from error
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError) as error:
            raise PadimError(
                f"sink “{self._settings.name}”: url or headers are not usable: {error}"
            ) from error

    def health(self) -> str:
        """Return "": each message makes or checks the connection itself."""
        return ""

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message, as the header ``X-Padim-Signature`` has it.

    Args:
        secret: what sender and receiver know.
        timestamp: seconds since 1970, as the header ``X-Padim-Timestamp`` has them; a receiver refuses
            old ones, so that a message that somebody has recorded cannot be sent again.
        body: the bytes of the request.

    Returns:
        ``v1=`` and the hex HMAC-SHA-256 of the timestamp, a dot and the body.
    """
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"


def _check(reply: httpx.Response, said: bytes) -> None:
    if reply.is_success:
        return
    words = one_line(said.decode("utf-8", "replace"), 200)
    text = f"{reply.url.host} replied {reply.status_code} {reply.reason_phrase}".rstrip()
    if reply.has_redirect_location:
        raise SinkRefusedError(
            f"{text}: it sends messages on to {one_line(reply.headers['location'], 200)}; write the address "
            "that is to get them into the file of sinks"
        )
    text += f": {words}" if words else ""
    if reply.status_code < 500 and reply.status_code not in _LATER:
        raise SinkRefusedError(text)
    raise SinkAwayError(text, _asked(reply.headers.get("retry-after", "")))


def _asked(text: str) -> float | None:
    """Return the seconds of a header ``Retry-After``, which has seconds or a time; None if it has neither."""
    with suppress(ValueError):
        return max(0.0, float(text))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None
