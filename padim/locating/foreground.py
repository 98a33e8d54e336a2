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
RGB = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]

# Standard deviation in gray levels that is assumed of even the smoothest background.
_LEAST_NOISE = 1.5
# Distances below it belong to the background, whatever the threshold: 4 standard deviations, which chance
# exceeds in few pixels, none of them connected.
_FLOOR = 4.0
# Length of the longer side at which the part is looked for, and pixels of the image kept around it.
_ROUGH, _AROUND = 128, 8
# The usual distance of the background's own pixels.
_CALM = np.float32(1.5)
# Distances are compared on a logarithmic scale from the floor to this multiple of it. On it the threshold
# lies between a soft shadow and the part, and is not pulled up by a few very bright or colored places.
_RANGE = 64.0
# A foreground whose median distance is below this multiple of the floor is texture or noise.
_LEAST_CONTRAST = 1.5
# Share of the image below which a component is a speck, and beyond which nothing is left as background.
_LEAST_AREA, _MOST_AREA = 0.001, 0.95
# A second component at least this large relative to the first is another part.
_SECOND_PART = 0.5
# Share of the border that must agree with one smooth background.
_LEAST_BORDER = 0.5


@dataclass(frozen=True)
class Foreground:
    """The part in an image, and a window around it.

    Attributes:
        origin: column and row of the image at which the window begins.
        image: the window's content, slightly smoothed: uint8 ``(h, w, 3)``.
        weights: how much of each of its pixels the part covers, holes included, from 0 to 1: float32
            ``(h, w)``.
        mask: its pixels of which the part covers more than half: uint8 ``(h, w)``, 0 or 1.
        fixtures: whether something at least half as large as the part is cut by the border of the image.
    """

    origin: tuple[int, int]
    image: RGB
    weights: Array
    mask: Mask
    fixtures: bool


