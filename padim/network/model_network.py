"""The network that a model takes its features from: one of the registry's, or one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.data.preprocess import Preprocess
from padim.errors import PadimError
from padim.network import backbone
from padim.network.extractor import FeatureExtractor, draw_channels, open_extractor

__all__ = ["ModelNetwork"]

# What "adapted_with" was called in models saved before version 0.2.
_ADAPTED_WITH_BEFORE = "learnt_from"


class ModelNetwork:
    """The network of a model with its origin; opened when it is first needed."""

    def __init__(
        self,
        config: PadimConfig,
        onnx: bytes | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            config: names the backbone, its weights and layers; nothing else of it is kept through changes.
            onnx: the network's content, as :func:`padim.network.backbone.onnx_bytes` gives it for this
                backbone and these layers; None is the registry's.
            provenance: as :attr:`provenance`; ``adapted_with``, if it is there, names the SHA-256 of images.
        """
        self._config = config
        self._onnx = onnx
        self._provenance = None if provenance is None else dict(provenance)
        self._extractor: FeatureExtractor | None = None

    @property
    def extractor(self) -> FeatureExtractor:
        """The shared session that gives the embeddings.

        Raises:
            BackboneError: unknown backbone or layer, or no weights.
            BundleError: the content given is no usable network.
        """
        if self._extractor is None:
            self._extractor = open_extractor(self._config, self._onnx)
        return self._extractor

    @property
    def preprocess(self) -> Preprocess:
        """From a decoded image to the network's input."""
        return Preprocess(size=self._config.input_size, fit=self._config.fit)

    def channels(self, config: PadimConfig) -> npt.NDArray[np.int64]:
        """int64 ``(d,)``: the channels that a config keeps, counted among those of all layers, also those
        that are switched off."""
        layers = self.extractor.layers
        active = np.repeat([la.name in config.active_layers for la in layers], [la.channels for la in layers])
        there = np.flatnonzero(active)
        return there[draw_channels(len(there), config.n_features, config.seed)]

    def with_active_layers(
        self, config: PadimConfig, active: Sequence[str], n_features: int | None
    ) -> PadimConfig:
        """A config that reads some of the layers that were fitted on, or all.

        Args:
            config: the former one.
            active: names of layers, of those in ``config.layers``.
            n_features: channels wanted of theirs; None is all there are.

        Raises:
            PadimError: no layer, one that was not fitted on, or fewer than one channel.
        """
        strange = [name for name in active if name not in config.layers]
        if strange or not active:
            raise PadimError(
                f"layers: {', '.join(strange) or 'none'} given; choose of {', '.join(config.layers)}, "
                "which the model was fitted on"
            )
        if n_features is not None and n_features < 1:
            raise PadimError(f"n_features must be at least 1, got {n_features}")
        there = sum(layer.channels for layer in self.extractor.layers if layer.name in active)
        changes = {
            "inactive_layers": tuple(name for name in config.layers if name not in active),
            "n_features": None if n_features is None else min(n_features, there),
        }
        return PadimConfig.model_validate({**config.model_dump(), **changes})

    @property
    def random_weights(self) -> bool:
        """Whether the network has random weights: good for trials, not for inspecting parts."""
        return self._config.weights == "random"

    @property
    def provenance(self) -> dict[str, str]:
        """Where the network's weights are from: ``weights``, ``source`` and ``sha256``.

        Empty for a model saved before that was recorded.
        """
        if self._provenance is None:
            self._provenance = backbone.provenance(self._config.backbone, self._config.weights)
        return self._provenance

    @property
    def adapted_with(self) -> frozenset[str]:
        """SHA-256 of the images that the network itself was trained with, beside its published weights: to
        the model they are not new, though none of its normals."""
        keys = self.provenance.get("adapted_with") or self.provenance.get(_ADAPTED_WITH_BEFORE, "")
        return frozenset(keys.split())
