"""The health checks of models: made in the background after every fit, stored beside the model, confirmed.

A check is of the model as it scores and decides now. Another fit, threshold or smallest region makes a new
one; what a user has confirmed holds until something else is found.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from padim.errors import PadimError, StorageError
from padim.storage.atomic import write_atomic
from ui import fit, library
from ui.app import workspace
from ui.jobs import watch, work_queue

if TYPE_CHECKING:
    from padim.analysis.health import Finding, Health
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

__all__ = [
    "ConfirmedHealth",
    "RemedyOf",
    "check_again",
    "confirm",
    "confirmed",
    "found",
    "job",
    "remedy_of",
    "start_remedy",
    "withdraw",
]

_CONFIRMED = "health-confirmed.json"
_REMEDY_OF = "health-remedy.json"


@dataclass(frozen=True)
class ConfirmedHealth:
    """A user's confirmation that a model is used in spite of what its check found.

    Attributes:
        reason: why, in the user's words.
        at: when.
    """

    reason: str
    at: datetime


@dataclass(frozen=True)
class RemedyOf:
    """The model that a model was fitted as a remedy for.

    Attributes:
        model: its id.
        text: the remedy.
    """

    model: str
    text: str


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
    done = watch.find(_key(entry))
    return done.result if done is not None and done.state == "done" else None


def job(entry: Entry) -> Job[Health]:
    """Return the job that checks a model; the first call starts it. Sessions share it."""
    known = watch.find(_key(entry))
    if known is not None:
        return cast("Job[Health]", known)
    model = workspace.open_model(entry)

    def work(job: Job[Health]) -> Health:
        from padim.analysis.health import FILE, check_health

        try:
            originals = library.image_set(entry, "fit")
        except PadimError:
            originals = None  # the small copies in the model do as well
        result = check_health(
            model,
            None if originals is None else originals.source,
            progress=job.progress,
            cancel=job.cancelled,
        )
        _write(entry, FILE, result.to_json())
        return result

    return watch.start(
        _key(entry), "Checking whether the model is fit for use", work, goes_on=True, model=entry.id
    )


def check_again(entry: Entry) -> None:
    """Discard a check that was cancelled or failed; :func:`job` then starts another."""
    watch.registry().discard(_key(entry))


def _key(entry: Entry) -> str:
    return f"health:{entry.id}:{hashlib.sha256(state_of(entry).encode()).hexdigest()[:16]}"


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
    data = _read(entry, _CONFIRMED)
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


# -- remedies --------------------------------------------------------------------------------------------


def start_remedy(entry: Entry, finding: Finding) -> None:
    """Fit a second model with a finding's remedy, on the same images, in the background.

    Raises:
        PadimError: the images are not in the model's library, or another fit of this session is running.
    """
    from padim.analysis.health_remedy import remedied
    from padim.records.library_data import by_name

    remedy = finding.remedy
    if remedy is None or remedy.changes is None:
        raise PadimError("this finding has no second model as its remedy")
    image_set = library.image_set(entry, "fit")
    if image_set is None:
        raise PadimError(
            "the images of the fit are not in the model's library; fit a new model on them, with the "
            "settings of the remedy"
        )
    model = workspace.open_model(entry)
    groups = {normal.sha256: normal.group for normal in model.normals_}
    parts = {
        name: groups[image.sha256]
        for name, image in by_name(library.images(entry, "fit")).items()
        if image.sha256 in groups
    }
    config = remedied(model.config, remedy.changes)
    model_id = fit.begin(
        f"{entry.name} remedy {datetime.now():%H:%M}",
        config,
        parts,
        lambda job: work_queue.handed_over(image_set, job),
        image_set.label,
    )
    _write(workspace.store().get(model_id), _REMEDY_OF, {"model": entry.id, "text": remedy.text})


def remedy_of(entry: Entry) -> RemedyOf | None:
    """Return the model that this one was fitted as a remedy for; None if it was not."""
    data = _read(entry, _REMEDY_OF)
    try:
        return RemedyOf(str(data["model"]), str(data["text"]))
    except (KeyError, TypeError):
        return None


def _write(entry: Entry, name: str, data: dict[str, Any]) -> None:
    """Store a file beside a model, if the workspace can be written and the model is still there."""
    try:
        write_atomic(entry.path / name, json.dumps(data, indent=1).encode(), make_folder=False)
    except (OSError, StorageError):
        return


def _read(entry: Entry, name: str) -> Any:
    try:
        return json.loads((entry.path / name).read_bytes())
    except (OSError, ValueError):
        return None
