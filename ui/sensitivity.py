"""What the Sensitivity page works out: painted defects, which of them are caught, and pictures of some.

The network runs once for every painted picture, in the background. What was caught is kept as yes or no, at
the threshold of that moment: another threshold asks for another run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from padim.output import results, to_json
from ui.app import state, workspace
from ui.files import labelled
from ui.files.media import Picture
from ui.jobs.runs import Runs, outdated
from ui.widgets.panels import Thumb
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.analysis.sensitivity import Curve, Kind, Probe, Reach
    from padim.data.decode_budget import Cancel
    from padim.data.preprocess import Box
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.workspace import Entry
    from ui.files.labelled import Labelled
    from ui.jobs.jobs import Job

UPLOADER = "sensitivity"
# The map over the part has no more cells than leave this many places to each, and no more a side than that.
_PLACES_A_CELL, _MOST_CELLS = 3, 10
# Side of the examples' pictures, and of what they show at least, as a share of the input's side.
_EXAMPLE_SIDE, _LEAST_SHOWN = 288, 0.25
# Pixels are called square up to this difference of their sides.
_SQUARE = 0.02

KINDS: Mapping[Kind, tuple[str, str]] = {
    "scratch": ("Scratch", "a straight line, a tenth as wide as it is long; its size is its length"),
    "spot": ("Spot", "a round speck with a sharp edge; its size is its diameter"),
    "stain": ("Stain", "a brownish blot with a ragged, fading edge; its size is its diameter"),
    "dent": ("Dent", "a dip lit from one side, bright here and dark there; its size is its diameter"),
    "missing": ("Missing patch", "a square that has lost its texture; its size is its side"),
}
"""Name, and what is painted."""
CONTRASTS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""What can be chosen, as shares of black to white."""


# -- units -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unit:
    """What sizes are told in.

    Attributes:
        across, down: of it, one pixel of the map is.
        name: px, or mm.
    """

    across: float
    down: float
    name: str

    @classmethod
    def of(cls, scale: tuple[float, float], millimetres: float | None = None) -> Unit:
        """Pixels of the pictures, or millimetres where one such pixel's side is known in them.

        Args:
            scale: picture pixels a map pixel is, (x, y).
            millimetres: that a picture pixel is.
        """
        if millimetres is None:
            return cls(*scale, "px")
        return cls(scale[0] * millimetres, scale[1] * millimetres, "mm")

    @property
    def square(self) -> bool:
        """Whether one number says a size."""
        return abs(self.across - self.down) <= _SQUARE * max(self.across, self.down)

    def said(self, size: float) -> str:
        """A size in map pixels: "14 px"; "14 × 9 px" where the model sees the pictures out of shape."""
        if self.square:
            return f"{_plain(size * self.across)} {self.name}"
        return f"{_plain(size * self.across)} × {_plain(size * self.down)} {self.name}"

    @property
    def axis(self) -> tuple[float, str]:
        """What to multiply sizes by for an axis, and what to call that."""
        return (self.across, self.name) if self.square else (1.0, "px of the model’s input")


def _plain(number: float) -> str:
    """Two digits or so, all that a size is good for: 0.12, 1.2, 12, 123, 1,234."""
    if number >= 10 or number <= 0:
        return f"{number:,.0f}"
    digits = 1 if number >= 1 else 1 - math.floor(math.log10(number))
    return f"{number:.{min(digits, 4)}f}".rstrip("0").rstrip(".")


def scale_of(model: Padim) -> tuple[float, float]:
    """Picture pixels a map pixel is, (x, y), in the pictures of the fit: the median."""
    side = model.config.input_size
    boxes = [(size, model.judge.content_box(size)) for size in {n.original_size for n in model.normals_}]
    scales = {
        size: (size[1] / (box.width if box else side), size[0] / (box.height if box else side))
        for size, box in boxes
    }
    found = np.median(np.array([scales[n.original_size] for n in model.normals_]), axis=0)
    return float(found[0]), float(found[1])


def sizes_offered(side: int) -> list[float]:
    """Sizes to choose from, in map pixels: each twice the one before, around those tried by default."""
    from padim.analysis.sensitivity import SMALLEST_SIZE, default_sizes

    defaults = default_sizes(side)
    wider = {*defaults, defaults[0] / 2, defaults[-1] * 2}
    return sorted(size for size in wider if SMALLEST_SIZE <= size <= side)


