"""Which layer saw it: how much of a squared distance each layer of the network accounts for.

The plain split of ``delta^T A^-1 delta`` into ``delta * (A^-1 delta)`` is no answer: layers are correlated,
and one that merely cancels another's part comes out negative. Here each layer gets its Shapley value over
the subsets of layers, of ``v(S) = delta_S^T A_SS^-1 delta_S``: the squared distance that a model of the
layers S alone would measure. ``v`` only grows with S, so that no share is negative, and the shares sum to
the squared distance.
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

# The work doubles with every layer; nobody tells more than a handful apart.
MOST_LAYERS = 10
# Bytes of float64 covariances that :func:`explain` looks at together.
_BLOCK_BYTES = 2**26
# Bytes of float64 scatter that normals may take: so many places are looked at together.
_SCATTER_ROOM = 2**27
_MOST_PLACES = 256


# --- the Shapley value ----------------------------------------------------------------------------------


def layer_shares(covariance: Doubles, delta: Doubles, layer_of: Indices, n_layers: int) -> Doubles:
    """The squared Mahalanobis distance at each position, split among the layers.

    Args:
        covariance: float64 ``(k, d, d)``, positive definite.
        delta: float64 ``(k, d)``, deviations from the mean.
        layer_of: int64 ``(d,)``, which layer a channel belongs to, 0 to ``n_layers - 1``.
        n_layers: L; a layer without channels gets 0.

    Returns:
        float64 ``(k, L)``, none negative, each row summing to ``delta^T covariance^-1 delta``.

    Raises:
        ValueError: arrays that do not fit each other, or more than 10 layers with channels.
    """
    k, d = delta.shape
    if covariance.shape != (k, d, d):
        raise ValueError(
            f"covariance must be ({k}, {d}, {d}) for delta {delta.shape}, got {covariance.shape}"
        )
    return _shapley(lambda chosen: _squared(covariance, delta, chosen), (k,), layer_of, n_layers)


def _squared(covariance: Doubles, delta: Doubles, chosen: Indices) -> Doubles:
    """``delta_S^T A_SS^-1 delta_S`` by Cholesky, ``(k,)``."""
    lower = np.linalg.cholesky(covariance[:, chosen[:, None], chosen])
    result = np.empty(len(delta))
    for position, (factor, one) in enumerate(zip(lower, delta[:, chosen], strict=True)):
        # The transpose of a C-ordered lower factor is the F-ordered upper one LAPACK wants: no copy.
        white, info = lapack.dtrtrs(factor.T, one, lower=0, trans=1)
        if info:
            raise np.linalg.LinAlgError(f"singular covariance at position {position}")
        result[position] = white @ white
    return result


def _shapley(
    value: Callable[[Indices], Doubles], shape: tuple[int, ...], layer_of: Indices, n_layers: int
) -> Doubles:
    """Shapley values of ``value``, a growing function of the channels in use.

    Args:
        value: from channel indices, those of some layers, to float64 of ``shape``.
        shape: of what ``value`` gives.
        layer_of: int64 ``(d,)``.
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
    # Subsets as the bits of a number: the empty one is worth nothing.
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
                # Never less by more than rounding.
                shares[..., layer] += weight * np.maximum(values[subset | 1 << bit] - values[subset], 0.0)
    # What rounding was cut away above would be missing in the sum.
    total = shares.sum(axis=-1, keepdims=True)
    return np.where(total > 0, shares * (values[-1][..., None] / np.where(total > 0, total, 1.0)), 0.0)


# --- a model's layers -----------------------------------------------------------------------------------


def own_gaussians(state: ScoringState) -> PatchGaussians:
    """The Gaussian at each position, if its distance is what is judged there.

    Raises:
        PadimError: another method, or the distance to the nearest of several Gaussians.
    """
    detector = state.fitted.detector
    if not isinstance(detector, PatchGaussians) or detector.tolerance:
        raise PadimError("which layer saw it can be told only for PaDiM without position tolerance")
    return detector


