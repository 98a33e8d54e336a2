"""Synthetic embeddings and images to fit methods on, without a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.decision.anomaly_map import Quantizer, tail_inputs
from padim.methods.base import Task
from padim.methods.ensemble import Ensemble
from padim.network.detector import Detector, EmbeddingDetector
from padim.network.graph import behind_embedding_graph
from padim.network.runtime import open_session
from padim.storage.feature_store import FeatureStore
from padim.storage.normals import Normal, Status

Singles = npt.NDArray[np.float32]


def embeddings(n: int, grid: int | tuple[int, int], d: int, seed: int = 0) -> Singles:
    """Return float32 ``(n, p, d)``: a pattern over the grid, with correlated channels and neighbors."""
    p = grid * grid if isinstance(grid, int) else math.prod(grid)
    rng = np.random.default_rng(seed)
    pattern = np.random.default_rng(99).normal(size=(p, d))
    mixing = np.random.default_rng(98).normal(size=(d, d)) / np.sqrt(d)
    own = rng.normal(size=(n, p, d)) @ mixing
    common = rng.normal(size=(n, 1, d))
    return (3 + pattern + own + 0.5 * common).astype(np.float32)


def task(
    folder: Path,
    x: Singles,
    parts: Sequence[str] | None = None,
    statuses: Mapping[int, Status] | None = None,
    grid: tuple[int, int] | None = None,
    **settings: Any,
) -> Task:
    """Return a fit task of embeddings ``(n, p, d)``; each image is a part unless ``parts`` is given.

    The grid is square unless one is given.
    """
    n, p, d = x.shape
    rows, columns = grid or _square(p)
    feature_store = FeatureStore(folder / "spool", "test", d, p).start()
    keys = [f"key{i}" for i in range(n)]
    if n:
        feature_store.append(np.ascontiguousarray(x.transpose(0, 2, 1)), keys)
    normals = tuple(
        Normal(
            f"{key}.png",
            key,
            parts[row] if parts else key,
            (statuses or {}).get(row, "fit"),
            (8 * rows, 8 * columns),
            (0, 0),
        )
        for row, key in enumerate(keys)
    )
    # Only the grid of the configuration must agree with the embeddings.
    config = PadimConfig.model_construct(
        **{**PadimConfig().model_dump(), "input_size": (8 * rows, 8 * columns), "grid_stride": 8, **settings}
    )
    return Task(feature_store, normals, np.arange(d), config)


def by_graph(detector: Detector, x: Singles, grid: tuple[int, int] | None = None) -> Singles:
    """Return distances ``(n, p)`` of embeddings ``(n, p, d)``, computed by ONNX Runtime."""
    n, p, d = x.shape
    grid = grid or _square(p)
    size = 8 * grid[0], 8 * grid[1]
    session = open_session(behind_embedding_graph(detector.piece(d), np.arange(d), size))
    feed = {
        "all_channels": np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(n, d, *grid),
        **detector.inputs(),
        **tail_inputs(grid, size, 0.0, Quantizer(0.0, 1e-3)),
        "inside": np.ones((1, 1, 1), np.float32),
    }
    return np.asarray(session.run(["distance"], feed)[0])


def _square(positions: int) -> tuple[int, int]:
    side = math.isqrt(positions)
    return side, side


def by_numpy(detector: Detector, x: Singles) -> npt.NDArray[np.floating]:
    """Return the same distances, computed without ONNX Runtime."""
    assert isinstance(detector, EmbeddingDetector | Ensemble)
    return detector.distances(x)
