"""Which steps of the way from good parts to verdicts are done for a model, read from small files alone.

Whether a model is fitted and calibrated is in its manifest. What its users have done with it (put a threshold
to use, evaluated a test set, inspected images) is stored beside it, in ``progress.json``, with the scoring
identity of the model at that time: it no longer counts once the model scores otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, get_args

from padim.errors import StorageError
from padim.storage.atomic import write_atomic
from padim.storage.leftovers import locked_beside
from ui.app import state, workspace

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry

__all__ = ["Fact", "StepsDone", "note", "of"]

Fact = Literal["calibrated", "validated", "inspected"]
_FILE = "progress.json"


@dataclass(frozen=True)
class StepsDone:
    """Which steps are done for a model as it is now.

    Attributes:
        fitted: it is fitted, and its calibration, if it has one, belongs to it.
        calibrated: a user has put a threshold to use.
        validated: it has been evaluated on a test set.
        inspected: it has scored images on the Inspect page.
    """

    fitted: bool
    calibrated: bool
    validated: bool
    inspected: bool

    def done(self, path: str) -> str | None:
        """Return what is done on the page with this file, as a sentence; None while it is not done."""
        sentences = {
            "pages/fit.py": (self.fitted, "Done: the model is fitted."),
            "pages/calibrate.py": (self.calibrated, "Done: a threshold was put to use."),
            "pages/validate.py": (self.validated, "Done: a test set was evaluated."),
            "pages/inspect.py": (self.inspected, "Done: images were inspected."),
        }
        done, sentence = sentences.get(path, (False, ""))
        return sentence if done else None

    def next_path(self) -> str:
        """Return the file of the first page, in the order of work, that is not done; Inspect if all are."""
        order = ("pages/fit.py", "pages/calibrate.py", "pages/validate.py")
        return next((path for path in order if self.done(path) is None), "pages/inspect.py")


@dataclass
class _Unsaved:
    """What a read-only workspace does not store: the scoring identity, by model id and fact."""

    of: dict[tuple[str, Fact], str] = field(default_factory=dict)


def of(entry: Entry) -> StepsDone:
    """Return the steps that are done for a model."""
    identity = workspace.scoring_identity(entry)
    stored = {**_read(entry), **_in_memory(entry)}
    calibrated, validated, inspected = (stored.get(fact) == identity for fact in get_args(Fact))
    fitted = entry.n_parts > 0 and workspace.calibration(entry) != "stale"
    has_threshold = workspace.threshold_value(entry) is not None
    return StepsDone(fitted, calibrated and has_threshold and fitted, validated, inspected)


def note(entry: Entry, fact: Fact) -> bool:
    """Store that this has been done for a model as it is now; return whether that was not known before."""
    identity = workspace.scoring_identity(entry)
    if {**_read(entry), **_in_memory(entry)}.get(fact) == identity or not entry.path.is_dir():
        return False
    path = entry.path / _FILE
    try:
        with locked_beside(path):
            known = _stored(entry)
            known[fact] = {"scoring": identity, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            # Do not create the folder of a model that was deleted meanwhile.
            write_atomic(path, json.dumps(known, indent=1, sort_keys=True).encode(), make_folder=False)
    except (OSError, StorageError):
        # In a read-only workspace the tick lasts as long as the session.
        state.of(_Unsaved).of[entry.id, fact] = identity
    return True


def _in_memory(entry: Entry) -> dict[str, str]:
    return {fact: identity for (of, fact), identity in state.of(_Unsaved).of.items() if of == entry.id}


def _read(entry: Entry) -> dict[str, str]:
    """Return the scoring identity for which each fact was stored."""
    return {
        fact: str(value.get("scoring")) for fact, value in _stored(entry).items() if isinstance(value, dict)
    }


def _stored(entry: Entry) -> dict[str, object]:
    # Ticks are a convenience: a file that cannot be read must not prevent any work.
    try:
        found = json.loads((entry.path / _FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
