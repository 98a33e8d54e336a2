"""What the Evaluate page works out: labelled pictures scored once, and what a threshold makes of them.

The network and the counting of pixels run once, in the background. A threshold, or another smallest region,
costs no more than a recount of the scores.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from padim.output import results
from ui.app import state, workspace
from ui.app.text import count, multiple
from ui.files import bring, folders, labelled, uploads
from ui.files.media import Picture
from ui.jobs import watch
from ui.widgets.panels import Thumb

if TYPE_CHECKING:
    from padim.analysis.evaluation import Judged
    from padim.analysis.metrics import Figure, Report
    from padim.data.datasets import Dataset
    from padim.data.preprocess import Box
    from padim.decision.operating_points import Rate
    from padim.model import Padim, ScoredImage
    from padim.storage.workspace import Entry
    from ui.files.uploads import Named
    from ui.jobs.jobs import Job

UPLOADER = "evaluate"
# Longest side in pixels of the pictures in the galleries.
THUMB_SIDE = 256
# Pictures that a cell's gallery shows.
MOST = 24
_BATCH = 8

Cell = Literal["false_reject", "miss", "caught", "passed"]
CELLS: dict[Cell, str] = {
    "false_reject": "Good, rejected",
    "miss": "Defect, accepted",
    "caught": "Defect, rejected",
    "passed": "Good, accepted",
}


@dataclass(frozen=True)
class Item:
    """One scored picture.

    Attributes:
        name: in its data set.
        kind: ``good``, or what is wrong with it.
        good: whether the part is good.
        grid: float32 ``(grid, grid)``, distances: its score for another smallest region comes from them.
        original_size: (height, width) in pixels.
        content_box: where it lies in the map, None when it fills it.
        thumb: a small JPEG.
    """

    name: str
    kind: str
    good: bool
    grid: npt.NDArray[np.float32]
    original_size: tuple[int, int]
    content_box: Box | None
    thumb: Picture


@dataclass(frozen=True)
class Evaluated:
    """A data set, scored by one state of a model.

    Attributes:
        label: what it is, as the user knows it.
        identity: what the scores depend on (``workspace.scoring_identity``).
        judged: scores, labels and pixels.
        items: its pictures, in the same order.
        min_area: the smallest region they were scored for.
    """

    label: str
    identity: str
    judged: Judged
    items: tuple[Item, ...]
    min_area: int
    _scores: dict[int, list[int]] = field(default_factory=dict, repr=False)
    _reports: dict[tuple[int, int | None, str], Report] = field(default_factory=dict, repr=False)

    def scores(self, model: Padim) -> list[int]:
        """Levels, in order of ``items``, for the smallest region in use."""
        from padim.decision.regions import region_score

        area = model.config.min_area
        if area == self.min_area:
            return [picture.score for picture in self.judged.pictures]
        if area not in self._scores:
            self._scores[area] = [
                region_score(model.judge.map(item.grid, item.original_size), area) for item in self.items
            ]
        return self._scores[area]

    def report(self, model: Padim, level: int | None) -> Report:
        """All figures at a threshold; None: those that need none."""
        key = model.config.min_area, level, repr(model.guard)
        if key not in self._reports:
            self._reports[key] = self.judged.report(model, level, self.scores(model))
        return self._reports[key]

    def by_kind(self, model: Padim) -> dict[str, list[float]]:
        """Scores in map units, good parts first, then kinds by name."""
        found: dict[str, list[float]] = {}
        pairs = zip(self.items, self.scores(model), strict=True)
        for item, score in sorted(pairs, key=lambda pair: (not pair[0].good, pair[0].kind)):
            found.setdefault(item.kind, []).append(model.quantizer.to_value(score))
        return found

    def classes(self, model: Padim) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Levels of the good parts, and of the defects."""
        scores = np.array(self.scores(model), np.int64)
        good = np.array([item.good for item in self.items], np.bool_)
        return scores[good], scores[~good]

    def confusion(self, model: Padim, level: int) -> dict[Cell, list[tuple[Item, int]]]:
        """The pictures of every cell with their scores: errors worst first, the others closest to one."""
        cells: dict[Cell, list[tuple[Item, int]]] = {cell: [] for cell in CELLS}
        for item, score in zip(self.items, self.scores(model), strict=True):
            rejected = score > level
            cell: Cell
            if item.good:
                cell = "false_reject" if rejected else "passed"
            else:
                cell = "caught" if rejected else "miss"
            cells[cell].append((item, score))
        for cell, pairs in cells.items():
            # A good part is worse the higher it scores, a defect the lower.
            pairs.sort(key=lambda pair: -pair[1] if cell in ("false_reject", "passed") else pair[1])
        return cells


