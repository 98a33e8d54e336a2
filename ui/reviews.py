"""Lists of images that one session scores with one model, scored again whenever the model's scores change.

Scores are valid for the state of the model that computed them. When a normal is excluded, included or added,
or the model is calibrated again, the images are automatically scored again from the copies on disk. A change
of the threshold or the smallest region does not require that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ui import viewing
from ui.app import workspace
from ui.files import uploads
from ui.jobs import watch
from ui.scoring import Pile, PileSource

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.jobs.jobs import Job
    from ui.scoring import KnownLabel, ScoredUpload

# Number of models for which a session keeps images; for another one, the least recently used is dropped.
_MAX_MODELS = 4


@dataclass
class Review:
    """One list of scored images.

    Attributes:
        kind: prefix of its jobs' keys, which styles and tests rely on.
        pile: the images and their scores.
        job_keys: keys of the jobs that add to it, the latest last.
        selected: number of the selected image, or None.
        handled: serial numbers of the viewer's actions that the server has handled.
        drawn: whether the viewer has been shown on the page.
    """

    kind: str
    pile: Pile = field(default_factory=lambda: Pile(""))
    job_keys: list[str] = field(default_factory=list)
    selected: int | None = None
    handled: viewing.HandledCounts = field(default_factory=viewing.HandledCounts)
    drawn: bool = False
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def jobs(self) -> list[Job[None]]:
        """Return the jobs of this list, running or ended."""
        found = (watch.find(key) for key in self.job_keys)
        return [job for job in found if job is not None]

    @property
    def running(self) -> list[Job[None]]:
        """Return the jobs still running."""
        return [job for job in self.jobs if job.running]

    def follow(self, entry: Entry, model: Padim) -> bool:
        """Score the images again in the background if the model has changed since they were scored.

        Returns:
            Whether ``pile`` belongs to this state of the model; False while a job for the former one runs.
        """
        identity = workspace.scoring_identity(entry)
        if self.pile.identity == identity:
            return True
        if self.running:
            # When the job has ended, all images are on disk and can be scored again.
            return False
        former = self.pile
        self.clear()
        self.pile = Pile(identity)
        for error in former.failed:
            self.pile.fail(error)
        self.pile.pass_over(former.passed_over)
        if len(former):
            pile, again = self.pile, PileSource(former)
            title = "The model has changed: its images are scored again"
            self._start(title, lambda job: pile.add(again, model, job, again.origins))
        return True

    def take(
        self, title: str, image_set: ImageSet, model: Padim, uploader: str, origin: KnownLabel = "unknown"
    ) -> None:
        """Score images in the background and add them to the list.

        Args:
            title: the text above the progress bar.
            image_set: the images.
            model: the model that :meth:`follow` was last called with.
            uploader: name of the uploader to empty.
            origin: what the images show, as far as known.
        """
        pile = self.pile
        self._start(title, lambda job: pile.add(image_set.source, model, job, origin))
        # The job references the files until it has copied them to disk, so the upload store need not.
        uploads.release(uploader, image_set.files)

    def _start(self, title: str, work: Callable[[Job[None]], None]) -> None:
        key = f"{self.kind}:{self._name}:{len(self.job_keys)}"
        self.job_keys.append(key)
        watch.start(key, title, work)

    def clear(self) -> None:
        """Drop all images and stop the jobs that are still running."""
        for key in self.job_keys:
            watch.registry().discard(key)
        # A new name, so that a job that has not stopped yet is not mistaken for one of the next list.
        self._name = uuid.uuid4().hex
        self.pile, self.job_keys, self.selected = Pile(self.pile.identity), [], None
        self.drawn = False


class Reviews:
    """A session's image lists of one kind, by model id."""

    kind = ""

    def __init__(self) -> None:
        self.by_model: dict[str, Review] = {}

    def of(self, entry: Entry) -> Review:
        """Return the list of images scored with this model, created at first use."""
        review = self.by_model.pop(entry.id, None) or Review(self.kind)
        self.by_model[entry.id] = review
        while len(self.by_model) > _MAX_MODELS:
            self.by_model.pop(next(iter(self.by_model))).clear()
        return review


def unknown(model: Padim, items: Iterable[ScoredUpload]) -> list[ScoredUpload]:
    """Return the images that are none of the model's own, by content, in order of arrival."""
    from padim.analysis.second_session import not_in_model

    return sorted(not_in_model(model, items), key=lambda item: item.number)
