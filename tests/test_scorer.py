"""The ONNX distance session against the float64 formula."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from padim.gaussian import Regularization, squared_distances, whitening
from padim.scorer import Scorer
from padim.statistics import PatchStatistics


class Grid:
    """Stands in for the extractor where embeddings are given."""

    grid = 4


@pytest.mark.parametrize("n", [1, 3, 16])
@pytest.mark.parametrize("d", [1, 2, 5, 8])
def test_distances_equal_the_float64_formula(n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    channels = np.array([0, 1, 2, 3, 5, 6, 7, 8], np.int64)[-d:]
    normals = rng.normal(size=(30, 16, d)) * rng.uniform(0.1, 3, size=d) + 4
    statistics = PatchStatistics(16, d).update(normals)
    whitener = whitening(statistics, Regularization(), 29)
    scorer = Scorer(
        Grid(),  # type: ignore[arg-type]
        statistics.mean.astype(np.float32),
        whitener.astype(np.float32),
        channels,
    )
    embedding = (rng.normal(size=(n, 9, 4, 4)) + 4).astype(np.float32)
    x = embedding.reshape(n, 9, 16)[:, channels].transpose(0, 2, 1)
    expected = np.sqrt(squared_distances(x, statistics.mean, whitener)).reshape(n, 4, 4)
    result = scorer.grids_of(ort.OrtValue.ortvalue_from_numpy(embedding))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-4)
    # A picture's map must not depend on the company it is scored in, not by a bit.
    for row in range(n):
        alone = scorer.grids_of(ort.OrtValue.ortvalue_from_numpy(embedding[row : row + 1]))
        assert np.array_equal(alone[0], result[row])
