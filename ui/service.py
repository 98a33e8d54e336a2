"""What the Line page knows of the service: whether one answers on this machine, and the keys of programs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from padim.records.api_keys import ApiKey, ApiKeys
from ui.app import person, state, workspace

__all__ = ["URL", "FoundService", "find", "keys", "made", "make", "put_away", "revoke"]

# Where ``padim serve`` listens unless it is told otherwise.
URL = "http://127.0.0.1:8600"
# Seconds: it is on this machine, and the page waits for it; and for how long an answer counts.
_PATIENCE, _FRESH = 0.5, 4
_LARGEST_ANSWER = 100_000


@dataclass(frozen=True)
class FoundService:
    """Whether a service answers at :data:`URL`.

    Attributes:
        state: "ready"; "not ready", while it can inspect nothing; "none".
        why: what it says stands in its way; empty if nothing does.
    """

    state: Literal["ready", "not ready", "none"]
    why: str = ""


@dataclass
class _MadeKey:
    """The key that this page has just made, until the user has put it away.

    Attributes:
        name: its name; empty if there is none.
        key: the key itself, which is nowhere else.
    """

    name: str = ""
    key: str = ""


@st.cache_data(ttl=_FRESH, show_spinner=False)
def find() -> FoundService:
    """Ask for a service at its usual address on this machine, at most every few seconds."""
    # Not through a proxy that the environment names: this machine is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{URL}/health/ready", timeout=_PATIENCE) as answer:
            return _understood(answer.read(_LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        return _understood(error.read(_LARGEST_ANSWER))
    except (OSError, ValueError):
        return FoundService("none")


def _understood(content: bytes) -> FoundService:
    """Return what an answer says; one that is not the service's is another program's at this port."""
    try:
        document = json.loads(content)
        if document["status"] == "ok":
            return FoundService("ready")
        said = [str(value) for value in document["checks"].values() if value != "ok"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return FoundService("none")
    return FoundService("not ready", "; ".join(said)[:300])


# -- keys ------------------------------------------------------------------------------------------------


def keys() -> list[ApiKey]:
    """Return the keys of the workspace, valid ones first, the latest first among each.

    Raises:
        PadimError: the database cannot be read.
    """
    latest_first = ApiKeys(workspace.root()).all()[::-1]
    return sorted(latest_first, key=lambda key: key.revoked is not None)


def make(name: str) -> None:
    """Make a key, which :func:`made` returns from then on.

    Raises:
        PadimError: the name is empty, too long or taken, or the key cannot be stored.
    """
    key = ApiKeys(workspace.root()).add(name, person.name())
    now = state.of(_MadeKey)
    now.name, now.key = name, key


def made() -> tuple[str, str] | None:
    """Return the name and the key that this page has just made; None if there is none."""
    now = state.of(_MadeKey)
    return (now.name, now.key) if now.key else None


def put_away() -> None:
    """Forget the key that was shown."""
    now = state.of(_MadeKey)
    now.name = now.key = ""


def revoke(name: str) -> None:
    """Make a key invalid.

    Raises:
        PadimError: it cannot be stored.
    """
    ApiKeys(workspace.root()).revoke(name)
    if (shown := made()) is not None and shown[0] == name:
        put_away()
