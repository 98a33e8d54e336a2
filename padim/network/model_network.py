"""The network that computes a model's features: a network of the registry, or the model's own."""

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

# The name of "adapted_with" in models saved before version 0.2.
_ADAPTED_WITH_BEFORE = "learnt_from"


class ModelNetwork:
    """Network of a model with its origin; the session is opened at first use."""

    def __init__(
        self,
        config: PadimConfig,
        onnx: bytes | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the network of a model; nothing is opened yet.

        Args:
            config: gives the backbone, its weights and layers, and the input size.
            onnx: the network's content, as :func:`padim.network.backbone.onnx_bytes` returns it for this
                backbone and these layers; None for the registry's network.
            provenance: as :attr:`provenance`; ``adapted_with``, if present, lists the SHA-256 of images.
        """
        self._config = config
        self._onnx = onnx
        self._provenance = None if provenance is None else dict(provenance)
        self._extractor: FeatureExtractor | None = None

    @property
    def extractor(self) -> FeatureExtractor:
        """The shared feature extractor, which computes the embeddings.

        Raises:
            BackboneError: the backbone or a layer is unknown, or there are no weights.
            BundleError: the content given is not a usable network.
        """
        if self._extractor is None:
            self._extractor = open_extractor(self._config, self._onnx)
        return self._extractor

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing from a decoded image to the network's input."""
        return Preprocess.of(self._config)

    def resized(self, config: PadimConfig) -> ModelNetwork:
        """Return the same network for a configuration of another input size, or itself for this one."""
        if config.input_size == self._config.input_size:
            return self
        return ModelNetwork(config, self._onnx, self._provenance)

    def use_bit_depth(self, bit_depth: int | None) -> None:
        """Decode images deeper than 8 bits with this bit depth from now on; the extractor stays as it is."""
        self._config = self._config.model_copy(update={"bit_depth": bit_depth})

    def channels(self, config: PadimConfig) -> npt.NDArray[np.int64]:
        """Return the channels that a configuration uses: int64 ``(d,)``, indices into all layers' channels.

        The indices also count the channels of inactive layers.
        """
        layers = self.extractor.layers
        active = np.repeat([la.name in config.active_layers for la in layers], [la.channels for la in layers])
        candidates = np.flatnonzero(active)
        return candidates[draw_channels(len(candidates), config.n_features, config.seed)]

    def with_active_layers(
        self, config: PadimConfig, active: Sequence[str], n_features: int | None
    ) -> PadimConfig:
        """Return a configuration that uses some or all of the layers that the model was fitted on.

        Args:
            config: the present configuration.
            active: names of layers, from ``config.layers``.
            n_features: number of their channels to use; None for all.

        Raises:
            PadimError: no layer is given, one was not fitted on, or ``n_features`` < 1.
        """
        unknown = [name for name in active if name not in config.layers]
        if unknown or not active:
            raise PadimError(
                f"layers: {', '.join(unknown) or 'none'} given; choose of {', '.join(config.layers)}, "
                "which the model was fitted on"
            )
        if n_features is not None and n_features < 1:
            raise PadimError(f"n_features must be at least 1, got {n_features}")
        available = sum(layer.channels for layer in self.extractor.layers if layer.name in active)
        changes = {
            "inactive_layers": tuple(name for name in config.layers if name not in active),
            "n_features": None if n_features is None else min(n_features, available),
        }
        return PadimConfig.model_validate({**config.model_dump(), **changes})

    @property
    def random_weights(self) -> bool:
        """Whether the network has random weights, which serve for trials but not for inspecting parts."""
        return self._config.weights == "random"

    @property
    def provenance(self) -> dict[str, str]:
        """Origin of the network's weights: ``weights``, ``source`` and ``sha256``.

        Empty for a model saved before the origin was recorded.
        """
        if self._provenance is None:
            self._provenance = backbone.provenance(self._config.backbone, self._config.weights)
        return self._provenance

    @property
    def adapted_with(self) -> frozenset[str]:
        """SHA-256 of the images that the network itself was trained with, besides its published weights.

        They are not among the model's normals, but they are not new to the model either.
        """
        keys = self.provenance.get("adapted_with") or self.provenance.get(_ADAPTED_WITH_BEFORE, "")
        return frozenset(keys.split())
