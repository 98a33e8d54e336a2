"""Logic of Validate, Smallest defect: painted defects, which of them are caught, and example images.

The network runs once for every painted image, in the background. Whether a defect was caught is stored for
the threshold of that moment, so another threshold requires another run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ui.app import state, workspace
from ui.app.text import count
from ui.files.media import ServedImage
from ui.jobs.runs import Runs, outdated
from ui.widgets.panels import Thumb
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.analysis.detection_curve import Curve, Reach
    from padim.analysis.sensitivity import Sensitivity
    from padim.analysis.sensitivity_examples import PaintedExample
    from padim.analysis.synthetic_defects import DefectKind
    from padim.data.account import PassedOver
    from padim.data.labeled_images import LabeledImages
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

UPLOADER = "sensitivity"
# Side of the example images in pixels, and the least share of the input's side that they show.
_EXAMPLE_SIDE, _LEAST_SHOWN = 288, 0.25
# Pixels whose sides differ by no more than this share count as square.
_SQUARE = 0.02

KINDS: Mapping[DefectKind, tuple[str, str]] = {
    "scratch": ("Scratch", "a straight line, a tenth as wide as it is long; its size is its length"),
    "spot": ("Spot", "a round speck with a sharp edge; its size is its diameter"),
    "stain": ("Stain", "a brownish blot with a ragged, fading edge; its size is its diameter"),
    "dent": ("Dent", "a dip lit from one side, bright here and dark there; its size is its diameter"),
    "missing": ("Missing patch", "a square that has lost its texture; its size is its side"),
}
"""Name of each kind of defect, and what is painted."""
CONTRASTS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""The contrasts that can be chosen, as shares of the difference between black and white."""


# -- units -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unit:
    """The unit in which sizes are stated.

    Attributes:
        across: width of one map pixel in this unit.
        down: height of one map pixel in this unit.
        name: "px" or "mm".
    """

    across: float
    down: float
    name: str

    @classmethod
    def of(cls, scale: tuple[float, float], millimeters: float | None = None) -> Unit:
        """Return the unit for an image scale: image pixels, or millimeters if their size is known.

        Args:
            scale: image pixels per map pixel, (x, y).
            millimeters: size of an image pixel in millimeters, or None.
        """
        if millimeters is None:
            return cls(*scale, "px")
        return cls(scale[0] * millimeters, scale[1] * millimeters, "mm")

    @property
    def square(self) -> bool:
        """Whether one number is enough to state a size."""
        return abs(self.across - self.down) <= _SQUARE * max(self.across, self.down)

    def text(self, size: float) -> str:
        """Format a size given in map pixels: "14 px", or "14 × 9 px" if the model distorts the images."""
        if self.square:
            return f"{_plain(size * self.across)} {self.name}"
        return f"{_plain(size * self.across)} × {_plain(size * self.down)} {self.name}"

    @property
    def axis(self) -> tuple[float, str]:
        """Return the factor from map pixels to the unit of a chart's axis, and the unit's name."""
        return (self.across, self.name) if self.square else (1.0, "px of the model’s input")


def _plain(number: float) -> str:
    """Format a number with about two significant digits: 0.12, 1.2, 12, 123, 1,234."""
    if number >= 10 or number <= 0:
        return f"{number:,.0f}"
    digits = 1 if number >= 1 else 1 - math.floor(math.log10(number))
    return f"{number:.{min(digits, 4)}f}".rstrip("0").rstrip(".")


def sizes_offered(shape: tuple[int, int]) -> list[float]:
    """Return the sizes offered, in map pixels: each twice the one before, around the default sizes."""
    from padim.analysis.sensitivity import default_sizes
    from padim.analysis.synthetic_defects import SMALLEST_SIZE

    defaults = default_sizes(shape)
    wider = {*defaults, defaults[0] / 2, defaults[-1] * 2}
    return sorted(size for size in wider if SMALLEST_SIZE <= size <= min(shape))


# -- the run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SensitivitySettings:
    """The settings of a sensitivity measurement.

    Attributes:
        kinds: the kinds of defects to paint.
        sizes: their sizes in map pixels.
        contrasts: their contrasts, as shares of the difference between black and white.
        images: largest number of images to paint on.
        places: number of places on each image.
    """

    kinds: tuple[DefectKind, ...]
    sizes: tuple[float, ...]
    contrasts: tuple[float, ...]
    images: int
    places: int

    @property
    def settings(self) -> int:
        """Return the number of combinations of kinds, sizes and contrasts."""
        return len(self.kinds) * len(self.sizes) * len(self.contrasts)


