"""Resolution: original pixels per map pixel, the smallest defect to expect, and the warnings."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from padim.analysis.resolution import model_resolution, resolution_of, smallest_diameter
from padim.config import PadimConfig
from padim.locating.frame import Frame
from padim.model import Padim
from tests.parts import normals
from tests.posed import any_pose

SIZE = 256
CONFIG = PadimConfig(input_size=SIZE)


@pytest.mark.parametrize(("sigma", "stride"), [(4.0, 8), (2.0, 4), (0.0, 16), (8.0, 8)])
def test_a_defect_of_the_smallest_diameter_keeps_half_its_height(sigma: float, stride: int) -> None:
    config = PadimConfig(smoothing_sigma=sigma, grid_stride=stride, min_area=1)
    diameter, samples = smallest_diameter(config), 8
    side = 8 * stride * samples
    axis = (np.arange(side) + 0.5) / samples - 4 * stride
    disc = (np.hypot(axis, axis[:, None]) <= diameter / 2).astype(np.float32)
    # What a map value averages over: a triangle of the grid's spacing on both axes, then the Gaussian.
    triangle = np.clip(1 - np.abs(axis) / stride, 0, None)
    gauss = np.exp(-0.5 * (axis / sigma) ** 2) if sigma else (np.abs(axis) == np.abs(axis).min()) * 1.0
    window = np.convolve(triangle, gauss, "same") if sigma else triangle
    window /= window.sum()
    assert float(window @ disc @ window) == pytest.approx(0.5, abs=0.05)


def test_a_large_smallest_region_is_the_limit() -> None:
    config = PadimConfig(min_area=1000)
    assert math.pi / 4 * smallest_diameter(config) ** 2 == pytest.approx(1000)


def test_stretched_images_have_a_scale_in_each_direction() -> None:
    found = resolution_of(CONFIG, [(500, 1270)])
    assert (found.down, found.across) == (500 / 256, 1270 / 256)
    assert found.squeezed == pytest.approx(2.54)
    assert found.smallest_area == pytest.approx(
        math.pi / 4 * (found.smallest * found.down) * (found.smallest * found.across)
    )
    assert math.pi / 4 * found.smallest_original**2 == pytest.approx(found.smallest_area)
    assert len(found.warnings) == 1
    assert "squeezed 2.5 : 1" in found.warnings[0]
    assert "input size" in found.warnings[0]


def test_padded_images_are_not_squeezed() -> None:
    found = resolution_of(PadimConfig(input_size=SIZE, fit="pad"), [(500, 1270)])
    assert found.squeezed == pytest.approx(1, abs=0.02)
    assert not found.warnings
    assert found.across == pytest.approx(1270 / 256)


def test_twelve_megapixels_are_warned_of_with_what_can_be_done() -> None:
    found = resolution_of(CONFIG, [(3000, 4000)])
    (warning,) = found.warnings
    assert "reduced 13.5 : 1" in warning
    assert "larger input size" in warning
    assert "alignment" in warning
    assert cv2.norm(np.array([found.across, found.down]), np.array([15.625, 11.71875])) < 1e-9
    # The spots of 3 to 10 pixels that were all missed in such images are far below what is said.
    assert found.smallest_original > 10 * 10


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (1024, 1280), (1080, 1920)])
def test_usual_cameras_are_not_warned_of(size: tuple[int, int]) -> None:
    assert resolution_of(CONFIG, [size]).warnings == ()


def test_the_worst_of_mixed_sizes_is_warned_of_and_the_usual_one_is_described() -> None:
    found = resolution_of(CONFIG, [(512, 512), (512, 512), (3000, 4000)])
    assert found.across == 2.0
    assert found.coarsest > 13
    assert found.warnings
    assert "most frequent of 2 image sizes" in found.sentences[0]


def test_an_aligned_model_sees_its_frame_not_the_image() -> None:
    frame = Frame(2000, 1500, 640, 512, 30.0, (3000, 4000))
    found = resolution_of(CONFIG, [(3000, 4000)], frame=frame)
    assert (found.across, found.down) == (2.5, 2.0)
    assert not found.warnings
    assert "frame around the part" in found.sentences[0]


def test_millimeters_where_the_size_of_a_pixel_is_known() -> None:
    found = resolution_of(CONFIG, [(512, 512)], mm_per_pixel=0.05)
    assert found.smallest_mm == pytest.approx(found.smallest_original * 0.05)
    assert "mm" in found.smallest_text
    assert "(0.1 × 0.1 mm)" in found.map_pixel_text
    assert resolution_of(CONFIG, [(512, 512)]).smallest_mm is None
    with pytest.raises(ValueError, match="mm_per_pixel"):
        resolution_of(CONFIG, [(512, 512)], mm_per_pixel=0.0)
    with pytest.raises(ValueError, match="size of an image"):
        resolution_of(CONFIG, [])


def test_the_resolution_of_a_model_is_that_of_its_good_parts() -> None:
    model = Padim(backbone="efficientnet_lite0", weights="random", input_size=96).fit(
        normals(4, size=(96, 288))
    )
    found = model_resolution(model)
    assert found == resolution_of(model.config, [(96, 288)] * 4)
    document = found.to_json()
    assert document["smallest_defect"]["map_pixels"] == found.smallest
    assert document["warnings"] == list(found.warnings)


def test_an_aligned_model_is_described_by_its_frame_and_told_the_frames_shape() -> None:
    model = Padim(
        align="outline", weights="random", input_size=64, n_features=20, smoothing_sigma=1.0, min_area=4
    ).fit(any_pose(5))
    locator = model.state.fitted.locator
    assert locator is not None
    found = model_resolution(model)
    assert found.framed
    assert found.image_size == (locator.frame.height, locator.frame.width)
    long = Frame(100, 50, 330, 110, 0.0, (384, 384))
    (warning,) = resolution_of(CONFIG, [(384, 384)], frame=long).warnings
    assert "squeezed 3.0 : 1" in warning
    assert "160x448" in warning
    assert "pad" not in warning