def kept_layers(model: Padim, state: ScoringState | None = None) -> tuple[tuple[Layer, ...], Indices]:
    """The layers in use, from shallow to deep, and which of them each kept channel comes from.

    Args:
        model: a fitted one.
        judge: the state that is asked about; None is the current one.

    Returns:
        L layers, and int64 ``(d,)`` of 0 to L - 1.

    Raises:
        PadimError: more than 10 layers, or distances that layers have no shares in.
    """
    own_gaussians(model.state if state is None else state)
    everything = model.network.extractor.layers
    of_channel = np.repeat(np.arange(len(everything)), [layer.channels for layer in everything])
    kept = of_channel[(model.state if state is None else state).channels]
    active, kept_channels = set(model.config.active_layers), set(kept.tolist())
    # The settings may be of a later state by now: none that this one hears may be missing.
    used = [i for i, layer in enumerate(everything) if layer.name in active or i in kept_channels]
    if len(used) > MOST_LAYERS:
        raise PadimError(
            f"at most {MOST_LAYERS} layers can be told apart, and the model uses {len(used)}; turn some off"
        )
    return tuple(everything[i] for i in used), np.searchsorted(used, kept).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each layer has to do with the distances at some places.

    Attributes:
        layers: L names, from shallow to deep.
        positions: int64 ``(k,)``, places on the grid, in reading order.
        squared: float64 ``(k, L)``, each layer's part of the squared distance at each place.
    """

    layers: tuple[str, ...]
    positions: Indices
    squared: Doubles

    @property
    def total(self) -> Doubles:
        """float64 ``(L,)``: the parts of the squared distance, summed over the places."""
        return self.squared.sum(axis=0)

    @property
    def shares(self) -> Doubles:
        """float64 ``(L,)``: the same as shares of one; all 0 where there is no distance at all."""
        return in_shares(self.total)

    def maps(self, grid: int) -> Doubles:
        """float64 ``(L, grid, grid)``: each layer's part of the squared distance, 0 elsewhere."""
        result = np.zeros((len(self.layers), grid * grid))
        result[:, self.positions] = self.squared.T
        return result.reshape(-1, grid, grid)


def in_shares(total: Doubles) -> Doubles:
    """Amounts as shares of their sum; all 0 where that is 0."""
    whole = float(total.sum())
    return total / whole if whole > 0 else np.zeros_like(total)


def places_of(region: Mask, grid: int) -> Indices:
    """Grid positions that a region of the map touches.

    Args:
        region: bool ``(S, S)``, in map pixels, S a multiple of ``grid``.
        grid: positions per row.

    Returns:
        int64 ``(k,)``, ascending.

    Raises:
        ValueError: another shape or type.
    """
    size = len(region)
    if region.dtype != np.bool_ or region.shape != (size, size) or size % grid:
        raise ValueError(
            f"region must be bool (S, S), S a multiple of {grid}, got {region.dtype} {region.shape}"
        )
    side = size // grid
    return np.flatnonzero(region.reshape(grid, side, grid, side).any(axis=(1, 3)))


def region_masks(q: npt.NDArray[np.uint16], threshold: int, min_area: int) -> list[Mask]:
    """The regions of a judged map, each as a mask of its own, strongest first as in ``maps.decide``.

    Args:
        q: uint16 ``(S, S)``.
        threshold: a level.
        min_area: in map pixels.

    Returns:
        bool ``(S, S)`` each; none where nothing is rejected.
    """
    regions = decide(q, threshold, min_area).regions
    if not regions:
        return []
    _, labels = cv2.connectedComponents(map_mask(q, threshold, min_area).view(np.uint8), connectivity=8)
    return [labels == labels[region.peak_y, region.peak_x] for region in regions]


def strongest_place(q: npt.NDArray[np.uint16], min_area: int) -> Mask:
    """Where an image gets its score: what reaches that level in regions of at least ``min_area`` pixels.

    Returns:
        bool ``(S, S)``; all of the map where the score is 0.
    """
    score = region_score(q, min_area)
    return map_mask(q, score - 1, min_area) if score else np.ones(q.shape, bool)


# --- a test image -------------------------------------------------------------------------------------


