"""Painted defects of three sizes on good parts of the fit, each scored by the model without the part.

It is a check for blindness, not a measurement: a few hundred trials in seconds, enough to tell a model that
sees from one that does not. Defects are painted where the part is, if it can be told from its background: in
front of a plain background every model sees them.

A defect is caught if a region of the mask, at the threshold and smallest region in use, has a pixel in the
painted area. If the mask of the part as it is has one there already, the trial is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from padim.analysis.left_out_part import can_refit, closed_form, one_refit
from padim.analysis.resolution import model_resolution
from padim.analysis.sensitivity import cells_for, default_sizes, painted_images, place_at
from padim.analysis.synthetic_defects import DefectKind
from padim.data.decode import decode
from padim.data.loading import Named, Watch
from padim.data.preprocess import Box
from padim.decision.operating_points import Rate
from padim.locating.errors import PartNotFound
from padim.locating.foreground import segment

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.model import Padim

__all__ = ["KINDS", "PaintedCheck", "carriers", "painted_check"]

RGB = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

# Kinds that differ: a thin line, a filled disc with a sharp edge, a soft one.
KINDS: tuple[DefectKind, ...] = ("scratch", "spot", "stain")
# Three of the five usual sizes: a 32nd, a 16th and an 8th of the input's side. The smallest and the largest
# are left out, because every model misses the one and catches the other.
_SIZES = slice(1, 4)
# That of the trial of locating: clearly visible to a person at this size, and a fifth to a half of the
# contrast of real scratches and dirt.
CONTRAST = 0.3
# 16 parts with a place each: 48 trials a size, whose share is known within about 14 points. More only take
# longer: a check is made after every fit.
_PARTS, _PLACES = 16, 1
# Of few parts no more than a fifth are left out of a refit.
_SHARE = 0.2
# How far a defect reaches in the map beyond its own edge: the smoothing, and the cells it is sampled in.
_SMOOTHINGS, _CELLS = 3.0, 2


@dataclass(frozen=True)
class PaintedCheck:
    """How many painted defects the model catches on parts that it does not know.

    Attributes:
        sizes: the three sizes in map pixels.
        rates: the share caught of each size.
        by_kind: the share caught of the middle size, by kind of defect.
        parts: the number of parts painted on.
        way: whether the parts were left out in ``closed form``, or of one ``refit``.
        on_part: whether the part could be told from its background, and was painted on.
        pixels: original pixels per map pixel, the geometric mean.
    """

    sizes: tuple[float, ...]
    rates: tuple[Rate, ...]
    by_kind: Mapping[str, Rate]
    parts: int
    way: str
    on_part: bool
    pixels: float

    @property
    def middle(self) -> Rate:
        """The share caught of the middle size."""
        return self.rates[len(self.rates) // 2]

    def to_json(self) -> dict[str, Any]:
        """Return the check as plain JSON."""
        return {
            "sizes": [
                {
                    "map_pixels": size,
                    "original_pixels": size * self.pixels,
                    "caught": rate.count,
                    "of": rate.of,
                }
                for size, rate in zip(self.sizes, self.rates, strict=True)
            ],
            "by_kind": {kind: {"caught": rate.count, "of": rate.of} for kind, rate in self.by_kind.items()},
            "contrast": CONTRAST,
            "parts": self.parts,
            "way": self.way,
            "on_part": self.on_part,
        }


def carriers(model: Padim) -> list[int]:
    """Return the images to paint on, as indices into ``normals_``: of some parts in the fit, evenly over all.

    Of parts with several shots the first image is taken. At most a fifth of the parts are, but at least two.
    """
    shots: dict[str, list[int]] = {}
    for index, normal in enumerate(model.normals_):
        if normal.status == "fit" and not normal.lost:
            shots.setdefault(normal.group, []).append(index)
    firsts = [rows[0] for rows in shots.values() if len(rows) == 1 or model.working_set.has_features]
    n = len(firsts)
    most = min(_PARTS, max(2, int(_SHARE * n)), n)
    return [firsts[(2 * i + 1) * n // (2 * most)] for i in range(most)]


def painted_check(
    model: Padim,
    images: Iterable[Named] | None = None,
    *,
    retrain: bool = False,
    seed: int = 0,
    watch: Watch | None = None,
) -> PaintedCheck | None:
    """Paint defects on good parts of the fit, and count which the model without the part catches.

    Args:
        model: a fitted model with a threshold; is not changed.
        images: the images that it was fitted on; of those that are missing, and by default, the thumbnails
            in the model are used.
        retrain: whether to train a method's network again, without these parts, if the method trains one.
        seed: of the places and looks of the defects.
        watch: reports progress and asks whether to cancel.

    Returns:
        The check; None if the parts cannot be left out: the method trains a network and ``retrain`` is false,
        or it has no closed form and the features are gone.

    Raises:
        CalibrationError: the model has no threshold.
        Cancelled: the user stopped it.
    """
    watch = watch or Watch()
    chosen = carriers(model)
    scorer = closed_form(model)
    way = "closed form"
    if scorer is None:
        if not can_refit(model, retrain=retrain) or not chosen:
            return None
        scorer, way = one_refit(model, chosen, watch), "refit"
    originals = _originals(model, chosen, images, watch)
    sizes = default_sizes(model.config.input_shape)[_SIZES]
    trials = _Trials(sizes)
    on_part = 0
    cells = cells_for(len(chosen) * _PLACES)
    for done, index in enumerate(chosen):
        watch.step(done, len(chosen), "Painting defects on good parts")
        normal = model.normals_[index]
        rgb = model.state.input_of(normal, originals[index])
        scored = model.state.scored_area(normal.original_size, normal.pose)
        part = _part(rgb) & scored
        on_part += bool(part.any())
        where = part if part.any() else scored
        if not where.any():
            continue
        for place in (place_at(where, cells, seed, done * _PLACES + i) for i in range(_PLACES)):
            content = model.state.content_box(normal.original_size) or Box(0, 0, *model.config.input_shape)
            painted = list(painted_images(rgb, [place], KINDS, sizes, (CONTRAST,), content))
            near = _near(np.any([area for _, area in painted], axis=0), model.config)
            masks = scorer.masks(index, [rgb, *(image for image, _ in painted)], near)
            trials.add(masks, [area for _, area in painted])
    watch.step(len(chosen), len(chosen), "Painting defects on good parts")
    pixels = model_resolution(model)
    return PaintedCheck(
        sizes,
        tuple(trials.rate(size=i) for i in range(len(sizes))),
        {kind: trials.rate(kind=i, size=len(sizes) // 2) for i, kind in enumerate(KINDS)},
        len(chosen),
        way,
        2 * on_part > len(chosen),
        float(np.sqrt(pixels.down * pixels.across)),
    )


class _Trials:
    """Outcomes by kind and size."""

    def __init__(self, sizes: Sequence[float]) -> None:
        self._shape = len(KINDS), len(sizes)
        self._caught = np.zeros(self._shape, np.int64)
        self._tried = np.zeros(self._shape, np.int64)

    def add(self, masks: Sequence[Mask], areas: Sequence[Mask]) -> None:
        """Count the outcomes of a place: the mask of the part as it is comes first, the areas have none."""
        bare, *painted = masks
        outcomes = [
            (not (bare & area).any(), bool((mask & area).any()))
            for mask, area in zip(painted, areas, strict=True)
        ]
        found = np.array(outcomes).reshape(*self._shape, 2)
        self._tried += found[..., 0]
        self._caught += found.all(axis=-1)

    def rate(self, kind: int | slice = slice(None), size: int | slice = slice(None)) -> Rate:
        return Rate.counted(int(self._caught[kind, size].sum()), int(self._tried[kind, size].sum()))


def _part(rgb: RGB) -> Mask:
    """Return the pixels of the part, bool ``(h, w)``; none if it has no plain background."""
    mask = np.zeros(rgb.shape[:2], np.uint8)
    try:
        found = segment(rgb)
    except PartNotFound:
        return mask > 0
    (left, top), (height, width) = found.origin, found.mask.shape
    mask[top : top + height, left : left + width] = found.mask
    # The center of a defect lies on the part, not on its outline, where it would be half beside it.
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0)


def _near(area: Mask, config: PadimConfig) -> Mask:
    """Return the pixels within reach of a painted area, in whole cells: bool ``(h, w)``."""
    reach = round(_SMOOTHINGS * config.smoothing_sigma + _CELLS * config.grid_stride)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(area.astype(np.uint8), kernel) > 0)


def _originals(
    model: Padim, chosen: Sequence[int], images: Iterable[Named] | None, watch: Watch
) -> dict[int, RGB]:
    """Return the images to paint on, decoded: the originals where they are given, else the thumbnails."""
    wanted = {model.normals_[index].sha256: index for index in chosen}
    found: dict[int, RGB] = {}
    for name, content in images or ():
        if len(found) == len(wanted):
            break
        watch.step(len(found), len(wanted), "Reading images")
        if isinstance(content, bytes) and (index := wanted.get(sha256(content).hexdigest())) is not None:
            found[index] = decode(content, name, bit_depth=model.config.bit_depth)
    for index in chosen:
        if index not in found:
            found[index] = decode(model.working_set.thumbnail(index), model.normals_[index].name)
    return found
