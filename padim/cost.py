"""What a choice of settings will cost, before it is made."""

from __future__ import annotations

from dataclasses import dataclass

from padim import backbones
from padim.blocks import workers
from padim.config import PadimConfig
from padim.factor import NARROW_ABOVE_BYTES, is_low_rank, split
from padim.methods.patch_gaussians import BLOCK_BYTES, matrix_bytes


@dataclass(frozen=True)
class Cost:
    """Sizes in bytes, the network's own aside.

    Attributes:
        positions: p, grid positions.
        channels: channels of the chosen layers together.
        features: d, channels kept.
        rank: of the covariances kept, where the normals are too few to fill d dimensions; else None.
        fit_memory: RAM for fitting; grows with the number of pictures only while they are fewer than d / 2.
        score_memory: RAM for scoring.
        bundle: size of the saved model, without the normals' thumbnails and held-out maps.
        spool_per_image: disk a normal takes while the model is worked on.
        checkpoint: disk of what lets a fit go on once the normals' features are deleted; optional.
    """

    positions: int
    channels: int
    features: int
    rank: int | None
    fit_memory: int
    score_memory: int
    bundle: int
    spool_per_image: int
    checkpoint: int


def estimate(config: PadimConfig, normals: int | None = None) -> Cost:
    """The cost of a config.

    Args:
        config: validated settings.
        normals: pictures it will be fitted on; None is many.

    Raises:
        BackboneError: unknown backbone or layer.
    """
    layers = backbones.get(config.backbone).select(config.layers)
    channels = sum(layer.channels for layer in layers)
    d = config.channels if config.n_features is None else min(config.n_features, config.channels)
    p = config.grid**2
    rank = normals - 1 if normals is not None and is_low_rank(normals, d) else None
    if rank is None:
        k = split(d)
        factor = stored = 4 * p * (k * k + d * (d - k))
    else:
        basis = 4 * p * d * rank
        factor = basis + 4 * p * rank
        stored = factor - (basis // 2 - 4 * p * rank if basis > NARROW_ABOVE_BYTES else 0)
    mean = 4 * p * d
    # Every thread learns at least one position at a time.
    blocks = min(max(BLOCK_BYTES, workers() * matrix_bytes(d, rank)), p * matrix_bytes(d, rank))
    few = normals is not None and normals <= d
    return Cost(
        positions=p,
        channels=channels,
        features=d,
        rank=rank,
        # Twice the factor: the former model stays in use until the new one is complete.
        fit_memory=2 * (factor + mean) + 2 * blocks,
        score_memory=factor + mean,
        bundle=stored + mean,
        spool_per_image=4 * p * channels,
        checkpoint=4 * p * d * normals if few and normals is not None else 8 * p * d * (d + 1),
    )