def embed(model: Padim, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """An image's features as the model compares them; runs the network once.

    Args:
        model: a fitted one.
        rgb: uint8 ``(S, S, 3)``, at input size.

    Returns:
        float32 ``(p, d)``.
    """
    state = model.state
    features = model.network.extractor(rgb[None])[0]
    return np.ascontiguousarray(features.reshape(len(features), -1)[state.channels].T)


def explain(model: Padim, embedding: npt.NDArray[np.float32], region: Mask | None = None) -> Explanation:
    """Which layer saw it, in a region of a test image, on the grid before any smoothing.

    Args:
        model: a fitted one.
        embedding: float32 ``(p, d)`` from :func:`embed`.
        region: bool ``(S, S)`` in map pixels; None is the whole image.

    Raises:
        ValueError: arrays of another shape.
    """
    state = model.state
    layers, layer_of = kept_layers(model, state)
    gaussians, grid = own_gaussians(state), model.config.grid
    if embedding.shape != gaussians.shape:
        raise ValueError(f"embedding must be {gaussians.shape}, got {embedding.shape}")
    positions = np.arange(grid * grid) if region is None else places_of(region, grid)
    squared = np.zeros((len(positions), len(layers)))
    at_once = max(1, _BLOCK_BYTES // (8 * len(layer_of) ** 2))
    for start in range(0, len(positions), at_once):
        at = positions[start : start + at_once]
        delta = embedding[at].astype(np.float64) - gaussians.mean[at]
        squared[start : start + at_once] = layer_shares(
            gaussians.factor.covariance(at), delta, layer_of, len(layers)
        )
    return Explanation(tuple(layer.name for layer in layers), positions, squared)


# --- normals, each to the Gaussians of the others ---------------------------------------------------------


def explain_held_out(model: Padim, regions: Sequence[tuple[int, Mask]]) -> list[Explanation]:
    """Which layer finds a normal odd: its held-out distance, by a model without its part, in a region.

    The normals' features are read once for all that is asked, and only at the places asked for: a few at a
    time, so that memory does not grow with the regions.

    Args:
        model: a fitted one, with its working features.
        regions: of each normal asked for its index in ``normals_``, which must be in the fit, and
            bool ``(S, S)`` in map pixels.

    Raises:
        CalibrationError: too few parts for held-out distances.
        PadimError: the features were deleted.
    """
    state = model.state
    layers, layer_of = kept_layers(model, state)
    grid = model.config.grid
    asked = [(index, places_of(region, grid)) for index, region in regions]
    squared = [np.zeros((len(places), len(layers))) for _, places in asked]
    normals = _Normals(model, state)
    union = np.unique(np.concatenate([places for _, places in asked])) if asked else np.zeros(0, np.int64)
    at_once = max(1, _SCATTER_ROOM // (8 * len(layer_of) ** 2))
    for start in range(0, len(union), at_once):
        block = union[start : start + at_once]
        inside = [np.flatnonzero(np.isin(places, block)) for _, places in asked]
        here = [i for i, within in enumerate(inside) if len(within)]
        normals.look_at(block, [asked[i][0] for i in here])
        for i in here:
            index, places = asked[i]
            at = np.searchsorted(block, places[inside[i]])
            squared[i][inside[i]] = normals.shares([index], at, layer_of, len(layers))[0]
    names = tuple(layer.name for layer in layers)
    return [Explanation(names, places, own) for (_, places), own in zip(asked, squared, strict=True)]


def normals_layers(model: Padim) -> Explanation:
    """What each layer has to do with how far good parts lie from the model of the others, on average.

    All normals in the fit, at places spread evenly over the grid: enough of them for shares in percent.

    Returns:
        ``squared`` is the mean over the normals.

    Raises:
        CalibrationError: too few parts for held-out distances.
        PadimError: the features were deleted.
    """
    state = model.state
    layers, layer_of = kept_layers(model, state)
    grid = model.config.grid
    most = int(np.clip(_SCATTER_ROOM // (8 * len(layer_of) ** 2), 1, _MOST_PLACES))
    step = math.ceil(grid / math.isqrt(most))
    along = np.arange(step // 2, grid, step)
    places = (along[:, None] * grid + along).ravel()
    rows = [row for row, normal in enumerate(state.fitted.normals) if normal.status == "fit"]
    normals = _Normals(model, state)
    normals.look_at(places, rows)
    squared = normals.shares(rows, np.arange(len(places)), layer_of, len(layers)).mean(axis=0)
    return Explanation(tuple(layer.name for layer in layers), places, squared)


class _Normals:
    """The normals in the fit, at some places: their statistics, and the features of those asked for."""

    def __init__(self, model: Padim, state: ScoringState) -> None:
        """
        Args:
            model: has the features.
            judge: the state of it that is asked about.

        Raises:
            CalibrationError: too few parts for held-out distances.
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

    def look_at(self, places: Indices, wanted: Iterable[int]) -> None:
        """Read what :meth:`shares` needs, in place of what was read before.

        Args:
            places: int64 ``(k,)``, ascending; memory grows with them.
            wanted: rows of the normals asked for.
        """
        # Of each normal asked for all of its part: they are left out together.
        self._parts = {row: self._members[self._normals[row].group] for row in wanted}
        keep = set(itertools.chain.from_iterable(self._parts.values()))
        self._statistics = PatchStatistics(len(places), len(self._channels))
        self._features: dict[int, npt.NDArray[np.float32]] = {}
        for rows in windows(self._normals):
            features = self._read(rows, places)
            self._statistics.update(features)
            self._features.update((row, one) for row, one in zip(rows, features, strict=True) if row in keep)

    def _read(self, rows: Sequence[int], places: Indices) -> npt.NDArray[np.float32]:
        """Features at ascending places, ``(n, k, d)``: each run of neighbours is one piece of a record."""
        result = np.empty((len(rows), len(places), len(self._channels)), np.float32)
        starts = np.flatnonzero(np.diff(places, prepend=-2) > 1)
        for start, stop in itertools.pairwise([*starts.tolist(), len(places)]):
            run = slice(int(places[start]), int(places[stop - 1]) + 1)
            result[:, start:stop] = self._feature_store.read(rows, self._channels, run)
        return result

    def shares(self, rows: Sequence[int], at: Indices, layer_of: Indices, n_layers: int) -> Doubles:
        """Parts of the squared held-out distances of these normals, ``at`` counting among the places.

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
