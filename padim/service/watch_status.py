"""What a watched folder's process says about itself, in ``watch.json`` of the folder for results.

The process writes the file about once a second, whole or not at all; pages and commands read it. Refused
files are in its state file, of which ``refused.csv`` beside it is a copy for people.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from padim.output.results import csv_file
from padim.service.watch_state import STATE_FILE, refused_in
from padim.storage import holder, leftovers
from padim.storage.atomic import write_atomic

__all__ = ["RefusedFile", "WatchPhase", "WatchStatus", "read_status", "refused_files", "write_status"]

STATUS_FILE, REFUSED_FILE = "watch.json", "refused.csv"
_FORMAT = "padim-watch"
# Seconds without news after which the lock, rather than the file, tells whether a process runs.
_STALE = timedelta(seconds=30)

# What the process does: it opens the model; waits for images; inspects; the folder is away; something keeps
# it from inspecting or recording; it ends; it has ended as asked; it has ended because of an error.
WatchPhase = Literal[
    "starting", "watching", "inspecting", "no folder", "problem", "stopping", "stopped", "failed"
]
_ENDED = ("stopped", "failed")


@dataclass(frozen=True)
class WatchStatus:
    """The state of one watch.

    Attributes:
        uid: its row in :mod:`padim.records.watches`; empty outside of a workspace.
        target, folder, output: as of :class:`padim.records.watches.WatchedFolder`.
        phase: what its process does.
        error: what is wrong, as a sentence with the remedy; empty if nothing is.
        pid, host: the process, and the name of its computer.
        started, updated: when it was started, and when this was written, UTC.
        model_id, model_name, version: what inspects; the version's number is None if it is not known.
        recording: whether results are put on record.
        counts: images by verdict (``accept``, ``review``, ``reject``, ``none``) and ``inspected``, their sum,
            since the folder for results was made; ``refused`` files; ``waiting`` ones; of those
            ``unfinished``, which have a temporary name or are still written; ``passed_over``, which are no
            images; and, should the disk be full, ``not_on_record`` and ``without_files``.
        rate: images inspected during the last minute.
        last: the latest results, the latest first: ``name``, ``verdict``, ``severity``,
            ``inspected`` (UTC), ``id`` and ``files``, the path of its files below ``output`` without
            ``.json`` and ``.jpg``.
    """

    uid: str
    target: str
    folder: str
    output: str
    phase: WatchPhase = "starting"
    error: str = ""
    pid: int = 0
    host: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    model_id: str = ""
    model_name: str = ""
    version: int | None = None
    recording: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    rate: int = 0
    last: Sequence[Mapping[str, Any]] = ()

    @property
    def running(self) -> bool:
        """Whether its process runs, as far as this computer can tell."""
        if self.phase in _ENDED:
            return False
        fresh = datetime.now(UTC) - self.updated < _STALE
        if self.host != socket.gethostname():
            return fresh
        if not holder.process_runs(self.pid):
            return False
        # Its disk may be full; or it was killed, and another process has its number.
        return fresh or leftovers.is_held(Path(self.output))


@dataclass(frozen=True)
class RefusedFile:
    """A file that could not be inspected: its path below the watched folder, the reason, and when, UTC."""

    name: str
    reason: str
    at: datetime


def write_status(status: WatchStatus) -> None:
    """Write the state of a watch, with the time and this process.

    Raises:
        OSError: the file cannot be written.
    """
    now = datetime.now(UTC)
    document = {
        "format": _FORMAT,
        **asdict(status),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": status.started.isoformat(timespec="seconds"),
        "updated": now.isoformat(timespec="milliseconds"),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    write_atomic(
        Path(status.output) / STATUS_FILE, text.encode("utf-8", "backslashreplace"), make_folder=False
    )


def read_status(output: str | Path) -> WatchStatus | None:
    """Return the state of the watch with this folder for results; None if there is none, or it is damaged."""
    try:
        document = json.loads((Path(output) / STATUS_FILE).read_bytes())
        if document.pop("format") != _FORMAT:
            return None
        times = {name: datetime.fromisoformat(document[name]) for name in ("started", "updated")}
        known = {name: document[name] for name in document.keys() & WatchStatus.__dataclass_fields__.keys()}
        return WatchStatus(**{**known, **times, "output": str(output)})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def refused_files(output: str | Path, most: int = 200) -> list[RefusedFile]:
    """Return the files that a watch has refused, the latest first.

    Args:
        output: its folder for results.
        most: largest number of files returned.
    """
    return [
        RefusedFile(name, reason, datetime.fromisoformat(at))
        for name, reason, at in refused_in(Path(output) / STATE_FILE, most)
    ]


def write_refused(output: Path, most: int = 10_000) -> None:
    """Write the list of refused files as CSV, the latest first.

    Raises:
        OSError: the file cannot be written.
    """
    rows = ((one.name, one.reason, one.at.isoformat()) for one in refused_files(output, most))
    content = csv_file([("name", "reason", "refused"), *rows])
    write_atomic(output / REFUSED_FILE, content, make_folder=False)
