"""What the Robustness page works out: labelled images under changes of light, camera and fixture.

The network runs once for every altered image, in the background. Verdicts are kept as counts, at the
threshold of that moment: another threshold asks for another run. What is called bearable does not.
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
    from padim.data.labeled_images import LabeledImages
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

UPLOADER = "robustness"
# Below so many images of a sort one of them is more than 5 in 100.
_FEW = 20


@dataclass(frozen=True)
class Change:
    """One kind of change in a quality engineer's words.

    Attributes:
        name: of it.
        axis: the same with its unit.
        unit: of the severities, for whoever types them.
        about: what it stands for.
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
    """Severities as someone typed them.

    Raises:
        PadimError: no numbers with commas between, or numbers that do not grow or mean nothing.
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
    """One image under one change.

    Attributes:
        said: the severity in words.
        rejected: its score lies above the threshold.
        ratio: its score as a multiple of the threshold.
        image: what it looks like.
    """

    text: str
    rejected: bool
    ratio: str
    image: ServedImage


@dataclass(frozen=True)
class RobustnessRun:
    """A finished measurement.

    Attributes:
        label: the images, as the user knows them.
        of: how many there were; fewer may have been judged.
        identity: what the scores depend on (``workspace.scoring_identity``).
        threshold: judged at, in map units.
        shift: the counts.
        failed: files that could not be used.
        shown: the name of the image in the examples.
        shown_kind: ``good``, or what is wrong with it.
        examples: that image under every change, unchanged first.
    """

    label: str
    of: int
    identity: str
    threshold: float
    result: Robustness
    failed: tuple[ImageError, ...]
    shown: str
    shown_kind: str
    examples: Mapping[ChangeKind, tuple[ShownChange, ...]]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """What has changed since: ``model``, ``threshold`` or nothing, an empty word."""
        return outdated(self.identity, self.result, entry, model)


class _RobustnessRuns(Runs):
    """This session's measurements."""

    sort = "robustness"


def runs() -> Runs:
    """This session's measurements."""
    return state.of(_RobustnessRuns)


def to_score(images: LabeledImages, most: int, severities: Mapping[ChangeKind, tuple[float, ...]]) -> int:
    """How many images the network will see."""
    chosen = min(images.good, most) + min(images.defects, most)
    return chosen * (1 + sum(map(len, severities.values())))


def start(
    entry: Entry,
    model: Padim,
    images: LabeledImages,
    severities: Mapping[ChangeKind, tuple[float, ...]],
    most: int,
) -> None:
    """Alter and judge in the background, in place of what was measured before.

    Args:
        entry, model: the model in use.
        images: to be judged.
        severities: of each kind of change.
        most: good ones, and defects, at most.
    """
    identity = workspace.scoring_identity(entry)
    runs().start(
        entry,
        f"Judging {images.label} under changes",
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
    assert seen is not None  # they were asked for
    return RobustnessRun(
        label=images.label,
        of=images.count,
        identity=identity,
        threshold=model.state.fitted.quantizer.to_value(result.threshold),
        # Small images of its examples are kept instead of them.
        result=replace(result, examples=None),
        failed=tuple(failed),
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
            rgb, example.map, result.threshold, result.min_area, example.content_box, heat=False
        )
    else:
        image = encode_jpeg(rgb, 95)
    return ShownChange(
        words(kind, example.severity),
        example.score > result.threshold,
        multiple(value(example.score), value(result.threshold)),
        ServedImage(image),
    )


# -- words -----------------------------------------------------------------------------------------------


def tolerated_changes(result: Robustness, margin: float) -> str:
    """What is called bearable, as a sentence."""
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
    text = f"Borne means: {', and '.join(parts)}."
    fewest = min(number for number in (result.good, result.defects) if number)
    return text if fewest >= _FEW else f"{text} On so few images one more or less decides."


def tolerated(tolerance: Tolerance, kind: ChangeKind) -> str:
    """What is borne of a kind of change, in a few words."""
    from padim.analysis.image_changes import words

    if tolerance.severity is None:
        return "–"
    if tolerance.severity == 0:
        return "not even the mildest"
    return words(kind, tolerance.severity) + (" or more" if tolerance.at_least else "")


def table(result: Robustness, margin: float) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of what the model bears: a row a kind of change."""
    rows = []
    for series in result.series:
        found = series.tolerance(result.limit, margin)
        change = CHANGES[series.kind]
        why = found.why
        if found.at_least:
            why = "nothing, up to the harshest that was tried"
        rows.append(
            [
                Cell(change.name, change.about),
                Cell(tolerated(found, series.kind), strong=True),
                Cell(f"{why[:1].upper()}{why[1:]}."),
            ]
        )
    return ["Change", "The model bears", "What gives way"], rows


def summary(result: Robustness, margin: float) -> str:
    """The table in a sentence or two."""
    names: dict[str, list[str]] = {"all": [], "some": [], "none": []}
    for series in result.series:
        found = series.tolerance(result.limit, margin)
        if found.severity is None:
            continue
        sort = "all" if found.at_least else "some" if found.severity else "none"
        names[sort].append(CHANGES[series.kind].name.lower().replace("jpeg", "JPEG"))
    text = []
    if names["none"]:
        text.append(f"Keep constant: {_listed(names['none'])}; not even the mildest change tried is borne.")
    if names["some"]:
        text.append(f"Borne within limits: {_listed(names['some'])}.")
    if names["all"]:
        text.append(f"No trouble up to the harshest tried: {_listed(names['all'])}.")
    return " ".join(text) or "Nothing can be said: already the unchanged images fail."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def ticks(series: Series) -> list[str]:
    """A short word for each severity."""
    if series.kind == "jpeg":
        return ["as is", *(f"{100 - severity:g}" for severity in series.severities[1:])]
    return ["as is", *(f"{severity:g}" for severity in series.severities[1:])]


def tolerated_up_to(series: Series, limit: float | None, margin: float) -> int | None:
    """Index of the largest severity that is borne; None where nothing can be said."""
    found = series.tolerance(limit, margin)
    return None if found.severity is None else series.severities.index(found.severity)


def thumbs(examples: tuple[ShownChange, ...]) -> list[Thumb]:
    """The examples as tiles."""
    return [
        Thumb(
            example.image,
            f"{example.text[:1].upper()}{example.text[1:]}",
            f"{example.ratio} threshold",
            "reject" if example.rejected else "accept",
        )
        for example in examples
    ]


def counts_text(found: RobustnessRun) -> str:
    """ "20 good parts and 63 defects", and of how many."""
    result = found.result
    number = result.good + result.defects
    of = f", of {count(found.of, 'image')}" if number + len(found.failed) < found.of else ""
    return f"{count(result.good, 'good part')}, {count(result.defects, 'defect')}{of}"


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: RobustnessRun, entry: Entry) -> bytes:
    """Counts at every severity of every change, one a line; those of a kind of defect name it."""
    from padim.output.robustness_files import robustness_csv

    return robustness_csv(found.result, threshold=found.threshold, model=entry.name, data=found.label)


def document(found: RobustnessRun, entry: Entry, margin: float) -> bytes:
    """Everything counted, and what is borne, as JSON."""
    from padim.output.robustness_files import robustness_json

    return robustness_json(
        found.result,
        found.failed,
        margin,
        threshold=found.threshold,
        model={"id": entry.id, "name": entry.name},
        data=found.label,
    )
