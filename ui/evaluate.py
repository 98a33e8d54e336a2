"""Logic of Validate, Test set: labeled images scored once, and their metrics at a threshold.

The network and the counting of pixels run once, in the background. Another threshold or smallest region only
requires the scores to be counted again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ui import library
from ui.app import state, workspace
from ui.app.text import count, multiple
from ui.files import folders, image_input, labeled, uploads
from ui.files.media import ServedImage
from ui.jobs import watch
from ui.widgets.panels import Thumb
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.analysis.metrics import EvaluationReport, Figure
    from padim.analysis.scored_dataset import LabeledScore, Outcome, ScoredDataset
    from padim.data.datasets import Dataset
    from padim.decision.operating_points import Rate
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.files.uploads import Named
    from ui.jobs.jobs import Job

UPLOADER = "evaluate"
# Longest side in pixels of the images in the galleries.
THUMB_SIDE = 256
# Number of images in the gallery of one cell of the confusion matrix.
GALLERY_SIZE = 24
_BATCH = 8

ChecksShown = Literal["all", "lost", "displaced"]
CHECKED: dict[ChecksShown, str] = {"all": "All", "lost": "Part not found", "displaced": "Displaced"}

CELLS: dict[Outcome, str] = {
    "false_reject": "False rejects",
    "good_review": "Good, in review",
    "miss": "Missed defects",
    "defect_review": "Defect, in review",
    "caught": "Defect, rejected",
    "passed": "Good, accepted",
}


# The cells that are errors of the inspection, as they are named on an image.
ERRORS: dict[Outcome, str] = {"false_reject": "False reject", "miss": "Missed defect"}


@dataclass(frozen=True)
class Evaluated:
    """A data set scored by one state of a model.

    Attributes:
        label: describes the data set to the user.
        identity: ``workspace.scoring_identity`` at the time of scoring.
        scored: the scored images.
        library_note: why not all of them were kept in the image library; empty if they were.
    """

    label: str
    identity: str
    scored: ScoredDataset
    library_note: str = ""


# -- state of the session --------------------------------------------------------------------------------


@dataclass
class _Sessions:
    """The keys of this session's evaluation jobs, by model id."""

    keys: dict[str, str] = field(default_factory=dict)


def job(entry: Entry) -> Job[Evaluated] | None:
    """Return this session's evaluation of this model, running or ended, or None."""
    key = state.lasting(_Sessions).keys.get(entry.id)
    return None if key is None else watch.find(key)


def clear(entry: Entry) -> None:
    """Drop this session's evaluation of this model; stop it if it is still running."""
    key = state.lasting(_Sessions).keys.pop(entry.id, None)
    if key is not None:
        watch.registry().discard(key)


def start(entry: Entry, model: Padim, dataset: Dataset, label: str, *, keep: bool = True) -> None:
    """Score a data set in the background, and drop the last evaluation of this model.

    Args:
        entry: the model.
        model: the same model, opened.
        dataset: the labeled images.
        label: describes them to the user.
        keep: whether they are added to the image library.
    """
    clear(entry)
    key = f"evaluate:{uuid.uuid4().hex}"
    state.lasting(_Sessions).keys[entry.id] = key
    identity = workspace.scoring_identity(entry)
    into = entry if keep else None
    watch.start(
        key,
        f"Evaluating {label}",
        lambda job: _evaluated(model, dataset, label, identity, into, job),
        model=entry.id,
    )


def _evaluated(
    model: Padim, dataset: Dataset, label: str, identity: str, into: Entry | None, job: Job[Evaluated]
) -> Evaluated:
    from padim.analysis.scored_dataset import score_dataset

    scored = score_dataset(
        model,
        dataset,
        thumbnail_side=THUMB_SIDE,
        batch_size=_BATCH,
        progress=job.progress,
        cancel=job.cancelled,
    )
    note = ""
    if into is not None:
        unusable = {error.name for error in scored.evaluation.failed}
        note = library.keep_dataset(into, dataset, label, job, unusable)
    return Evaluated(label, identity, scored, note)


def take_library(entry: Entry, model: Padim, found: image_input.ImageSet) -> None:
    """Evaluate labeled images of the library."""
    assert found.in_library is not None
    start(entry, model, found.in_library.dataset(), found.label, keep=False)


# -- choosing images -----------------------------------------------------------------------------------


def take_uploads(entry: Entry, model: Padim, files: list[Named]) -> None:
    """Evaluate an uploaded zip or folder.

    Raises:
        PadimError: there are no labeled images among them.
    """
    from padim.data.datasets import open_uploads

    label = files[0][0] if len(files) == 1 else count(len(files), "uploaded file")
    try:
        start(entry, model, open_uploads(files), label)
    finally:
        # The job references the files as long as it reads them, so the upload store need not.
        uploads.release(UPLOADER, files)


def take_folder(entry: Entry, model: Padim, named: str) -> None:
    """Evaluate a folder or zip on the server, named relative to a folder that is open to the app.

    Raises:
        PadimError: it is not open to the app, does not exist, or has no labeled images.
    """
    path = folders.resolve(named)
    start(entry, model, labeled.open_folder(path), path.name)


def sample(entry: Entry) -> Path | None:
    """Return the sample's folder; None if it is not installed, or the model is of other parts."""
    return image_input.sample_part() if library.is_of_sample(entry) else None


