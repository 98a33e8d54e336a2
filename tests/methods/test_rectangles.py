"""Every method on a rectangle: by brute force, turned, saved, exported, and held out like a refit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import Padim
from padim.methods import patchcore
from padim.methods.lookup import fitter
from padim.methods.neighborhood import neighbors, seen_from
from padim.methods.patchcore import pooled
from padim.network.runtime import session_options
from tests.methods.arrays import by_graph, by_numpy, embeddings, task
from tests.methods.cases import CASES, config
from tests.parts import RGB, part

Singles = npt.NDArray[np.float32]
GRIDS = st.tuples(st.integers(1, 7), st.integers(1, 7))
SIZE = (64, 96)
EXACT = ("padim", "tolerant", "shared", "local")
"""Cases whose held-out distances are those of a refit."""


def turned(x: Singles, grid: tuple[int, int]) -> Singles:
    """Embeddings ``(n, p, d)`` or distances ``(n, p)`` of the transposed grid."""
    rest = x.shape[2:]
    return np.ascontiguousarray(x.reshape(len(x), *grid, *rest).swapaxes(1, 2)).reshape(x.shape)


# --- the places around a place ---


@given(GRIDS, st.integers(1, 3))
def test_neighbors_are_the_places_within_reach(grid: tuple[int, int], reach: int) -> None:
    height, width = grid
    around, seen = neighbors(grid, reach), seen_from(grid, reach)
    assert around.shape == (height * width, (2 * reach + 1) ** 2)
    for position in range(height * width):
        row, column = divmod(position, width)
        expected = {
            r * width + c
            for r in range(max(row - reach, 0), min(row + reach + 1, height))
            for c in range(max(column - reach, 0), min(column + reach + 1, width))
        }
        assert set(around[position]) == expected
        assert set(seen[position] // around.shape[1]) == expected
        assert (around.ravel()[seen[position]] == position).all()


@settings(deadline=None)
@given(GRIDS)
def test_pooling_is_the_mean_of_the_places_around(grid: tuple[int, int]) -> None:
    height, width = grid
    x = embeddings(2, grid, 3)
    found = pooled(x, grid).reshape(2, height, width, 3)
    cells = x.reshape(2, height, width, 3).astype(float)
    for row in range(height):
        for column in range(width):
            rows = slice(max(row - 1, 0), row + 2)
            columns = slice(max(column - 1, 0), column + 2)
            expected = cells[:, rows, columns].mean(axis=(1, 2))
            np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-5, atol=1e-5)


# --- the methods on embeddings ---

CHEAP: dict[str, dict[str, Any]] = {
    "padim": {"method": "padim"},
    "tolerant": {"method": "padim", "position_tolerance": 1},
    "shared": {"method": "shared"},
    "patchcore": {"method": "patchcore"},
    "local": {"method": "patchcore", "neighborhood": 1},
    "far": {"method": "patchcore", "neighborhood": 2},
}


@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("grid", [(3, 7), (7, 3), (1, 6)])
def test_the_graph_and_numpy_agree(name: str, grid: tuple[int, int], tmp_path: Path) -> None:
    x, new = embeddings(9, grid, 4), embeddings(3, grid, 4, seed=5)
    one = task(tmp_path, x, grid=grid, **CHEAP[name])
    detector = fitter(one.config.method)(one).detector
    np.testing.assert_allclose(by_graph(detector, new, grid), by_numpy(detector, new), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", CHEAP)
def test_turning_the_images_turns_the_distances(name: str, tmp_path: Path) -> None:
    """On a square grid a mix-up of rows and columns would go unseen; on a turned rectangle it cannot."""
    grid = (3, 6)
    x, new = embeddings(9, grid, 4), embeddings(3, grid, 4, seed=5)
    chosen = {**CHEAP[name], **({"coreset_percent": 100.0} if name == "patchcore" else {})}
    one = task(tmp_path / "one", x, grid=grid, **chosen)
    other = task(tmp_path / "other", turned(x, grid), grid=grid[::-1], **chosen)
    fit = fitter(one.config.method)
    first, second = fit(one), fit(other)
    for a, b in (
        (first.held_out, second.held_out),
        (by_graph(first.detector, new, grid), by_graph(second.detector, turned(new, grid), grid[::-1])),
    ):
        np.testing.assert_allclose(turned(np.asarray(a), grid), b, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", [name for name in CHEAP if name != "patchcore"])
def test_held_out_is_a_refit_without_the_part(name: str, tmp_path: Path) -> None:
    grid = (3, 6)
    x = embeddings(9, grid, 4)
    whole = task(tmp_path / "whole", x, grid=grid, **CHEAP[name])
    fit = fitter(whole.config.method)
    held_out = fit(whole).held_out
    for row in (0, 5):
        rest = task(tmp_path / f"{row}", np.delete(x, row, axis=0), grid=grid, **CHEAP[name])
        expected = by_numpy(fit(rest).detector, x[row : row + 1])[0]
        np.testing.assert_allclose(held_out[row], expected, rtol=2e-3, atol=2e-3)


def test_a_tolerant_fit_in_blocks_is_one_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of positions read the rows of the grid above and below, as long as the grid is wide."""
    from padim.methods import padim

    grid = (3, 7)
    x = embeddings(9, grid, 4)
    held_out = []
    for at, room in enumerate((padim.BLOCK_BYTES, 1)):
        monkeypatch.setattr(padim, "BLOCK_BYTES", room)
        one = task(tmp_path / str(at), x, grid=grid, method="padim", position_tolerance=1)
        held_out.append(padim.fit_detector(one).held_out)
    np.testing.assert_array_equal(held_out[0], held_out[1])


