"""Sensitivity of a model, measured with synthetic defects: detection by size, contrast and place.

Synthetic defects are painted on images of good parts that the model was not fitted on, and scored like any
image. Each *place* (a point on one image, with an angle and an outline drawn for it) gets every kind, size
and contrast in turn, so that settings are compared at the same places, and every place has the same weight in
the map of the part.

**Where defects are painted.** On the model's input, whose pixels are those of the map, so that a size means
the same to the network at any camera resolution; ``Sensitivity.scale`` is the number of image pixels per map
pixel. The center is inside the region of interest. The part of a defect outside the region is painted too,
because a real defect does not end there either, but never on the padding.

A defect is **caught** if a region of the image's mask, at the threshold and smallest region in use, has a
pixel in the painted area. A rejected image is not sufficient, because the region may be elsewhere. If the
mask of the unpainted image already has a pixel in that area, the trial is *void* and not counted, because it
cannot be decided what was detected.

**Which images are used.** None that the model was fitted on. Their random features are normal to the model,
so that their unpainted background scores lower than that of new parts, and a threshold that is right for new
parts is too high for them. Parts kept out of the fit can be used, and so can any new good parts.

The measurement is an indication, not a proof: real defects look different. It compares settings and places,
and finds blind spots; detection must still be verified with real defects.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.detection_curve import Curve, curve_of
from padim.analysis.fit_overlap import KnownImages
from padim.analysis.sensitivity_examples import PaintedExample, PaintedExampleKeeper, Unpainted
from padim.analysis.synthetic_defects import KINDS, SMALLEST_SIZE, DefectKind, Look, PaintedPlace, paint
from padim.data.loading import RGB, Cancel, Image, OnError, Prepared, Progress, Watch, batches
from padim.data.preprocess import Box
from padim.decision.operating_points import Rate
from padim.decision.regions import map_mask, region_score
from padim.errors import ImageError, PadimError
from padim.input_size import COARSEST_STRIDE

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = [
    "CONTRASTS",
    "Sensitivity",
    "cell_shape",
    "cells_for",
    "default_sizes",
    "measure",
    "painted_images",
    "place_at",
]

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

CONTRASTS = (0.05, 0.1, 0.2, 0.4)
STAGE = "Measuring sensitivity"

# The default sizes, as shares of the side of a square input; of a rectangle, that of about the same area.
_SIZES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
# The minimum number of places in a cell of the map of the part, and the maximum number of cells on a side.
_PLACES_A_CELL, _MOST_CELLS = 3, 10
# The fraction of the golden ratio: any number of its multiples modulo 1 are spread evenly over [0, 1).
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """All trials of a sensitivity measurement, and the figures computed from them.

    R places have K kinds, S sizes and C contrasts each.

    Attributes:
        kinds, sizes, contrasts: the defects painted; sizes in map pixels.
        images: the names of the images painted on.
        image_of: int64 ``(R,)``, the index of the image of each place.
        places: float64 ``(R, 2)``, (x, y) in map pixels.
        caught: bool ``(R, K, S, C)``, whether a region overlaps the painted area.
        rejected: bool ``(R, K, S, C)``, whether the image has a region anywhere.
        void: bool ``(R, K, S, C)``, whether the unpainted image already has a region there; never caught.
        bare_rejected: the number of images with a region before painting.
        in_fit: the number of images skipped because the model was fitted on them.
        not_good: the number of images skipped because they are marked not good in the model.
        map_shape: (h, w) of the map in pixels.
        cells: the number of rows and columns of cells on a square map; see :attr:`cell_shape`.
        scale: image pixels per map pixel, (x, y), the median over the images.
        threshold: the threshold used, a level.
        min_area: the smallest region used, in map pixels.
        seed: the seed of places and appearances.
        examples: trials of this measurement by kind and contrast: all sizes at a typical one of the first
            places; empty unless requested.
        first: the first image painted on; None unless examples were requested.
        guard_band: whether the model has a guard band; marked is what is above the threshold all the same.
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
    map_shape: tuple[int, int]
    cells: int
    scale: tuple[float, float]
    threshold: int
    min_area: int
    seed: int
    examples: Mapping[tuple[DefectKind, float], tuple[PaintedExample, ...]] = field(default_factory=dict)
    first: Unpainted | None = None
    guard_band: bool = False

    def rate(self, kind: DefectKind, size: float, contrast: float) -> Rate:
        """Return the detection rate of one kind, size and contrast."""
        i, j, k = self.kinds.index(kind), self.sizes.index(size), self.contrasts.index(contrast)
        tried = ~self.void[:, i, j, k]
        return Rate.counted(int(self.caught[:, i, j, k].sum()), int(tried.sum()))

    def over_size(self, kind: DefectKind, contrast: float) -> Curve:
        """Return the detection curve over size, at one contrast."""
        i, k = self.kinds.index(kind), self.contrasts.index(contrast)
        caught, tried = self.caught[:, i, :, k].sum(axis=0), (~self.void[:, i, :, k]).sum(axis=0)
        return curve_of(self.sizes, caught.tolist(), tried.tolist())

    def over_size_of_all(self, contrast: float) -> Curve:
        """Return the detection curve over size of all kinds together, at one contrast."""
        k = self.contrasts.index(contrast)
        caught, tried = self.caught[..., k].sum(axis=(0, 1)), (~self.void[..., k]).sum(axis=(0, 1))
        return curve_of(self.sizes, caught.tolist(), tried.tolist())

    def over_contrast(self, kind: DefectKind, size: float) -> Curve:
        """Return the detection curve over contrast, at one size."""
        i, j = self.kinds.index(kind), self.sizes.index(size)
        caught, tried = self.caught[:, i, j].sum(axis=0), (~self.void[:, i, j]).sum(axis=0)
        return curve_of(self.contrasts, caught.tolist(), tried.tolist())

    @property
    def share(self) -> float:
        """Return the share caught of all trials, with equal weight of all settings, to rank configurations.

        Only measurements with the same images, settings and seed are comparable. NaN if all trials are void.
        """
        tried = int((~self.void).sum())
        return int(self.caught.sum()) / tried if tried else math.nan

    @property
    def cell_shape(self) -> tuple[int, int]:
        """Return the rows and columns of the map of the part."""
        return cell_shape(self.map_shape, self.cells)

    def by_place(self, kind: DefectKind | None = None) -> tuple[Doubles, npt.NDArray[np.int64]]:
        """Return the map of the part: the share caught in each cell, by the center of the defect.

        Args:
            kind: use defects of this kind only; None uses all.

        Returns:
            The shares, float64 :attr:`cell_shape`, NaN for cells without trials, and the number of places
            behind each, int64 of the same shape. The trials of one place are not independent, so the number
            of places, not of trials, indicates the reliability of a share.
        """
        chosen = slice(None) if kind is None else [self.kinds.index(kind)]
        caught, tried, places = (np.zeros(self.cell_shape) for _ in range(3))
        column, row = _cell(self.places, self.map_shape, self.cell_shape).T
        counts = (~self.void[:, chosen]).sum(axis=(1, 2, 3))
        np.add.at(caught, (row, column), self.caught[:, chosen].sum(axis=(1, 2, 3)))
        np.add.at(tried, (row, column), counts)
        np.add.at(places, (row, column), counts > 0)
        share = np.divide(caught, tried, out=np.full_like(caught, np.nan), where=tried > 0)
        return share, places.astype(np.int64)


