"""Sensitivity without defects: what size and contrast a defect must have to be caught, and where on the part.

Synthetic defects are painted on images of good parts that the model has not learnt from, and judged as any
image is. Each *place* (a point on one image, with an angle and an outline drawn for it) carries every
kind, size and contrast in turn: settings are compared on the same places, and every place counts alike in
the map over the part.

**Where it is painted.** On the model's input, whose pixels are those of the map, so a size means the same to
the network whatever the camera's resolution; ``Sensitivity.scale`` says how many image pixels a map pixel is.
The centre lies inside the region of interest. What of the defect lies beyond is painted too, as a real one
does not stop there either, but never on the padding.

**Caught** is a defect when a region of the image's mask, at the threshold and smallest region in use, has a
pixel in the painted area. That the image is rejected is not enough: the region may be elsewhere. Where the
mask of the bare image has a pixel in that area already, nobody can say what was caught: such a trial is
*void* and counts neither way.

**Which images.** None that the model was fitted on. It has taken their every chance feature for normal, so
their unpainted background scores lower than that of the next part off the line, and a threshold honest for
new parts is too high for them. Parts that were kept out of the fit may be used; so may any new good parts.

It is a probe, not a proof: real defects look different. It compares settings and places, and finds blind
spots; what it calls visible must still be tried with real parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.detection_curve import Curve, curve_of
from padim.analysis.sensitivity_examples import PaintedExample, PaintedExampleKeeper, Unpainted
from padim.analysis.synthetic_defects import KINDS, SMALLEST_SIZE, DefectKind, Look, Place, paint
from padim.data.loading import RGB, Cancel, Image, OnError, Prepared, Progress, Watch, batches
from padim.data.preprocess import Box
from padim.decision.anomaly_map import inside
from padim.decision.operating_points import Rate
from padim.decision.regions import map_mask, region_score
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["CONTRASTS", "Sensitivity", "cells_for", "default_sizes", "measure", "painted_images", "place_at"]

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

CONTRASTS = (0.05, 0.1, 0.2, 0.4)
STAGE = "Probing"

# Sizes probed, as shares of the input's side.
_SIZES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
# The map over the part has no more cells than leave this many places to each, and no more a side than that.
_PLACES_A_CELL, _MOST_CELLS = 3, 10
# The golden ratio's fraction: multiples of it spread evenly over [0, 1) however many there are.
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Every trial of a probe, and what can be counted from them.

    R places carry K kinds, S sizes and C contrasts each.

    Attributes:
        kinds, sizes, contrasts: what was painted; sizes in map pixels.
        images: names of those painted on.
        image_of: int64 ``(R,)``, which of them a place is on.
        places: float64 ``(R, 2)``, (x, y) in map pixels.
        caught: bool ``(R, K, S, C)``, a region lies on the painted area.
        rejected: bool ``(R, K, S, C)``, the image has any region at all.
        void: bool ``(R, K, S, C)``, the bare image has a region there already; never caught.
        bare_rejected: images with a region before anything is painted.
        in_fit: images passed over because the model was fitted on them.
        not_good: images passed over because they were taken out as not good.
        map_size: side of the map.
        cells: the map over the part is ``cells`` by ``cells``.
        scale: image pixels a map pixel is, (x, y), the median over the images.
        threshold: level judged at.
        min_area: smallest region judged with.
        seed: of places and looks.
        examples: by kind and contrast, trials of this very measurement: all sizes at a typical one of the
            first places; empty unless asked for.
        first: the first image painted on; None unless examples were asked for.
    """

    kinds: tuple[DefectKind, ...]
    sizes: tuple[float, ...]
    contrasts: tuple[float, ...]
    images: tuple[str, ...]
    image_of: npt.NDArray[np.int64]
    places: Doubles
    caught: Mask
    rejected: Mask
    void: Mask
    bare_rejected: int
    in_fit: int
    not_good: int
    map_size: int
    cells: int
    scale: tuple[float, float]
    threshold: int
    min_area: int
    seed: int
    examples: Mapping[tuple[DefectKind, float], tuple[PaintedExample, ...]] = field(default_factory=dict)
    first: Unpainted | None = None

    def rate(self, kind: DefectKind, size: float, contrast: float) -> Rate:
        """Caught of tried in one setting."""
        i, j, k = self.kinds.index(kind), self.sizes.index(size), self.contrasts.index(contrast)
        tried = ~self.void[:, i, j, k]
        return Rate.counted(int(self.caught[:, i, j, k].sum()), int(tried.sum()))

    def over_size(self, kind: DefectKind, contrast: float) -> Curve:
        """Detection against size, at one contrast."""
        i, k = self.kinds.index(kind), self.contrasts.index(contrast)
        caught, tried = self.caught[:, i, :, k].sum(axis=0), (~self.void[:, i, :, k]).sum(axis=0)
        return curve_of(self.sizes, caught.tolist(), tried.tolist())

    def over_size_of_all(self, contrast: float) -> Curve:
        """Detection against size of all kinds together, at one contrast."""
        k = self.contrasts.index(contrast)
        caught, tried = self.caught[..., k].sum(axis=(0, 1)), (~self.void[..., k]).sum(axis=(0, 1))
        return curve_of(self.sizes, caught.tolist(), tried.tolist())

    def over_contrast(self, kind: DefectKind, size: float) -> Curve:
        """Detection against contrast, at one size."""
        i, j = self.kinds.index(kind), self.sizes.index(size)
        caught, tried = self.caught[:, i, j].sum(axis=0), (~self.void[:, i, j]).sum(axis=0)
        return curve_of(self.contrasts, caught.tolist(), tried.tolist())

    @property
    def share(self) -> float:
        """Caught of all trials, every setting alike: one number to rank configurations by.

        Compare only probes of the same images, settings and seed. NaN when all are void.
        """
        tried = int((~self.void).sum())
        return int(self.caught.sum()) / tried if tried else math.nan

    def by_place(self, kind: DefectKind | None = None) -> tuple[Doubles, npt.NDArray[np.int64]]:
        """The map over the part: share caught by where the defect's centre lies, over all settings.

        Args:
            kind: of these defects alone; None of all.

        Returns:
            float64 ``(cells, cells)``, NaN where nothing was tried, and int64 of the same shape: places
            behind each. The trials of one place are not independent: judge a share by its places.
        """
        chosen = slice(None) if kind is None else [self.kinds.index(kind)]
        caught, tried, places = (np.zeros((self.cells, self.cells)) for _ in range(3))
        column, row = _cell(self.places, self.map_size, self.cells).T
        counts = (~self.void[:, chosen]).sum(axis=(1, 2, 3))
        np.add.at(caught, (row, column), self.caught[:, chosen].sum(axis=(1, 2, 3)))
        np.add.at(tried, (row, column), counts)
        np.add.at(places, (row, column), counts > 0)
        share = np.divide(caught, tried, out=np.full_like(caught, np.nan), where=tried > 0)
        return share, places.astype(np.int64)


