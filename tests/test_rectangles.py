"""Models of long parts, from the first image to the exported files: nothing squeezed, nothing turned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from padim import Padim, PadimConfig, Shape, rasterize
from padim.analysis.alignment import align
from padim.analysis.attribution import normals_layers
from padim.analysis.sensitivity import cell_shape, measure
from padim.errors import Cancelled, ImageError
from padim.network.runtime import session_options
from tests.parts import RGB, part

SIZE = (80, 200)
SMALL: dict[str, Any] = {"n_features": 16, "smoothing_sigma": 2, "min_area": 8}


def parts(count: int, first: int = 0, *, defect: bool = False) -> list[tuple[str, RGB]]:
    return [(f"{i}.png", part(i, size=SIZE, defect=defect)) for i in range(first, first + count)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """A model of long parts, 64 x 160. Shared: tests must not change it."""
    folder = tmp_path_factory.mktemp("long")
    return Padim(PadimConfig.of({**SMALL, "input_size": "64x160"}), work_dir=folder).fit(parts(10))


# --- the default ---


def test_the_first_usable_image_decides_an_input_size_that_is_not_given() -> None:
    config = PadimConfig.of(SMALL)
    bad: list[ImageError] = []
    images = iter([("broken.png", b"none"), *parts(4)])
    model = Padim(config).fit(images, on_error=bad.append)
    assert [error.name for error in bad] == ["broken.png"]
    assert model.config.input_size == (160, 416)
    assert model.state.fitted.held_out.shape == (4, 20, 52)
    said = Padim(config, input_size=(160, 416)).fit(parts(4))
    np.testing.assert_array_equal(model.state.fitted.held_out, said.state.fitted.held_out)
    assert model.state.identity == said.state.identity
    # Decided once, by the first fit; and another model begins anew.
    assert Padim(model.config).config.input_size == (160, 416)
    assert Padim(config).config.input_size == 256


def test_a_fit_that_does_not_succeed_leaves_the_input_size_open() -> None:
    model = Padim(PadimConfig.of(SMALL))
    with pytest.raises(Cancelled):
        model.fit(parts(4), cancel=lambda: True)
    assert model.config.input_size == 256
    assert "input_size" not in model.config.model_fields_set
    squares = [(f"{i}", part(i, size=(90, 96))) for i in range(3)]
    assert model.fit(squares).config.input_size == 256


# --- exports ---


def test_the_script_for_a_line_pc_agrees_to_the_level(model: Padim, tmp_path: Path) -> None:
    for fit in ("stretch", "pad"):
        one = model
        if fit == "pad":
            one = Padim(PadimConfig.of({**SMALL, "input_size": "64x160", "fit": "pad"})).fit(parts(10))
        exported = one.export(tmp_path / f"{fit}.onnx")
        images = []
        for name, rgb in [*parts(2, 50), *parts(3, 60, defect=True)]:
            images.append(tmp_path / f"{fit}_{name}")
            Image.fromarray(rgb).save(images[-1])
        script = Path(__file__).parents[1] / "examples" / "mask_onnx.py"
        masks = tmp_path / f"masks-{fit}"
        masks.mkdir()
        done = subprocess.run(
            [sys.executable, str(script), str(exported), str(masks), *map(str, images)],
            capture_output=True,
            text=True,
            check=True,
        )
        verdicts = [line.split("\t")[1] for line in done.stdout.splitlines()]
        for path, verdict, scored in zip(images, verdicts, one.predict(images), strict=True):
            assert verdict == scored.verdict
            mask = np.asarray(Image.open(masks / f"{path.stem}_mask.png")) > 0
            np.testing.assert_array_equal(mask, scored.mask)


def test_distances_follow_from_the_arrays_of_the_npz(model: Padim, tmp_path: Path) -> None:
    """The recipe of the file's description, step by step, for the rectangle."""
    path = model.export(tmp_path / "arrays.npz")
    arrays = np.load(path)
    rows, columns = arrays["grid_shape"]
    np.testing.assert_array_equal(arrays["input_shape"], [64, 160])
    np.testing.assert_array_equal(arrays["input_size"], [64, 160])
    np.testing.assert_array_equal(arrays["grid"], [8, 20])
    rgb = parts(1, 50)[0][1]
    pixels = model.network.preprocess(rgb).astype(np.float32)
    image = (pixels * arrays["pixel_scale"] + arrays["pixel_offset"]).transpose(2, 0, 1)[None]
    network = tmp_path / str(arrays["backbone_onnx"])
    session = ort.InferenceSession(network, session_options(), providers=["CPUExecutionProvider"])
    names, on_grid = [str(name) for name in arrays["layer_names"]], []
    outputs = session.run(names, {"image": image})
    for stride, layer in zip(arrays["layer_strides"], outputs, strict=True):
        if stride < 8:
            side = 8 // int(stride)
            layer = layer.reshape(1, -1, rows, side, columns, side).mean(axis=(3, 5))
        elif stride > 8:
            layer = enlarged(layer[0], int(rows), int(columns))[None]
        length = np.maximum(np.linalg.norm(layer, axis=1, keepdims=True), 1e-6)
        on_grid.append(layer * np.sqrt(layer.shape[1]) / length)
    features = np.concatenate(on_grid, axis=1)[0].reshape(-1, rows * columns)[arrays["channel_indices"]].T
    delta = (features - arrays["mean"]).astype(np.float64)
    distance = np.sqrt(np.einsum("pd,pde,pe->p", delta, arrays["inv_covariance"].astype(np.float64), delta))
    (scored,) = model.predict([("a", rgb)])
    np.testing.assert_allclose(distance.reshape(rows, columns), scored.grid, rtol=5e-3)


