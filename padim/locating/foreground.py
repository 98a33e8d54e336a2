"""Separate the part from a plain background by the color contrast between the two.

colors of the background -- distance of every pixel from them -- threshold -- the largest component -- weights

The background's colors are those along the border of the image, as a smooth surface that follows a gradient
or vignetting of the light, or those of an area that the user drew. Distances are in standard deviations of
the background, so that neither bright nor dark, gray nor colored parts are treated apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.errors import PartNotFound

__all__ = ["Foreground", "Palette", "segment"]

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

# Standard deviation in gray levels that is assumed of even the smoothest background.
_LEAST_NOISE = 1.5
# Distances below it belong to the background, whatever the threshold: 4 standard deviations, which chance
# exceeds in few pixels, none of them connected.
_FLOOR = 4.0
# The usual distance of the background's own pixels.
_CALM = np.float32(1.5)
# Distances are compared on a logarithmic scale from the floor to this multiple of it. On it the threshold
# lies between a soft shadow and the part, and is not pulled up by a few very bright or colored places.
_RANGE = 64.0
# A foreground whose median distance is below this multiple of the floor is texture or noise.
_LEAST_CONTRAST = 1.5
# Share of the image below which a component is a speck, and beyond which nothing is left as background.
_LEAST_AREA, _MOST_AREA = 0.0005, 0.95
# A second component at least this large relative to the first is another part.
_SECOND_PART = 0.5
# Share of the border that must agree with one smooth background.
_LEAST_BORDER = 0.5


@dataclass(frozen=True)
class Foreground:
    """The part in an image.

    Attributes:
        weights: how much of each pixel the part covers, holes included, from 0 to 1: float32 ``(h, w)``.
        mask: pixels of which the part covers about half or more: uint8 ``(h, w)``, 0 or 1.
        fixtures: whether something at least half as large as the part is cut by the border of the image.
    """

    weights: Array
    mask: Mask
    fixtures: bool


class Palette:
    """Colors of a background that the user drew, with the distance of every color from the nearest one."""

    # Colors are distinguished in steps of four gray levels, and at most so many are kept.
    _STEP, _COLORS = 4, 24

    def __init__(self, image: Array, inside: npt.NDArray[np.bool_]) -> None:
        """Create a palette.

        Args:
            image: float32 ``(h, w, 3)``, from 0 to 255.
            inside: bool ``(h, w)``; the pixels that show background, at least one.
        """
        samples = image[inside]
        colors = samples[:1]
        # Farthest points first: rare colors of the background count as much as frequent ones.
        distance = np.full(len(samples), np.inf, np.float32)
        for _ in range(self._COLORS):
            distance = np.minimum(distance, np.linalg.norm(samples - colors[-1], axis=1))
            # A tenth of a percent are specks of dust.
            if np.quantile(distance, 0.999) < 2 * self._STEP:
                break
            farthest = int(np.argsort(distance)[math.ceil(0.999 * (len(distance) - 1)) - 1])
            near = np.linalg.norm(samples - samples[farthest], axis=1) < 2 * self._STEP
            colors = np.vstack([colors, samples[near].mean(axis=0)])
        noise = max(_LEAST_NOISE, float(np.median(distance)) * 1.2)
        axis = np.arange(0, 256, self._STEP, dtype=np.float32) + (self._STEP - 1) / 2
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        table = np.full(len(grid), np.inf, np.float32)
        for color in colors:
            table = np.minimum(table, np.linalg.norm(grid - color, axis=1))
        self._table = table / np.float32(noise)
        self._table.setflags(write=False)

    def distance(self, image: Array) -> Array:
        """Return the distance of every pixel from the palette, in standard deviations: float32 ``(h, w)``."""
        per_axis = 256 // self._STEP
        index = (image.clip(0, 255) / self._STEP).astype(np.int32)
        return np.asarray(
            self._table[cv2.transform(index.astype(np.float32), _row(per_axis)).astype(np.int32)]
        )


def _row(per_axis: int) -> npt.NDArray[np.float32]:
    return np.array([[per_axis**2, per_axis, 1]], np.float32)


def segment(image: Array, palette: Palette | None = None, usual: Foreground | None = None) -> Foreground:
    """Find the one part before a plain background.

    Args:
        image: float32 ``(h, w, 3)``, from 0 to 255.
        palette: colors of the background; None: those along the border.
        usual: the foreground of the reference part, if it is known.

    Raises:
        PartNotFound: there is no part, more than one, or a part that the image does not show whole.
    """
    image = cv2.GaussianBlur(image, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    if palette is not None:
        distance = palette.distance(image)
        labels, threshold = _components(distance)
    else:
        background = _Surface.of_border(image)
        distance = background.distance(image)
        # Once it is known where the part is about, all the background tells its color, not only the border.
        rough, _ = _components(distance)
        background = background.refined(image, rough)
        distance = background.distance(image)
        labels, threshold = _components(distance)
    mask, fixtures = _choose(labels, usual)
    weights = _coverage(distance, mask, threshold)
    half = (weights > 0.5).astype(np.uint8)
    return Foreground(weights, half if half.any() else mask, fixtures)


class _Surface:
    """A smooth background: a polynomial of degree 2 for each color, and how colors scatter around it."""

    def __init__(self, coefficients: npt.NDArray[np.float64], whitening: Array) -> None:
        self._coefficients = coefficients  # (6, 3)
        self._whitening = whitening

    @classmethod
    def of_border(cls, image: Array) -> _Surface:
        """Fit the border of an image, of which up to half may show something else."""
        height, width = image.shape[:2]
        band = max(2, round(0.02 * min(height, width)))
        border = np.ones((height, width), bool)
        border[band:-band, band:-band] = False
        terms, colors = _samples(image, border)
        surface, agreeing = cls._fit(terms, colors)
        if agreeing < _LEAST_BORDER:
            raise PartNotFound(
                "the border of the image shows no plain background; leave more room around the part, or "
                "draw an area of background on the reference"
            )
        return surface

    def refined(self, image: Array, foreground: npt.NDArray[np.int32]) -> _Surface:
        """Fit all pixels of an image that are not near its foreground."""
        size = 2 * max(2, image.shape[0] // 64) + 1
        near = cv2.dilate((foreground > 0).astype(np.uint8), np.ones((size, size), np.uint8))
        outside = near == 0
        if outside.mean() < 0.02:
            return self
        terms, colors = _samples(image, outside)
        surface, _ = self._fit(terms, colors, start=self._coefficients)
        return surface

    @classmethod
    def _fit(
        cls,
        terms: npt.NDArray[np.float64],
        colors: npt.NDArray[np.float64],
        start: npt.NDArray[np.float64] | None = None,
    ) -> tuple[_Surface, float]:
        """Fit samples robustly (Tukey's biweight); return the surface and the share of samples that agree."""
        if start is None:
            coefficients = np.zeros((6, 3))
            coefficients[0] = np.median(colors, axis=0)
        else:
            coefficients = start
        # From a constant over a plane to curves: outliers are recognized before they can bend the surface.
        for degree in (3, 3, 6, 6, 6) if start is None else (6, 6):
            distance = _lengths(colors - terms @ coefficients)
            cutoff = max(3 * float(np.median(distance)), 4 * _LEAST_NOISE)
            weights = np.maximum(1 - (distance / cutoff) ** 2, 0) ** 2
            used = terms[:, :degree]
            # Curvature needs evidence: a little is added to the diagonal where samples are one-sided.
            ridge = np.array([0, 0, 0, 1, 1, 1])[:degree] * 1e-3 * weights.sum()
            normal = (used * weights[:, None]).T @ used + np.diag(ridge + 1e-9)
            coefficients = np.zeros((6, 3))
            coefficients[:degree] = np.linalg.solve(normal, (used * weights[:, None]).T @ colors)
        residuals = colors - terms @ coefficients
        distance = _lengths(residuals)
        agree = distance <= max(3 * float(np.median(distance)), 4 * _LEAST_NOISE)
        covariance = residuals[agree].T @ residuals[agree] / max(1, int(agree.sum()))
        # Leaving out the tails makes the variance too small by about a tenth.
        values, vectors = np.linalg.eigh(1.1 * covariance + _LEAST_NOISE**2 * np.eye(3))
        whitening = (vectors / np.sqrt(values)) @ vectors.T
        # Of a border that shows several colors half the samples agree by definition, but only widely.
        typical = np.median(distance)
        return cls(coefficients, whitening.astype(np.float32)), float(agree.mean()) if typical < 40 else 0.0

    def distance(self, image: Array) -> Array:
        """Return the distance of every pixel from the surface, in standard deviations: float32 ``(h, w)``."""
        height, width = image.shape[:2]
        x, y = _normalized(width, height)
        constant, a, b, aa, ab, bb = self._coefficients
        rows = np.stack([np.ones_like(y), y, y * y], axis=1)  # (h, 3)
        columns = np.stack([np.ones_like(x), x, x * x])  # (3, w)
        matrices = np.zeros((3, 3, 3))
        matrices[:, 0] = np.stack([constant, a, aa], axis=1)
        matrices[:, 1, :2] = np.stack([b, ab], axis=1)
        matrices[:, 2, 0] = bb
        surface = np.empty(image.shape, np.float32)
        for channel in range(3):
            surface[..., channel] = rows @ matrices[channel] @ columns
        white = cv2.transform(image - surface, self._whitening)
        return np.asarray(cv2.sqrt(cv2.transform(white * white, np.ones((1, 3), np.float32))))


def _lengths(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("nc,nc->n", vectors, vectors)))


