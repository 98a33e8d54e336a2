"""Lists of images that one browser scores with one model, scored again whenever the model's scores change.

Scores are valid for the state of the model that computed them. When a normal is excluded, included or added,
or the model is calibrated again, the images are automatically scored again from the copies on disk. A change
of the threshold or the smallest region does not require that.

All pages of a browser share its lists, also after a reload. Which image is selected, and what the viewer on a
page has sent, belongs to each page.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ui import viewing
from ui.app import state, workspace
from ui.files import uploads
from ui.jobs import watch
from ui.scoring import Pile, PileSource

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.jobs.jobs import Job
    from ui.scoring import KnownLabel, ScoredUpload

# Number of models for which a browser keeps images; for another one, the least recently used is dropped.
_MAX_MODELS = 4
# Stores scored images; returns why it could not, as a sentence, or nothing.
Keep = Callable[["Sequence[ScoredUpload]"], str]


@dataclass
class ReviewView:
    """What one page shows of a list.

    Attributes:
        name: the list's name when it was shown; another one means that it was cleared meanwhile.
        selected: number of the selected image, or None.
        handled: serial numbers of the viewer's actions that the server has handled.
        drawn: whether the viewer has been shown on the page.
    """

    name: str = ""
    selected: int | None = None
    handled: viewing.HandledCounts = field(default_factory=viewing.HandledCounts)
    drawn: bool = False


@dataclass
class _Views:
    """What the pages of one session show of its browser's lists, by kind of list and model id."""

    of: dict[tuple[str, str], ReviewView] = field(default_factory=dict)

    def begin_page(self) -> None:
        """Keep the selections for a page that was loaded again; its viewers count their actions anew."""
        self.of = {key: ReviewView(one.name, one.selected) for key, one in self.of.items()}


@dataclass
class Review:
    """One list of scored images.

    Attributes:
        kind: prefix of its jobs' keys, which styles and tests rely on.
        model_id: id of the model that scores them.
        pile: the images and their scores.
        job_keys: keys of the jobs that add to it, the latest last.
    """

    kind: str
    model_id: str
    pile: Pile = field(default_factory=lambda: Pile(""))
    job_keys: list[str] = field(default_factory=list)
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def view(self) -> ReviewView:
        """Return what this session's page shows of the list."""
        view = state.lasting(_Views).of.setdefault((self.kind, self.model_id), ReviewView(self._name))
        if view.name != self._name:
            view.name, view.selected, view.drawn = self._name, None, False
        return view

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
        with self._lock:
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
        self,
        title: str,
        image_set: ImageSet,
        model: Padim,
        uploader: str,
        origin: KnownLabel | Mapping[str, KnownLabel] = "unknown",
        keep: Keep | None = None,
        once: bool | None = None,
    ) -> None:
        """Score images in the background and add them to the list.

        Args:
            title: the text above the progress bar.
            image_set: the images.
            model: the model that :meth:`follow` was last called with.
            uploader: name of the uploader to empty.
            origin: what the images show, as far as known, for all of them or by name.
            keep: stores every few images that could be scored, and returns why it could not.
            once: whether an image that is in the list already is left out; default: with ``keep``.
        """
        with self._lock:
            pile = self.pile

            def kept(items: Sequence[ScoredUpload]) -> None:
                if keep is not None and items and (why := keep(items)):
                    pile.notes[why] = None

            self._start(
                title,
                lambda job: pile.add(
                    image_set.source,
                    model,
                    job,
                    origin,
                    in_place=image_set.in_place,
                    keep=kept,
                    once=keep is not None if once is None else once,
                ),
            )
        # The job references the files until it has copied them to disk, so the upload store need not.
        uploads.release(uploader, image_set.files)

    def _start(self, title: str, work: Callable[[Job[None]], None]) -> None:
        key = f"{self.kind}:{self._name}:{len(self.job_keys)}"
        self.job_keys.append(key)
        watch.start(key, title, work, model=self.model_id)

    def clear(self) -> None:
        """Drop all images and stop the jobs that are still running."""
        with self._lock:
            for key in self.job_keys:
                watch.registry().discard(key)
            # A new name, so that a job that has not stopped yet is not mistaken for one of the next list.
            self._name = uuid.uuid4().hex
            self.pile, self.job_keys = Pile(self.pile.identity), []


class Reviews:
    """A browser's image lists of one kind, by model id (thread-safe)."""

    kind = ""

    def __init__(self) -> None:
        self.by_model: dict[str, Review] = {}
        self._lock = threading.Lock()

    def of(self, entry: Entry) -> Review:
        """Return the list of images scored with this model, created at first use."""
        with self._lock:
            review = self.by_model.pop(entry.id, None) or Review(self.kind, entry.id)
            self.by_model[entry.id] = review
            dropped = [
                self.by_model.pop(model) for model in list(self.by_model)[: len(self.by_model) - _MAX_MODELS]
            ]
        for one in dropped:
            one.clear()
        return review

    def held_bytes(self) -> int:
        """Return the bytes that the images of all its lists hold."""
        with self._lock:
            return sum(review.pile.held_bytes() for review in self.by_model.values())

    def release(self) -> None:
        """Drop all lists."""
        with self._lock:
            dropped = list(self.by_model.values())
            self.by_model.clear()
        for one in dropped:
            one.clear()


def unknown(model: Padim, items: Iterable[ScoredUpload]) -> list[ScoredUpload]:
    """Return the images that are none of the model's own, by content, in order of arrival."""
    from padim.analysis.second_session import not_in_model

    return sorted(not_in_model(model, items), key=lambda item: item.number)
