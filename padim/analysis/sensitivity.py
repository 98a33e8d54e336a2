"""Sensitivity without defects: what size and contrast a defect must have to be caught, and where on the part.

Synthetic defects are painted on pictures of good parts that the model has not learnt from, and judged as any
picture is. Each *place* (a point on one picture, with an angle and an outline drawn for it) carries every
kind, size and contrast in turn: settings are compared on the same places, and every place counts alike in
the map over the part.

**Where it is painted.** On the model's input, whose pixels are those of the map, so a size means the same to
the network whatever the camera's resolution; ``Probe.scale`` says how many picture pixels a map pixel is.
The centre lies inside the region of interest. What of the defect lies beyond is painted too, as a real one
does not stop there either, but never on the padding.

**Caught** is a defect when a region of the picture's mask, at the threshold and smallest region in use, has a
pixel in the painted area. That the picture is rejected is not enough: the region may be elsewhere. Where the
mask of the bare picture has a pixel in that area already, nobody can say what was caught: such a trial is
*void* and counts neither way.

**Contrast** is a change of the pixels' own values as a share of black to white: 0.1 is 25.5 grey levels at
full strength. It is the unit the network reads, and about even to the eye.

**Which pictures.** None that the model was fitted on. It has taken their every chance feature for normal, so
their unpainted background scores lower than that of the next part off the line, and a threshold honest for
new parts is too high for them. Parts that were kept out of the fit may be used; so may any new good parts.

It is a probe, not a proof: real defects look different. It compares settings and places, and finds blind
spots; what it calls visible must still be tried with real parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from padim.data.loading import RGB, Cancel, Image, OnError, Prepared, Progress, Watch, batches
from padim.data.preprocess import Box
from padim.decision.anomaly_map import inside
from padim.decision.operating_points import Rate
from padim.decision.regions import map_mask
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = [
    "CONTRASTS",
    "KINDS",
    "Curve",
    "Kind",
    "Look",
    "Probe",
    "Reach",
    "curve_of",
    "default_sizes",
    "footprint",
    "measure",
    "paint",
    "painted_pictures",
    "place_at",
]

Kind = Literal["scratch", "spot", "stain", "dent", "missing"]
Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

KINDS: tuple[Kind, ...] = get_args(Kind)
CONTRASTS = (0.05, 0.1, 0.2, 0.4)
SMALLEST_SIZE = 1.0
STAGE = "Probing"

# Sizes probed, as shares of the input's side.
_SIZES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
# A scratch's width as a share of its length.
_SLENDER = 0.1
# How far a stain's outline goes in from its circle, and its waves around.
_RAGGED, _WAVES = 0.3, (2, 3, 5)
# Brownish: what takes least from red takes most from blue.
_TINT = {"stain": (0.4, 0.7, 1.0)}
# 1 / max q (1 - q^2)^2, which is at q = 1 / sqrt(5).
_DENT_PEAK = 1 / (5**-0.5 * 0.8**2)
# A missing patch has lost all texture at this contrast.
_BARE = 0.5
# Steepest slopes believed, per factor e: keeps the fit finite where all of one size and none of the next
# are caught.
_STEEPEST = 20.0
# The golden ratio's fraction: multiples of it spread evenly over [0, 1) however many there are.
_GOLDEN = (math.sqrt(5) - 1) / 2


# --- painting ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What two defects of one kind, size and contrast may differ in.

    Attributes:
        angle: which way a scratch runs, a patch is turned or a dent is lit from, in radians.
        brighter: brighter than what it lies on, or darker; turned round where there is no room for that.
        phases: of a stain's outline, in radians, one for each of its waves.
    """

    angle: float = 0.0
    brighter: bool = False
    phases: tuple[float, ...] = (0.0,) * len(_WAVES)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Look:
        """At random."""
        angle, *phases = rng.uniform(0, 2 * math.pi, 1 + len(_WAVES))
        return cls(float(angle), bool(rng.random() < 0.5), tuple(map(float, phases)))