class Palette:
    """Colors of a background that the user drew, with the distance of every color from the nearest one."""

    # Colors are distinguished in steps of four gray levels, and at most so many are kept.
    _STEP, _COLORS = 4, 24

    def __init__(self, image: RGB, inside: npt.NDArray[np.bool_]) -> None:
        """Create a palette.

        Args:
            image: uint8 ``(h, w, 3)``.
            inside: bool ``(h, w)``; the pixels that show background, at least one.
        """
        samples = image[inside].astype(np.float32)
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

    def distance(self, image: RGB) -> Array:
        """Return the distance of every pixel from the palette, in standard deviations: float32 ``(h, w)``."""
        per_axis = 256 // self._STEP
        digits = (image // self._STEP).astype(np.float32)
        index = cv2.transform(digits, np.array([[per_axis**2, per_axis, 1]], np.float32))
        return self._table.take(index.astype(np.int32))


def segment(image: RGB, palette: Palette | None = None, usual: Foreground | None = None) -> Foreground:
    """Find the one part before a plain background.

    It is looked for at a low resolution; its outline is then determined at that of the image.

    Args:
        image: uint8 ``(h, w, 3)``.
        palette: colors of the background; None: those along the border.
        usual: the foreground of the reference part, if it is known, in an image of the same size.

    Raises:
        PartNotFound: there is no part, more than one, or a part that the image does not show whole.
    """
    height, width = image.shape[:2]
    step = max(1, round(max(height, width) / _ROUGH))
    size = (-(-width // step), -(-height // step))
    rough = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if step > 1 else image
    rough = cv2.GaussianBlur(rough, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    surface = _Surface.of_border(rough) if palette is None else None
    if surface is not None:
        # Once it is known where the part is about, all the background tells its color, not only the border.
        surface = surface.refined(rough, _components(surface.distance(rough))[0])

    def distances(content: RGB, left: int, top: int, size: tuple[int, int]) -> Array:
        if surface is not None:
            return surface.distance(content, (left, top), size)
        assert palette is not None
        return palette.distance(content)

    labels, threshold = _components(distances(rough, 0, 0, size))
    part, fixtures = _choose(labels, usual, step, palette is not None)

    x, y, wide, high = cv2.boundingRect(part)
    margin = _AROUND + step
    left, top = max(0, x * step - margin), max(0, y * step - margin)
    right, bottom = min(width, (x + wide) * step + margin), min(height, (y + high) * step + margin)
    window = cv2.GaussianBlur(image[top:bottom, left:right], (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    distance = distances(window, left, top, (width, height))
    near = cv2.dilate(part, np.ones((3, 3), np.uint8))
    near = near.repeat(step, axis=0).repeat(step, axis=1)[top:bottom, left:right]
    mask = _largest(((distance > threshold) & (near > 0)).astype(np.uint8))
    if int(mask.sum()) < max(12.0, 0.5 * _LEAST_AREA * height * width):
        raise PartNotFound("nothing but specks stands out from the background")
    weights = _coverage(distance, mask, threshold)
    half = _largest((weights > 0.5).astype(np.uint8))
    return Foreground((left, top), window, weights, half if half.any() else mask, fixtures)


class _Surface:
    """A smooth background: a polynomial of degree 2 for each color, and how colors scatter around it."""

    def __init__(self, coefficients: npt.NDArray[np.float64], whitening: Array) -> None:
        self._coefficients = coefficients  # (6, 3)
        self._whitening = whitening

    @classmethod
    def of_border(cls, image: RGB) -> _Surface:
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

    def refined(self, image: RGB, foreground: Labels) -> _Surface:
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
        for degree in (3, 3, 6, 6) if start is None else (6, 6):
            distance = _lengths(colors - terms @ coefficients)
            cutoff = max(3 * _median(distance), 4 * _LEAST_NOISE)
            weights = np.maximum(1 - (distance / cutoff) ** 2, 0) ** 2
            used = terms[:, :degree]
            # Curvature needs evidence: a little is added to the diagonal where samples are one-sided.
            ridge = np.array([0, 0, 0, 1, 1, 1])[:degree] * 1e-3 * weights.sum()
            normal = (used * weights[:, None]).T @ used + np.diag(ridge + 1e-9)
            coefficients = np.zeros((6, 3))
            coefficients[:degree] = np.linalg.solve(normal, (used * weights[:, None]).T @ colors)
        residuals = colors - terms @ coefficients
        distance = _lengths(residuals)
        agree = distance <= max(3 * _median(distance), 4 * _LEAST_NOISE)
        covariance = residuals[agree].T @ residuals[agree] / max(1, int(agree.sum()))
        # Leaving out the tails makes the variance too small by about a tenth.
        values, vectors = np.linalg.eigh(1.1 * covariance + _LEAST_NOISE**2 * np.eye(3))
        whitening = (vectors / np.sqrt(values)) @ vectors.T
        # Of a border that shows several colors half the samples agree by definition, but only widely.
        typical = _median(distance)
        return cls(coefficients, whitening.astype(np.float32)), float(agree.mean()) if typical < 40 else 0.0

    def distance(
        self, image: RGB, origin: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None
    ) -> Array:
        """Return the distance of every pixel from the surface, in standard deviations: float32 ``(h, w)``.

        Args:
            image: uint8 ``(h, w, 3)``, a window of an image of any resolution.
            origin: column and row at which the window begins.
            size: width and height of that image; None: those of the window.
        """
        height, width = image.shape[:2]
        x, y = _normalized(*(size or (width, height)))
        x, y = x[origin[0] : origin[0] + width], y[origin[1] : origin[1] + height]
        constant, a, b, aa, ab, bb = self._coefficients[:, None, :]  # each (1, 3)
        x = x[:, None]
        by_power_of_y = np.stack([constant + a * x + aa * x * x, b + ab * x, bb + 0 * x])  # (3, w, 3)
        rows = np.stack([np.ones_like(y), y, y * y], axis=1).astype(np.float32)
        surface = rows @ by_power_of_y.reshape(3, -1).astype(np.float32)
        white = cv2.transform(image.astype(np.float32) - surface.reshape(image.shape), self._whitening)
        return np.asarray(cv2.sqrt(cv2.transform(cv2.multiply(white, white), np.ones((1, 3), np.float32))))


def _lengths(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("nc,nc->n", vectors, vectors)))


def _median(values: npt.NDArray[np.float64]) -> float:
    """Return the upper median, faster than numpy's of few values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


def _normalized(width: int, height: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the coordinates of columns and rows, from -1 to 1."""
    return (np.arange(width) + 0.5) * 2 / width - 1, (np.arange(height) + 0.5) * 2 / height - 1


def _samples(
    image: RGB, where: npt.NDArray[np.bool_], most: int = 700
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


def _components(distance: Array) -> tuple[Labels, float]:
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


def _choose(
    labels: Labels, usual: Foreground | None, step: int, drawn: bool, *, thick: bool = False
) -> tuple[Mask, bool]:
    """Return the filled mask of the part among the components, and whether fixtures are beside it.

    What is cut by the border is the part, unless something that may be the part lies inside: then it is a
    fixture.

    Args:
        labels: the components, of an image reduced by ``step``.
        usual: the foreground of the reference part, if it is known.
        step: the factor by which the image is reduced.
        drawn: whether the background was drawn by the user, who then expects fixtures along the border.
        thick: whether what is thin has been taken from what is cut.
    """
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cut = np.zeros(len(areas), bool)
    cut[edges] = True
    least = max(4.0, _LEAST_AREA * labels.size)
    if areas.max() < least:
        raise PartNotFound("nothing but specks stands out from the background")
    whole, largest_cut = np.where(cut, 0, areas), int(areas[cut].max(initial=0))
    chosen = int(whole.argmax())
    mask = _largest((labels == chosen).astype(np.uint8)) if whole[chosen] >= least else None
    area = int(mask.sum()) if mask is not None else 0
    if usual is not None:
        expected = 0.5 * float(usual.mask.sum()) / step**2
    else:
        expected = (0.05 if drawn else 0.25) * largest_cut
    if (mask is None or area < min(expected, largest_cut)) and not thick:
        # A hair or a cable from the part to the border does not make it one that is cut.
        largest = (labels == int(np.where(cut, areas, 0).argmax())).astype(np.uint8)
        opened = cv2.morphologyEx(largest, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        _, parted = cv2.connectedComponents((labels > 0).astype(np.uint8) - largest + opened)
        return _choose(np.asarray(parted, np.int32), usual, step, drawn, thick=True)
    if mask is None or area < min(expected, largest_cut):
        raise PartNotFound("the part is cut by the border of the image")
    for label in np.flatnonzero(whole >= least):
        own = labels == label
        # What lies in a hole of the part belongs to it.
        if label == chosen or mask[own].all():
            continue
        if int(_largest(own.astype(np.uint8)).sum()) >= _SECOND_PART * area:
            raise PartNotFound("there are two parts of similar size in the image")
    fixtures = largest_cut >= _SECOND_PART * area
    if fixtures and usual is not None and not usual.fixtures:
        raise PartNotFound("a second part is cut by the border of the image")
    return mask, fixtures


def _largest(mask: Mask) -> Mask:
    """Return the largest component of a mask with its holes filled: uint8 ``(h, w)``, 0 or 1."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled


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
