"""Level maps computed from embeddings on disk: scoring without running the network.

The part of the graph after the embedding is that of ordinary scoring, so the maps are identical, provided
that the embeddings were computed by a network that ends at the same layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from padim.decision.anomaly_map import both, inside
from padim.decision.scorer import NO_NUMBERS
from padim.errors import PadimError
from padim.locating.placement import Placement
from padim.network.graph import behind_embedding_graph
from padim.network.runtime import device_of, open_session, run_session

if TYPE_CHECKING:
    from padim.data.loading import Watch
    from padim.scoring import ScoringState
    from padim.storage.feature_store import FeatureStore

__all__ = ["level_maps"]


def level_maps(
    state: ScoringState,
    feature_store: FeatureStore,
    channels: npt.NDArray[np.int64],
    original_sizes: Sequence[tuple[int, int]],
    shape: tuple[int, int],
    batch_size: int,
    watch: Watch,
    stage: str,
    placements: Sequence[Placement | None] | None = None,
) -> Iterator[npt.NDArray[np.uint16]]:
    """Score the records of a feature store, in their order.

    Args:
        state: the scoring state.
        feature_store: the embeddings, one record for each image.
        channels: int64 ``(d,)``, the channels of the feature store that the state uses.
        original_sizes: (height, width) of each image in pixels.
        shape: (h, w) of the map in pixels.
        batch_size: the number of images at a time.
        watch: reports the number of images scored, and asks whether to cancel.
        stage: the name of the stage in progress reports.
        placements: the place of the map on each image, if parts were located; None: they were not.

    Yields:
        uint16 ``(h, w)`` for every image.

    Raises:
        Cancelled: ``watch`` asked to cancel.
        DamagedError: a record does not match its checksum.
        PadimError: distances are not finite.
    """
    detector, d, n = state.fitted.detector, len(channels), len(original_sizes)
    grid = state.grid_shape
    session = open_session(behind_embedding_graph(detector.piece(d), np.arange(d), shape))
    # The OrtValues share the memory of the scorer's arrays, which live as long as the scoring state.
    inputs = {
        name: ort.OrtValue.ortvalue_from_numpy(array, device_of(session), 0)
        for name, array in state.scorer.arrays.items()
    }
    for start in range(0, n, batch_size):
        rows = range(start, min(start + batch_size, n))
        watch.step(start, n, stage)
        records = feature_store.read(rows, channels).transpose(0, 2, 1)
        embedding = np.ascontiguousarray(records).reshape(len(rows), d, *grid)
        feed = {**inputs, "all_channels": ort.OrtValue.ortvalue_from_numpy(embedding)}
        boxes = [state.content_box(original_sizes[row]) for row in rows]
        shown = [
            None if placements is None else state.shown(placements[row], original_sizes[row]) for row in rows
        ]
        if any(one is not None for one in (*boxes, *shown)):
            own = np.stack(
                [
                    np.broadcast_to(inside(shape, both(state.scored, place), box), shape)
                    for box, place in zip(boxes, shown, strict=True)
                ]
            )
            feed["inside"] = ort.OrtValue.ortvalue_from_numpy(own)
        distance, maps = run_session(session, ["distance", "map"], feed)
        if not np.isfinite(distance).all():
            raise PadimError(f"an image: {NO_NUMBERS}")
        yield from maps
    watch.step(n, n, stage)
