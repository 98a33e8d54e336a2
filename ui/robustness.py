"""Logic of Validate, Light and fixture: labeled images under changes of light, camera and fixture.

The network runs once for every altered image, in the background. Verdicts are kept as counts at the threshold
of that moment, so another threshold requires another run; another definition of what is tolerated does not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from padim.errors import PadimError
from ui.app import state, workspace
from ui.app.text import count, multiple
from ui.files.media import ServedImage
from ui.jobs.runs import Runs, outdated
from ui.widgets.panels import Thumb
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.analysis.image_changes import ChangeKind
    from padim.analysis.robustness import Robustness, Series, Tolerance
    from padim.analysis.robustness_examples import ChangedExample
    from padim.data.account import PassedOver
    from padim.data.labeled_images import LabeledImages
    from padim.decision.guard_band import Verdict
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

UPLOADER = "robustness"
# With fewer images of a sort than this, a single one of them is more than 5 in 100.
_FEW = 20


@dataclass(frozen=True)
class Change:
    """The texts that describe one kind of change to a quality engineer.

    Attributes:
        name: its name.
        axis: its name with the unit, for the axis of a chart.
        unit: the unit of its severities, for the field they are typed in.
        about: the cause it stands for.
    """

    name: str
    axis: str
    unit: str
    about: str


CHANGES: Mapping[ChangeKind, Change] = {
    "brighter": Change("Brighter", "more light (%)", "% more light", "a new lamp, a longer exposure"),
    "darker": Change("Darker", "less light (%)", "% less light", "an ageing or dirty lamp"),
    "gamma": Change("Gamma", "gamma (% more)", "% more gamma", "another camera setting"),
    "flatter": Change("Less contrast", "less contrast (%)", "% less contrast", "haze, stray light, dust"),
    "blur": Change("Blur", "blur (sigma, px)", "px sigma", "out of focus"),
    "noise": Change("Noise", "noise (grey levels)", "grey levels", "of the sensor, at higher gain"),
    "jpeg": Change("JPEG", "JPEG quality", "points of quality lost, from 100", "stronger compression"),
    "shift": Change("Shift", "shift (px)", "px", "the part lies elsewhere in the fixture"),
    "rotation": Change("Rotation", "rotation (°)", "degrees", "the part lies turned in the fixture"),
}


def severities_of(kind: ChangeKind, text: str) -> tuple[float, ...]:
    """Parse severities that a user has typed, separated by commas.

    Raises:
        PadimError: they are not numbers, do not increase, or are not valid for this kind of change.
    """
    from padim.analysis.image_changes import alter

    name = CHANGES[kind].name
    try:
        values = tuple(float(part) for part in text.replace(";", ",").split(",") if part.strip())
    except ValueError:
        values = (math.nan,)
    if not all(math.isfinite(value) for value in values):
        raise PadimError(f"{name}: give numbers with commas between, such as 5, 10, 20")
    growing = all(a < b for a, b in itertools.pairwise((0.0, *values)))
    if not values or not growing:
        raise PadimError(f"{name}: the severities must be above 0 and grow")
    try:
        alter(np.zeros((2, 2, 3), np.uint8), kind, values[-1])
    except ValueError as error:
        raise PadimError(f"{name}: {error}") from None
    return values


# -- the run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownChange:
    """An example image under one change.

    Attributes:
        text: the severity in words.
        verdict: its verdict.
        ratio: its score as a multiple of the threshold, as text.
        image: the altered image.
    """

    text: str
    verdict: Verdict
    ratio: str
    image: ServedImage


@dataclass(frozen=True)
class RobustnessRun:
    """A finished robustness measurement.

    Attributes:
        label: describes the images to the user.
        of: number of images there were; fewer may have been scored.
        identity: ``workspace.scoring_identity`` at the time of the measurement.
        threshold: the threshold of the verdicts, in anomaly-map units.
        result: the counts.
        failed: files that could not be used.
        passed_over: files that are no images of the user's.
        shown: the name of the image in the examples.
        shown_kind: "good", or the kind of its defect.
        examples: that image under every change, unchanged first.
    """

    label: str
    of: int
    identity: str
    threshold: float
    result: Robustness
    failed: tuple[ImageError, ...]
    passed_over: tuple[PassedOver, ...]
    shown: str
    shown_kind: str
    examples: Mapping[ChangeKind, tuple[ShownChange, ...]]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """Return what has changed since: "model", "threshold", or "" if nothing has."""
        same_band = model.decision.guard == self.result.guard
        return outdated(self.identity, self.result, entry, model) or ("" if same_band else "threshold")


class _RobustnessRuns(Runs):
    """This session's robustness measurements, by model."""

    sort = "robustness"