def _cell(places: npt.NDArray[np.floating | np.integer], size: int, cells: int) -> npt.NDArray[np.int64]:
    """Cell (column, row) of (x, y) places, ``(n, 2)``."""
    return np.minimum(np.floor(places * cells / size).astype(np.int64), cells - 1)


def default_sizes(input_size: int) -> tuple[float, ...]:
    """Five sizes from a 64th of the input's side to a quarter, each twice the one before."""
    return tuple(max(SMALLEST_SIZE, input_size * share) for share in _SIZES)


def cells_for(places: int) -> int:
    """Rows and columns of the map over the part for so many places: each cell needs some."""
    return max(2, min(_MOST_CELLS, math.isqrt(places // _PLACES_A_CELL)))


def measure(
    model: Padim,
    images: Iterable[Image],
    *,
    kinds: Sequence[DefectKind] = KINDS,
    sizes: Sequence[float] | None = None,
    contrasts: Sequence[float] = CONTRASTS,
    places: int = 2,
    most_images: int = 24,
    cells: int = 8,
    seed: int = 0,
    examples: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
) -> Sensitivity:
    """Paint defects on good parts the model has not learnt from, and count which are caught.

    The same arguments give the same result. One image and one batch are in memory at a time; the work is
    ``images * places * kinds * sizes * contrasts`` images to score.

    Args:
        model: fitted, with a threshold; is not changed.
        images: (name, file bytes or uint8 RGB array) pairs of good parts. Those the model was fitted on, or
            that were taken out as not good, are passed over and counted.
        kinds: of ``KINDS``.
        sizes: in map pixels, at least 1, growing; None is :func:`default_sizes`.
        contrasts: above 0 and up to 1, growing.
        places: on each image.
        most_images: after so many that can be used, no more are read.
        cells: rows and columns of the map over the part.
        seed: of places, angles, outlines and polarity.
        examples: keep some of the trials to look at (:mod:`padim.analysis.sensitivity_examples`).
        progress: called as (done, total or None, stage), in images scored.
        cancel: asked between batches; True stops.
        on_error: takes images that cannot be used; without it the first one raises.

    Raises:
        NotFittedError, CalibrationError: no model, or no threshold.
        Cancelled: ``cancel`` asked to stop.
        ImageError: an image cannot be used and ``on_error`` is not given.
        PadimError: a setting out of range, or no image could be used; says why.
    """
    state, level, min_area = model.state, model.threshold_level, model.config.min_area
    side = model.config.input_size
    sizes = default_sizes(side) if sizes is None else sizes
    _check(kinds, sizes, contrasts, side, places=places, most_images=most_images, cells=cells, seed=seed)
    watch = Watch(progress, cancel, on_error)
    status_of = dict.fromkeys(model.network.adapted_with, "fit")
    status_of |= {normal.sha256: normal.status for normal in model.normals_}
    shape = (len(kinds), len(sizes), len(contrasts))
    each = places * math.prod(shape)
    read = _Read(status_of)
    total = min(len(images), most_images) * each if isinstance(images, Sized) else None
    names: list[str] = []
    points: list[Place] = []
    scales: list[tuple[float, float]] = []
    outcomes: list[npt.NDArray[np.bool_]] = []
    bare_rejected = 0
    keeper = PaintedExampleKeeper(kinds, sizes, contrasts) if examples else None
    # Progress is told here, in images scored.
    reading = batches(images, model.network.preprocess, 1, Watch(None, cancel, on_error), STAGE)
    for image in read.usable(batch[0] for batch in reading):
        box = state.content_box(image.original_size)
        scored = np.broadcast_to(inside((side, side), model.decision.roi, box) > 0, (side, side))
        if not scored.any():
            watch.bad(ImageError(image.name, "no pixel of it lies inside the region of interest"))
            continue
        content = box or Box(0, 0, side, side)
        here = [place_at(scored, cells, seed, len(points) + i) for i in range(places)]
        _, maps = state.scorer(image.rgb[None], [box])
        bare = map_mask(maps[0], level, min_area)
        bare_rejected += bool(bare.any())
        found = np.zeros((3, each), np.bool_)
        if keeper is not None:
            keeper.begin(Unpainted(image.name, image.rgb, content, image.original_size), here)
        trials = painted_images(image.rgb, here, kinds, sizes, contrasts, content)
        start = 0
        for painted, areas in _chunks(trials, model.network.extractor.batch_size()):
            watch.step(len(names) * each + start, total, STAGE)
            _, maps = state.scorer(np.stack(painted), [box] * len(painted))
            for i, (q, area) in enumerate(zip(maps, areas, strict=True), start=start):
                mask = map_mask(q, level, min_area)
                void = bool((bare & area).any())
                found[:, i] = not void and bool((mask & area).any()), bool(mask.any()), void
                if keeper is not None and keeper.wants_more:
                    keeper.add(region_score(q, min_area), mask)
            start += len(painted)
        outcomes.append(found.reshape(3, places, *shape))
        points += here
        names.append(image.name)
        scales.append((image.original_size[1] / content.width, image.original_size[0] / content.height))
        if len(names) == most_images:
            break
    if not names:
        raise PadimError(read.why_none())
    watch.step(len(names) * each, len(names) * each, STAGE)
    caught, rejected, void = np.concatenate(outcomes, axis=1)
    scale = np.median(np.array(scales), axis=0)
    return Sensitivity(
        kinds=tuple(kinds),
        sizes=tuple(map(float, sizes)),
        contrasts=tuple(map(float, contrasts)),
        images=tuple(names),
        image_of=np.repeat(np.arange(len(names)), places),
        places=np.array([(point.x, point.y) for point in points]),
        caught=caught,
        rejected=rejected,
        void=void,
        bare_rejected=bare_rejected,
        in_fit=read.in_fit,
        not_good=read.not_good,
        map_size=side,
        cells=cells,
        scale=(float(scale[0]), float(scale[1])),
        threshold=level,
        min_area=min_area,
        seed=seed,
        examples={} if keeper is None else keeper.typical(caught, void),
        first=None if keeper is None else keeper.first,
    )


class _Read:
    """Images as they come, those that may not be used passed over and counted."""

    def __init__(self, status_of: Mapping[str, str]) -> None:
        self._status_of = status_of
        self.in_fit = self.not_good = 0

    def usable(self, images: Iterable[Prepared]) -> Iterator[Prepared]:
        """Those the model has not learnt from."""
        for image in images:
            status = self._status_of.get(image.sha256)
            self.in_fit += status == "fit"
            self.not_good += status == "not_good"
            if status in (None, "kept_out"):
                yield image

    def why_none(self) -> str:
        """What to say when no image is left."""
        if self.in_fit:
            return (
                f"none of the images can be probed: the model was fitted on {self.in_fit} of them, and "
                "what it has learnt by heart says nothing about new parts; give good parts it has not seen, "
                "or keep some out of the fit"
            )
        return "none of the images could be used; give images of good parts the model was not fitted on"


def _check(
    kinds: Sequence[str], sizes: Sequence[float], contrasts: Sequence[float], side: int, **counts: int
) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds or len(set(kinds)) != len(kinds):
        raise PadimError(f"defects to paint are {', '.join(KINDS)}, each once; got {', '.join(kinds) or '-'}")
    for name, values, low, high in (("sizes", sizes, SMALLEST_SIZE, side), ("contrasts", contrasts, 0, 1)):
        growing = all(a < b for a, b in itertools.pairwise(values))
        if not (len(values) and growing and all(low <= value <= high and value > 0 for value in values)):
            listed = ", ".join(f"{value:g}" for value in values)
            above = "above 0 and" if low == 0 else f"at least {low:g} and"
            raise PadimError(f"{name} must grow and be {above} at most {high:g}; got {listed or 'none'}")
    for name, value in counts.items():
        least = 0 if name == "seed" else 1
        if value < least:
            raise PadimError(f"{name.replace('_', ' ')} must be at least {least}, got {value}")


def place_at(scored: Mask, cells: int, seed: int, index: int) -> Place:
    """Place number ``index``: spread evenly over the judged pixels, with a look of its own.

    The pixels are lined up cell by cell, there and back, and a golden-ratio sequence walks along them: each
    cell gets its fair share of the places, however many there are.
    """
    rows, columns = np.nonzero(scored)
    column, row = _cell(np.stack([columns, rows], axis=1), len(scored), cells).T
    forth = np.where(row % 2 == 0, column, cells - 1 - column)
    order = np.argsort(row * cells + forth, kind="stable")
    start = np.random.default_rng([seed, 0]).random()
    rng = np.random.default_rng([seed, 1, index])
    pixel = order[int((start + index * _GOLDEN) % 1 * len(order))]
    x, y = columns[pixel] + rng.random(), rows[pixel] + rng.random()
    return Place(float(x), float(y), Look.drawn(rng))


def painted_images(
    rgb: RGB,
    places: Sequence[Place],
    kinds: Sequence[DefectKind],
    sizes: Sequence[float],
    contrasts: Sequence[float],
    content: Box,
) -> Iterator[tuple[RGB, Mask]]:
    """Painted images and their areas: by place, kind, size and contrast."""
    for x, y, look in places:
        for kind in kinds:
            for size in sizes:
                for contrast in contrasts:
                    yield paint(rgb, kind, size, contrast, look, x, y, content)


def _chunks(trials: Iterator[tuple[RGB, Mask]], size: int) -> Iterator[tuple[list[RGB], list[Mask]]]:
    images: list[RGB] = []
    areas: list[Mask] = []
    for image, area in trials:
        images.append(image)
        areas.append(area)
        if len(images) == size:
            yield images, areas
            images, areas = [], []
    if images:
        yield images, areas