def test_the_memory_of_a_row_is_that_of_the_grids_width(tmp_path: Path) -> None:
    detector = patchcore.fit_detector(task(tmp_path, embeddings(4, (2, 6), 3), grid=(2, 6), neighborhood=1))
    banks = [value for value in detector.detector.piece(3).inputs if value.name.startswith("bank_")]
    assert [value.type.tensor_type.shape.dim[0].dim_value for value in banks] == [6, 6]


# --- whole models ---


def photographs(count: int, first: int = 0, *, defect: bool = False) -> list[tuple[str, RGB]]:
    return [(f"{i}.png", part(i, size=(80, 120), defect=defect)) for i in range(first, first + count)]


@pytest.mark.parametrize("case", CASES)
def test_every_method_fits_saves_and_exports_a_rectangle(case: str, tmp_path: Path) -> None:
    model = Padim(config(case, input_size=SIZE), work_dir=tmp_path / "work").fit(photographs(8))
    assert model.state.fitted.held_out.shape == (8, 8, 12)
    images = [*photographs(1, 50), *photographs(2, 60, defect=True)]
    scored = list(model.predict(images))
    for one in scored:
        assert one.levels.shape == SIZE
        assert one.grid.shape == (8, 12)
        assert one.mask.shape == (80, 120)
        assert one.rejected == bool(one.mask.any())
    again = Padim.load(model.save(tmp_path / "model"))
    assert again.config == model.config
    for one, other in zip(scored, again.predict(images), strict=True):
        np.testing.assert_array_equal(one.levels, other.levels)
    path = model.export(tmp_path / "scorer.onnx")
    session = ort.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    assert (meta["input_size"], meta["map_size"], meta["grid"]) == ("64x96", "64x96", "8x12")
    assert (meta["input_height"], meta["input_width"]) == ("64", "96")
    for one, (_, rgb) in zip(scored, images, strict=True):
        (levels,) = session.run(["map"], {"rgb": model.network.preprocess(rgb)[None]})
        assert np.abs(levels[0].astype(int) - one.levels.astype(int)).max() <= 1
    more = model.partial_fit(photographs(2, 8))
    assert more.state.fitted.held_out.shape == (10, 8, 12)
