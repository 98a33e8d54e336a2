"""Estimates of memory and disk space for a configuration, before a model is fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from padim.config import PadimConfig
from padim.methods import flow, local_nearest, student, svdd
from padim.methods.coreset import PRODUCT, PROJECTED
from padim.methods.factor import NARROW_ABOVE_BYTES, is_low_rank, split
from padim.methods.padim import BLOCK_BYTES, matrix_bytes
from padim.methods.patchcore import memory_size
from padim.methods.patches import MOST_BYTES
from padim.methods.shared import WINDOW
from padim.methods.stfpm import BATCH
from padim.network import backbone
from padim.network.threads import workers
from padim.storage.feature_store import bytes_per_image

# The number of images assumed where it is not known.
MANY = 200


@dataclass(frozen=True)
class Cost:
    """The estimated sizes in bytes, without the network itself.

    Attributes:
        positions: p, the number of grid positions.
        channels: the number of channels of all chosen layers together.
        features: d, the number of channels in use.
        rank: the rank of the stored covariances, if there are too few normal images to span d
            dimensions; else None.
        patches: the number of patches in a memory bank; None for methods without one.
        kept_per_image: bytes that every normal image adds to a memory bank of all patches, in RAM and in the
            saved model; 0 for other methods.
        fit_memory: RAM for fitting; with PaDiM it grows with the number of images only while they are fewer
            than d / 2.
        score_memory: RAM for scoring.
        bundle: the size of the saved model, without its self-test and the normals' thumbnails and maps.
        features_per_image: disk space of a normal image in the working files of the model.
        checkpoint: disk space of the state that allows a fit to continue after the features of the normal
            images are deleted; it is optional, and 0 for methods without such a state.
    """

    positions: int
    channels: int
    features: int
    rank: int | None
    patches: int | None
    kept_per_image: int
    fit_memory: int
    score_memory: int
    bundle: int
    features_per_image: int
    checkpoint: int


@dataclass(frozen=True)
class _Share:
    """The sizes of one method, in bytes."""

    fit: int
    score: int
    stored: int
    rank: int | None = None
    patches: int | None = None
    per_image: int = 0


def estimate(config: PadimConfig, normals: int | None = None) -> Cost:
    """Estimate the cost of a configuration.

    Args:
        config: validated settings.
        normals: the number of images to fit on; None assumes many.

    Raises:
        BackboneError: the backbone or a layer is unknown.
    """
    layers = backbone.get(config.backbone).select(config.layers)
    channels = sum(layer.channels for layer in layers)
    d = config.channels if config.n_features is None else min(config.n_features, config.channels)
    p = config.positions
    shares = {name: _SHARES[name](config, p, d, normals) for name in config.methods_used}
    images = 3 * math.prod(config.input_shape) if config.needs_images else 0
    features = bytes_per_image(d, p) * (MANY if normals is None else normals)
    by_statistics = config.method == "padim" and (normals is None or normals > d)
    return Cost(
        positions=p,
        channels=channels,
        features=d,
        rank=next((share.rank for share in shares.values() if share.rank is not None), None),
        patches=next((share.patches for share in shares.values() if share.patches is not None), None),
        kept_per_image=sum(share.per_image for share in shares.values()),
        fit_memory=sum(share.fit for share in shares.values()),
        score_memory=sum(share.score for share in shares.values()),
        bundle=sum(share.stored for share in shares.values()),
        features_per_image=bytes_per_image(channels, p) + images,
        checkpoint=0 if config.needs_images else 8 * p * d * (d + 1) if by_statistics else features,
    )


def _patch_gaussians(config: PadimConfig, p: int, d: int, normals: int | None) -> _Share:
    rank = normals - 1 if normals is not None and is_low_rank(normals, d) else None
    if rank is None:
        k = split(d)
        factor = stored = 4 * p * (k * k + d * (d - k))
    else:
        basis = 4 * p * d * rank
        factor = basis + 4 * p * rank
        stored = factor - (basis // 2 - 4 * p * rank if basis > NARROW_ABOVE_BYTES else 0)
    mean = 4 * p * d
    # Every thread processes at least one position at a time.
    blocks = min(max(BLOCK_BYTES, workers() * matrix_bytes(d, rank)), p * matrix_bytes(d, rank))
    # Twice the factor, because the previous model stays in use until the new one is complete.
    return _Share(2 * (factor + mean) + 2 * blocks, factor + mean, stored + mean, rank=rank)


def _shared(config: PadimConfig, p: int, d: int, normals: int | None) -> _Share:
    own = 4 * d * (d + 1)
    # Each thread holds the features of some images twice, once in float64.
    return _Share(workers() * _shared_window(p, d) + 2 * own, own, own)


def _shared_window(p: int, d: int) -> int:
    return WINDOW * p * d * (4 + 8)


def _patchcore(config: PadimConfig, p: int, d: int, normals: int | None) -> _Share:
    if config.neighborhood:
        return _local_nearest(config, p, d, MANY if normals is None else normals)
    everything = p * (MANY if normals is None else normals)
    patches = memory_size(everything, config.coreset_percent)
    bank, half_squares = 4 * patches * d, 4 * patches
    score = bank + half_squares + 2 * 4 * patches * p
    points = everything * 4 * min(d, PROJECTED)
    distances = min(4 * everything * patches, workers() * 4 * PRODUCT)
    return _Share(points + distances + score, score, bank, patches=patches)


def _local_nearest(config: PadimConfig, p: int, d: int, normals: int) -> _Share:
    each = 4 * p * d
    bank, half_squares = each * normals, 4 * p * normals
    own = bank + half_squares + 4 * d
    score = own + local_nearest.scoring_bytes(config.grid_shape, d, normals, config.neighborhood)
    # As with the Gaussians, the previous model stays in use until the new one is complete.
    return _Share(2 * own, score, bank, patches=p * normals, per_image=each)


def _svdd(config: PadimConfig, p: int, d: int, normals: int | None) -> _Share:
    own = 4 * (2 * p * d + d * svdd.HIDDEN + svdd.HIDDEN * svdd.CODE + svdd.CODE)
    return _fitted_on_patches(own, p, d, normals)


def _flow(config: PadimConfig, p: int, d: int, normals: int | None) -> _Share:
    couplings = sum(flow.numbers(d, number) for number in range(config.flow_couplings))
    return _fitted_on_patches(4 * (2 * p * d + d * d + couplings), p, d, normals)


def _fitted_on_patches(own: int, p: int, d: int, normals: int | None) -> _Share:
    """Return the sizes of a method that holds its training patches and as many stopping patches in memory."""
    patches = min(MOST_BYTES, 4 * d * p * (MANY if normals is None else normals))
    return _Share(2 * patches + 4 * own, own, own)


def _stfpm(config: PadimConfig, p: int, d: int, normals: int | None) -> _Share:
    layers = backbone.get(config.backbone).select(config.active_layers)
    own = 4 * student.weights(layers)
    # The activations of the student for one batch, and its gradients and moments.
    pixels = math.prod(config.input_shape)
    held = 4 * BATCH * sum(8 * layer.channels * (pixels // layer.stride**2) for layer in layers)
    return _Share(held + 4 * own, own, own)


_SHARES: dict[str, Callable[[PadimConfig, int, int, int | None], _Share]] = {
    "padim": _patch_gaussians,
    "shared": _shared,
    "patchcore": _patchcore,
    "svdd": _svdd,
    "flow": _flow,
    "stfpm": _stfpm,
}


def images_for_full_size(features: int) -> int:
    """Return the number of images from which on the size of a Gaussian model no longer grows.

    Args:
        features: d, the number of channels in use.
    """
    # By the rule of the fit, which switches near half the number of features. A single image spans nothing,
    # so the search begins at two.
    return next(n for n in range(max(2, features // 2), features + 3) if not is_low_rank(n, features))
