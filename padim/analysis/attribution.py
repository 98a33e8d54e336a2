"""Attribution of a squared distance to the layers of the network: how much each layer contributes.

Splitting ``delta^T A^-1 delta`` into ``delta * (A^-1 delta)`` does not answer that: layers are correlated,
and one that merely cancels a part of another gets a negative share. Here each layer gets its Shapley value
over the subsets S of layers, for the value ``v(S) = delta_S^T A_SS^-1 delta_S``, which is the squared
distance that a model of the layers in S alone would measure. ``v`` is monotone in S, so that no share is
negative, and the shares sum to the squared distance.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from padim.decision.prediction import decide
from padim.decision.regions import map_mask, region_score
from padim.errors import CalibrationError, PadimError
from padim.methods.base import windows
from padim.methods.gaussian import LeaveOut
from padim.methods.moments import PatchStatistics
from padim.methods.padim import PatchGaussians, regularization

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.network.backbone import Layer
    from padim.scoring import ScoringState

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# The work doubles with every layer, and more layers than this are of no use to a reader.
MOST_LAYERS = 10
# Bytes of float64 covariances that :func:`explain` processes at once.
_BLOCK_BYTES = 2**26
# Bytes of float64 scatter held at once for normal images, which limits the places processed together.
_SCATTER_ROOM = 2**27
_MOST_PLACES = 256


# --- the Shapley value ----------------------------------------------------------------------------------


def layer_shares(covariance: Doubles, delta: Doubles, layer_of: Indices, n_layers: int) -> Doubles:
    """Split the squared Mahalanobis distance at each position among the layers.

    Args:
        covariance: float64 ``(k, d, d)``, positive definite.
        delta: float64 ``(k, d)``, deviations from the mean.
        layer_of: int64 ``(d,)``, the layer of each channel, 0 to ``n_layers - 1``.
        n_layers: L; a layer without channels gets 0.

    Returns:
        float64 ``(k, L)``, nonnegative, with rows that sum to ``delta^T covariance^-1 delta``.

    Raises:
        ValueError: the shapes do not match, or more than 10 layers have channels.
    """
    k, d = delta.shape
    if covariance.shape != (k, d, d):
        raise ValueError(
            f"covariance must be ({k}, {d}, {d}) for delta {delta.shape}, got {covariance.shape}"
        )
    return _shapley(lambda chosen: _squared(covariance, delta, chosen), (k,), layer_of, n_layers)


def _squared(covariance: Doubles, delta: Doubles, chosen: Indices) -> Doubles:
    """Return ``delta_S^T A_SS^-1 delta_S``, ``(k,)``, by Cholesky decomposition."""
    lower = np.linalg.cholesky(covariance[:, chosen[:, None], chosen])
    result = np.empty(len(delta))
    for position, (factor, one) in enumerate(zip(lower, delta[:, chosen], strict=True)):
        # The transpose of a C-ordered lower factor is the F-ordered upper factor that
        # LAPACK expects: no copy.
        white, info = lapack.dtrtrs(factor.T, one, lower=0, trans=1)
        if info:
            raise np.linalg.LinAlgError(f"singular covariance at grid position {position}")
        result[position] = white @ white
    return result


def _shapley(
    value: Callable[[Indices], Doubles], shape: tuple[int, ...], layer_of: Indices, n_layers: int
) -> Doubles:
    """Return the Shapley values of the layers for a monotone function of the channels in use.

    Args:
        value: maps channel indices, all those of some layers, to a float64 array.
        shape: the shape of that array.
        layer_of: int64 ``(d,)``, the layer of each channel.
        n_layers: L.

    Returns:
        float64 ``(*shape, L)``.
    """
    if len(layer_of) and not (layer_of.min() >= 0 and layer_of.max() < n_layers):
        raise ValueError(f"layer_of must name layers 0 to {n_layers - 1}")
    present = np.unique(layer_of)
    count = len(present)
    if count > MOST_LAYERS:
        raise ValueError(f"at most {MOST_LAYERS} layers can be told apart, got {count}")
    # A subset is represented by the bits of an integer; the value of the empty one is 0.
    values = np.zeros((1 << count, *shape))
    for subset in range(1, 1 << count):
        members = [layer for bit, layer in enumerate(present) if subset >> bit & 1]
        values[subset] = value(np.flatnonzero(np.isin(layer_of, members)))
    shares = np.zeros((*shape, n_layers))
    for bit, layer in enumerate(present):
        for subset in range(1 << count):
            if not subset >> bit & 1:
                size = subset.bit_count()
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                # The difference is negative by rounding only.
                shares[..., layer] += weight * np.maximum(values[subset | 1 << bit] - values[subset], 0.0)
    # Scaled, because the rounding clipped above would be missing in the sum.
    total = shares.sum(axis=-1, keepdims=True)
    return np.where(total > 0, shares * (values[-1][..., None] / np.where(total > 0, total, 1.0)), 0.0)


# --- a model's layers -----------------------------------------------------------------------------------


def own_gaussians(state: ScoringState) -> PatchGaussians:
    """Return the Gaussian at each position, if the map holds the distances to it.

    Raises:
        PadimError: the state is of another method, or uses the distance to the nearest of several Gaussians.
    """
    detector = state.fitted.detector
    if not isinstance(detector, PatchGaussians) or detector.tolerance:
        raise PadimError("which layer saw it can be told only for PaDiM without position tolerance")
    return detector


def kept_layers(model: Padim, state: ScoringState | None = None) -> tuple[tuple[Layer, ...], Indices]:
    """Return the layers in use, from shallow to deep, and the layer of each channel in use.

    Args:
        model: a fitted model.
        state: the scoring state to analyze; None is the current one.

    Returns:
        L layers, and int64 ``(d,)`` with values 0 to L - 1.

    Raises:
        PadimError: there are more than 10 layers, or the method's distances cannot be attributed to layers.
    """
    own_gaussians(model.state if state is None else state)
    everything = model.network.extractor.layers
    of_channel = np.repeat(np.arange(len(everything)), [layer.channels for layer in everything])
    kept = of_channel[(model.state if state is None else state).channels]
    active, kept_channels = set(model.config.active_layers), set(kept.tolist())
    # The settings may belong to a later state, so the layers that this state uses are always included.
    used = [i for i, layer in enumerate(everything) if layer.name in active or i in kept_channels]
    if len(used) > MOST_LAYERS:
        raise PadimError(
            f"at most {MOST_LAYERS} layers can be told apart, and the model uses {len(used)}; turn some off"
        )
    return tuple(everything[i] for i in used), np.searchsorted(used, kept).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The contribution of each layer to the squared distances at some grid positions.

    Attributes:
        layers: the names of L layers, from shallow to deep.
        positions: int64 ``(k,)``, grid positions in row-major order.
        squared: float64 ``(k, L)``, the contribution of each layer to the squared distance at each position.
    """

    layers: tuple[str, ...]
    positions: Indices
    squared: Doubles

    @property
    def total(self) -> Doubles:
        """Return the contributions of the layers summed over the positions, float64 ``(L,)``."""
        return self.squared.sum(axis=0)

    @property
    def shares(self) -> Doubles:
        """Return the contributions as shares that sum to 1, float64 ``(L,)``; all 0 if there are none."""
        return in_shares(self.total)

    def maps(self, grid: tuple[int, int]) -> Doubles:
        """Return a map of each layer's contribution, float64 ``(L, *grid)``; 0 at other positions."""
        result = np.zeros((len(self.layers), math.prod(grid)))
        result[:, self.positions] = self.squared.T
        return result.reshape(-1, *grid)