# -- one session's ---------------------------------------------------------------------------------------


@dataclass
class _Sessions:
    """Keys of this session's evaluations, by model."""

    keys: dict[str, str] = field(default_factory=dict)


def job(entry: Entry) -> Job[Evaluated] | None:
    """This session's evaluation of this model, running or ended; None: there is none."""
    key = state.of(_Sessions).keys.get(entry.id)
    return None if key is None else watch.find(key)


def clear(entry: Entry) -> None:
    """Forget it; one that still runs is stopped."""
    key = state.of(_Sessions).keys.pop(entry.id, None)
    if key is not None:
        watch.registry().discard(key)


def start(entry: Entry, model: Padim, dataset: Dataset, label: str) -> None:
    """Score a data set in the background, in place of what was evaluated before."""
    clear(entry)
    key = f"evaluate:{uuid.uuid4().hex}"
    state.of(_Sessions).keys[entry.id] = key
    identity = workspace.scoring_identity(entry)
    watch.start(key, f"Evaluating {label}", lambda job: _evaluated(model, dataset, label, identity, job))


def _evaluated(model: Padim, dataset: Dataset, label: str, identity: str, job: Job[Evaluated]) -> Evaluated:
    job.progress(0, len(dataset), "Scoring")
    from padim.analysis.evaluation import judge

    items: list[Item] = []
    area, level = model.config.min_area, None if model.threshold_ is None else model.threshold_.level

    def scored(one: ScoredImage, kind: str) -> None:
        thumb = Picture(one.thumbnail or b"")
        good = dataset.samples[one.name].good
        items.append(Item(one.name, kind, good, one.grid, one.original_size, one.content_box, thumb))
        job.progress(len(items), len(dataset), "Scoring")

    judged = judge(
        model, dataset, cancel=job.cancelled, on_scored=scored, thumbnail_side=THUMB_SIDE, batch_size=_BATCH
    )
    job.progress(0, None, "Counting")
    found = Evaluated(label, identity, judged, tuple(items), area)
    found.report(model, level)  # here, so that the page need not wait for the intervals
    return found


# -- bringing pictures -----------------------------------------------------------------------------------


def take_uploads(entry: Entry, model: Padim, files: list[Named]) -> None:
    """Evaluate an uploaded zip or folder.

    Raises:
        PadimError: no labelled pictures among them.
    """
    from padim.data.datasets import open_uploads

    label = files[0][0] if len(files) == 1 else count(len(files), "uploaded file")
    try:
        start(entry, model, open_uploads(files), label)
    finally:
        # The job holds the files as long as it reads them; the upload store need not.
        uploads.release(UPLOADER, files)


def take_folder(entry: Entry, model: Padim, named: str) -> None:
    """Evaluate a folder or zip on the server, named below one of its open folders.

    Raises:
        PadimError: it is not open, not there, or has no labelled pictures.
    """
    path = folders.resolve(named)
    start(entry, model, labelled.open_folder(path), path.name)


def sample() -> Path | None:
    """The sample's part, or None where the sample is not installed."""
    return bring.sample_part()


def take_sample(entry: Entry, model: Padim) -> None:
    """Evaluate the sample's labelled pictures."""
    from padim.data.datasets import open_dataset

    part = sample()
    if part is not None:
        start(entry, model, open_dataset(part), f"Sample: {part.name}")


# -- words -----------------------------------------------------------------------------------------------

# Name, the report's attribute, and what it says.
RANKING = (
    (
        "Image AUROC",
        "image_auroc",
        "How often a defect scores above a good part, of all pairs. 1 is perfect, 0.5 is guessing.",
    ),
    (
        "Image average precision",
        "image_ap",
        "How clean the list stays when read from the highest score down to the last defect. Depends on how "
        "many defects there are.",
    ),
    (
        "Best image F1",
        "image_f1",
        "Finding defects without rejecting good parts, at the best threshold for these very pictures: no "
        "threshold does better on them, a new batch may do worse.",
    ),
    (
        "False rejects at zero miss",
        "zero_miss",
        "The share of good parts rejected once the threshold is low enough to catch every one of these "
        "defects. Lower is better.",
    ),
    (
        "Pixel AUROC",
        "pixel_auroc",
        "How often a pixel inside a drawn defect scores above one outside. Large defects weigh most.",
    ),
    (
        "Pixel average precision",
        "pixel_ap",
        "How much of what is marked first is really defect, pixel by pixel. Stricter than AUROC where "
        "defects are small.",
    ),
    (
        "Pixel AUPRO",
        "aupro",
        "How much of each defect region is found while at most 30 % of the sound pixels are marked. Every "
        "region counts alike, the small ones too.",
    ),
    (
        "Best pixel F1",
        "pixel_f1",
        "How well the mask fits the drawn defects, at the best threshold for pixels.",
    ),
)