@dataclass(frozen=True)
class ShownDefect:
    """An example: the surroundings of one painted defect.

    Attributes:
        size: size of the defect in map pixels.
        caught: whether a region of the mask overlaps the painted area.
        image: the painted image with the mask's outline.
    """

    size: float
    caught: bool
    image: ServedImage


@dataclass(frozen=True)
class SensitivityRun:
    """A finished sensitivity measurement.

    Attributes:
        label: describes the images to the user.
        identity: ``workspace.scoring_identity`` at the time of the measurement.
        threshold: the threshold of the verdicts, in anomaly-map units.
        result: the counts.
        failed: files that could not be used.
        passed_over: files that are no images of the user's.
        seen: the first image, unpainted and as the model sees it; the backdrop of the map.
        examples: trials of each kind and contrast, at a place where a medium number of sizes is caught.
    """

    label: str
    identity: str
    threshold: float
    result: Sensitivity
    failed: tuple[ImageError, ...]
    passed_over: tuple[PassedOver, ...]
    seen: ServedImage
    examples: Mapping[tuple[DefectKind, float], tuple[ShownDefect, ...]]
    _curves: dict[tuple[DefectKind | None, float], Curve] = field(default_factory=dict, repr=False)

    def curve(self, kind: DefectKind | None, contrast: float) -> Curve:
        """Return the detection curve over size of one kind, or of all kinds together for None."""
        key = kind, contrast
        if key not in self._curves:
            self._curves[key] = (
                self.result.over_size_of_all(contrast)
                if kind is None
                else self.result.over_size(kind, contrast)
            )
        return self._curves[key]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """Return what has changed since: "model", "threshold", or "" if nothing has."""
        same_words = (model.decision.guard is not None) == self.result.guard_band
        return outdated(self.identity, self.result, entry, model) or ("" if same_words else "threshold")


class _SensitivityRuns(Runs):
    """This session's sensitivity measurements, by model."""

    sort = "sensitivity"


def runs() -> Runs:
    """Return this session's sensitivity measurements."""
    return state.lasting(_SensitivityRuns)


def start(entry: Entry, model: Padim, images: LabeledImages, wanted: SensitivitySettings) -> None:
    """Paint and score the images in the background, and drop the last measurement."""
    identity = workspace.scoring_identity(entry)
    runs().start(
        entry,
        f"Painting defects on {images.label}",
        lambda job: _measure(model, images, wanted, identity, job),
    )


def _measure(
    model: Padim, images: LabeledImages, wanted: SensitivitySettings, identity: str, job: Job[SensitivityRun]
) -> SensitivityRun:
    from padim.analysis.sensitivity import STAGE, cells_for, measure
    from padim.data.labeled_images import good_ones
    from padim.output.render import encode_jpeg

    chosen = good_ones(images)
    job.progress(0, None, STAGE)
    failed: list[ImageError] = []
    result = measure(
        model,
        chosen,
        kinds=wanted.kinds,
        sizes=wanted.sizes,
        contrasts=wanted.contrasts,
        places=wanted.places,
        most_images=wanted.images,
        cells=cells_for(min(wanted.images, len(chosen)) * wanted.places),
        examples=True,
        progress=job.progress,
        cancel=job.cancelled,
        on_error=failed.append,
    )
    failed += chosen.skipped
    job.progress(0, None, "Drawing examples")
    first = result.first
    return SensitivityRun(
        label=images.label,
        identity=identity,
        threshold=model.state.fitted.quantizer.to_value(result.threshold),
        # The result's examples are replaced by small images of them.
        result=replace(result, examples={}, first=None),
        failed=tuple(failed),
        passed_over=tuple(chosen.passed_over),
        seen=ServedImage(b"" if first is None else encode_jpeg(first.rgb, 88)),
        examples={key: _shown(trials) for key, trials in result.examples.items()},
    )


def _shown(trials: Sequence[PaintedExample]) -> tuple[ShownDefect, ...]:
    """Return the trials at one place as images of the same surroundings of the defect, for every size."""
    first = trials[0]
    (down, across), place, content = first.mask.shape, first.place, first.unpainted.content
    side = math.sqrt(down * across)  # of the square as large as the map
    shown = round(min(down, across, max(_LEAST_SHOWN * side, 1.5 * trials[-1].size)))
    left = min(max(0, round(place.x - shown / 2)), across - shown)
    top = min(max(0, round(place.y - shown / 2)), down - shown)
    window = slice(top, top + shown), slice(left, left + shown)
    height, width = first.unpainted.original_size
    shape = (width / content.width) / (height / content.height)
    return tuple(
        ShownDefect(trial.size, trial.caught, _cut(trial.rgb[window], trial.mask[window], shape))
        for trial in trials
    )