def footprint(kind: Kind, size: float, look: Look, x: float, y: float, box: Box) -> tuple[Box, Doubles]:
    """How strongly each pixel is painted.

    A scratch is a bar of length ``size``, a tenth of that wide; a spot a disc of that diameter; a stain a
    ragged blot within such a disc, fading to its edge; a dent a dip of that diameter lit from one side,
    bright here and dark there; a missing patch a square of that side. Edges cover their pixels in part, and
    every weight is a continuous function of size and place.

    Args:
        kind: one of ``KINDS``.
        size: in pixels, at least 1; need not be whole.
        look: angle and outline.
        x, y: its centre; pixel i covers [i, i + 1).
        box: what may be painted on.

    Returns:
        The window of pixels, cut to ``box`` and perhaps empty, and float64 ``(height, width)`` of weights in
        it, -1 to 1; negative only in a dent.

    Raises:
        ValueError: an unknown kind, or a size below 1 or not finite.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not (math.isfinite(size) and size >= SMALLEST_SIZE):
        raise ValueError(f"size must be at least {SMALLEST_SIZE:g} pixel, got {size}")
    half = size / 2
    # To the corner of a turned square, and half a pixel of edge beyond.
    reach = half * math.sqrt(2) + 1
    left, top = max(box.left, math.floor(x - reach)), max(box.top, math.floor(y - reach))
    right = min(box.left + box.width, math.ceil(x + reach))
    bottom = min(box.top + box.height, math.ceil(y + reach))
    window = Box(top, left, max(0, bottom - top), max(0, right - left))
    dx = np.arange(window.left, window.left + window.width) + 0.5 - x
    dy = (np.arange(window.top, window.top + window.height) + 0.5 - y)[:, None]
    along = math.cos(look.angle) * dx + math.sin(look.angle) * dy
    across = math.cos(look.angle) * dy - math.sin(look.angle) * dx
    if kind == "scratch":
        return window, _strip(along, half) * _strip(across, half * _SLENDER)
    if kind == "missing":
        return window, _strip(along, half) * _strip(across, half)
    if kind == "spot":
        return window, np.minimum(np.clip(half + 0.5 - np.hypot(dx, dy), 0, 1), math.pi * half**2)
    # Smooth shapes: the mean of four points in each pixel will do.
    fade = _stain if kind == "stain" else _dent
    points = [fade(dx + i, dy + j, half, look) for i in (-0.25, 0.25) for j in (-0.25, 0.25)]
    return window, np.asarray(np.mean(points, axis=0))


def _stain(dx: Floats, dy: Floats, half: float, look: Look) -> Doubles:
    """1 inside, and down to 0 over the outer half of its ragged radius."""
    around = np.arctan2(dy, dx) - look.angle
    waves = [np.sin(n * around + phase) for n, phase in zip(_WAVES, look.phases, strict=True)]
    edge = half * (1 - _RAGGED / 2 * (1 + np.mean(waves, axis=0)))
    depth = np.clip(2 * (1 - np.hypot(dx, dy) / edge), 0, 1)
    return np.asarray(depth**2 * (3 - 2 * depth))


def _dent(dx: Floats, dy: Floats, half: float, look: Look) -> Doubles:
    """The slope of a dip towards the light: 1 at its brightest, -1 at its darkest, 0 from its rim on."""
    along = math.cos(look.angle) * dx + math.sin(look.angle) * dy
    share = np.hypot(dx, dy) / half
    return np.asarray(_DENT_PEAK * along / half * np.clip(1 - share**2, 0, None) ** 2)


def _strip(distance: Floats, half_width: float) -> Doubles:
    """The share of a pixel that a strip covers, from the distance of its centre to the strip's axis."""
    return np.minimum(np.clip(half_width + 0.5 - np.abs(distance), 0, 1), 2 * half_width)


