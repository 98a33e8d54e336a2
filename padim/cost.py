"""What a choice of settings will cost, before it is made."""

from __future__ import annotations

from dataclasses import dataclass

from padim import backbones
from padim.config import PadimConfig


@dataclass(frozen=True)
class Cost:
    """Sizes in bytes.

    Attributes:
        positions: p, grid positions.
        channels: channels of the chosen layers together.
        features: d, channels kept.
        fit_memory: RAM for fitting (statistics and factors; independent of the number of pictures).
        score_memory: RAM for scoring.
        bundle: size of the saved model, without the normals' thumbnails.
        spool_per_image: disk a normal takes while the model is worked on.
    """

    positions: int
    channels: int
    features: int
    fit_memory: int
    score_memory: int
    bundle: int
    spool_per_image: int


def estimate(config: PadimConfig) -> Cost:
    """The cost of a config.

    Raises:
        BackboneError: unknown backbone or layer.
    """
    channels = sum(layer.channels for layer in backbones.get(config.backbone).select(config.layers))
    d = channels if config.n_features is None else min(config.n_features, channels)
    p = config.grid**2
    factor = 4 * p * d * d
    # Scatter and two factors (scoring, held-out) in float64, and the former model's in float32.
    # Scoring holds the factor and, laid out for speed, its three non-zero quarters.
    return Cost(p, channels, d, 7 * factor, 7 * factor // 4, factor + 4 * p * d, 4 * p * channels)