def cell_shape(map_shape: tuple[int, int], cells: int) -> tuple[int, int]:
    """Return rows and columns of the map of a part: about ``cells`` squared cells, as square as they can be.

    Args:
        map_shape: (h, w) in pixels.
        cells: the number of rows and columns on a square map.
    """
    height, width = map_shape
    rows = max(1, round(cells * math.sqrt(height / width)))
    return rows, max(1, round(cells * cells / rows))


def _cell(
    places: npt.NDArray[np.floating | np.integer], map_shape: tuple[int, int], shape: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Return the cells (column, row) of places (x, y), ``(n, 2)``, of a map divided into ``shape`` cells."""
    counts, sizes = np.array(shape[::-1]), np.array(map_shape[::-1])
    return np.minimum(np.floor(places * counts / sizes).astype(np.int64), counts - 1)


def default_sizes(input_shape: tuple[int, int]) -> tuple[float, ...]:
    """Return five sizes from a 64th to a quarter of the input's side, each twice the previous one.

    The side of a rectangle is that of a square of about its area, a multiple of 32 as a square's.
    """
    height, width = input_shape
    side = height if height == width else COARSEST_STRIDE * round(math.sqrt(height * width) / COARSEST_STRIDE)
    return tuple(max(SMALLEST_SIZE, side * share) for share in _SIZES)


def cells_for(places: int) -> int:
    """Return the number of rows and columns of the map of the part for a number of places."""
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
    on_known: Callable[[str, str], None] | None = None,
) -> Sensitivity:
    """Paint defects on good parts that the model was not fitted on, and count which are caught.

    The same arguments give the same result. One image and one batch are in memory at a time;
    ``images * places * kinds * sizes * contrasts`` images are scored.

    Args:
        model: a fitted model with a threshold; is not modified.
        images: (name, file bytes or uint8 RGB array) pairs of good parts. Images that the model was fitted
            on, or that are marked not good in it, are skipped and counted.
        kinds: kinds of defects, from ``KINDS``.
        sizes: sizes in map pixels, at least 1, increasing; None is :func:`default_sizes`.
        contrasts: contrasts above 0 and up to 1, increasing.
        places: the number of places on each image.
        most_images: the maximum number of usable images; no more are read.
        cells: the number of rows and columns of the map of the part.
        seed: the seed of places, angles, outlines and polarity.
        examples: keep some of the trials for display (:mod:`padim.analysis.sensitivity_examples`).
        progress: called as (done, total or None, stage), counting images scored.
        cancel: called between batches; returning True cancels.
        on_error: called with images that cannot be used; without it the first one raises.
        on_known: called with the name of each image that is skipped, and its status in the model: ``fit`` or
            ``not_good``.

    Raises:
        NotFittedError, CalibrationError: the model is not fitted, or has no threshold.
        Cancelled: ``cancel`` returned True.
        ImageError: an image cannot be used and ``on_error`` is not given.
        PadimError: a setting is out of range, or no image could be used; the message states why.
    """
    state, level, min_area = model.state, model.threshold_level, model.config.min_area
    map_shape = model.config.input_shape
    sizes = default_sizes(map_shape) if sizes is None else sizes
    _check(
        kinds,
        sizes,
        contrasts,
        min(map_shape),
        places=places,
        most_images=most_images,
        cells=cells,
        seed=seed,
    )
    watch = Watch(progress, cancel, on_error)
    shape = (len(kinds), len(sizes), len(contrasts))
    each = places * math.prod(shape)
    read = _Read(KnownImages.of(model), on_known)
    total = min(len(images), most_images) * each if isinstance(images, Sized) else None
    names: list[str] = []
    points: list[PaintedPlace] = []
    scales: list[tuple[float, float]] = []
    outcomes: list[npt.NDArray[np.bool_]] = []
    bare_rejected = 0
    keeper = PaintedExampleKeeper(kinds, sizes, contrasts) if examples else None
    # Progress is reported below, in images scored, and so not by the reader.
    reading = batches(images, model.state.preprocess, 1, Watch(None, cancel, on_error), STAGE)
    for image in read.usable(batch[0] for batch in reading):
        box = state.content_box(image.original_size)
        shown = state.shown(image.placement, image.original_size)
        if image.lost:
            watch.bad(ImageError(image.name, f"part not found: {image.lost}"))
            continue
        scored = state.scored_area(image.original_size, image.pose)
        if not scored.any():
            watch.bad(ImageError(image.name, "no pixel of it is inside the region of interest"))
            continue
        content = box or Box(0, 0, *map_shape)
        here = [place_at(scored, cells, seed, len(points) + i) for i in range(places)]
        _, maps = state.scorer(image.rgb[None], [box], [shown])
        bare = map_mask(maps[0], level, min_area)
        bare_rejected += bool(bare.any())
        found = np.zeros((3, each), np.bool_)
        if keeper is not None:
            keeper.begin(Unpainted(image.name, image.rgb, content, image.original_size), here)
        trials = painted_images(image.rgb, here, kinds, sizes, contrasts, content)
        start = 0
        for painted, areas in _chunks(trials, model.network.extractor.batch_size()):
            watch.step(len(names) * each + start, total, STAGE)
            _, maps = state.scorer(np.stack(painted), [box] * len(painted), [shown] * len(painted))
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
        if image.placement is None:
            scales.append((image.original_size[1] / content.width, image.original_size[0] / content.height))
        else:
            across, down = np.hypot(*image.placement.matrix[:, :2])
            scales.append((float(across), float(down)))
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
        map_shape=map_shape,
        cells=cells,
        scale=(float(scale[0]), float(scale[1])),
        threshold=level,
        min_area=min_area,
        seed=seed,
        examples={} if keeper is None else keeper.typical(caught, void),
        first=None if keeper is None else keeper.first,
        guard_band=model.decision.guard is not None,
    )


class _Read:
    """A filter of images that counts those skipped."""

    def __init__(self, known: KnownImages, on_known: Callable[[str, str], None] | None) -> None:
        self._known, self._on_known = known, on_known
        self.in_fit = self.not_good = 0

    def usable(self, images: Iterable[Prepared]) -> Iterator[Prepared]:
        """Yield the images that the model was not fitted on."""
        for image in images:
            status = self._known.status(image)
            self.in_fit += status == "fit"
            self.not_good += status == "not_good"
            if status is None or status == "kept_out":
                yield image
            elif self._on_known is not None:
                self._on_known(image.name, status)

    def why_none(self) -> str:
        """Return the error message for when no image is left."""
        if self.in_fit:
            return (
                f"none of the images can be used: the model was fitted on {self.in_fit} of them, and parts "
                "of the fit say nothing about new parts; give good parts it has not seen, or keep some out "
                "of the fit"
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


def place_at(scored: Mask, cells: int, seed: int, index: int) -> PaintedPlace:
    """Return a place by its index; places are spread evenly over the scored pixels and differ in appearance.

    The pixels are ordered cell by cell, in alternating direction from row to row, and a golden-ratio sequence
    selects from them: for any number of places, each cell gets a proportional share.

    Args:
        scored: bool ``(h, w)``, the pixels to choose from.
        cells: the number of rows and columns of a square map of the part.
        seed: the seed of the places and appearances.
        index: the index of the place.
    """
    rows, columns = np.nonzero(scored)
    map_shape = (scored.shape[0], scored.shape[1])
    shape = cell_shape(map_shape, cells)
    column, row = _cell(np.stack([columns, rows], axis=1), map_shape, shape).T
    forth = np.where(row % 2 == 0, column, shape[1] - 1 - column)
    order = np.argsort(row * shape[1] + forth, kind="stable")
    start = np.random.default_rng([seed, 0]).random()
    rng = np.random.default_rng([seed, 1, index])
    pixel = order[int((start + index * _GOLDEN) % 1 * len(order))]
    x, y = columns[pixel] + rng.random(), rows[pixel] + rng.random()
    return PaintedPlace(float(x), float(y), Look.drawn(rng))


def painted_images(
    rgb: RGB,
    places: Sequence[PaintedPlace],
    kinds: Sequence[DefectKind],
    sizes: Sequence[float],
    contrasts: Sequence[float],
    content: Box,
) -> Iterator[tuple[RGB, Mask]]:
    """Yield painted images and painted areas, by place, kind, size and contrast."""
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
