"""What the Robustness page works out: labelled pictures under changes of light, camera and fixture.

The network runs once for every altered picture, in the background. Verdicts are kept as counts, at the
threshold of that moment: another threshold asks for another run. What is called bearable does not.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from padim.errors import PadimError
from padim.output import results, to_json
from ui.app import state, workspace
from ui.app.text import count, multiple
from ui.files import labelled
from ui.files.media import Picture
from ui.jobs.runs import Runs, outdated
from ui.widgets.panels import Thumb
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    import numpy.typing as npt

    from padim.analysis.robustness import Bears, Kind, Series, Shift
    from padim.data.decode_budget import Cancel
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.workspace import Entry
    from ui.files.labelled import Labelled
    from ui.jobs.jobs import Job

UPLOADER = "robustness"
# Side of the examples' pictures.
EXAMPLE_SIDE = 256
# Below so many pictures of a sort one of them is more than 5 in 100.
_FEW = 20
# What shows only pixel for pixel: of these a piece of the middle is shown, of others the whole picture.
FINE = ("blur", "noise", "jpeg")


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


CHANGES: Mapping[Kind, Change] = {
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


def severities_of(kind: Kind, text: str) -> tuple[float, ...]:
    """Severities as someone typed them.

    Raises:
        PadimError: no numbers with commas between, or numbers that do not grow or mean nothing.
    """
    from padim.analysis.robustness import alter

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
class Example:
    """One picture under one change.

    Attributes:
        said: the severity in words.
        rejected: its score lies above the threshold.
        ratio: its score as a multiple of the threshold.
        picture: what it looks like.
    """

    said: str
    rejected: bool
    ratio: str
    picture: Picture


@dataclass(frozen=True)
class Shifted:
    """A finished measurement.

    Attributes:
        label: the pictures, as the user knows them.
        of: how many there were; fewer may have been judged.
        identity: what the scores depend on (``workspace.scoring_identity``).
        threshold: judged at, in map units.
        shift: the counts.
        failed: files that could not be used.
        shown: the name of the picture in the examples.
        shown_kind: ``good``, or what is wrong with it.
        examples: that picture under every change, unchanged first.
    """

    label: str
    of: int
    identity: str
    threshold: float
    shift: Shift
    failed: tuple[ImageError, ...]
    shown: str
    shown_kind: str
    examples: Mapping[Kind, tuple[Example, ...]]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """What has changed since: ``model``, ``threshold`` or nothing, an empty word."""
        return outdated(self.identity, self.shift, entry, model)


class _Shifts(Runs):
    """This session's measurements."""

    sort = "robustness"


def runs() -> Runs:
    """This session's measurements."""
    return state.of(_Shifts)


def to_score(pictures: Labelled, most: int, severities: Mapping[Kind, tuple[float, ...]]) -> int:
    """How many pictures the network will see."""
    chosen = min(pictures.good, most) + min(pictures.defects, most)
    return chosen * (1 + sum(map(len, severities.values())))


def start(
    entry: Entry,
    model: Padim,
    pictures: Labelled,
    severities: Mapping[Kind, tuple[float, ...]],
    most: int,
) -> None:
    """Alter and judge in the background, in place of what was measured before.

    Args:
        entry, model: the model in use.
        pictures: to be judged.
        severities: of each kind of change.
        most: good ones, and defects, at most.
    """
    identity = workspace.scoring_identity(entry)
    runs().start(
        entry,
        f"Judging {pictures.label} under changes",
        lambda job: _shifted(model, pictures, severities, most, identity, job),
    )


def _shifted(
    model: Padim,
    pictures: Labelled,
    severities: Mapping[Kind, tuple[float, ...]],
    most: int,
    identity: str,
    job: Job[Shifted],
) -> Shifted:
    from padim.analysis.robustness import STAGE, measure

    images = labelled.at_most(pictures, most)
    job.progress(0, None, STAGE)
    failed: list[ImageError] = []
    shift = measure(
        model,
        images,
        pictures.kind_of,
        severities=severities,
        progress=job.progress,
        cancel=job.cancelled,
        on_error=failed.append,
    )
    failed += images.skipped
    job.progress(0, None, "Drawing examples")
    unusable = {error.name for error in failed}
    name, examples = _examples(model, pictures, images, shift, unusable, job.cancelled)
    return Shifted(
        label=pictures.label,
        of=pictures.count,
        identity=identity,
        threshold=model.quantizer.to_value(shift.threshold),
        shift=shift,
        failed=tuple(failed),
        shown=name,
        shown_kind=pictures.kind_of(name),
        examples=examples,
    )


