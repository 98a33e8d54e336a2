"""What a person says an image shows, by the image's content, so that it is known when it comes again.

Labels are kept beside the model. To *keep* an image is no statement about it: that only takes it off the
list of changed verdicts, and lives as long as the session.
"""

from __future__ import annotations

import errno
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from padim.storage.atomic import write_atomic
from ui.app import state

if TYPE_CHECKING:
    from pathlib import Path

    from padim.storage.model_folders import Entry

Label = Literal["good", "defect"]
_FILE = "labels.json"
_WRITING = threading.Lock()


@dataclass
class _Kept:
    """Images off the list of changes, by model: their hashes."""

    of: dict[str, set[str]] = field(default_factory=dict)


def labels(entry: Entry) -> dict[str, Label]:
    """The labels given with this model in use, by the SHA-256 of the image's file."""
    return _read(entry.path / _FILE)


def kept(entry: Entry) -> set[str]:
    """Images that this session has taken off the list of changes."""
    return state.of(_Kept).of.setdefault(entry.id, set())


def keep(entry: Entry, sha256: str, *, off: bool = True) -> None:
    """Take an image off the list of changes, or let it come back; its label stays."""
    (kept(entry).add if off else kept(entry).discard)(sha256)


def put(
    entry: Entry, sha256: str, label: Label | None, *, instead_of: Label | Literal["any"] | None = "any"
) -> None:
    """Label an image; None takes its label away.

    Args:
        entry: the model that the label is kept with.
        sha256: of the image's file.
        label: what it shows.
        instead_of: do so only if it is labelled like this now, None: not labelled.

    Raises:
        OSError: the label cannot be saved, or the model is gone.
    """
    if not entry.path.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the model was deleted", str(entry.path))
    with _WRITING:
        known = labels(entry)
        now = known.get(sha256)
        if now == label or instead_of not in ("any", now):
            return
        if label is None:
            del known[sha256]
        else:
            known[sha256] = label
        content = json.dumps(known, indent=0, sort_keys=True).encode()
        # A model that was deleted meanwhile does not come back as a folder with labels.
        write_atomic(entry.path / _FILE, content, make_folder=False)


def forget_kept(entry: Entry) -> None:
    """Another threshold is in use: its list of changes starts whole."""
    state.of(_Kept).of.pop(entry.id, None)


def _read(path: Path) -> dict[str, Label]:
    # A label is a convenience: a file that cannot be read must not keep anybody from calibrating.
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {sha256: label for sha256, label in found.items() if label in ("good", "defect")}