def _cut(rgb: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], shape: float) -> ServedImage:
    """Return a cut-out with the mask's outline, enlarged and in the original image's aspect ratio."""
    import cv2

    from padim.output.render import encode_jpeg, overlay

    # The longer side is fixed; the other follows from the distortion of the images for the model.
    size = (
        max(1, round(_EXAMPLE_SIDE * min(1.0, shape))),
        max(1, round(_EXAMPLE_SIDE * min(1.0, 1 / shape))),
    )
    large = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    marked = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    levels = np.zeros(marked.shape, np.uint16)  # no heat is drawn
    return ServedImage(encode_jpeg(overlay(large, levels, np.asarray(marked), 1, opacity=0), 88))


# -- texts -----------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """Format a share as a percentage: "10 %", "2.5 %", "0.4 %"."""
    return f"{_plain(share * 100)} %"


def reached(reach: Reach, result: Sensitivity, unit: Unit) -> str:
    """Format the size that a curve reaches, or whether it is below or above all sizes tried."""
    if reach.value is not None:
        return unit.text(reach.value)
    if reach.below:
        return f"≤ {unit.text(result.sizes[0])}"
    return "–" if reach.why == "nothing was tried" else f"> {unit.text(result.sizes[-1])}"


def smallest(found: SensitivityRun, unit: Unit) -> tuple[list[str], list[list[Cell]]]:
    """Return the head and the rows of the table of smallest defects: kinds as rows, contrasts as columns."""
    result = found.result
    rows = []
    for kind in result.kinds:
        row = [Cell(KINDS[kind][0])]
        for contrast in result.contrasts:
            curve = found.curve(kind, contrast)
            half = reached(curve.at_50, result, unit)
            row.append(Cell(reached(curve.at_90, result, unit), f"half: {half}", strong=True))
        rows.append(row)
    return ["Defect", *(f"Contrast {percent(contrast)}" for contrast in result.contrasts)], rows


_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")


def where(row: int, column: int, cells: tuple[int, int]) -> str:
    """Describe the position of a cell, of rows and columns of cells: "the top left", "the middle"."""
    # By the third of the image that contains the middle of the cell.
    rows, columns = cells
    names = _ROWS[(2 * row + 1) * 3 // (2 * rows)], _COLUMNS[(2 * column + 1) * 3 // (2 * columns)]
    if names == ("middle", "middle"):
        return "the middle"
    return f"the {' '.join(name for name in names if name != 'middle')}"


def weakest(result: Sensitivity, kind: DefectKind | None) -> str:
    """Summarize the map of places: the overall share caught, the weakest cell and the blind spots."""
    from padim.analysis.blind_spots import counts_by_place, overall_share, weakest_cell

    found = counts_by_place(result, kind)
    if not found:
        return "Nothing could be counted here: the bare images alarm at every place."
    overall, cell = overall_share(found), weakest_cell(result, kind)
    text = f"Of all that was painted, {overall * 100:.0f} % were caught."
    if cell.share < overall - 0.1:
        text += (
            f" Least is caught at {where(cell.row, cell.column, result.cell_shape)} of the image: "
            f"{cell.share * 100:.0f} %, counted at {count(cell.places, 'place')}."
        )
    blind = sum(spot.blind for spot in found)
    if blind:
        sort = "one of the kinds" if kind is None and len(result.kinds) > 1 else "it"
        text += (
            f" Blind spots: at {blind} of {len(found)} places even the largest and strongest of {sort} was "
            "missed (crosses)."
        )
    else:
        text += " There is no blind spot: the largest and strongest were caught everywhere."
    return text


def thumbs(examples: Sequence[ShownDefect], unit: Unit) -> list[Thumb]:
    """Return the examples as gallery tiles."""
    return [
        Thumb(example.image, unit.text(example.size), "Caught" if example.caught else "Missed")
        for example in examples
    ]


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: SensitivityRun, entry: Entry) -> bytes:
    """Return a CSV table of the counts of tried and caught defects, one row per kind, contrast and size."""
    from padim.output.sensitivity_files import sensitivity_csv

    return sensitivity_csv(found.result, threshold=found.threshold, model=entry.name, data=found.label)


def document(found: SensitivityRun, entry: Entry) -> bytes:
    """Return settings, counts, curves and places as a JSON document; sizes and places in map pixels."""
    from padim.output.sensitivity_files import sensitivity_json

    return sensitivity_json(
        found.result,
        found.failed,
        threshold=found.threshold,
        model={"id": entry.id, "name": entry.name},
        data=found.label,
    )
