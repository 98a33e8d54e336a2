"""The distance part of the scoring graph against the float64 formula, and the whole graph's promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from padim import Padim
from padim.config import PadimConfig
from padim.data.decode import decode
from padim.decision.anomaly_map import Quantizer, level_map, tail_inputs
from padim.methods.factor import Factor, LowRank, Triangular
from padim.methods.gaussian import Regularization, Span, squared_distances, whitening
from padim.methods.moments import PatchStatistics
from padim.methods.padim import PatchGaussians
from padim.network.detector import Detector
from padim.network.extractor import open_extractor
from padim.network.graph import FARTHEST, behind_embedding_graph
from padim.network.runtime import open_session
from tests.parts import defects, normals


def distances(
    embedding: npt.NDArray[np.float32],
    channels: npt.NDArray[np.int64],
    detector: Detector,
    *,
    guarded: bool = False,
) -> npt.NDArray[np.float32]:
    grid, size = (4, 4), (32, 32)
    graph = behind_embedding_graph(detector.piece(len(channels)), channels, size, guarded=guarded)
    feed = {
        "all_channels": embedding,
        **detector.inputs(),
        **tail_inputs(grid, size, 0.0, Quantizer(0.0, 1e-3)),
        "inside": np.ones((1, 1, 1), np.float32),
    }
    return np.asarray(open_session(graph).run(["distance"], feed)[0])


def example(n: int, d: int, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Normals ``(count, 16, d)`` and embeddings ``(n, d + 1, 4, 4)``, of which the last d are meant."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, 16, d)) * rng.uniform(0.1, 3, size=d) + 4
    return features, (rng.normal(size=(n, d + 1, 4, 4)) + 4).astype(np.float32)


@pytest.mark.parametrize("n", [1, 3, 16])
@pytest.mark.parametrize(
    ("d", "count"), [(1, 30), (2, 30), (5, 30), (40, 60), (100, 120), (40, 12), (100, 2)]
)
def test_distances_equal_the_float64_formula(n: int, d: int, count: int) -> None:
    features, embedding = example(n, d, count)
    channels = np.arange(1, d + 1)
    statistics = PatchStatistics(16, d).update(features)
    whitener = whitening(statistics, Regularization(), count - 1)
    if count > d:
        factor: Factor = Triangular.of(whitener)
    else:
        factor = LowRank.empty(16, d, count - 1, 0.01)
        factor.put(slice(None), *Span(features, Regularization()).basis())
    x = embedding.reshape(n, d + 1, 16)[:, channels].transpose(0, 2, 1)
    expected = np.sqrt(squared_distances(x, statistics.mean, whitener))
    mean = statistics.mean.astype(np.float32)
    detector = PatchGaussians(mean, factor, 0.01, (4, 4))
    np.testing.assert_allclose(detector.distances(x), expected, rtol=1e-4, atol=1e-5)
    result = distances(embedding, channels, detector)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    # An image's map must not depend on the company it is scored in, not by a bit.
    for row in range(n):
        alone = distances(embedding[row : row + 1], channels, detector)
        assert np.array_equal(alone[0], result[row])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_what_is_no_number_counts_as_farthest(bad: float) -> None:
    embedding = np.ones((1, 2, 4, 4), np.float32)
    embedding[0, 1, 2, 3] = bad
    factor = Triangular.of(np.broadcast_to(np.eye(2), (16, 2, 2)))
    detector = PatchGaussians(np.zeros((16, 2), np.float32), factor, 0.01, (4, 4))
    result = distances(embedding, np.array([0, 1]), detector, guarded=True)
    assert result[0, 11] == np.float32(FARTHEST)
    assert (np.delete(result, 11) < 2).all()
    plain = distances(embedding, np.array([0, 1]), detector)
    assert not np.isfinite(plain[0, 11])


@pytest.mark.parametrize("count", [6, 40])
def test_the_whole_graph_is_its_parts(count: int) -> None:
    """Fit and score see the same embeddings, held-out and test images the same tail: to the bit."""
    config = PadimConfig(input_size=64, grid_stride=8, n_features=16, min_area=4, smoothing_sigma=2.0)
    model = Padim(config).fit(normals(count))
    assert model.state.gaussians.factor.kind == ("low_rank" if count == 6 else "triangular")
    rgb = np.stack([model.network.preprocess(decode(bytes(content), name)) for name, content in defects(5)])
    grids, maps = model.state.scorer(rgb)
    embedding = model.network.extractor(rgb)
    by_parts = distances(embedding, model.state.channels, model.state.fitted.detector)
    np.testing.assert_array_equal(grids.reshape(5, -1), by_parts)
    for grid, q in zip(grids, maps, strict=True):
        expected = level_map(grid, shape=(64, 64), sigma=2.0, quantizer=model.state.fitted.quantizer)
        np.testing.assert_array_equal(q, expected)
    for row in range(5):
        assert np.array_equal(model.state.scorer(rgb[row : row + 1])[1][0], maps[row])


def test_the_session_is_shared_by_models_of_one_config() -> None:
    config = PadimConfig(input_size=64, grid_stride=8, n_features=16)
    one, other = Padim(config).fit(normals(5)), Padim(config).fit(normals(8, first=50))
    assert one.network.extractor is other.network.extractor is open_extractor(config)
    session = one.network.extractor.scoring_session(one.state.fitted.detector, one.state.channels)
    assert (
        other.network.extractor.scoring_session(other.state.fitted.detector, other.state.channels) is session
    )
