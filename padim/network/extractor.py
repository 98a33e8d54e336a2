"""The feature extractor: the network of a configuration, as cached ONNX Runtime sessions.

One session computes the embeddings for fitting. The other, of the whole scoring graph, begins with the same
nodes and computes distances and level maps. The only data passed in per image are its uint8 pixels.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from padim import settings
from padim.config import PadimConfig
from padim.errors import BackboneError
from padim.input_size import as_text
from padim.network import backbone as backbones
from padim.network.check import check_network
from padim.network.detector import Detector
from padim.network.graph import embedding_graph, embedding_piece, scoring_graph
from padim.network.nodes import Piece
from padim.network.runtime import open_session, provider_in_use, run_session

# Number of extractors, and of scoring sessions per extractor, kept for later use. Each has the network's
# weights in memory; two scoring sessions allow switching back and forth between two sets of layers.
_MOST_OPEN = 6
_MOST_SCORING = 2
# Largest size of one run's embeddings: limits the memory of wide networks on fine grids.
MOST_EMBEDDED_BYTES = 32 * 2**20


class FeatureExtractor:
    """Sessions for one backbone, set of layers, input size, grid and feature normalization.

    Attributes:
        backbone_onnx: the network as stored in the bundle.
        backbone_sha256: hex SHA-256 of ``backbone_onnx``.
        identity: hex digest of everything that determines the embeddings.
        channels: c, number of channels of all layers together.
        positions: p, number of grid positions.
        grid_shape: rows and columns of the grid.
        input_shape: (h, w) of the input images in pixels.
        runs: number of runs of the network; tests use it to check that a change of threshold never runs it.
    """

    def __init__(self, backbone_onnx: bytes, config: PadimConfig) -> None:
        backbone = backbones.get(config.backbone)
        layers = backbone.select(config.layers)
        self.backbone_onnx = backbone_onnx
        self.layers = layers
        self.channels = sum(layer.channels for layer in layers)
        self.grid_shape = config.grid_shape
        self.positions = config.positions
        self.input_shape = config.input_shape
        network = hashlib.sha256(backbone_onnx)
        self.backbone_sha256 = network.hexdigest()
        # Empty without normalization, as before it was introduced: features stored then stay valid.
        normalized = "" if config.feature_norm == "none" else f"/{config.feature_norm}"
        self.identity = hashlib.sha256(
            network.digest() + f"{as_text(config.input_size)}/{config.grid_stride}{normalized}".encode()
        ).hexdigest()
        self._backbone, self._grid_stride = backbone, config.grid_stride
        self._feature_norm = config.feature_norm
        check_network(backbone_onnx, "backbone.onnx", layers, config.input_shape)
        self.session = open_session(embedding_graph(self._piece(None), self.channels, self.grid_shape))
        self.runs = 0
        self._count = threading.Lock()
        self._scoring: dict[tuple[str, bytes], ort.InferenceSession] = {}
        self._opening = threading.Lock()

    def _piece(self, kept: npt.NDArray[np.int64] | None) -> Piece:
        return embedding_piece(
            self.backbone_onnx,
            self._backbone,
            self.layers,
            self.input_shape,
            self._grid_stride,
            kept,
            self._feature_norm,
        )

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Compute the embeddings of images at input size; safe to call from several threads.

        Args:
            rgb: uint8 ``(n, *input_shape, 3)``.

        Returns:
            float32 ``(n, channels, *grid_shape)``.
        """
        feed = {"rgb": self.fed(rgb)}
        return np.asarray(run_session(self.session, ["embedding"], feed)[0])

    def score(
        self,
        rgb: npt.NDArray[np.uint8],
        detector: Detector,
        kept: npt.NDArray[np.int64],
        inputs: dict[str, ort.OrtValue],
        outputs: Sequence[str],
    ) -> list[npt.NDArray[Any]]:
        """Run the scoring graph (:func:`padim.network.graph.scoring_graph`).

        Args:
            rgb: uint8 ``(n, *input_shape, 3)``.
            detector: determines the graph's form; its values are among ``inputs``.
            kept: int64 ``(d,)``, the channels used.
            inputs: all inputs of the graph but ``rgb``, by name.
            outputs: names of the outputs to return, of ``distance``, ``map`` and ``score``.

        Returns:
            The outputs in that order; see :func:`padim.network.graph.scoring_graph` for shapes and dtypes.
        """
        session = self.scoring_session(detector, kept)
        feed = {"rgb": self.fed(rgb), **inputs}
        return run_session(session, outputs, feed)

    def scoring_session(self, detector: Detector, kept: npt.NDArray[np.int64]) -> ort.InferenceSession:
        """Return the session of the scoring graph for these channels, opened at the first request."""
        key = (detector.form, kept.tobytes())
        with self._opening:
            session = self._scoring.pop(key, None)
            if session is None:
                session = open_session(self.scoring_graph(detector, kept))
            self._scoring[key] = session  # the most recently used is last
            while len(self._scoring) > _MOST_SCORING:
                self._scoring.pop(next(iter(self._scoring)))
            return session

    def scoring_graph(
        self, detector: Detector, kept: npt.NDArray[np.int64], *, guarded: bool = False
    ) -> onnx.ModelProto:
        """Build the scoring graph of a detector; see :func:`padim.network.graph.scoring_graph`."""
        return scoring_graph(self._piece(kept), detector.piece(len(kept)), self.input_shape, guarded=guarded)

    def fed(self, rgb: npt.NDArray[np.uint8]) -> ort.OrtValue:
        """Check images and convert them for a session; counts the run, as every run's images pass here."""
        height, width = self.input_shape
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[1:] != (height, width, 3):
            raise ValueError(f"rgb must be uint8 (n, {height}, {width}, 3), got {rgb.dtype} {rgb.shape}")
        with self._count:
            self.runs += 1
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(rgb))

    @property
    def provider(self) -> str:
        """Short name of the execution provider that runs the network: ``cpu``, ``cuda``, ..."""
        return provider_in_use(self.session)

    def batch_size(self, beside: int = 0) -> int:
        """Return the number of images per run: 16 at 256 px, fewer for larger images and finer grids.

        This keeps the memory use about constant.

        Args:
            beside: bytes that each image takes besides its embedding.
        """
        embedding = 4 * self.channels * self.positions + beside
        largest = min(16 * 256**2 // math.prod(self.input_shape), MOST_EMBEDDED_BYTES // embedding)
        return int(np.clip(largest, 1, 16))


_opening = threading.Lock()
_opened: dict[tuple[object, ...], FeatureExtractor] = {}


def open_extractor(config: PadimConfig, backbone_onnx: bytes | None = None) -> FeatureExtractor:
    """Return the extractor for a configuration, opened once per process: sessions are costly to open.

    Args:
        config: its backbone, layers, input size, grid and feature normalization are used.
        backbone_onnx: the network of a bundle; None for the registry's network.

    Raises:
        BackboneError: the backbone or a layer is unknown, or there are no weights.
        BundleError: ``backbone_onnx`` is not a usable network.
    """
    backbone = backbones.get(config.backbone)
    layers = tuple(layer.name for layer in backbone.select(config.layers))
    coarsest = max(layer.stride for layer in backbone.select(config.layers))
    if any(side % coarsest for side in config.input_shape):
        raise BackboneError(
            f"input_size {as_text(config.input_size)} is not a multiple of the stride {coarsest}"
        )
    # Outside the lock, because the first call downloads weights and exports the network.
    content = backbone_onnx or backbones.onnx_bytes(config.backbone, layers, config.weights)
    with _opening:
        key = (
            hashlib.sha256(content).digest(),
            config.backbone,
            layers,
            config.input_size,
            config.grid_stride,
            config.feature_norm,
            settings.current().providers,
            settings.current().threads,
        )
        extractor = _opened.pop(key, None) or FeatureExtractor(content, config)
        _opened[key] = extractor  # the most recently used is last
        while len(_opened) > _MOST_OPEN:
            _opened.pop(next(iter(_opened)))
        return extractor


def forget_extractors() -> None:
    """Release the sessions kept by :func:`open_extractor`, with the memory reserved for their next run.

    Sessions in use stay open as long as they are used; a later request opens a new one.
    """
    with _opening:
        _opened.clear()


def draw_channels(total: int, n_features: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Draw the channels to use: seeded, without replacement, in ascending order (paper, section III-A).

    Returns:
        int64 ``(min(n_features, total),)``; all channels for ``None``.
    """
    if n_features is None or n_features >= total:
        return np.arange(total, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(total, n_features, replace=False)).astype(np.int64)
