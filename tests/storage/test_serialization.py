"""A model's plain data through its bundle, without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim.config import PadimConfig
from padim.errors import BundleError
from padim.storage import bundle, serialization
from padim.storage.normals import Normal
from padim.storage.serialization import SavedModel

CONFIG = PadimConfig(input_size=64)


def saved(**changes: Any) -> SavedModel:
    grid, _ = CONFIG.grid_shape
    normals = tuple(
        Normal(f"good {n}.png", f"{n}" * 64, f"#{n}", "fit" if n else "kept_out", (48, 64), (10 * n, 10))
        for n in range(3)
    )
    model = SavedModel(
        config=CONFIG,
        features_asked=None,
        form="full",
        provenance={"weights": "pretrained"},
        choice={"basis": "image", "permille": 950, "value": None},
        guard={"half_width": 0.25},
        threshold=None,
        calibration="exact",
        quantizer={"offset": 0.0, "step": 0.01},
        losses=[],
        normals=normals,
        network=b"a network",
        channels=np.arange(7),
        held_out=np.random.default_rng(0).random((3, grid, grid), np.float32),
        roi=np.eye(64, dtype=bool),
        roi_shapes=[{"kind": "polygon"}],
    )
    return replace(model, **changes)


def through(model: SavedModel, path: Path) -> SavedModel:
    serialization.write(path, model, {"mean.npy": np.zeros(3)}, b"thumbnails")
    return serialization.read(bundle.Bundle(path))


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_what_is_read_is_what_was_written(name: str, tmp_path: Path) -> None:
    model = saved()
    again = through(model, tmp_path / name)
    for field in fields(SavedModel):
        ours, theirs = getattr(model, field.name), getattr(again, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name
    counts = bundle.Bundle(tmp_path / name).manifest["counts"]
    assert counts == {"images": 3, "parts": 2, "kept_out": 1, "not_good": 0}


def test_without_a_region_of_interest_there_is_no_file_of_one(tmp_path: Path) -> None:
    again = through(saved(roi=None, roi_shapes=[]), tmp_path / "model")
    assert again.roi is None
    assert again.roi_shapes == []
    assert not [name for name in bundle.Bundle(tmp_path / "model").manifest["files"] if "roi" in name]


def other_grid(model: SavedModel) -> SavedModel:
    return replace(model, held_out=model.held_out[:, 1:])


def too_many(model: SavedModel) -> SavedModel:
    return replace(model, normals=model.normals[:1])


def small_region(model: SavedModel) -> SavedModel:
    return replace(model, roi=np.ones((8, 8), bool))


@pytest.mark.parametrize("broken", [other_grid, too_many, small_region])
def test_arrays_of_another_configuration(broken: Callable[[SavedModel], SavedModel], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"not fit the configuration"):
        through(broken(saved()), tmp_path / "model")


@pytest.mark.parametrize("asked", [0, True, 2.5, "7"])
def test_a_number_of_features_that_is_none(asked: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="n_features_asked"):
        through(saved(features_asked=asked), tmp_path / "model")