def paint(
    rgb: RGB, kind: Kind, size: float, contrast: float, look: Look, x: float, y: float, box: Box | None = None
) -> tuple[RGB, Mask]:
    """A copy of a picture with a defect painted on it.

    Values change by ``255 * contrast * weight``, up or down as ``look`` says, or the other way where that
    leaves the scale and the other has more room; a stain takes less from red than from blue. A missing patch
    changes its mean so and loses its texture as well, all of it from contrast 0.5 on. What still leaves the
    scale is clipped.

    Args:
        rgb: uint8 ``(h, w, 3)``; is not changed.
        kind, size, look, x, y: as for :func:`footprint`.
        contrast: 0 to 1, a share of black to white; 0 changes nothing.
        box: what may be painted on; None is the whole picture.

    Returns:
        uint8 ``(h, w, 3)``, and bool ``(h, w)``: the painted area. No pixel outside it differs.

    Raises:
        ValueError: a contrast out of range, or as :func:`footprint`.
    """
    if not 0 <= contrast <= 1:
        raise ValueError(f"contrast must be from 0 to 1, got {contrast}")
    height, width = rgb.shape[:2]
    window, weight = footprint(kind, size, look, x, y, box or Box(0, 0, height, width))
    painted, area = rgb.copy(), np.zeros((height, width), np.bool_)
    place = (
        slice(window.top, window.top + window.height),
        slice(window.left, window.left + window.width),
    )
    area[place] = weight != 0
    total = float(np.abs(weight).sum())
    if total == 0:
        return painted, area
    old = rgb[place].astype(np.float64)
    colour = (np.abs(weight)[..., None] * old).sum(axis=(0, 1)) / total
    # A dent goes both ways as it is; which side is bright is in its angle.
    sign = 1 if kind == "dent" else _sign(float(colour.mean()) / 255, contrast, look.brighter)
    change = 255 * contrast * sign
    new = old + change * weight[..., None] * np.array(_TINT.get(kind, (1.0, 1.0, 1.0)))
    if kind == "missing":
        new += min(1.0, contrast / _BARE) * weight[..., None] * (colour - old)
    painted[place] = np.clip(np.rint(new), 0, 255).astype(np.uint8)
    return painted, area


def _sign(mean: float, contrast: float, brighter: bool) -> int:
    """Up or down: as drawn, unless there is too little room that way and more the other."""
    room, other = (1 - mean, mean) if brighter else (mean, 1 - mean)
    turned = room < contrast and other > room
    return 1 if brighter != turned else -1