def in_shares(total: Doubles) -> Doubles:
    """Return amounts as shares of their sum; all 0 if the sum is 0."""
    amount = float(total.sum())
    return total / amount if amount > 0 else np.zeros_like(total)


def places_of(region: Mask, grid: tuple[int, int]) -> Indices:
    """Return the grid positions that a region of the map touches.

    Args:
        region: bool ``(h, w)``, in map pixels, multiples of ``grid``.
        grid: rows and columns of the grid.

    Returns:
        int64 ``(k,)``, ascending.

    Raises:
        ValueError: ``region`` has another shape or type.
    """
    rows, columns = grid
    high, wide = region.shape[0] // rows, region.shape[-1] // columns
    if region.dtype != np.bool_ or region.shape != (rows * high, columns * wide) or not high * wide:
        raise ValueError(
            f"region must be bool (h, w), multiples of {rows} and {columns}, "
            f"got {region.dtype} {region.shape}"
        )
    return np.flatnonzero(region.reshape(rows, high, columns, wide).any(axis=(1, 3)))


def region_masks(q: npt.NDArray[np.uint16], threshold: int, min_area: int) -> list[Mask]:
    """Return a mask for each region of a level map, in the order of :func:`padim.decision.prediction.decide`.

    Args:
        q: uint16 ``(h, w)``, the level map.
        threshold: the threshold, a level.
        min_area: the smallest region, in map pixels.

    Returns:
        bool ``(h, w)`` masks; an empty list if nothing is rejected.
    """
    regions = decide(q, threshold, min_area).regions
    if not regions:
        return []
    _, labels = cv2.connectedComponents(map_mask(q, threshold, min_area).view(np.uint8), connectivity=8)
    return [labels == labels[region.peak_y, region.peak_x] for region in regions]