def take_sample(entry: Entry, model: Padim) -> None:
    """Evaluate the sample's labeled images."""
    from padim.data.datasets import open_dataset

    part = sample(entry)
    if part is not None:
        start(entry, model, open_dataset(part), f"Sample: {part.name}")


# -- texts -----------------------------------------------------------------------------------------------

# (name of the metric, attribute of the report, explanation)
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
        "Finding defects without rejecting good parts, at the best threshold for these very images: no "
        "threshold does better on them, a new batch may do worse.",
    ),
    (
        "False rejects with no missed defect",
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


_WHERE = {
    False: "Counted at the threshold in use.",
    True: "Counted beyond the guard band around the threshold in use.",
}


def figure_text(figure: Figure) -> tuple[str, str]:
    """Format a metric as (value, interval); without a value, as a dash and the reason."""
    if figure.value is None:
        why = figure.why
        return "–", f"{why[:1].upper()}{why[1:]}."
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}", "Too few images for an interval."
    return f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}"


def rate_text(rate: Rate) -> tuple[str, str]:
    """Format a counted share as (count, interval)."""
    if not rate.of:
        return "–", "There are none to count."
    return f"{rate.count} of {rate.of}", f"{rate.low * 100:.1f} to {rate.high * 100:.1f} %"


def table(found: EvaluationReport, at_threshold: bool, band: bool) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table of metrics: name, value, interval or reason, explanation.

    Args:
        found: the metrics.
        at_threshold: whether to include the counts at the threshold in use.
        band: whether a guard band is in use, which sends images to review.
    """
    from padim.decision.operating_points import Rate

    lines = [(name, *figure_text(getattr(found, attribute)), says) for name, attribute, says in RANKING]
    if at_threshold:
        lines += [
            (
                "False rejects (overkill)",
                *rate_text(found.false_rejects),
                f"{_WHERE[band]} The interval is exact for a share that was counted.",
            ),
            ("Missed defects (escapes)", *rate_text(found.misses), _WHERE[band]),
        ]
        if band:
            lines += [
                (name, *rate_text(Rate.counted(of.review, of.total)), "Within the guard band: neither.")
                for name, of in (("Good parts in review", found.good), ("Defects in review", found.defects))
            ]
    return lines


def cell_text(cell: Outcome, n: int) -> str:
    """Return the name of a cell with its number of images, in red if these are errors."""
    text = f"{CELLS[cell]}: {n:,}"
    return f":red[{text}]" if n and cell in ERRORS else text


def errors_by_type(report: EvaluationReport) -> tuple[list[str], list[list[Cell]]]:
    """Return head and rows of the table of missed defects by their type, the worst type first."""
    rows = []
    for kind in sorted(report.kinds, key=lambda one: (one.caught.share, one.name)):
        rate, review = kind.caught, kind.verdicts.review
        missed = rate.of - rate.count
        share = f"{(1 - rate.high) * 100:.0f} to {(1 - rate.low) * 100:.0f} %" if rate.of else ""
        rows.append(
            [
                Cell(kind.name, strong=True),
                Cell(f"{missed:,} of {rate.of:,}", f"95 %: {share}", error=missed > 0),
                Cell(f"{review:,}" if review else "–"),
                Cell(f"{kind.verdicts.reject:,}"),
            ]
        )
    return ["Defect type", "Missed defects (escapes)", "In review", "Rejected"], rows


def thumbs(pairs: list[tuple[LabeledScore, int]], model: Padim, level: int, cell: Outcome) -> list[Thumb]:
    """Return gallery tiles of the first images of a cell, with the outlines of their masks."""
    value = model.state.fitted.quantizer.to_value
    return [
        Thumb(
            _outlined(image, model, level) if score > level else ServedImage(image.thumbnail or b""),
            image.name,
            "; ".join(image.fired(model, level)) or f"{multiple(value(score), value(level))} threshold",
            error=ERRORS.get(cell, ""),
        )
        for image, score in pairs[:GALLERY_SIZE]
    ]


def checks_text(pairs: list[tuple[LabeledScore, int]], model: Padim, level: int) -> str:
    """Describe how many of these images are rejected or reviewed by a named check; empty if none is."""
    fired = [image for image, _ in pairs if image.fired(model, level)]
    lost = sum(bool(image.lost) for image in fired)
    texts = [
        f"in {count(lost, 'image')} the part was not found" if lost else "",
        f"{count(len(fired) - lost, 'part')} lie too far from where the good parts lie"
        if len(fired) - lost > 1
        else "1 part lies too far from where the good parts lie"
        if len(fired) > lost
        else "",
    ]
    text = " and ".join(text for text in texts if text)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def only(
    pairs: list[tuple[LabeledScore, int]], show: ChecksShown, model: Padim, level: int
) -> list[tuple[LabeledScore, int]]:
    """Return the images by which named check fires: all, those not found, or those displaced."""
    if show == "all":
        return pairs
    return [
        (image, score)
        for image, score in pairs
        if image.fired(model, level) and bool(image.lost) == (show == "lost")
    ]


def _outlined(image: LabeledScore, model: Padim, level: int) -> ServedImage:
    from padim.data.decode import decode
    from padim.output.small_overlays import overlay_jpeg

    rgb = decode(image.thumbnail or b"", image.name)
    q, area = image.levels(model), model.config.min_area
    place = image.place_on((rgb.shape[0], rgb.shape[1]))
    return ServedImage(overlay_jpeg(rgb, q, level, area, image.content_box, heat=False, placement=place))