def _examples(
    model: Padim,
    pictures: Labelled,
    images: labelled.Some,
    shift: Shift,
    unusable: set[str],
    cancel: Cancel,
) -> tuple[str, dict[Kind, tuple[Example, ...]]]:
    """The first picture that was judged, a good one where there are any, under every change."""
    from padim.data.decode import decode
    from padim.data.loading import content_hash

    own = {normal.sha256 for normal in model.normals_ if normal.status == "fit"}
    for name, data in images:
        good = pictures.kind_of(name) == "good"
        digest = content_hash(data)
        # As it was judged: good ones of the fit were passed over.
        if name in unusable or good != (shift.good > 0) or (good and digest in own):
            continue
        rgb = decode(data, name, cancel=cancel)
        # Altered as the measurement alters this very picture.
        seed = [shift.seed, int(digest[:16], 16)]
        return name, {
            series.kind: tuple(_altered(model, rgb, series, shift, seed)) for series in shift.series
        }
    return "", {}


def _altered(
    model: Padim, rgb: npt.NDArray[np.uint8], series: Series, shift: Shift, seed: list[int]
) -> Iterator[Example]:
    from padim.analysis.robustness import alter, words
    from padim.data.decode import decode
    from padim.data.preprocess import thumbnail
    from padim.decision.regions import decide, region_score
    from padim.output.render import encode_jpeg, overlay

    box = model.judge.content_box((rgb.shape[0], rgb.shape[1]))
    changed = [alter(rgb, series.kind, severity, seed) for severity in series.severities]
    _, maps = model.judge.scorer(np.stack([model.preprocess(one) for one in changed]), [box] * len(changed))
    value = model.quantizer.to_value
    for severity, one, q in zip(series.severities, changed, maps, strict=True):
        score = region_score(q, shift.min_area)
        if series.kind in FINE:
            picture = encode_jpeg(_middle(one), 95)
        else:
            small = decode(thumbnail(one, EXAMPLE_SIDE), series.kind)
            size = (small.shape[0], small.shape[1])
            decision = decide(q, shift.threshold, shift.min_area, original_size=size, content_box=box)
            picture = encode_jpeg(
                overlay(small, q, decision.mask, shift.threshold, opacity=0, content_box=box), 88
            )
        yield Example(
            words(series.kind, severity),
            score > shift.threshold,
            multiple(value(score), value(shift.threshold)),
            Picture(picture),
        )