def runs() -> Runs:
    """Return this session's robustness measurements."""
    return state.lasting(_RobustnessRuns)


def to_score(images: LabeledImages, most: int, severities: Mapping[ChangeKind, tuple[float, ...]]) -> int:
    """Return the number of images that the network will score."""
    chosen = min(images.good, most) + min(images.defects, most)
    return chosen * (1 + sum(map(len, severities.values())))


def start(
    entry: Entry,
    model: Padim,
    images: LabeledImages,
    severities: Mapping[ChangeKind, tuple[float, ...]],
    most: int,
) -> None:
    """Alter and score the images in the background, and drop the last measurement.

    Args:
        entry: the saved model in use.
        model: the same model, opened.
        images: the images to alter.
        severities: the severities of each kind of change.
        most: largest number of good images, and of defect images, to use.
    """
    identity = workspace.scoring_identity(entry)
    runs().start(
        entry,
        f"Scoring {images.label} under changes",
        lambda job: _measure(model, images, severities, most, identity, job),
    )


def _measure(
    model: Padim,
    images: LabeledImages,
    severities: Mapping[ChangeKind, tuple[float, ...]],
    most: int,
    identity: str,
    job: Job[RobustnessRun],
) -> RobustnessRun:
    from padim.analysis.robustness import STAGE, measure
    from padim.data.labeled_images import at_most

    chosen = at_most(images, most)
    job.progress(0, None, STAGE)
    failed: list[ImageError] = []
    result = measure(
        model,
        chosen,
        images.kind_of,
        severities=severities,
        examples=True,
        progress=job.progress,
        cancel=job.cancelled,
        on_error=failed.append,
    )
    failed += chosen.skipped
    job.progress(0, None, "Drawing examples")
    seen = result.examples
    assert seen is not None  # because of examples=True
    return RobustnessRun(
        label=images.label,
        of=images.count,
        identity=identity,
        threshold=model.state.fitted.quantizer.to_value(result.threshold),
        # The result's examples are replaced by small images of them.
        result=replace(result, examples=None),
        failed=tuple(failed),
        passed_over=tuple(chosen.passed_over),
        shown=seen.name,
        shown_kind=seen.label,
        examples={
            series.kind: tuple(_shown(model, result, series.kind, one) for one in seen.by_change[series.kind])
            for series in result.series
        },
    )


def _shown(model: Padim, result: Robustness, kind: ChangeKind, example: ChangedExample) -> ShownChange:
    from padim.analysis.image_changes import words
    from padim.output.render import encode_jpeg
    from padim.output.small_overlays import overlay_jpeg

    rgb, value = example.rgb, model.state.fitted.quantizer.to_value
    if example.whole:
        image = overlay_jpeg(
            rgb,
            example.map,
            result.threshold,
            result.min_area,
            example.content_box,
            heat=False,
            placement=example.placement,
        )
    else:
        image = encode_jpeg(rgb, 95)
    return ShownChange(
        words(kind, example.severity),
        model.verdict(example.score, result.threshold),
        multiple(value(example.score), value(result.threshold)),
        ServedImage(image),
    )


# -- texts -----------------------------------------------------------------------------------------------


def tolerated_changes(result: Robustness, margin: float) -> str:
    """Describe in a sentence which changes count as tolerated."""
    parts = []
    if result.good:
        parts.append(
            "the threshold promises nothing about good parts"
            if result.limit is None
            else f"at most {result.limit * 100:.1f} % of the good parts are rejected, which is the most that "
            "the threshold promises"
        )
    if result.defects:
        parts.append(f"fewer than {margin * 100:g} in 100 defects are lost")
    text = f"Tolerated means: {', and '.join(parts)}."
    fewest = min(number for number in (result.good, result.defects) if number)
    return text if fewest >= _FEW else f"{text} Where a single image would decide, no limit is stated."


def tolerated(tolerance: Tolerance, kind: ChangeKind) -> str:
    """Describe the largest tolerated severity of a kind of change."""
    from padim.analysis.image_changes import words

    if tolerance.severity is None:
        return "Too few to say" if tolerance.why.startswith("too few") else "–"
    if tolerance.severity == 0:
        return "not even the mildest"
    return words(kind, tolerance.severity) + (" or more" if tolerance.at_least else "")