def cells_for(places: int) -> int:
    """Rows and columns of the map over the part for so many places: each cell needs some."""
    return max(2, min(_MOST_CELLS, math.isqrt(places // _PLACES_A_CELL)))


# -- the run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """The settings of a probe.

    Attributes:
        kinds, sizes, contrasts: what to paint; sizes in map pixels.
        pictures: at most so many are painted on.
        places: on each.
    """

    kinds: tuple[Kind, ...]
    sizes: tuple[float, ...]
    contrasts: tuple[float, ...]
    pictures: int
    places: int

    @property
    def settings(self) -> int:
        """Kinds, sizes and contrasts combined."""
        return len(self.kinds) * len(self.sizes) * len(self.contrasts)


@dataclass(frozen=True)
class Example:
    """One painted picture, around the defect.

    Attributes:
        size: in map pixels.
        caught: a region of the mask lies on the painted area.
        picture: what was painted, with the mask's outline.
    """

    size: float
    caught: bool
    picture: Picture


@dataclass(frozen=True)
class Probed:
    """A finished probe.

    Attributes:
        label: the pictures, as the user knows them.
        identity: what the scores depend on (``workspace.scoring_identity``).
        threshold: judged at, in map units.
        probe: the counts.
        failed: files that could not be used.
        seen: the first picture painted on, unpainted, as the model sees it; the map's backdrop.
        examples: of each kind and contrast, at a place where a middling number of sizes is caught.
    """

    label: str
    identity: str
    threshold: float
    probe: Probe
    failed: tuple[ImageError, ...]
    seen: Picture
    examples: Mapping[tuple[Kind, float], tuple[Example, ...]]
    _curves: dict[tuple[Kind | None, float], Curve] = field(default_factory=dict, repr=False)

    def curve(self, kind: Kind | None, contrast: float) -> Curve:
        """Detection against size; of all kinds together for None."""
        from padim.analysis.sensitivity import curve_of

        key = kind, contrast
        if key not in self._curves:
            if kind is not None:
                self._curves[key] = self.probe.over_size(kind, contrast)
            else:
                at = self.probe.contrasts.index(contrast)
                caught = self.probe.caught[..., at].sum(axis=(0, 1))
                tried = (~self.probe.void[..., at]).sum(axis=(0, 1))
                self._curves[key] = curve_of(self.probe.sizes, caught.tolist(), tried.tolist())
        return self._curves[key]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """What has changed since: ``model``, ``threshold`` or nothing, an empty word."""
        return outdated(self.identity, self.probe, entry, model)


class _Probes(Runs):
    """This session's probes."""

    sort = "sensitivity"


def runs() -> Runs:
    """This session's probes."""
    return state.of(_Probes)


def start(entry: Entry, model: Padim, pictures: Labelled, wanted: Wanted) -> None:
    """Paint and judge in the background, in place of what was probed before."""
    identity = workspace.scoring_identity(entry)
    runs().start(
        entry,
        f"Painting defects on {pictures.label}",
        lambda job: _probed(model, pictures, wanted, identity, job),
    )


def _probed(model: Padim, pictures: Labelled, wanted: Wanted, identity: str, job: Job[Probed]) -> Probed:
    from padim.analysis.sensitivity import STAGE, measure
    from padim.output.render import encode_jpeg

    images = labelled.good_ones(pictures)
    job.progress(0, None, STAGE)
    failed: list[ImageError] = []
    probe = measure(
        model,
        images,
        kinds=wanted.kinds,
        sizes=wanted.sizes,
        contrasts=wanted.contrasts,
        places=wanted.places,
        most_pictures=wanted.pictures,
        cells=cells_for(min(wanted.pictures, len(images)) * wanted.places),
        progress=job.progress,
        cancel=job.cancelled,
        on_error=failed.append,
    )
    failed += images.skipped
    job.progress(0, None, "Drawing examples")
    places = {key: typical_place(probe, *key) for key in _kinds_and_contrasts(probe)}
    needed = {int(probe.picture_of[place]) for place in places.values() if place is not None} | {0}
    seen = dict(_seen_again(model, images, probe, needed, job.cancelled))
    examples = {
        key: tuple(_examples(model, probe, key, place, *seen[int(probe.picture_of[place])]))
        for key, place in places.items()
        if place is not None
    }
    return Probed(
        label=pictures.label,
        identity=identity,
        threshold=model.quantizer.to_value(probe.threshold),
        probe=probe,
        failed=tuple(failed),
        seen=Picture(encode_jpeg(seen[0][0], 88)),
        examples=examples,
    )


def _kinds_and_contrasts(probe: Probe) -> list[tuple[Kind, float]]:
    return [(kind, contrast) for kind in probe.kinds for contrast in probe.contrasts]


def typical_place(probe: Probe, kind: Kind, contrast: float) -> int | None:
    """A place where as many sizes are caught as at half of all places; None where none can be judged."""
    i, k = probe.kinds.index(kind), probe.contrasts.index(contrast)
    usable = np.flatnonzero(~probe.void[:, i, :, k].any(axis=1))
    if not len(usable):
        return None
    order = np.argsort(probe.caught[usable, i, :, k].sum(axis=1), kind="stable")
    return int(usable[order[(len(order) - 1) // 2]])


def _seen_again(
    model: Padim, images: labelled.Some, probe: Probe, needed: set[int], cancel: Cancel
) -> Iterator[tuple[int, tuple[npt.NDArray[np.uint8], Box | None, float]]]:
    """The pictures of these numbers as the model sees them, with where they lie and how far out of shape."""
    from padim.data.loading import prepare

    number_of = {probe.pictures[number]: number for number in needed}
    for name, data in images:
        number = number_of.pop(name, None)
        if number is not None:
            found = prepare((name, data), model.preprocess, cancel=cancel)
            box = model.judge.content_box(found.original_size)
            width, height = (box.width, box.height) if box else (probe.map_size, probe.map_size)
            shape = (found.original_size[1] / width) / (found.original_size[0] / height)
            yield number, (found.rgb, box, shape)
        if not number_of:
            return


def look_at(probe: Probe, place: int) -> Any:
    """The angle and outline that the probe drew for a place."""
    from padim.analysis.sensitivity import Look

    # As the probe draws: first the two coordinates, then the look.
    rng = np.random.default_rng([probe.seed, 1, place])
    rng.random(2)
    return Look.drawn(rng)


def _examples(
    model: Padim,
    probe: Probe,
    key: tuple[Kind, float],
    place: int,
    rgb: npt.NDArray[np.uint8],
    box: Box | None,
    shape: float,
) -> Iterator[Example]:
    """Every size at one place."""
    from padim.analysis.sensitivity import paint
    from padim.data.preprocess import Box
    from padim.decision.regions import map_mask

    (kind, contrast), side = key, probe.map_size
    x, y = map(float, probe.places[place])
    look, content = look_at(probe, place), box or Box(0, 0, side, side)
    painted = [paint(rgb, kind, size, contrast, look, x, y, content)[0] for size in probe.sizes]
    _, maps = model.judge.scorer(np.stack(painted), [box] * len(painted))
    shown = round(min(side, max(_LEAST_SHOWN * side, 1.5 * probe.sizes[-1])))
    left, top = (min(max(0, round(at - shown / 2)), side - shown) for at in (x, y))
    window = slice(top, top + shown), slice(left, left + shown)
    i, k = probe.kinds.index(kind), probe.contrasts.index(contrast)
    for j, (size, rgb_painted, q) in enumerate(zip(probe.sizes, painted, maps, strict=True)):
        mask = map_mask(q, probe.threshold, probe.min_area)
        yield Example(
            size,
            bool(probe.caught[place, i, j, k]),
            _cut(rgb_painted[window], mask[window], shape),
        )


def _cut(rgb: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], shape: float) -> Picture:
    """A cut-out, enlarged to its part's own shape, with the mask's outline."""
    import cv2

    from padim.output.render import encode_jpeg, overlay

    # Longer side fixed; the other by how far the model sees pictures out of shape.
    size = (
        max(1, round(_EXAMPLE_SIDE * min(1.0, shape))),
        max(1, round(_EXAMPLE_SIDE * min(1.0, 1 / shape))),
    )
    large = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    marked = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    levels = np.zeros(marked.shape, np.uint16)  # no heat is drawn
    return Picture(encode_jpeg(overlay(large, levels, np.asarray(marked), 1, opacity=0), 88))


# -- words -----------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """ "10 %", "2.5 %", "0.4 %"."""
    return f"{_plain(share * 100)} %"


def reached(reach: Reach, probe: Probe, unit: Unit) -> str:
    """A size, or on which side of those tried it lies."""
    if reach.value is not None:
        return unit.said(reach.value)
    if reach.below:
        return f"≤ {unit.said(probe.sizes[0])}"
    return "–" if reach.why == "nothing was tried" else f"> {unit.said(probe.sizes[-1])}"


def smallest(found: Probed, unit: Unit) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of the table of smallest defects: a row a kind, a column a contrast."""
    probe = found.probe
    rows = []
    for kind in probe.kinds:
        row = [Cell(KINDS[kind][0])]
        for contrast in probe.contrasts:
            curve = found.curve(kind, contrast)
            half = reached(curve.at_50, probe, unit)
            row.append(Cell(reached(curve.at_90, probe, unit), f"half: {half}", strong=True))
        rows.append(row)
    return ["Defect", *(f"Contrast {percent(contrast)}" for contrast in probe.contrasts)], rows


@dataclass(frozen=True)
class Spot:
    """One place of the map.

    Attributes:
        x, y: in map pixels.
        count: caught there.
        of: tried there.
        blind: even the largest and strongest was missed.
        picture: that it lies on.
    """

    x: float
    y: float
    count: int
    of: int
    blind: bool
    picture: str


def spots(probe: Probe, kind: Kind | None) -> list[Spot]:
    """The places and what was caught there, of one kind or of all."""
    chosen = slice(None) if kind is None else [probe.kinds.index(kind)]
    caught, void = probe.caught[:, chosen], probe.void[:, chosen]
    count, of = caught.sum(axis=(1, 2, 3)), (~void).sum(axis=(1, 2, 3))
    blind = np.any((~caught & ~void)[:, :, -1, -1], axis=1).tolist()
    return [
        Spot(float(x), float(y), int(k), int(n), b, probe.pictures[picture])
        for (x, y), k, n, b, picture in zip(probe.places, count, of, blind, probe.picture_of, strict=True)
        if n
    ]


_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")


def where(row: int, column: int, cells: int) -> str:
    """A cell in words: "top left", "the middle"."""
    # By the third of the picture that its middle lies in.
    names = _ROWS[(2 * row + 1) * 3 // (2 * cells)], _COLUMNS[(2 * column + 1) * 3 // (2 * cells)]
    if names == ("middle", "middle"):
        return "the middle"
    return f"the {' '.join(name for name in names if name != 'middle')}"


def weakest(probe: Probe, kind: Kind | None) -> str:
    """What the map says, in words."""
    found = spots(probe, kind)
    if not found:
        return "Nothing could be judged here: the bare pictures alarm at every place."
    share, places = probe.by_place(kind)
    overall = sum(spot.count for spot in found) / sum(spot.of for spot in found)
    row, column = map(int, np.unravel_index(np.nanargmin(share), share.shape))
    least = share[row, column]
    text = f"Of all that was painted, {overall * 100:.0f} % were caught."
    if least < overall - 0.1:
        n = int(places[row, column])
        text += (
            f" Least is caught at {where(row, column, probe.cells)} of the picture: {least * 100:.0f} %, "
            f"judged from {n} {'place' if n == 1 else 'places'}."
        )
    blind = sum(spot.blind for spot in found)
    if blind:
        sort = "one of the kinds" if kind is None and len(probe.kinds) > 1 else "it"
        text += (
            f" Blind spots: at {blind} of {len(found)} places even the largest and strongest of {sort} was "
            "missed (crosses)."
        )
    else:
        text += " There is no blind spot: the largest and strongest were caught everywhere."
    return text


def thumbs(examples: Sequence[Example], unit: Unit) -> list[Thumb]:
    """The examples as tiles."""
    return [
        Thumb(example.picture, unit.said(example.size), "Caught" if example.caught else "Missed")
        for example in examples
    ]


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: Probed, entry: Entry) -> bytes:
    """Caught of tried for every kind, contrast and size, one a line."""
    probe = found.probe
    lines: list[Iterable[object]] = []
    lines.append(
        (
            *("kind", "contrast", "size_map_px", "size_px_across", "size_px_down"),
            *("caught", "tried", "share", "low_95", "high_95", "half_from_map_px", "nine_in_ten_from_map_px"),
            *("threshold", "model", "data"),
        )
    )
    about = f"{found.threshold:.6g}", entry.name, found.label
    for kind, contrast in _kinds_and_contrasts(probe):
        curve = found.curve(kind, contrast)
        ends = ("" if reach.value is None else f"{reach.value:.4g}" for reach in (curve.at_50, curve.at_90))
        half, nine = ends
        for size, rate in zip(curve.values, curve.rates, strict=True):
            sizes = (f"{size * factor:.4g}" for factor in (1.0, *probe.scale))
            shares = (f"{number:.6g}" if rate.of else "" for number in (rate.share, rate.low, rate.high))
            lines.append((kind, f"{contrast:g}", *sizes, rate.count, rate.of, *shares, half, nine, *about))
    return results.csv_file(lines)


def document(found: Probed, entry: Entry) -> bytes:
    """Settings, counts, curves and places as JSON; sizes and places in map pixels."""
    whole = {
        "model": {"id": entry.id, "name": entry.name},
        "data": found.label,
        "threshold": found.threshold,
        "min_area": found.probe.min_area,
        **to_json.probe(found.probe),
        "places": [asdict(spot) for spot in spots(found.probe, None)],
        "skipped": to_json.skipped(found.failed),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()