def _normalized(width: int, height: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the coordinates of columns and rows, from -1 to 1."""
    return (np.arange(width) + 0.5) * 2 / width - 1, (np.arange(height) + 0.5) * 2 / height - 1


def _samples(
    image: Array, where: npt.NDArray[np.bool_], most: int = 1000
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the polynomial's terms ``(n, 6)`` and the colors ``(n, 3)`` of evenly chosen pixels."""
    chosen = np.flatnonzero(where)
    # An odd step, which does not pick the same columns of every row.
    chosen = chosen[:: max(1, len(chosen) // most) | 1]
    height, width = where.shape
    axis_x, axis_y = _normalized(width, height)
    rows, columns = np.divmod(chosen, width)
    x, y = axis_x[columns], axis_y[rows]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    return terms, image.reshape(-1, 3)[chosen].astype(np.float64)


def _components(distance: Array) -> tuple[npt.NDArray[np.int32], float]:
    """Threshold distances automatically; return the components and the threshold.

    Otsu's threshold on logarithms of distances above the floor, all below it being one value: it never
    splits the background's own noise, however small the part is.
    """
    scale = 255 / math.log(_RANGE)
    levels = np.log(np.maximum(distance, np.float32(_FLOOR)) * np.float32(1 / _FLOOR)) * np.float32(scale)
    quantized = np.minimum(levels, 255).astype(np.uint8)
    level, binary = cv2.threshold(quantized, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if not binary.any():
        raise PartNotFound("nothing stands out from the background")
    threshold = _FLOOR * math.exp((level + 0.5) / scale)
    binary = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    if binary.mean() > _MOST_AREA:
        raise PartNotFound("the whole image is foreground; no background is left")
    if float(np.median(distance[binary > 0])) < _LEAST_CONTRAST * _FLOOR:
        raise PartNotFound("there is too little contrast between a part and the background")
    _, labels = cv2.connectedComponents(binary, connectivity=8)
    return np.asarray(labels, np.int32), threshold


def _choose(labels: npt.NDArray[np.int32], usual: Foreground | None) -> tuple[Mask, bool]:
    """Return the filled mask of the part among the components, and whether fixtures are beside it."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cut = np.zeros(len(areas), bool)
    cut[edges] = True
    least = max(12.0, _LEAST_AREA * labels.size)
    whole = np.where(cut, 0, areas)
    if areas.max() < least:
        raise PartNotFound("nothing but specks stands out from the background")
    # What is cut by the border is the part, unless something of its size lies inside: then it is a fixture.
    expected = 0.5 * float(usual.mask.sum()) if usual is not None else 0.25 * float(areas.max())
    chosen = int(whole.argmax())
    mask = _filled(labels == chosen) if whole[chosen] >= least else np.zeros(labels.shape, np.uint8)
    area = int(mask.sum())
    fixtures = bool(area and areas[cut].max(initial=0) >= _SECOND_PART * area)
    if area < expected and areas[cut].max(initial=0) >= max(least, area):
        raise PartNotFound("the part is cut by the border of the image")
    if area < least:
        raise PartNotFound("nothing but specks stands out from the background")
    for label in np.flatnonzero(whole >= least):
        if label != chosen and int(_filled(labels == label).sum()) >= _SECOND_PART * area:
            if mask[labels == label].all():
                continue  # it lies in a hole of the part
            raise PartNotFound("there are two parts of similar size in the image")
    if fixtures and usual is not None and not usual.fixtures:
        raise PartNotFound("something of a part's size is cut by the border of the image")
    return mask, fixtures


def _filled(component: npt.NDArray[np.bool_]) -> Mask:
    """Return a component with its holes filled: uint8 ``(h, w)``, 0 or 1."""
    mask = component.astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(mask, contours, -1, 1, cv2.FILLED), np.uint8)


def _coverage(distance: Array, mask: Mask, threshold: float) -> Array:
    """Return how much of each pixel the part covers, from the distances along its outline.

    A pixel at the outline is covered by the share that its distance has of the distances just inside, so
    that the outline lies where it is, whatever the part's color there and the threshold.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    inner, outer = cv2.erode(mask, cross, iterations=2), cv2.dilate(mask, cross)
    known = inner.astype(np.float32)
    total = float(known.sum())
    usual = float((distance * known).sum()) / total if total else float(distance[mask > 0].mean())
    # The mean of what is known within 4 pixels, and of the whole part where it is thin.
    near = cv2.blur(known, (9, 9))
    inside = (cv2.blur(distance * known, (9, 9)) + np.float32(0.01 * usual)) / (near + np.float32(0.01))
    full = np.maximum(inside, np.float32(1.5 * threshold))
    ramp = np.clip((distance - _CALM) / (full - _CALM), 0, 1)
    return np.asarray(np.where(inner > 0, np.float32(1), np.where(outer > 0, ramp, 0)), np.float32)
