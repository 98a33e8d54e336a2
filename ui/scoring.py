"""Test images, scored once in the background and decided again whenever a threshold changes.

An image's bytes are written to a temporary file. Its distance grid, a small image and, up to a limit, the
level map for the browser stay in memory, so that the network runs once per image.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from padim.analysis.stored_score import StoredScore
from padim.errors import ImageError
from padim.storage.leftovers import ScratchFolder
from ui.files.media import Numbers, ServedImage
from ui.jobs.follow_up import FollowUp

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.account import PassedOver
    from padim.data.sources import Source
    from padim.decision.prediction import Prediction
    from padim.model import Padim
    from ui.jobs.jobs import Job

# Longest side in pixels of the image that galleries show, and the viewer until it has the full one.
THUMB_SIDE = 384
# Bytes of packed level maps that one list keeps for the browser: those of some 4,000 images at 256 px.
MAPS_KEPT = 96 * 2**20
# Score curves reach at least this far, in map pixels: the range of the control for the smallest region.
AREAS = 256
# Images per run of the network: few enough for the progress bar to move, and for decoding to keep ahead.
BATCH = 8
# Scored images that are handed on at once.
_KEPT_AT_ONCE = 32
# Scored images that wait for their regions and their record, with their level maps, 128 KB each at 256 px.
_AHEAD = 2 * BATCH


# What the user knows about the content of test images.
KnownLabel = Literal["good", "defect", "unknown"]


def areas_for(model: Padim) -> int:
    """Return the largest size, in map pixels, of the smallest region that the browser has scores for."""
    areas = AREAS
    while areas < model.config.min_area:
        areas *= 2
    return areas


def map_numbers(q: npt.NDArray[np.uint16], areas: int) -> Numbers:
    """Pack the scores for smallest regions of 1 to ``areas`` pixels, and the level map, for the browser.

    Args:
        q: level map, uint16 ``(h, w)``.
        areas: the largest smallest-region size, in map pixels.
    """
    from padim.decision.regions import region_scores

    return Numbers.of(region_scores(q, areas)[None], q)


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoredUpload(StoredScore):
    """One scored test image.

    Attributes:
        number: its position in the order of arrival, unique in its pile.
        file: its unchanged bytes on disk.
        thumb: a small JPEG.
        origin: what the user knew about its content.
        folder: the temporary folder of ``file``, which stays as long as something refers to the image.
        given_name: the name as it came; ``name`` differs where the list has one of that name already.
    """

    number: int
    file: Path
    thumb: ServedImage
    origin: KnownLabel = "unknown"
    folder: ScratchFolder | None = field(default=None, repr=False)
    given_name: str = ""
    _numbers: dict[int, Numbers] = field(default_factory=dict, repr=False)

    def numbers(self, model: Padim) -> Numbers:
        """Return the packed level map, computed again unless :meth:`keep_numbers` has kept it."""
        areas = areas_for(model)
        return self._numbers.get(areas) or map_numbers(self.levels(model), areas)

    def keep_numbers(self, model: Padim, q: npt.NDArray[np.uint16] | None = None) -> int:
        """Keep the packed level map and its scores in memory; return the map's size in bytes.

        Args:
            model: the model that scored the image.
            q: the level map, uint16 ``(h, w)``, if it has been computed already.
        """
        from padim.decision.regions import region_scores

        areas = areas_for(model)
        q = self.levels(model) if q is None else q
        curve = region_scores(q, areas)
        numbers = Numbers.of(curve[None], q)
        self._numbers.clear()
        self._numbers[areas] = numbers
        self._scores.update(enumerate(curve.tolist(), 1))
        return len(numbers.data)

    def kept_numbers(self, model: Padim) -> Numbers | None:
        """Return the packed level map if it is kept, else None."""
        if self._numbers and areas_for(model) not in self._numbers:
            self.keep_numbers(model)  # the range of smallest regions has changed since
        return self._numbers.get(areas_for(model))


class Pile:
    """The scored images of one model, to which jobs add while pages read it (thread-safe).

    Attributes:
        identity: ``workspace.scoring_identity`` of the model that scored the images.
        notes: sentences for the user, such as why an image could not be kept in the library.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._lock = threading.Lock()
        self._items: list[ScoredUpload] = []
        self._failed: list[ImageError] = []
        self._passed_over: list[PassedOver] = []
        self.notes: dict[str, None] = {}
        self._names: set[str] = set()
        self._arrived = 0
        self._maps_kept = 0
        self._bytes = 0
        self._folder = ScratchFolder()

    @cached_property
    def folder(self) -> Path:
        """Return the folder with the images' bytes, which is deleted with the pile."""
        return Path(self._folder.name)

    @property
    def items(self) -> list[ScoredUpload]:
        """Return the images scored so far, in order of arrival."""
        with self._lock:
            return list(self._items)

    @property
    def failed(self) -> list[ImageError]:
        """Return the errors of the files that could not be used so far."""
        with self._lock:
            return list(self._failed)

    @property
    def passed_over(self) -> list[PassedOver]:
        """Return the files so far that are no images of the user's."""
        with self._lock:
            return list(self._passed_over)

    @property
    def answered(self) -> bool:
        """Whether there is anything to say about files that were not used."""
        with self._lock:
            return bool(self._failed or self._passed_over)

    def __len__(self) -> int:
        with self._lock:
            return len(self._items)

    def held_bytes(self) -> int:
        """Return the bytes in memory and in temporary files."""
        with self._lock:
            return self._bytes + self._maps_kept

    def pass_over(self, files: Iterable[PassedOver]) -> None:
        """Record files that are no images of the user's."""
        with self._lock:
            self._passed_over += files

    def fail(self, error: ImageError) -> None:
        """Record a file that cannot be used."""
        with self._lock:
            self._failed.append(error)

    def add(
        self,
        source: Source | PileSource,
        model: Padim,
        job: Job[None],
        origin: KnownLabel | Mapping[str, KnownLabel] = "unknown",
        *,
        in_place: Mapping[str, Path] | None = None,
        keep: Callable[[Sequence[ScoredUpload]], None] = lambda items: None,
        once: bool = False,
    ) -> None:
        """Score every image of a source and add it to the pile; the work of a background job.

        Args:
            source: the images.
            model: the model that scores them.
            job: receives the progress and is polled for cancellation.
            origin: what the images show, for all of them or by name.
            in_place: by name, the files of images that stay where they are, such as those of the image
                library; others are copied.
            keep: called with every few images that could be scored.
            once: whether an image that is in the pile already is left out; ``keep`` gets the one there.

        Raises:
            Cancelled: the user stopped the job; the images scored so far stay.
        """
        arrivals: dict[str, tuple[int, Path, str]] = {}
        scored_now: list[ScoredUpload] = []

        def kept() -> Iterator[tuple[str, bytes]]:
            there = {item.sha256: item for item in self.items} if once else {}
            for name, data in source:
                if there and (item := there.get(sha256(data).hexdigest())):
                    scored_now.append(item)
                    continue
                with self._lock:
                    self._arrived += 1
                    number = self._arrived
                    shown, again = name, 2
                    while shown in self._names:
                        shown, again = f"{name} (again, {again})", again + 1
                    self._names.add(shown)
                file = (in_place or {}).get(name)
                if file is None:
                    file = self.folder / f"{number:06d}"
                    file.write_bytes(data)
                arrivals[shown] = (number, file, name)
                yield shown, data

        def failed(error: ImageError) -> None:
            self.fail(error)
            _, file, _ = arrivals.pop(error.name, (0, None, ""))
            if file is not None and file.parent == self.folder:
                file.unlink(missing_ok=True)

        total = len(source)
        job.progress(0, total, "Scoring")
        threshold, area = model.current_threshold, model.config.min_area
        scored = model.predict(
            kept(), batch_size=BATCH, thumbnail_side=THUMB_SIDE, cancel=job.cancelled, on_error=failed
        )

        def finish(done: int, one: Prediction, item: ScoredUpload) -> None:
            nonlocal scored_now
            if self._maps_kept < MAPS_KEPT:
                self._maps_kept += item.keep_numbers(model, one.levels)
            if threshold is not None:
                # Count the regions here, where they are cached for this threshold, so that the list is drawn
                # quickly.
                item.regions(model, threshold.level, area, one.levels)
            with self._lock:
                self._items.append(item)
                self._bytes += item.grid.nbytes + len(item.thumb.data) + item.file.stat().st_size
            scored_now.append(item)
            if len(scored_now) >= _KEPT_AT_ONCE:
                ready, scored_now = scored_now, []
                keep(ready)
            job.progress(done, total, "Scoring")

        try:
            # Maps, regions and records of an image are made while the next ones go through the network.
            with FollowUp(_AHEAD) as follow_up:
                for done, one in enumerate(scored, 1):
                    number, file, given_name = arrivals.pop(one.name)
                    item = ScoredUpload(
                        one.name,
                        one.sha256,
                        one.original_size,
                        one.content_box,
                        one.grid,
                        notes=one.notes,
                        _scores={area: one.score_level},
                        input_sha256=one.input_sha256,
                        pose=one.pose,
                        placement=one.placement,
                        lost=one.lost,
                        number=number,
                        file=file,
                        thumb=ServedImage(one.thumbnail or b""),
                        origin=origin if isinstance(origin, str) else origin.get(one.name, "unknown"),
                        folder=self._folder,
                        given_name=given_name,
                    )
                    follow_up.do(partial(finish, done, one, item))
        finally:
            # Also of a job that was stopped: its images are in the list.
            keep(scored_now)
        for error in source.skipped:
            self.fail(error)
        self.pass_over(source.passed_over)


class PileSource:
    """An image source that reads the images of a pile again; it keeps the pile's files on disk.

    Attributes:
        skipped: always empty, because files that cannot be used were reported when they were first read.
        passed_over: always empty, for the same reason.
    """

    skipped: tuple[ImageError, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    def __init__(self, pile: Pile) -> None:
        self._pile = pile

    def __len__(self) -> int:
        return len(self._pile)

    @property
    def origins(self) -> dict[str, KnownLabel]:
        """Return what the user knew about the images, by name."""
        return {item.name: item.origin for item in self._pile.items}

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for item in sorted(self._pile.items, key=lambda item: item.number):
            yield item.name, item.file.read_bytes()


class PileSelection(PileSource):
    """Some images of a pile as a source, which keeps the files of the whole pile on disk."""

    def __init__(self, pile: Pile, items: Iterable[ScoredUpload]) -> None:
        super().__init__(pile)
        self._picked = list(items)

    def __len__(self) -> int:
        return len(self._picked)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for item in self._picked:
            yield item.name, item.file.read_bytes()
