"""Configurations from all combinations of methods, networks, layer choices and input sizes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from padim.input_size import InputSize, as_text
from padim.methods.catalogue import METHODS
from padim.methods.requirements import check_can_fit
from padim.network import backbone
from padim.study.features import shared_by
from padim.study.plan import StudyPlan, Variant

__all__ = ["LAYER_CHOICES", "Combinations", "LayerChoice", "layers_of", "network_passes", "that_train"]

LayerChoice = Literal["standard", "early", "late"]
LAYER_CHOICES: Mapping[LayerChoice, str] = {
    "standard": "Standard set",
    "early": "Without the deepest",
    "late": "Without the earliest",
}
"""The choices of a network's standard layers, with their names in the interface."""


@dataclass(frozen=True)
class Combinations:
    """Lists of choices, of which all combinations are compared.

    Attributes:
        methods, networks: the names of methods and networks.
        layers: choices of each network's standard layers.
        sizes: input sizes: sides of squares, or pairs of height and width.
        stride: pixels per grid position.
        bit_depth: the range of images deeper than 8 bits; None as the files declare.
    """

    methods: tuple[str, ...]
    networks: tuple[str, ...]
    layers: tuple[LayerChoice, ...]
    sizes: tuple[InputSize, ...]
    stride: int = 8
    bit_depth: int | None = None

    def variants(self) -> tuple[Variant, ...]:
        """Return all configurations, named after the choices in which they differ.

        Raises:
            PadimError: choices are incompatible; the message states which.
        """
        entries = []
        for method, network, layers, size in itertools.product(
            self.methods, self.networks, self.layers, self.sizes
        ):
            words = [
                (self.methods, METHODS[method].title),
                (self.networks, backbone.get(network).title),
                (self.layers, LAYER_CHOICES[layers].lower()),
                (self.sizes, f"{as_text(size)} px"),
            ]
            varied = [word for choices, word in words if len(choices) > 1]
            entries.append(
                {
                    "name": " · ".join(varied) or METHODS[method].title,
                    "method": method,
                    "backbone": network,
                    "layers": layers_of(network, layers),
                    "input_size": size,
                    "grid_stride": self.stride,
                    **({} if self.bit_depth is None else {"bit_depth": self.bit_depth}),
                }
            )
        variants = StudyPlan.of({"configurations": entries}).variants()
        for variant in variants:
            check_can_fit(variant.config)
        return variants


def layers_of(network: str, choice: LayerChoice) -> tuple[str, ...]:
    """Return the names of the layers that a choice selects from a network's standard layers."""
    standard = backbone.get(network).default_layers
    return {"standard": standard, "early": standard[:-1], "late": standard[1:]}[choice]


def network_passes(variants: Sequence[Variant]) -> int:
    """Return how often networks run over every image: once for configurations that share features."""
    own = [one.config for one in variants if not one.config.needs_images]
    return len({shared_by(config) for config in own}) + len(variants) - len(own)


def that_train(variants: Sequence[Variant]) -> int:
    """Return how many of the configurations train a network."""
    return sum(any(METHODS[name].trains for name in one.config.methods_used) for one in variants)
