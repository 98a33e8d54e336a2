"""Images that one session scores with one model, followed through the model's changes.

Scores belong to the state of the model that made them. When a normal is excluded, put back or added, or the
calibration is done anew, the images are scored again, by themselves, from the copies on disk. A change of
threshold or smallest region is no such change.
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
from ui.scoring import Kept, Pile

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.files.bring import Brought
    from ui.jobs.jobs import Job
    from ui.scoring import KnownLabel, ScoredUpload

# Models of which a session keeps images: another one makes room by dropping the longest unused.
_MOST = 4


@dataclass
class Review:
    """One list of images.

    Attributes:
        kind: begins its jobs' keys, which styles and tests go by.
        pile: the images and their scores.
        job_keys: the jobs that add to it, the latest last.
        selected: number of the image chosen; None: none was.
        heard: how far the server has heard what was done in the viewer.
        drawn: the viewer has been on the page.
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
        """Its jobs, running or ended."""
        found = (watch.find(key) for key in self.job_keys)
        return [job for job in found if job is not None]

    @property
    def running(self) -> list[Job[None]]:
        """The jobs still at work."""
        return [job for job in self.jobs if job.running]

    def follow(self, entry: Entry, model: Padim) -> bool:
        """Score the images again, in the background, if the model is no longer the one that scored them.

        Returns:
            Whether what is in ``pile`` is by this model; False while a job still works for the former one.
        """
        identity = workspace.scoring_identity(entry)
        if self.pile.identity == identity:
            return True
        if self.running:
            # At its end all the images lie on disk, and are then scored again.
            return False
        former = self.pile
        self.clear()
        self.pile = Pile(identity)
        for error in former.failed:
            self.pile.fail(error)
        if len(former):
            pile, again = self.pile, Kept(former)
            title = "The model has changed: its images are scored again"
            self._start(title, lambda job: pile.add(again, model, job, again.origins))
        return True

    def take(
        self, title: str, brought: Brought, model: Padim, uploader: str, origin: KnownLabel = "unknown"
    ) -> None:
        """Score images in the background, after those already there.

        Args:
            title: above the progress bar.
            brought: the images.
            model: that :meth:`follow` was last called with.
            uploader: where they were dropped.
            origin: what the images show, as far as is known.
        """
        pile = self.pile
        self._start(title, lambda job: pile.add(brought.source, model, job, origin))
        # The job holds the files until it has copied them to disk; the upload store need not.
        uploads.release(uploader, brought.files)

    def _start(self, title: str, work: Callable[[Job[None]], None]) -> None:
        key = f"{self.kind}:{self._name}:{len(self.job_keys)}"
        self.job_keys.append(key)
        watch.start(key, title, work)

    def clear(self) -> None:
        """Drop all images; jobs that still work are stopped."""
        for key in self.job_keys:
            watch.registry().discard(key)
        # A name of its own for every list: a job that has not yet stopped is not taken for one of the next.
        self._name = uuid.uuid4().hex
        self.pile, self.job_keys, self.selected = Pile(self.pile.identity), [], None
        self.drawn = False


class Reviews:
    """A session's lists of one kind, by model."""

    kind = ""

    def __init__(self) -> None:
        self.by_model: dict[str, Review] = {}

    def of(self, entry: Entry) -> Review:
        """The list of images scored with this model."""
        review = self.by_model.pop(entry.id, None) or Review(self.kind)
        self.by_model[entry.id] = review
        while len(self.by_model) > _MOST:
            self.by_model.pop(next(iter(self.by_model))).clear()
        return review


def unknown(model: Padim, items: Iterable[ScoredUpload]) -> list[ScoredUpload]:
    """Return the images that are none of the model's own, by content, in order of arrival."""
    from padim.analysis.second_session import not_in_model

    return sorted(not_in_model(model, items), key=lambda item: item.number)