def enlarged(layer: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A layer ``(c, h, w)``, bilinear with half-pixel centers and clamped edges."""
    for axis, length in ((1, rows), (2, columns)):
        own = layer.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * own / length - 0.5, 0, own - 1)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if at == axis else 1 for at in range(3)])
        high = np.minimum(low + 1, own - 1)
        layer = layer.take(low, axis) * (1 - share) + layer.take(high, axis) * share
    return layer


# --- region of interest and analyses ---


def test_a_region_counts_where_it_was_drawn(model: Padim, tmp_path: Path) -> None:
    left = Shape("polygon", "include", ((0, 0), (60, 0), (60, 64), (0, 64)))
    roi = rasterize((left,), model.config.input_shape)
    own = Padim.load(model.save(tmp_path / "model")).set_roi(roi, (left,))
    for one, other in zip(own.predict(parts(2, 60)), model.predict(parts(2, 60)), strict=True):
        np.testing.assert_array_equal(one.levels[:, :60], other.levels[:, :60])
        assert not one.levels[:, 60:].any()
    again = Padim.load(own.save(tmp_path / "again"))
    np.testing.assert_array_equal(again.decision.roi, roi)
    with pytest.raises(ValueError, match=r"roi must be bool \(64, 160\)"):
        own.set_roi(np.ones((160, 64), np.bool_))


def test_sensitivity_is_mapped_in_cells_of_the_rectangle(model: Padim) -> None:
    found = measure(model, parts(3, 80), kinds=("spot",), sizes=(8, 16), contrasts=(0.4,), places=4, cells=4)
    assert found.map_shape == (64, 160)
    share, places = found.by_place()
    assert share.shape == places.shape == found.cell_shape == (3, 5)
    assert places.sum() <= 12
    assert found.places[:, 0].max() > 64, "places lie in the whole width"
    assert (found.places <= [160, 64]).all()
    assert cell_shape((64, 64), 4) == (4, 4)
    assert cell_shape((160, 64), 4) == (6, 3)


def test_layers_are_attributed_on_the_rectangle(model: Padim) -> None:
    report = normals_layers(model)
    assert report.positions.max() < 8 * 20
    maps = report.maps(model.config.grid_shape)
    assert maps.shape[1:] == (8, 20)
    assert (maps.sum(axis=0) > 0).any()


def test_the_pose_spread_of_long_parts_is_measured_in_their_pixels() -> None:
    """Known shifts and turns of a scene without symmetry, in a rectangle and in the turned one."""
    rng = np.random.default_rng(4)
    height, width = 160, 416
    scene = cv2.GaussianBlur(rng.normal(size=(height + 100, width + 100)).astype(np.float32), (0, 0), 5)
    scene = 128 + 50 * scene / scene.std()
    shifts, angles = rng.uniform(-9, 9, (10, 2)), rng.uniform(-3, 3, 10)
    images = []
    for (dy, dx), angle in zip(shifts, angles, strict=True):
        warp = cv2.getRotationMatrix2D(((width + 99) / 2, (height + 99) / 2), float(angle), 1.0)
        warp[:, 2] += dx, dy
        moved = cv2.warpAffine(scene, warp, (width + 100, height + 100))[50:-50, 50:-50]
        images.append(np.clip(moved + rng.normal(0, 3, moved.shape), 0, 255).astype(np.uint8))
    found = align(images)
    assert found.measurable
    np.testing.assert_allclose(found.angles, angles - np.median(angles), atol=0.35)
    apart = found.shifts - found.shifts.mean(axis=0) - (shifts - shifts.mean(axis=0))
    assert np.abs(apart).max() < 1.5
    turned = align([image.T.copy() for image in images])
    np.testing.assert_allclose(turned.angles, -found.angles, atol=0.35)
    assert turned.shift95 == pytest.approx(found.shift95, abs=1.5)
    with pytest.raises(ValueError, match="of one size"):
        align([images[0], images[1].T])
