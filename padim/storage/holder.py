"""Who holds the lock of a model: written beside the lock file, so that those who wait can be told.

The lock itself is the system's and ends with its process. The note beside it only describes the holder, and
is believed only while the lock is taken and its process runs.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from padim.text import clipped

UNKNOWN = "somebody else"
_ACTING: ContextVar[tuple[str, str]] = ContextVar("acting", default=("a Python program", ""))
_LARGEST_NOTE = 4096


@dataclass(frozen=True)
class Holder:
    """A process that is changing a model.

    Attributes:
        who: its kind, for example "a shell command".
        what: its work, for example "padim calibrate"; empty if it is unknown.
        pid: number of the process.
        host: name of its computer.
        since: start of its work, in UTC.
    """

    who: str
    what: str
    pid: int
    host: str
    since: datetime

    @property
    def text(self) -> str:
        """Describe the holder: "a shell command (padim calibrate, process 4711, since 14:03 UTC)"."""
        elsewhere = "" if self.host == socket.gethostname() else f" on {self.host}"
        about = [self.what, f"process {self.pid}{elsewhere}", f"since {self.since:%H:%M} UTC"]
        return f"{self.who} ({', '.join(filter(None, about))})"


@contextmanager
def acting(who: str, what: str) -> Iterator[None]:
    """Name the holder of the locks that this thread takes within the block.

    Args:
        who: the kind of program or session, with its article.
        what: the work in a few words.
    """
    token = _ACTING.set((who, what))
    try:
        yield
    finally:
        _ACTING.reset(token)


def acting_now() -> tuple[str, str]:
    """Return who this thread acts for and what it does, as :func:`acting` was given them."""
    return _ACTING.get()


def note(path: Path) -> None:
    """Write a note about this process; errors are ignored, because the lock holds without it."""
    who, what = _ACTING.get()
    now = datetime.now(UTC).replace(microsecond=0)
    holder = Holder(who, what, os.getpid(), socket.gethostname(), now)
    with suppress(OSError):
        path.write_text(json.dumps({**asdict(holder), "since": now.isoformat()}), encoding="utf-8")


def forget(path: Path) -> None:
    """Remove the note of this process."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read(path: Path) -> Holder | None:
    """Read a note; return None if there is none, it is damaged, or its process on this computer has ended."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_NOTE))
        since = datetime.fromisoformat(found["since"]).astimezone(UTC)
        who, what, host = (clipped(str(found[key]), 200) for key in ("who", "what", "host"))
        holder = Holder(who, what, int(found["pid"]), host, since)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return holder if holder.host != socket.gethostname() or process_runs(holder.pid) else None


def process_runs(pid: int) -> bool:
    """Return whether a process of this computer runs; True where that cannot be found out."""
    if os.name == "nt" or pid <= 0:
        return pid > 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
