"""One background measurement of a session and a model: the images for it, and the job.

The images stay with the session until others are brought, so that settings can be changed and the
measurement run again; those for one model only, the latest.
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
    """A session's measurements of one sort; subclasses name the sort.

    Attributes:
        sort: begins the jobs' keys, which tests and styles go by.
        keys: of the jobs, by model.
        model: whose images are kept.
        images: those; None: there are none.
    """

    sort: ClassVar[str] = "run"
    keys: dict[str, str] = field(default_factory=dict)
    model: str = ""
    images: LabeledImages | None = None

    def job(self, entry: Entry) -> Job[Any] | None:
        """The measurement of this model, running or ended; None: there is none."""
        key = self.keys.get(entry.id)
        return None if key is None else watch.find(key)

    def brought(self, entry: Entry) -> LabeledImages | None:
        """The images brought for this model."""
        return self.images if self.model == entry.id else None

    def bring(self, entry: Entry, images: LabeledImages) -> None:
        """Keep these images for this model, in place of any others, and forget what came of the last."""
        self.forget(entry)
        self.model, self.images = entry.id, images

    def start(self, entry: Entry, title: str, work: Callable[[Job[Any]], Any]) -> None:
        """Measure in the background, in place of what was measured before."""
        self.forget(entry)
        key = f"{self.sort}:{uuid.uuid4().hex}"
        self.keys[entry.id] = key
        watch.start(key, title, work)

    def forget(self, entry: Entry) -> None:
        """Drop the measurement; one that still runs is stopped."""
        key = self.keys.pop(entry.id, None)
        if key is not None:
            watch.registry().discard(key)

    def clear(self, entry: Entry) -> None:
        """Drop the measurement and its images."""
        self.forget(entry)
        if self.model == entry.id:
            self.model, self.images = "", None


class MeasuredResult(Protocol):
    """Counts of verdicts, with the level and the smallest region that they were reached with."""

    @property
    def threshold(self) -> int: ...
    @property
    def min_area(self) -> int: ...


def outdated(identity: str, result: MeasuredResult, entry: Entry, model: Padim) -> str:
    """What has changed since a measurement: ``model``, ``threshold`` or nothing, an empty word.

    Args:
        identity: what the scores depended on then (``workspace.scoring_identity``).
        judged: what was counted.
        entry, model: the model in use.
    """
    if identity != workspace.scoring_identity(entry):
        return "model"
    now = None if model.current_threshold is None else model.current_threshold.level
    same = now == result.threshold and model.config.min_area == result.min_area
    return "" if same else "threshold"
