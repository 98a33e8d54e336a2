"""The users' labels of images, stored by the hash of the image's file so that they apply to every copy.

Labels are stored in the model's folder. To *keep* an image is not a label: it only takes the image off the
list of changed verdicts, for the rest of the session.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from padim.storage.atomic import write_atomic
from padim.storage.leftovers import locked_beside
from ui.app import state

if TYPE_CHECKING:
    from pathlib import Path

    from padim.storage.model_folders import Entry

Label = Literal["good", "defect"]
_FILE = "labels.json"


@dataclass
class _Kept:
    """The hashes of images that were taken off the list of changes, by model id."""

    of: dict[str, set[str]] = field(default_factory=dict)


def labels(entry: Entry) -> dict[str, Label]:
    """Return the labels stored with this model, by the SHA-256 of the image's file."""
    return _read(entry.path / _FILE)


def kept(entry: Entry) -> set[str]:
    """Return the hashes of images that this session has taken off the list of changes."""
    return state.of(_Kept).of.setdefault(entry.id, set())


def keep(entry: Entry, sha256: str, *, off: bool = True) -> None:
    """Take an image off the list of changes, or put it back; its label stays."""
    (kept(entry).add if off else kept(entry).discard)(sha256)


def put(
    entry: Entry, sha256: str, label: Label | None, *, instead_of: Label | Literal["any"] | None = "any"
) -> None:
    """Set or remove the label of an image.

    Args:
        entry: the model with which the label is stored.
        sha256: hash of the image's file.
        label: the label; None removes it.
        instead_of: change the label only if this is the present one (None: not labeled).

    Raises:
        OSError: the label cannot be saved, or the model was deleted.
    """
    if not entry.path.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the model was deleted", str(entry.path))
    # One writer at a time, in all threads and processes: each writes the labels of all.
    with locked_beside(entry.path / _FILE):
        known = labels(entry)
        now = known.get(sha256)
        if now == label or instead_of not in ("any", now):
            return
        if label is None:
            del known[sha256]
        else:
            known[sha256] = label
        content = json.dumps(known, indent=0, sort_keys=True).encode()
        # Do not create the folder of a model that was deleted meanwhile.
        write_atomic(entry.path / _FILE, content, make_folder=False)


def forget_kept(entry: Entry) -> None:
    """Put all images back on the list of changes, because another threshold is in use."""
    state.of(_Kept).of.pop(entry.id, None)


def _read(path: Path) -> dict[str, Label]:
    # Labels are optional: a file that cannot be read must not prevent calibration.
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {sha256: label for sha256, label in found.items() if label in ("good", "defect")}
