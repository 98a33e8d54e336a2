"""Who sends a request: the name of its key, or its address where no key is needed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from padim.errors import PadimError
from padim.records.api_keys import ApiKeys
from padim.service.rest.problems import RequestProblem

__all__ = ["NO_KEY", "ClientKeys", "ServiceClientName"]

# Who had an inspection made that came without a key.
NO_KEY = "service"
# Seconds for which a key counts as it was looked up last; so long a revoked one is still valid.
_FRESH = 3.0
_MOST = 1_000


class ServiceClientName(NamedTuple):
    """A client: the name that goes on record, and what its use is counted by."""

    who: str
    counted_by: str


class ClientKeys:
    """Looks keys up in the workspace, and remembers them for a few seconds (thread-safe).

    Args:
        root: the workspace's folder; None: no key is valid.
        required: whether a request without a key is refused.
        clock: returns seconds; monotonic.
    """

    def __init__(
        self, root: Path | None, *, required: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.required = required
        self._keys = None if root is None else ApiKeys(root)
        self._clock = clock
        self._lock = threading.Lock()
        # Hash of a key -> (name, when it was looked up). Names that no key has are remembered, too.
        self._known: OrderedDict[str, tuple[str | None, float]] = OrderedDict()

    def client(self, authorization: str | None, api_key: str | None, address: str) -> ServiceClientName:
        """Return who sends a request.

        Args:
            authorization: its header ``Authorization``.
            api_key: its header ``X-API-Key``.
            address: its network address.

        Raises:
            RequestProblem: a key is needed and missing, or the one given is not valid.
        """
        key = _key(authorization, api_key)
        if not key:
            if self.required or authorization is not None:
                raise RequestProblem(
                    "key-missing",
                    "send it as Authorization: Bearer KEY or X-API-Key: KEY; padim keys add NAME makes one",
                )
            return ServiceClientName(NO_KEY, f"address {address}")
        name = self._name(key)
        if name is None:
            raise RequestProblem(
                "key-unknown", "padim keys list shows the valid ones; padim keys add makes one"
            )
        return ServiceClientName(name, f"key {name}")

    def _name(self, key: str) -> str | None:
        if self._keys is None:
            return None
        digest = sha256(key.encode("utf-8", "replace")).hexdigest()
        with self._lock:
            known = self._known.get(digest)
        if known is not None and self._clock() - known[1] < _FRESH:
            return known[0]
        try:
            name = self._keys.name_of(key)
        except (PadimError, OSError) as error:
            if known is not None and known[0] is not None:
                return known[0]  # inspecting goes on while the database is away
            raise RequestProblem("database-away", str(error), retry_after=5) from error
        with self._lock:
            self._known[digest] = name, self._clock()
            self._known.move_to_end(digest)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return name


def _key(authorization: str | None, api_key: str | None) -> str:
    kind, _, given = (authorization or "").partition(" ")
    if kind.lower() == "bearer" and given.strip():
        return given.strip()
    return (api_key or "").strip()