def interval(tolerance: Tolerance, kind: ChangeKind) -> str:
    """Describe between which severities 95 % of resampled images put the limit; empty without an interval."""
    from padim.analysis.image_changes import words

    if tolerance.severity is None or tolerance.low is None or tolerance.high is None:
        return ""
    ends = (tolerance.low, tolerance.high)
    low, high = (words(kind, one) if one else "not even the mildest" for one in ends)
    return f"95 %: {low}" if low == high else f"95 %: {low} to {high}"


def table(result: Robustness, margin: float) -> tuple[list[str], list[list[Cell]]]:
    """Return the head and the rows of the table of tolerances, one row per kind of change."""
    rows = []
    for series in result.series:
        found = series.tolerance(result.limit, margin)
        change = CHANGES[series.kind]
        why = found.why
        if found.at_least:
            why = "nothing, up to the harshest that was tried"
        if found.note:
            why = f"{why}; {found.note}"
        rows.append(
            [
                Cell(change.name, change.about),
                Cell(tolerated(found, series.kind), interval(found, series.kind), strong=True),
                Cell(f"{why[:1].upper()}{why[1:]}."),
            ]
        )
    return ["Change", "The model tolerates", "What gives way"], rows


def summary(result: Robustness, margin: float) -> str:
    """Summarize the table of tolerances in a sentence or two."""
    names: dict[str, list[str]] = {"all": [], "some": [], "none": []}
    for series in result.series:
        found = series.tolerance(result.limit, margin)
        if found.severity is None:
            continue
        sort = "all" if found.at_least else "some" if found.severity else "none"
        names[sort].append(CHANGES[series.kind].name.lower().replace("jpeg", "JPEG"))
    text = []
    if names["none"]:
        text.append(
            f"Keep constant: {_listed(names['none'])}; not even the mildest change tried is tolerated."
        )
    if names["some"]:
        text.append(f"Tolerated within limits: {_listed(names['some'])}.")
    if names["all"]:
        text.append(f"No trouble up to the harshest tried: {_listed(names['all'])}.")
    if not text and all(
        series.tolerance(result.limit, margin).why.startswith("too few") for series in result.series
    ):
        return "Too few images to say which changes are tolerated: one of them more or less would decide it."
    return " ".join(text) or "Nothing can be said: already the unchanged images fail."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def ticks(series: Series) -> list[str]:
    """Return a short axis label for each severity."""
    if series.kind == "jpeg":
        return ["as is", *(f"{100 - severity:g}" for severity in series.severities[1:])]
    return ["as is", *(f"{severity:g}" for severity in series.severities[1:])]


def tolerated_up_to(series: Series, limit: float | None, margin: float) -> int | None:
    """Return the index of the largest tolerated severity, or None if it cannot be determined."""
    found = series.tolerance(limit, margin)
    return None if found.severity is None else series.severities.index(found.severity)


def thumbs(examples: tuple[ShownChange, ...]) -> list[Thumb]:
    """Return the examples as gallery tiles."""
    return [
        Thumb(
            example.image,
            f"{example.text[:1].upper()}{example.text[1:]}",
            f"{example.ratio} threshold",
            example.verdict,
        )
        for example in examples
    ]


def counts_text(found: RobustnessRun) -> str:
    """Describe the numbers of scored images: "20 good parts, 63 defects, of 100 images"."""
    result = found.result
    number = result.good + result.defects
    of = f", of {count(found.of, 'image')}" if number + len(found.failed) < found.of else ""
    return f"{count(result.good, 'good part')}, {count(result.defects, 'defect')}{of}"


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: RobustnessRun, entry: Entry) -> bytes:
    """Return a CSV table of the counts, one row per change, severity and kind of defect."""
    from padim.output.robustness_files import robustness_csv

    return robustness_csv(found.result, threshold=found.threshold, model=entry.name, data=found.label)


def document(found: RobustnessRun, entry: Entry, margin: float) -> bytes:
    """Return all counts and the tolerances as a JSON document."""
    from padim.output.robustness_files import robustness_json

    return robustness_json(
        found.result,
        found.failed,
        margin,
        threshold=found.threshold,
        model={"id": entry.id, "name": entry.name},
        data=found.label,
    )
