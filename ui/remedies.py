"""Second models, fitted with what a health check of a first one recommends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui import fit, health, library
from ui.app import workspace
from ui.jobs import work_queue

if TYPE_CHECKING:
    from padim.analysis.health import Finding
    from padim.storage.model_folders import Entry

__all__ = ["RemedyOf", "remedy_of", "start_remedy"]

_REMEDY_OF = "health-remedy.json"


@dataclass(frozen=True)
class RemedyOf:
    """The model that a model was fitted as a remedy for.

    Attributes:
        model: its id.
        text: the remedy.
    """

    model: str
    text: str


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
    health.write_beside(workspace.store().get(model_id), _REMEDY_OF, {"model": entry.id, "text": remedy.text})


def remedy_of(entry: Entry) -> RemedyOf | None:
    """Return the model that this one was fitted as a remedy for; None if it was not."""
    data = health.read_beside(entry, _REMEDY_OF)
    try:
        return RemedyOf(str(data["model"]), str(data["text"]))
    except (KeyError, TypeError):
        return None
