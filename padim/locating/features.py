"""Locate the part by many small details (keypoints) that it shares with the reference part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.errors import LocatingError, PartNotFound
from padim.locating.frame import Frame
from padim.locating.matching import gray
from padim.locating.pose import Pose
from padim.locating.settings import Align

__all__ = ["features_finder"]

RGB = npt.NDArray[np.uint8]
Points = npt.NDArray[np.complex128]
Descriptors = npt.NDArray[np.float32]

# Images are reduced to this longer side: keypoints are exact to a fraction of its pixels.
_LONGEST_SIDE = 1024
_MOST_KEYPOINTS = 800
# Keypoints of the reference that must differ from all others elsewhere, and their least share; and keypoints
# that must agree in an image.
_FEWEST_DISTINCT, _DISTINCT_SHARE, _FEWEST_AGREEING = 20, 0.3, 8
# Share of the reference's distinct keypoints that is expected to agree; fewer lower the match.
_EXPECTED_SHARE = 0.1
# Largest squared distance of descriptors, relative to that of the next best one.
_RATIO = {"sift": 0.64, "orb": 0.8}
# Keypoints of the reference with a smaller squared distance of descriptors are alike.
_ALIKE = {"sift": 0.1, "orb": 0.45}
# Largest distance between a keypoint and its expected place, in pixels of the reduced image.
_TOLERANCE = 3.0
_HYPOTHESES = 600
_ORB_FACTOR = 1.2
# Largest error of the frame's corners that the agreeing keypoints may leave, relative to the image's side.
_CORNER_ERROR = 0.01
# A second group of keypoints of this size, relative to the first, is a second part.
_SECOND_PART = 0.5


@dataclass(frozen=True)
class _Keypoints:
    """Places as complex numbers x + iy, and descriptors of unit length, one a row."""

    points: Points
    descriptors: Descriptors


@dataclass(frozen=True)
class _Similarity:
    """The map p -> factor * p + shift of complex numbers, and the pairs that agree with it."""

    factor: complex
    shift: complex
    agreeing: npt.NDArray[np.intp]

    def __call__(self, points: Points) -> Points:
        return self.factor * points + self.shift


def features_finder(align: Align, reference_rgb: RGB, frame: Frame | None = None) -> _FeaturesFinder:
    """Prepare locating by keypoints.

    Args:
        align: the settings.
        reference_rgb: the reference image, uint8 ``(h, w, 3)``.
        frame: the frame, as saved with a model; None: the whole reference image.

    Raises:
        LocatingError: the reference has too few keypoints that differ from each other.
    """
    height, width = reference_rgb.shape[:2]
    return _FeaturesFinder(align, frame or Frame.whole((height, width)), _keypoints(reference_rgb, align))


def _keypoints(rgb: RGB, align: Align) -> _Keypoints:
    """Return the strongest keypoints of an image; places in its pixels."""
    image = gray(rgb)
    reduction = max(1.0, max(image.shape) / _LONGEST_SIDE)
    if reduction > 1:
        size = (round(image.shape[1] / reduction), round(image.shape[0] / reduction))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    # A detector is made for each image: it must not be shared by threads.
    detector: cv2.Feature2D
    if align.detector == "sift":
        # Without the precise upscale all places are a quarter of a pixel off.
        detector = cv2.SIFT.create(
            nfeatures=_MOST_KEYPOINTS, contrastThreshold=0.02, enable_precise_upscale=True
        )
    else:
        detector = cv2.ORB.create(
            nfeatures=_MOST_KEYPOINTS, scaleFactor=_ORB_FACTOR, edgeThreshold=15, fastThreshold=8
        )
    found, raw = detector.detectAndCompute(image, None)
    if raw is None or not len(found):
        return _Keypoints(np.zeros(0, complex), np.zeros((0, 1), np.float32))
    # OpenCV counts pixel centers as whole numbers, here they are at halves; of ORB, those of the reduced
    # image in which the keypoint was found.
    half = [0.5 * (_ORB_FACTOR**point.octave if align.detector == "orb" else 1) for point in found]
    x = (np.array([point.pt[0] for point in found]) + half) * (rgb.shape[1] / image.shape[1])
    y = (np.array([point.pt[1] for point in found]) + half) * (rgb.shape[0] / image.shape[0])
    if align.detector == "sift":
        # The square roots of the shares: differences in few large numbers do not decide alone.
        values = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6))
    else:
        bits = np.unpackbits(raw, axis=1).astype(np.float32)
        values = (2 * bits - 1) / math.sqrt(bits.shape[1])
    return _Keypoints(x + 1j * y, np.asarray(values, np.float32))


class _FeaturesFinder:
    """Finds the keypoints of the reference in an image; it does not change and may be used by threads."""

    def __init__(self, align: Align, frame: Frame, keypoints: _Keypoints) -> None:
        self._align = align
        self._frame = frame
        self._ratio = _RATIO[align.detector]
        self._tolerance = _TOLERANCE * max(1.0, max(frame.image_size) / _LONGEST_SIDE)
        self._reference = keypoints
        # Keypoints that occur once: others cannot be assigned.
        distance = _distances(keypoints.descriptors, keypoints.descriptors)
        points = keypoints.points
        distance[np.abs(points[:, None] - points[None, :]) < 4 * self._tolerance] = np.inf
        self._distinct = np.flatnonzero(distance.min(axis=1, initial=np.inf) > _ALIKE[align.detector])
        fewest = max(_FEWEST_DISTINCT, math.ceil(_DISTINCT_SHARE * len(points)))
        if len(self._distinct) < fewest:
            raise LocatingError(
                f"of the reference's {len(points)} details (keypoints) only {len(self._distinct)} occur "
                f"once, locating by features needs {fewest}; locate by outline or by template instead"
            )

    @property
    def frame(self) -> Frame:
        """The whole reference image, unless a saved frame was given."""
        return self._frame

    def find(self, rgb: RGB) -> Pose:
        """Find the part in an image of the reference's size: see :class:`padim.locating.locator.Finder`."""
        if rgb.shape[:2] != self._frame.image_size:
            raise ValueError(f"the reference has {self._frame.image_size} pixels, the image {rgb.shape[:2]}")
        image = _keypoints(rgb, self._align)
        if len(image.points) < _FEWEST_AGREEING:
            raise PartNotFound(f"the image has only {len(image.points)} details (keypoints)")
        distance = _distances(self._reference.descriptors, image.descriptors)
        first, second = _pairs(distance, self._ratio)
        found = self._similarity(image, first, second)
        fewest = max(_FEWEST_AGREEING, math.ceil(_EXPECTED_SHARE * len(self._distinct) / 4))
        agreeing = 0 if found is None else len(found.agreeing)
        if found is None or agreeing < fewest:
            self._refuse_two(image, distance, None, fewest)
            raise PartNotFound(
                f"only {agreeing} of the reference's {len(self._distinct)} details (keypoints) agree, "
                f"fewer than {fewest}"
            )
        self._refuse_two(image, distance, found, max(fewest, math.ceil(_SECOND_PART * agreeing)))
        self._check_spread(found, self._reference.points[first], image.points[second])
        return self._pose(found, agreeing / len(first))

    def _similarity(
        self, image: _Keypoints, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
    ) -> _Similarity | None:
        """Return the similarity with which most pairs of keypoints agree."""
        return _consensus(self._reference.points[first], image.points[second], self._tolerance)

    def _refuse_two(
        self, image: _Keypoints, distance: Descriptors, found: _Similarity | None, fewest: int
    ) -> None:
        """Refuse an image with a second part: what is left of the image's keypoints agrees too.

        Of two equal parts each keypoint has two equal partners, so that often not even one part is found
        among those with a clear one.
        """
        free = np.ones(len(image.points), bool)
        if found is None:
            first, second = _pairs(distance, 1.0)
            found = self._similarity(image, first, second)
            if found is None or len(found.agreeing) < fewest:
                return
        places = found(self._reference.points)
        near = np.abs(image.points[:, None] - places[None, :]).min(axis=1)
        free = near > 2 * self._tolerance
        if free.sum() < fewest:
            return
        first, second = _pairs(distance[:, free], 1.0)
        other = self._similarity(_Keypoints(image.points[free], image.descriptors[free]), first, second)
        if other is not None and len(other.agreeing) >= fewest and self._plausible(other):
            center = np.array([complex(self._frame.center_x, self._frame.center_y)])
            a, b = found(center)[0], other(center)[0]
            raise PartNotFound(
                f"two places fit, around ({a.real:.0f}, {a.imag:.0f}) and ({b.real:.0f}, {b.imag:.0f}); "
                "there may be two parts in the image"
            )

    def _plausible(self, found: _Similarity) -> bool:
        """Return whether the size is near the reference's: chance agreements shrink to a point."""
        return abs(math.log(abs(found.factor))) <= math.log1p(self._align.max_scale / 100) + 0.05

    def _check_spread(self, found: _Similarity, reference: Points, image: Points) -> None:
        """Refuse keypoints that agree but lie too close together to tell turn and size of the whole part."""
        points, places = reference[found.agreeing], image[found.agreeing]
        spread = math.sqrt(float(np.mean(np.abs(points - points.mean()) ** 2)))
        deviation = math.sqrt(float(np.mean(np.abs(found(points) - places) ** 2))) + 0.1
        center = complex(self._frame.center_x, self._frame.center_y)
        arm = abs(points.mean() - center) + math.hypot(self._frame.width, self._frame.height) / 2
        error = deviation / math.sqrt(len(points)) * math.hypot(1, arm / max(spread, 1e-6))
        if error > _CORNER_ERROR * max(self._frame.image_size):
            raise PartNotFound(
                "the details (keypoints) that agree lie too close together to tell the part's turn"
            )

    def _pose(self, found: _Similarity, share: float) -> Pose:
        center = complex(self._frame.center_x, self._frame.center_y)
        shift = found.factor * center + found.shift - center
        turn = -math.degrees(math.atan2(found.factor.imag, found.factor.real))  # y points down
        enough = min(1.0, len(found.agreeing) / (_EXPECTED_SHARE * len(self._distinct)))
        return Pose(
            shift.real,
            shift.imag,
            180.0 if turn <= -180 else turn,
            abs(found.factor),
            min(1.0, share * enough),
        )