def _middle(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The middle of a picture, pixel for pixel."""
    height, width = rgb.shape[:2]
    side = min(height, width, EXAMPLE_SIDE)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(rgb[top : top + side, left : left + side])


# -- words -----------------------------------------------------------------------------------------------


def bearable(shift: Shift, margin: float) -> str:
    """What is called bearable, as a sentence."""
    parts = []
    if shift.good:
        parts.append(
            "the threshold promises nothing about good parts"
            if shift.limit is None
            else f"at most {shift.limit * 100:.1f} % of the good parts are rejected, which is the most that "
            "the threshold promises"
        )
    if shift.defects:
        parts.append(f"fewer than {margin * 100:g} in 100 defects are lost")
    text = f"Borne means: {', and '.join(parts)}."
    fewest = min(number for number in (shift.good, shift.defects) if number)
    return text if fewest >= _FEW else f"{text} On so few pictures one more or less decides."


def borne(bears: Bears, kind: Kind) -> str:
    """What is borne of a kind of change, in a few words."""
    from padim.analysis.robustness import words

    if bears.severity is None:
        return "–"
    if bears.severity == 0:
        return "not even the mildest"
    return words(kind, bears.severity) + (" or more" if bears.at_least else "")


def table(shift: Shift, margin: float) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of what the model bears: a row a kind of change."""
    rows = []
    for series in shift.series:
        found = series.bears(shift.limit, margin)
        change = CHANGES[series.kind]
        why = found.why
        if found.at_least:
            why = "nothing, up to the harshest that was tried"
        rows.append(
            [
                Cell(change.name, change.about),
                Cell(borne(found, series.kind), strong=True),
                Cell(f"{why[:1].upper()}{why[1:]}."),
            ]
        )
    return ["Change", "The model bears", "What gives way"], rows


def summary(shift: Shift, margin: float) -> str:
    """The table in a sentence or two."""
    names: dict[str, list[str]] = {"all": [], "some": [], "none": []}
    for series in shift.series:
        found = series.bears(shift.limit, margin)
        if found.severity is None:
            continue
        sort = "all" if found.at_least else "some" if found.severity else "none"
        names[sort].append(CHANGES[series.kind].name.lower().replace("jpeg", "JPEG"))
    said = []
    if names["none"]:
        said.append(f"Keep constant: {_listed(names['none'])}; not even the mildest change tried is borne.")
    if names["some"]:
        said.append(f"Borne within limits: {_listed(names['some'])}.")
    if names["all"]:
        said.append(f"No trouble up to the harshest tried: {_listed(names['all'])}.")
    return " ".join(said) or "Nothing can be said: already the unchanged pictures fail."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def ticks(series: Series) -> list[str]:
    """A short word for each severity."""
    if series.kind == "jpeg":
        return ["as is", *(f"{100 - severity:g}" for severity in series.severities[1:])]
    return ["as is", *(f"{severity:g}" for severity in series.severities[1:])]


def borne_up_to(series: Series, limit: float | None, margin: float) -> int | None:
    """Index of the largest severity that is borne; None where nothing can be said."""
    found = series.bears(limit, margin)
    return None if found.severity is None else series.severities.index(found.severity)


def thumbs(examples: tuple[Example, ...]) -> list[Thumb]:
    """The examples as tiles."""
    return [
        Thumb(
            example.picture,
            f"{example.said[:1].upper()}{example.said[1:]}",
            f"{example.ratio} threshold",
            "reject" if example.rejected else "accept",
        )
        for example in examples
    ]


def judged(found: Shifted) -> str:
    """ "20 good parts and 63 defects", and of how many."""
    shift = found.shift
    number = shift.good + shift.defects
    of = f", of {count(found.of, 'picture')}" if number + len(found.failed) < found.of else ""
    return f"{count(shift.good, 'good part')}, {count(shift.defects, 'defect')}{of}"


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: Shifted, entry: Entry) -> bytes:
    """Counts at every severity of every change, one a line; those of a kind of defect name it."""
    from padim.analysis.robustness import words

    lines: list[Iterable[object]] = []
    lines.append(
        (
            *(
                "change",
                "severity",
                "in_words",
                "figure",
                "kind",
                "count",
                "of",
                "share",
                "low_95",
                "high_95",
            ),
            *("promised_at_most", "threshold", "model", "data"),
        )
    )
    limit = "" if found.shift.limit is None else f"{found.shift.limit:.6g}"
    about = limit, f"{found.threshold:.6g}", entry.name, found.label
    for series in found.shift.series:
        named = {("false_rejects", ""): series.false_rejects, ("caught", ""): series.caught}
        named |= {("caught", kind): rates for kind, rates in series.by_defect.items()}
        for (figure, kind), rates in named.items():
            for severity, rate in zip(series.severities, rates, strict=True):
                if rate.of:
                    shares = (f"{number:.6g}" for number in (rate.share, rate.low, rate.high))
                    lines.append(
                        (
                            *(series.kind, f"{severity:g}", words(series.kind, severity)),
                            *(figure, kind, rate.count, rate.of, *shares, *about),
                        )
                    )
    return results.csv_file(lines)


def document(found: Shifted, entry: Entry, margin: float) -> bytes:
    """Everything counted, and what is borne, as JSON."""
    whole = {
        "model": {"id": entry.id, "name": entry.name},
        "data": found.label,
        "threshold": found.threshold,
        "min_area": found.shift.min_area,
        **to_json.shift(found.shift, margin),
        "skipped": to_json.skipped(found.failed),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()