# --- detection against size or contrast --------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """The size or contrast that it takes, or why that cannot be said.

    Attributes:
        value: None where there is none.
        why: why not; empty where there is one.
        below: there is none because the smallest tried is caught as often already.
    """

    value: float | None
    why: str = ""
    below: bool = False


@dataclass(frozen=True)
class Curve:
    """How often defects are caught as one thing about them grows.

    Attributes:
        values: sizes in map pixels or contrasts, growing.
        rates: caught of tried at each, with exact intervals. They take the places as independent, as places
            on different pictures are and places on one picture nearly.
        intercept, slope: of the logistic curve ``1 / (1 + exp(-(intercept + slope * ln(value))))``, slope at
            least 0; None where all were caught or none.
        at_50, at_90: where the curve passes 50 % and 90 %, or why it cannot be said.
        smallest: the smallest value tried from which on at least 90 % were caught, by plain count.
    """

    values: tuple[float, ...]
    rates: tuple[Rate, ...]
    intercept: float | None
    slope: float | None
    at_50: Reach
    at_90: Reach
    smallest: Reach

    def share(self, values: npt.ArrayLike) -> Doubles | None:
        """The fitted share caught at any values, to draw; None without a fit."""
        if self.intercept is None or self.slope is None:
            return None
        return np.asarray(expit(self.intercept + self.slope * np.log(np.asarray(values, np.float64))))


def curve_of(values: Sequence[float], caught: Sequence[int], tried: Sequence[int]) -> Curve:
    """The curve of counted detections.

    The logistic curve in the logarithm of the value is the customary model of hit-or-miss data
    (MIL-HDBK-1823A). Where some places are blind it levels off below 1 and the model does not hold; a value
    it gives is therefore kept between the two tried values where the counts, made monotone by isotonic
    regression, pass that share, and none is given that the counts do not reach.

    Args:
        values: growing, greater than 0.
        caught: how many at each.
        tried: out of how many.

    Raises:
        ValueError: lists of different lengths, empty, not growing, or counts that cannot be.
    """
    if not len(values) == len(caught) == len(tried) or not len(values):
        raise ValueError("a curve takes as many counts as values, and at least one")
    if values[0] <= 0 or any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError("the values of a curve must be greater than 0 and grow")
    rates = tuple(Rate.counted(int(k), int(n)) for k, n in zip(caught, tried, strict=True))
    known = [(value, rate) for value, rate in zip(values, rates, strict=True) if rate.of]
    if not known:
        nothing = Reach(None, "nothing was tried")
        return Curve(tuple(values), rates, None, None, nothing, nothing, nothing)
    x = np.array([value for value, _ in known])
    k, n = np.array([[rate.count, rate.of] for _, rate in known], np.float64).T
    fit = _logistic(np.log(x), k, n)
    shares = np.asarray(isotonic_regression(k / n, weights=n).x)
    good = k >= 0.9 * n - 1e-9
    first = len(x) - int(np.argmin(good[::-1])) if not good.all() else 0
    if first < len(x):
        smallest = Reach(float(x[first]))
    else:
        smallest = Reach(None, f"fewer than 90 % were caught even at {x[-1]:g}")
    at_50, at_90 = (_passes(share, x, shares, fit) for share in (0.5, 0.9))
    return Curve(
        tuple(values), rates, None if fit is None else fit[0], fit and fit[1], at_50, at_90, smallest
    )


def _logistic(x: Doubles, caught: Doubles, tried: Doubles) -> tuple[float, float] | None:
    """Intercept and slope of largest penalised likelihood, slope at least 0; None without any contrast."""
    if not 0 < caught.sum() < tried.sum():
        return None
    centre = float(np.average(x, weights=tried))

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        intercept, slope = parameters
        z = intercept + slope * (x - centre)
        off = tried * expit(z) - caught
        value = np.sum(tried * np.logaddexp(0, z) - caught * z) + (slope / _STEEPEST) ** 2 / 2
        gradient = np.array([off.sum(), off @ (x - centre) + slope / _STEEPEST**2])
        return float(value), gradient

    start = np.array([float(logit(caught.sum() / tried.sum())), 1.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)])
    intercept, slope = map(float, found.x)
    return intercept - slope * centre, slope


def _passes(share: float, x: Doubles, shares: Doubles, fit: tuple[float, float] | None) -> Reach:
    """Where the curve passes a share, between the values where the counts do."""
    # Pooled shares are quotients: a ten-thousandth of a trial decides nothing.
    reached = shares >= share - 1e-9
    if reached[0]:
        return Reach(None, f"{share:.0%} are caught even at {x[0]:g}", below=True)
    if not reached[-1]:
        return Reach(None, f"fewer than {share:.0%} are caught even at {x[-1]:g}")
    assert fit is not None  # the shares differ, so there is a curve
    index = int(np.argmax(reached))
    low, high = math.log(x[index - 1]), math.log(x[index])
    intercept, slope = fit
    place = (float(logit(share)) - intercept) / slope if slope > 0 else high
    return Reach(math.exp(min(max(place, low), high)))


# --- the probe --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Probe:
    """Every trial of a probe, and what can be counted from them.

    R places carry K kinds, S sizes and C contrasts each.

    Attributes:
        kinds, sizes, contrasts: what was painted; sizes in map pixels.
        pictures: names of those painted on.
        picture_of: int64 ``(R,)``, which of them a place is on.
        places: float64 ``(R, 2)``, (x, y) in map pixels.
        caught: bool ``(R, K, S, C)``, a region lies on the painted area.
        rejected: bool ``(R, K, S, C)``, the picture has any region at all.
        void: bool ``(R, K, S, C)``, the bare picture has a region there already; never caught.
        bare_rejected: pictures with a region before anything is painted.
        in_fit: pictures passed over because the model was fitted on them.
        not_good: pictures passed over because they were taken out as not good.
        map_size: side of the map.
        cells: the map over the part is ``cells`` by ``cells``.
        scale: picture pixels a map pixel is, (x, y), the median over the pictures.
        threshold: level judged at.
        min_area: smallest region judged with.
        seed: of places and looks.
    """

    kinds: tuple[Kind, ...]
    sizes: tuple[float, ...]
    contrasts: tuple[float, ...]
    pictures: tuple[str, ...]
    picture_of: npt.NDArray[np.int64]
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

    def rate(self, kind: Kind, size: float, contrast: float) -> Rate:
        """Caught of tried in one setting."""
        i, j, k = self.kinds.index(kind), self.sizes.index(size), self.contrasts.index(contrast)
        tried = ~self.void[:, i, j, k]
        return Rate.counted(int(self.caught[:, i, j, k].sum()), int(tried.sum()))

    def over_size(self, kind: Kind, contrast: float) -> Curve:
        """Detection against size, at one contrast."""
        i, k = self.kinds.index(kind), self.contrasts.index(contrast)
        caught, tried = self.caught[:, i, :, k].sum(axis=0), (~self.void[:, i, :, k]).sum(axis=0)
        return curve_of(self.sizes, caught.tolist(), tried.tolist())

    def over_contrast(self, kind: Kind, size: float) -> Curve:
        """Detection against contrast, at one size."""
        i, j = self.kinds.index(kind), self.sizes.index(size)
        caught, tried = self.caught[:, i, j].sum(axis=0), (~self.void[:, i, j]).sum(axis=0)
        return curve_of(self.contrasts, caught.tolist(), tried.tolist())

    @property
    def share(self) -> float:
        """Caught of all trials, every setting alike: one number to rank configurations by.

        Compare only probes of the same pictures, settings and seed. NaN when all are void.
        """
        tried = int((~self.void).sum())
        return int(self.caught.sum()) / tried if tried else math.nan

    def by_place(self, kind: Kind | None = None) -> tuple[Doubles, npt.NDArray[np.int64]]:
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


class Place(NamedTuple):
    """Centre of a painted defect in map pixels, and what it looks like there."""

    x: float
    y: float
    look: Look


def measure(
    model: Padim,
    images: Iterable[Image],
    *,
    kinds: Sequence[Kind] = KINDS,
    sizes: Sequence[float] | None = None,
    contrasts: Sequence[float] = CONTRASTS,
    places: int = 2,
    most_pictures: int = 24,
    cells: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
) -> Probe:
    """Paint defects on good parts the model has not learnt from, and count which are caught.

    The same arguments give the same result. One picture and one batch are in memory at a time; the work is
    ``pictures * places * kinds * sizes * contrasts`` pictures to score.

    Args:
        model: fitted, with a threshold; is not changed.
        images: (name, file bytes or uint8 RGB array) pairs of good parts. Those the model was fitted on, or
            that were taken out as not good, are passed over and counted.
        kinds: of ``KINDS``.
        sizes: in map pixels, at least 1, growing; None is :func:`default_sizes`.
        contrasts: above 0 and up to 1, growing.
        places: on each picture.
        most_pictures: after so many that can be used, no more are read.
        cells: rows and columns of the map over the part.
        seed: of places, angles, outlines and polarity.
        progress: called as (done, total or None, stage), in pictures scored.
        cancel: asked between batches; True stops.
        on_error: takes pictures that cannot be used; without it the first one raises.

    Raises:
        NotFittedError, CalibrationError: no model, or no threshold.
        Cancelled: ``cancel`` asked to stop.
        ImageError: a picture cannot be used and ``on_error`` is not given.
        PadimError: a setting out of range, or no picture could be used; says why.
    """
    judge, level, min_area = model.judge, model.threshold_level, model.config.min_area
    side = model.config.input_size
    sizes = default_sizes(side) if sizes is None else sizes
    _check(kinds, sizes, contrasts, side, places=places, most_pictures=most_pictures, cells=cells, seed=seed)
    watch = Watch(progress, cancel, on_error)
    status_of = dict.fromkeys(model.taught_with, "fit")
    status_of |= {normal.sha256: normal.status for normal in model.normals_}
    shape = (len(kinds), len(sizes), len(contrasts))
    each = places * math.prod(shape)
    read = _Read(status_of)
    total = min(len(images), most_pictures) * each if isinstance(images, Sized) else None
    names: list[str] = []
    points: list[Place] = []
    scales: list[tuple[float, float]] = []
    outcomes: list[npt.NDArray[np.bool_]] = []
    bare_rejected = 0
    # Progress is told here, in pictures scored.
    reading = batches(images, model.preprocess, 1, Watch(None, cancel, on_error), STAGE)
    for picture in read.usable(batch[0] for batch in reading):
        box = judge.content_box(picture.original_size)
        judged = np.broadcast_to(inside((side, side), model.roi, box) > 0, (side, side))
        if not judged.any():
            watch.bad(ImageError(picture.name, "no pixel of it lies inside the region of interest"))
            continue
        content = box or Box(0, 0, side, side)
        here = [place_at(judged, cells, seed, len(points) + i) for i in range(places)]
        _, maps = judge.scorer(picture.rgb[None], [box])
        bare = map_mask(maps[0], level, min_area)
        bare_rejected += bool(bare.any())
        found = np.zeros((3, each), np.bool_)
        trials = painted_pictures(picture.rgb, here, kinds, sizes, contrasts, content)
        start = 0
        for pictures, areas in _chunks(trials, model.extractor.batch_size()):
            watch.step(len(names) * each + start, total, STAGE)
            _, maps = judge.scorer(np.stack(pictures), [box] * len(pictures))
            for i, (q, area) in enumerate(zip(maps, areas, strict=True), start=start):
                mask = map_mask(q, level, min_area)
                void = bool((bare & area).any())
                found[:, i] = not void and bool((mask & area).any()), bool(mask.any()), void
            start += len(pictures)
        outcomes.append(found.reshape(3, places, *shape))
        points += here
        names.append(picture.name)
        scales.append((picture.original_size[1] / content.width, picture.original_size[0] / content.height))
        if len(names) == most_pictures:
            break
    if not names:
        raise PadimError(read.why_none())
    watch.step(len(names) * each, len(names) * each, STAGE)
    caught, rejected, void = np.concatenate(outcomes, axis=1)
    scale = np.median(np.array(scales), axis=0)
    return Probe(
        kinds=tuple(kinds),
        sizes=tuple(map(float, sizes)),
        contrasts=tuple(map(float, contrasts)),
        pictures=tuple(names),
        picture_of=np.repeat(np.arange(len(names)), places),
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
    )


class _Read:
    """Pictures as they come, those that may not be used passed over and counted."""

    def __init__(self, status_of: Mapping[str, str]) -> None:
        self._status_of = status_of
        self.in_fit = self.not_good = 0

    def usable(self, pictures: Iterable[Prepared]) -> Iterator[Prepared]:
        """Those the model has not learnt from."""
        for picture in pictures:
            status = self._status_of.get(picture.sha256)
            self.in_fit += status == "fit"
            self.not_good += status == "not_good"
            if status in (None, "kept_out"):
                yield picture

    def why_none(self) -> str:
        """What to say when no picture is left."""
        if self.in_fit:
            return (
                f"none of the pictures can be probed: the model was fitted on {self.in_fit} of them, and "
                "what it has learnt by heart says nothing about new parts; give good parts it has not seen, "
                "or keep some out of the fit"
            )
        return "none of the pictures could be used; give pictures of good parts the model was not fitted on"


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


def place_at(judged: Mask, cells: int, seed: int, index: int) -> Place:
    """Place number ``index``: spread evenly over the judged pixels, with a look of its own.

    The pixels are lined up cell by cell, there and back, and a golden-ratio sequence walks along them: each
    cell gets its fair share of the places, however many there are.
    """
    rows, columns = np.nonzero(judged)
    column, row = _cell(np.stack([columns, rows], axis=1), len(judged), cells).T
    forth = np.where(row % 2 == 0, column, cells - 1 - column)
    order = np.argsort(row * cells + forth, kind="stable")
    start = np.random.default_rng([seed, 0]).random()
    rng = np.random.default_rng([seed, 1, index])
    pixel = order[int((start + index * _GOLDEN) % 1 * len(order))]
    x, y = columns[pixel] + rng.random(), rows[pixel] + rng.random()
    return Place(float(x), float(y), Look.drawn(rng))


def painted_pictures(
    rgb: RGB,
    places: Sequence[Place],
    kinds: Sequence[Kind],
    sizes: Sequence[float],
    contrasts: Sequence[float],
    content: Box,
) -> Iterator[tuple[RGB, Mask]]:
    """Painted pictures and their areas: by place, kind, size and contrast."""
    for x, y, look in places:
        for kind in kinds:
            for size in sizes:
                for contrast in contrasts:
                    yield paint(rgb, kind, size, contrast, look, x, y, content)


def _chunks(trials: Iterator[tuple[RGB, Mask]], size: int) -> Iterator[tuple[list[RGB], list[Mask]]]:
    pictures: list[RGB] = []
    areas: list[Mask] = []
    for picture, area in trials:
        pictures.append(picture)
        areas.append(area)
        if len(pictures) == size:
            yield pictures, areas
            pictures, areas = [], []
    if pictures:
        yield pictures, areas