def said(figure: Figure) -> tuple[str, str]:
    """A figure and its interval as text; without one, a dash and why."""
    if figure.value is None:
        why = figure.why
        return "–", f"{why[:1].upper()}{why[1:]}."
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}", "Too few pictures for an interval."
    return f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}"


def rate_said(rate: Rate) -> tuple[str, str]:
    """A counted share and its interval as text."""
    if not rate.of:
        return "–", "There are none to count."
    return f"{rate.count} of {rate.of}", f"{rate.low * 100:.1f} to {rate.high * 100:.1f} %"


def table(found: Report, at_threshold: bool) -> list[tuple[str, str, str, str]]:
    """Lines for the table of figures: name, value, interval or reason, what it says."""
    lines = [(name, *said(getattr(found, attribute)), says) for name, attribute, says in RANKING]
    if at_threshold:
        lines += [
            (
                "Good parts rejected",
                *rate_said(found.false_rejects),
                "Counted at the threshold in use. The interval is exact for a share that was counted.",
            ),
            ("Defects missed", *rate_said(found.misses), "Counted at the threshold in use."),
        ]
    return lines


def thumbs(pairs: list[tuple[Item, int]], model: Padim, level: int) -> list[Thumb]:
    """The first pictures of a cell, with what is marked in them outlined."""
    value = model.quantizer.to_value
    return [
        Thumb(
            _outlined(item, model, level) if score > level else item.thumb,
            item.name,
            f"{multiple(value(score), value(level))} threshold",
        )
        for item, score in pairs[:MOST]
    ]


def _outlined(item: Item, model: Padim, level: int) -> Picture:
    from padim.data.decode import decode
    from padim.decision.regions import decide
    from padim.output.render import encode_jpeg, overlay

    rgb = decode(item.thumb.data, item.name)
    levels = model.judge.map(item.grid, item.original_size)
    decision = decide(
        levels,
        level,
        model.config.min_area,
        original_size=(rgb.shape[0], rgb.shape[1]),
        content_box=item.content_box,
    )
    drawn = overlay(rgb, levels, decision.mask, level, opacity=0, content_box=item.content_box)
    return Picture(encode_jpeg(drawn, 88))


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: Report, evaluated: Evaluated, entry: Entry, level: int | None) -> bytes:
    """Every figure with its interval, one a line; those of a kind of defect name it."""
    lines: list[Iterable[object]] = []
    lines.append(("figure", "kind", "value", "low_95", "high_95", "count", "of", "why_not", "model", "data"))
    about = (entry.name, evaluated.label)

    def figure(name: str, one: Figure, kind: str = "") -> None:
        numbers = ("" if number is None else f"{number:.6g}" for number in (one.value, one.low, one.high))
        lines.append((name, kind, *numbers, "", "", one.why, *about))

    def rate(name: str, one: Rate, kind: str = "") -> None:
        numbers = (f"{number:.6g}" if one.of else "" for number in (one.share, one.low, one.high))
        lines.append((name, kind, *numbers, one.count, one.of, "", *about))

    for _, attribute, _ in RANKING:
        figure(attribute, getattr(found, attribute))
    if level is not None:
        rate("false_rejects", found.false_rejects)
        rate("misses", found.misses)
    for kind in found.kinds:
        figure("image_auroc", kind.auroc, kind.name)
        figure("pixel_auroc", kind.pixel_auroc, kind.name)
        figure("aupro", kind.aupro, kind.name)
        if level is not None:
            rate("caught", kind.caught, kind.name)
    return results.csv_file(lines)


def pictures_csv(evaluated: Evaluated, model: Padim, level: int | None) -> bytes:
    """Every picture with its label, score and verdict, one a line."""
    lines: list[Iterable[object]] = []
    lines.append(("name", "kind", "score", "threshold", "above_threshold", "verdict"))
    value = model.quantizer.to_value
    for item, score in zip(evaluated.items, evaluated.scores(model), strict=True):
        at: tuple[str, ...] = ("", "", "")
        if level is not None:
            at = (f"{value(level):.6g}", "yes" if score > level else "no", model.verdict(score, level))
        lines.append((item.name, item.kind, f"{value(score):.6g}", *at))
    return results.csv_file(lines)