def strongest_place(q: npt.NDArray[np.uint16], min_area: int) -> Mask:
    """Return the mask of the regions that determine an image's score.

    These are the pixels that reach the level of the score, in regions of at least ``min_area`` pixels.

    Returns:
        bool ``(h, w)``; the whole map if the score is 0.
    """
    score = region_score(q, min_area)
    return map_mask(q, score - 1, min_area) if score else np.ones(q.shape, bool)


# --- a test image -------------------------------------------------------------------------------------


def embed(model: Padim, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the features of an image in the channels that the model uses; runs the network once.

    Args:
        model: a fitted model.
        rgb: uint8 ``(h, w, 3)``, at input size.

    Returns:
        float32 ``(p, d)``.
    """
    state = model.state
    features = model.network.extractor(rgb[None])[0]
    return np.ascontiguousarray(features.reshape(len(features), -1)[state.channels].T)


def explain(model: Padim, embedding: npt.NDArray[np.float32], region: Mask | None = None) -> Explanation:
    """Attribute the distances in a region of a test image to the layers, on the grid before smoothing.

    Args:
        model: a fitted model.
        embedding: float32 ``(p, d)`` from :func:`embed`.
        region: bool ``(h, w)`` in map pixels; None is the whole image.

    Raises:
        ValueError: an array has another shape.
    """
    state = model.state
    layers, layer_of = kept_layers(model, state)
    gaussians, grid = own_gaussians(state), model.config.grid_shape
    if embedding.shape != gaussians.shape:
        raise ValueError(f"embedding must be {gaussians.shape}, got {embedding.shape}")
    positions = np.arange(math.prod(grid)) if region is None else places_of(region, grid)
    squared = np.zeros((len(positions), len(layers)))
    at_once = max(1, _BLOCK_BYTES // (8 * len(layer_of) ** 2))
    for start in range(0, len(positions), at_once):
        at = positions[start : start + at_once]
        delta = embedding[at].astype(np.float64) - gaussians.mean[at]
        squared[start : start + at_once] = layer_shares(
            gaussians.factor.covariance(at), delta, layer_of, len(layers)
        )
    return Explanation(tuple(layer.name for layer in layers), positions, squared)


# --- normal images, each against the Gaussians of the others
# ---------------------------------------------------------


def explain_held_out(model: Padim, regions: Sequence[tuple[int, Mask]]) -> list[Explanation]:
    """Attribute the held-out distances of normal images, by models without their parts, to the layers.

    The features are read once for all regions, and only at the positions needed: a few at a time, so that
    memory does not grow with the regions.

    Args:
        model: a fitted model with its features on disk.
        regions: the index of a normal image in ``normals_``, which must be in the fit, and the region to
            explain, bool ``(h, w)`` in map pixels.

    Raises:
        CalibrationError: there are too few parts for held-out distances.
        PadimError: the features were deleted.
    """
    state = model.state
    layers, layer_of = kept_layers(model, state)
    grid = model.config.grid_shape
    asked = [(index, places_of(region, grid)) for index, region in regions]
    squared = [np.zeros((len(places), len(layers))) for _, places in asked]
    normals = _Normals(model, state)
    union = np.unique(np.concatenate([places for _, places in asked])) if asked else np.zeros(0, np.int64)
    at_once = max(1, _SCATTER_ROOM // (8 * len(layer_of) ** 2))
    for start in range(0, len(union), at_once):
        block = union[start : start + at_once]
        inside = [np.flatnonzero(np.isin(places, block)) for _, places in asked]
        here = [i for i, within in enumerate(inside) if len(within)]
        normals.load(block, [asked[i][0] for i in here])
        for i in here:
            index, places = asked[i]
            at = np.searchsorted(block, places[inside[i]])
            squared[i][inside[i]] = normals.shares([index], at, layer_of, len(layers))[0]
    names = tuple(layer.name for layer in layers)
    return [Explanation(names, places, own) for (_, places), own in zip(asked, squared, strict=True)]


def normals_layers(model: Padim) -> Explanation:
    """Attribute the mean held-out distance of the good parts to the layers.

    All normal images in the fit are used, at positions spread evenly over the grid, which are enough for
    shares in percent.

    Returns:
        An explanation whose ``squared`` is the mean over the images.

    Raises:
        CalibrationError: there are too few parts for held-out distances.
        PadimError: the features were deleted.
    """
    state = model.state
    layers, layer_of = kept_layers(model, state)
    rows_of_grid, columns = model.config.grid_shape
    most = int(np.clip(_SCATTER_ROOM // (8 * len(layer_of) ** 2), 1, _MOST_PLACES))
    step = math.ceil(math.sqrt(rows_of_grid * columns) / math.isqrt(most))
    while -(-rows_of_grid // step) * -(-columns // step) > most:
        step += 1  # a narrow rectangle has more positions at this step than a square of its area
    down, across = (np.arange(min(step // 2, side - 1), side, step) for side in (rows_of_grid, columns))
    places = (down[:, None] * columns + across).ravel()
    rows = [row for row, normal in enumerate(state.fitted.normals) if normal.status == "fit"]
    normals = _Normals(model, state)
    normals.load(places, rows)
    squared = normals.shares(rows, np.arange(len(places)), layer_of, len(layers)).mean(axis=0)
    return Explanation(tuple(layer.name for layer in layers), places, squared)


class _Normals:
    """The statistics of the fit at some grid positions, and the features of selected images there."""

    def __init__(self, model: Padim, state: ScoringState) -> None:
        """Open the features of a model.

        Args:
            model: provides the features.
            state: the scoring state to analyze.

        Raises:
            CalibrationError: there are too few parts for held-out distances.
            PadimError: the features were deleted.
        """
        fitted = state.fitted
        if fitted.calibration == "none":
            raise CalibrationError(
                "held-out distances need at least 3 parts in the fit; add images of good parts"
            )
        model.working_set.require()
        self._channels = state.channels
        self._feature_store = model.working_set.feature_store
        self._normals = fitted.normals
        self._members: dict[str, list[int]] = defaultdict(list)
        for row, normal in enumerate(fitted.normals):
            if normal.status == "fit":
                self._members[normal.group].append(row)
        self._regularization = regularization(model.config)

    def load(self, places: Indices, wanted: Iterable[int]) -> None:
        """Read the features that :meth:`shares` needs, replacing those read before.

        Args:
            places: int64 ``(k,)``, ascending grid positions; memory grows with them.
            wanted: the rows of the images to explain.
        """
        # All images of the part of each wanted image, because they are left out together.
        self._parts = {row: self._members[self._normals[row].group] for row in wanted}
        keep = set(itertools.chain.from_iterable(self._parts.values()))
        self._statistics = PatchStatistics(len(places), len(self._channels))
        self._features: dict[int, npt.NDArray[np.float32]] = {}
        for rows in windows(self._normals):
            features = self._read(rows, places)
            self._statistics.update(features)
            self._features.update((row, one) for row, one in zip(rows, features, strict=True) if row in keep)

    def _read(self, rows: Sequence[int], places: Indices) -> npt.NDArray[np.float32]:
        """Return features ``(n, k, d)`` at ascending positions; runs of positions are read in one piece."""
        result = np.empty((len(rows), len(places), len(self._channels)), np.float32)
        starts = np.flatnonzero(np.diff(places, prepend=-2) > 1)
        for start, stop in itertools.pairwise([*starts.tolist(), len(places)]):
            run = slice(int(places[start]), int(places[stop - 1]) + 1)
            result[:, start:stop] = self._feature_store.read(rows, self._channels, run)
        return result

    def shares(self, rows: Sequence[int], at: Indices, layer_of: Indices, n_layers: int) -> Doubles:
        """Return the layers' contributions to the squared held-out distances of some images.

        Args:
            rows: the images.
            at: indices into the positions that were loaded.
            layer_of: int64 ``(d,)``, the layer of each channel.
            n_layers: L.

        Returns:
            float64 ``(len(rows), len(at), L)``.
        """
        by_size: dict[int, list[int]] = defaultdict(list)
        for i, row in enumerate(rows):
            by_size[len(self._parts[row])].append(i)

        def value(chosen: Indices) -> Doubles:
            here = PatchStatistics(0, 0)
            here.count = self._statistics.count
            here.mean = self._statistics.mean[np.ix_(at, chosen)]
            here.scatter = self._statistics.scatter[np.ix_(at, chosen, chosen)]
            result = np.empty((len(rows), len(at)))
            for size, alike in by_size.items():
                leave_out = LeaveOut(here, self._regularization, size)
                if size == 1:  # any number at once
                    result[alike] = leave_out.squared_distances(
                        self._of([rows[i] for i in alike], at, chosen)
                    )
                    continue
                for i in alike:
                    part = self._parts[rows[i]]
                    squared = leave_out.squared_distances(self._of(part, at, chosen))
                    result[i] = squared[part.index(rows[i])]
            return result

        return _shapley(value, (len(rows), len(at)), layer_of, n_layers)

    def _of(self, rows: Sequence[int], at: Indices, chosen: Indices) -> npt.NDArray[np.float32]:
        return np.stack([self._features[row][np.ix_(at, chosen)] for row in rows])
