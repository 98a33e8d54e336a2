"""The background measurements of a session: one job per model, and the images that were chosen for it.

The images stay in the session until others are chosen, so that settings can be changed and the measurement
repeated. They are kept for one model only, the latest.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ui.app import workspace
from ui.jobs import watch

if TYPE_CHECKING:
    from padim.data.labeled_images import LabeledImages
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job


@dataclass
class Runs:
    """A session's measurements of one sort, which subclasses name.

    Attributes:
        sort: prefix of the jobs' keys, which tests and styles rely on.
        keys: keys of the jobs, by model id.
        model: id of the model that ``images`` were chosen for; empty if none.
        images: the chosen images, or None.
    """

    sort: ClassVar[str] = "run"
    keys: dict[str, str] = field(default_factory=dict)
    model: str = ""
    images: LabeledImages | None = None

    def job(self, entry: Entry) -> Job[Any] | None:
        """Return this model's measurement, running or ended, or None."""
        key = self.keys.get(entry.id)
        return None if key is None else watch.find(key)

    def images_of(self, entry: Entry) -> LabeledImages | None:
        """Return the images chosen for this model, or None."""
        return self.images if self.model == entry.id else None

    def set_images(self, entry: Entry, images: LabeledImages) -> None:
        """Keep these images for this model, in place of any others, and drop its last measurement."""
        self.forget(entry)
        self.model, self.images = entry.id, images

    def start(self, entry: Entry, title: str, work: Callable[[Job[Any]], Any]) -> None:
        """Start a measurement in the background and drop this model's last one."""
        self.forget(entry)
        key = f"{self.sort}:{uuid.uuid4().hex}"
        self.keys[entry.id] = key
        watch.start(key, title, work, model=entry.id)

    def forget(self, entry: Entry) -> None:
        """Drop this model's measurement; stop it if it is still running."""
        key = self.keys.pop(entry.id, None)
        if key is not None:
            watch.registry().discard(key)

    def clear(self, entry: Entry) -> None:
        """Drop this model's measurement and its images."""
        self.forget(entry)
        if self.model == entry.id:
            self.model, self.images = "", None


class MeasuredResult(Protocol):
    """A measurement that states the threshold (a level) and the smallest region (pixels) it was made with."""

    @property
    def threshold(self) -> int: ...
    @property
    def min_area(self) -> int: ...


def outdated(identity: str, result: MeasuredResult, entry: Entry, model: Padim) -> str:
    """Return what has changed since a measurement: "model", "threshold", or "" if nothing has.

    Args:
        identity: ``workspace.scoring_identity`` at the time of the measurement.
        result: the measurement.
        entry: the saved model in use.
        model: the same model, opened.
    """
    if identity != workspace.scoring_identity(entry):
        return "model"
    now = None if model.current_threshold is None else model.current_threshold.level
    same = now == result.threshold and model.config.min_area == result.min_area
    return "" if same else "threshold"
