"""Trying out locating: against parts whose pose is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from padim.analysis.locating_preview import evenly, preview, preview_shape, sharpness
from padim.errors import Cancelled
from padim.locating.frame import Frame
from padim.locating.locator import Locator, PartNotFound
from padim.locating.pose import Pose
from padim.locating.settings import Align
from tests.parts import part, png

RGB = npt.NDArray[np.uint8]
SIZE = (120, 160)
FRAME = Frame(80, 60, 80, 64, 0, SIZE)


class Truth:
    """A finder that knows the pose, because the image's first pixel numbers it."""

    frame = FRAME

    def __init__(self, poses: list[Pose]) -> None:
        self.poses = poses

    def find(self, rgb: RGB) -> Pose:
        number = int(rgb[0, 0, 0])
        if number >= len(self.poses):
            raise PartNotFound("nothing stands out from the background")
        return self.poses[number]


def moved(number: int, pose: Pose) -> bytes:
    """The reference part brought to a pose, its number in the first pixel."""
    matrix = pose.to_image(FRAME, SIZE, resize=True) @ np.vstack(
        [cv2.invertAffineTransform(FRAME.to_reference(SIZE)), [0, 0, 1]]
    )
    # OpenCV counts pixel centers as whole numbers.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    image = cv2.warpAffine(part(1, size=SIZE), matrix, SIZE[::-1], borderMode=cv2.BORDER_REPLICATE)
    image[0, 0] = number
    return png(image)


POSES = [Pose(9, -4, 12, 1, 0.9), Pose(-11, 6, -8, 1.05, 0.8), Pose(3, 10, 3, 0.97, 0.95)]


def tried(align: Align, images: list[tuple[str, bytes]], poses: list[Pose] = POSES):  # type: ignore[no-untyped-def]
    return preview(Locator(align, part(1, size=SIZE), Truth(poses)), "reference.png", images)


def test_found_parts_show_what_the_frame_shows_of_the_reference() -> None:
    images = [(f"{i}.png", moved(i, pose)) for i, pose in enumerate(POSES)]
    found = tried(Align(method="outline", resize=True), images)
    assert not found.lost
    assert found.poses == tuple(POSES)
    for item in found.parts:
        difference = np.abs(item.after.astype(int) - found.reference_view)
        # Resampled twice, which blurs the part's grain; in its own place it differs far more.
        assert difference.mean() < 3
        assert np.abs(item.same_place.astype(int) - found.reference_view).mean() > 2.5 * difference.mean()
    assert found.sharpness is not None
    before, after = found.sharpness
    assert after > 0.95 > before


def test_the_outline_is_the_frame_at_the_parts_place() -> None:
    (item,) = tried(Align(method="outline"), [("0.png", moved(0, POSES[0]))]).parts
    height, width = item.before.shape[:2]
    assert width / height == pytest.approx(160 / 120, rel=0.01)
    center = item.outline.mean(axis=0) / (width / 160, height / 120)
    assert center == pytest.approx((80 + 9, 60 - 4))
    side = item.outline[1] - item.outline[0]
    # Counterclockwise on the screen, where y points down.
    assert math.degrees(math.atan2(-side[1], side[0])) == pytest.approx(12, abs=0.1)


def test_parts_that_are_not_found_say_why_and_do_not_count() -> None:
    images = [("a.png", moved(0, POSES[0])), ("b.png", moved(9, POSES[1])), ("c.png", png(part(2)))]
    found = tried(Align(method="outline", max_turn=5), [*images, ("d.png", moved(2, POSES[2]))])
    assert [item.name for item in found.found] == ["d.png"]
    reasons = {item.name: item.lost for item in found.lost}
    assert "turned by 12.0°, beyond the limit of 5°" in reasons["a.png"]
    assert reasons["b.png"] == "nothing stands out from the background"
    assert "another shape than the reference" in reasons["c.png"]
    assert found.sharpness is None
    assert found.mean_after is not None
    nothing = tried(Align(method="outline", max_turn=5), images)
    assert nothing.mean_after is None
    assert nothing.mean_before is None


def test_the_reference_is_not_tried_and_cancelling_stops() -> None:
    assert not tried(Align(method="outline"), [("reference.png", moved(0, POSES[0]))]).parts
    locator = Locator(Align(method="outline"), part(1, size=SIZE), Truth(POSES))
    with pytest.raises(Cancelled):
        preview(locator, "r.png", [("0.png", moved(0, POSES[0]))], cancel=lambda: True)


def test_sharpness_of_the_mean() -> None:
    image = part(1)
    assert sharpness([image, image]) == pytest.approx(1)
    shifted = np.roll(image, 7, axis=1)
    assert sharpness([image, shifted]) < 0.9
    noise = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8) for i in range(16)]
    assert sharpness(noise) == pytest.approx(0.25, abs=0.05)
    assert sharpness([np.full((8, 8, 3), 7, np.uint8)]) == 1


def test_some_of_many_evenly() -> None:
    names = [str(i) for i in range(30)]
    assert evenly(names, 3) == ["0", "10", "20"]
    assert evenly(names[:2], 3) == ["0", "1"]


@pytest.mark.parametrize("shape", [(100, 100), (1000, 250), (7, 90)])
def test_a_preview_has_the_windows_proportions(shape: tuple[int, int]) -> None:
    height, width = preview_shape(*shape)
    assert height * width == pytest.approx(256 * 256, rel=0.05)
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.05)
