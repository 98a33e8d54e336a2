"""The health checks of models: made in the background after every fit, stored beside the model, confirmed.

A check is of the model as it scores and decides now. Another fit, threshold or smallest region makes a new
one; what a user has confirmed holds until something else is found.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from padim.errors import Cancelled, PadimError, StorageError
from padim.storage.atomic import write_atomic
from ui.app import state, workspace
from ui.jobs import watch, work_queue

if TYPE_CHECKING:
    from padim.analysis.health import Health
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

__all__ = [
    "ConfirmedHealth",
    "check_again",
    "confirm",
    "confirmed",
    "found",
    "job",
    "start",
    "withdraw",
]

_CONFIRMED = "health-confirmed.json"
_PREFIX = "health:"
# A check begins when nothing else has run for so long, so that no page, fit or scoring is slower for it; or
# when it has waited for the longest time, and then gives way to other processes.
QUIET_S = 3.0
_LONGEST_S = 60.0


@dataclass(frozen=True)
class ConfirmedHealth:
    """A user's confirmation that a model is used in spite of what its check found.

    Attributes:
        reason: why, in the user's words.
        at: when.
    """

    reason: str
    at: datetime


def state_of(entry: Entry) -> str:
    """Return what a check depends on, as :func:`padim.analysis.health.state_of`, from the manifest alone."""
    threshold = entry.manifest.get("threshold") or {}
    area = entry.manifest.get("config", {}).get("min_area")
    return f"{workspace.scoring_identity(entry)}/{threshold.get('level', 'none')}/{area}"


def found(entry: Entry) -> Health | None:
    """Return the check of a model as it is now; None if there is none yet."""
    from padim.analysis.health import FILE, Health

    state = state_of(entry)
    stored = Health.read(entry.path / FILE)
    if stored is not None and stored.identity == state:
        return stored
    done = cast("Job[Health] | None", watch.find(_key(entry)))
    if done is None or done.state != "done" or done.result.identity != state:
        return None
    return done.result


def job(entry: Entry) -> Job[Health]:
    """Return the job that checks a model; the first call starts it. Sessions share it."""
    known = cast("Job[Health] | None", watch.find(_key(entry)))
    if known is None or (known.state == "done" and known.result.identity != state_of(entry)):
        # None yet, or the model was changed and changed back while its check waited.
        return start(entry, state.owner())
    return known


def start(entry: Entry, owner: str | None, *, retrain: bool = False) -> Job[Health]:
    """Start the check of a model in the worker process, also from a thread of a job.

    Args:
        entry: the model.
        owner: who sees the job; see :func:`ui.app.state.owner`.
        retrain: as for :func:`padim.analysis.health.check_health`.
    """
    root = workspace.root()

    def work(job: Job[Health]) -> Health:
        from padim.analysis.health import FILE, Health
        from padim.worker.messages import CheckHealth

        _wait_for_others(job)
        done = work_queue.run("check", CheckHealth(root=root, model=entry.id, retrain=retrain), job)
        write_beside(entry, FILE, done.health)
        return Health.from_json(done.health)

    return watch.registry().start(
        _key(entry),
        "Health check",
        work,
        owner=owner,
        goes_on=True,
        model=entry.id,
    )


def _wait_for_others(job: Job[Health]) -> None:
    """Wait until no other work of this server has run for a few seconds.

    Raises:
        Cancelled: the user stopped the job while it waited.
    """
    begun = quiet_since = time.monotonic()
    while (now := time.monotonic()) - quiet_since < QUIET_S and now - begun < _LONGEST_S:
        if job.cancelled():
            raise Cancelled("stopped while it waited; nothing was changed")
        if any(not other.key.startswith(_PREFIX) for other in watch.registry().running()):
            quiet_since = now
        job.progress(0, None, "Waiting until nothing else runs")
        time.sleep(min(0.2, QUIET_S))


def check_again(entry: Entry, *, retrain: bool = False) -> None:
    """Discard the check of a model, and start another.

    Args:
        entry: the model.
        retrain: as for :func:`padim.analysis.health.check_health`.
    """
    from padim.analysis.health import FILE

    watch.registry().discard(_key(entry))
    with suppress(OSError):  # a read-only workspace keeps the former one
        (entry.path / FILE).unlink(missing_ok=True)
    start(entry, state.owner(), retrain=retrain)


def _key(entry: Entry) -> str:
    return f"{_PREFIX}{entry.id}:{hashlib.sha256(state_of(entry).encode()).hexdigest()[:16]}"


# -- confirmation ----------------------------------------------------------------------------------------


def confirm(entry: Entry, health: Health, reason: str) -> None:
    """Store that a model is used in spite of what was found, with the reason.

    Raises:
        PadimError: there is no reason.
        StorageError: the workspace is read-only.
    """
    if not reason.strip():
        raise PadimError("say why the model can be used all the same")
    data = {
        "scoring": workspace.scoring_identity(entry),
        "findings": [[finding.topic, finding.grade] for finding in health.open],
        "reason": reason.strip()[:500],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(entry.path / _CONFIRMED, json.dumps(data, indent=1).encode(), make_folder=False)


def withdraw(entry: Entry) -> None:
    """Remove a confirmation."""
    (entry.path / _CONFIRMED).unlink(missing_ok=True)


def confirmed(entry: Entry, health: Health) -> ConfirmedHealth | None:
    """Return the confirmation of a model's findings; None if there is none, or more was found since."""
    data = read_beside(entry, _CONFIRMED)
    try:
        known = {(topic, grade) for topic, grade in data["findings"]}
        same = data["scoring"] == workspace.scoring_identity(entry)
        at = datetime.fromisoformat(data["at"])
        reason = str(data["reason"])
    except (KeyError, TypeError, ValueError):
        return None
    if not same or any((finding.topic, finding.grade) not in known for finding in health.open):
        return None
    return ConfirmedHealth(reason, at)


def write_beside(entry: Entry, name: str, data: Any) -> None:
    """Store a file beside a model, if the workspace can be written and the model is still there."""
    try:
        write_atomic(entry.path / name, json.dumps(data, indent=1).encode(), make_folder=False)
    except (OSError, StorageError):
        return


def read_beside(entry: Entry, name: str) -> Any:
    """Return what such a file holds; None if there is none, or it cannot be read."""
    try:
        return json.loads((entry.path / name).read_bytes())
    except (OSError, ValueError):
        return None