def _distances(a: Descriptors, b: Descriptors) -> Descriptors:
    """Return the squared distances between descriptors of unit length: float32 ``(len(a), len(b))``."""
    return np.asarray(np.maximum(0, 2 - 2 * (a @ b.T)), np.float32)


def _pairs(distance: Descriptors, ratio: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pairs that are each other's nearest, clearly nearer than the next best if ``ratio`` < 1."""
    if min(distance.shape) < 2:
        none = np.zeros(0, np.intp)
        return none, none
    nearest = distance.argmin(axis=1)
    rows = np.arange(len(distance))
    mutual = distance.argmin(axis=0)[nearest] == rows
    if ratio < 1:
        best, next_best = np.partition(distance, 1, axis=1)[:, :2].T
        mutual &= best < ratio * next_best
    return rows[mutual], nearest[mutual]


def _consensus(points: Points, places: Points, tolerance: float) -> _Similarity | None:
    """Return the similarity of most agreement between two lists of points, by random pairs (RANSAC).

    The pairs are drawn from a generator of its own with a fixed seed: the same points give the same result,
    in any thread.
    """
    n = len(points)
    if n < 3:
        return None
    draw = np.random.default_rng(0)
    i = draw.integers(0, n, _HYPOTHESES)
    j = (i + draw.integers(1, n, _HYPOTHESES)) % n
    apart = points[i] - points[j]
    usable = (np.abs(apart) > 4 * tolerance) & (np.abs(places[i] - places[j]) > 2 * tolerance)
    i, j, apart = i[usable], j[usable], apart[usable]
    if not len(i):
        return None
    factor = (places[i] - places[j]) / apart
    # Only sizes that can be the same part.
    usable = np.abs(np.log(np.abs(factor))) < math.log(2)
    if not usable.any():
        return None
    factor, i = factor[usable], i[usable]
    shift = places[i] - factor * points[i]
    deviation = np.abs(factor[:, None] * points[None, :] + shift[:, None] - places[None, :])
    # Near agreement counts more: the best of those that agree with equally many.
    quality = np.maximum(0, 1 - np.square(deviation / tolerance)).sum(axis=1)
    best = int(quality.argmax())
    return _refined(points, places, complex(factor[best]), complex(shift[best]), tolerance)


def _refined(
    points: Points, places: Points, factor: complex, shift: complex, tolerance: float
) -> _Similarity | None:
    """Return the similarity refitted to the pairs that agree, those that agree better counting more."""
    for _ in range(10):
        deviation = np.abs(factor * points + shift - places)
        weight = np.square(np.maximum(0, 1 - np.square(deviation / tolerance)))
        total = weight.sum()
        if (weight > 0).sum() < 3:
            return None
        p, q = points - (weight @ points) / total, places - (weight @ places) / total
        spread = float(weight @ np.square(np.abs(p)))
        if spread < 1e-9:
            return None
        before = factor
        factor = complex((weight * p.conj()) @ q / spread)
        shift = complex((weight @ places) / total - factor * (weight @ points) / total)
        if abs(factor - before) < 1e-9:
            break
    agreeing = np.flatnonzero(np.abs(factor * points + shift - places) < tolerance)
    return _Similarity(factor, shift, agreeing) if len(agreeing) >= 3 else None
