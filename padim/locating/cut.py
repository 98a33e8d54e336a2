"""Cut the model input out of a decoded image at the place where the part is found."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.errors import PartNotFound
from padim.locating.locator import Locator
from padim.locating.placement import Placement
from padim.locating.pose import Pose
from padim.locating.warp import warp

__all__ = ["Cut", "cut_out", "placement_of"]

RGB = npt.NDArray[np.uint8]

# Images whose aspect ratio differs from the reference's by no more than this show the same view.
_SAME_RATIO = 1.01


@dataclass(frozen=True)
class Cut:
    """The model input of one image.

    Attributes:
        rgb: uint8 ``(h, w, 3)``; of an image in which the part is not found, the whole image, resized.
        pose: pose of the part; None if it was not found.
        placement: place of the map on the image; None if the part was not found.
        lost: why the part was not found; empty if it was.
    """

    rgb: RGB
    pose: Pose | None
    placement: Placement | None
    lost: str = ""


def cut_out(rgb: RGB, locator: Locator, shape: tuple[int, int]) -> Cut:
    """Find the part in an image and return the content of its frame, as model input.

    Args:
        rgb: uint8 ``(h, w, 3)``; an image of another resolution than the reference, but the same aspect
            ratio, is resized to the reference's size to find the part, and cut from its own pixels.
        locator: locating method with its reference part.
        shape: (height, width) of the model input.
    """
    size = rgb.shape[0], rgb.shape[1]
    try:
        pose = locator.locate(_at_size_of_reference(rgb, locator.frame.image_size))
    except PartNotFound as error:
        whole = cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_AREA)
        return Cut(np.asarray(whole, np.uint8), None, None, str(error))
    placement = placement_of(pose, locator, shape, size)
    return Cut(warp(rgb, placement.matrix, shape), pose, placement)


def placement_of(
    pose: Pose, locator: Locator, shape: tuple[int, int], image_size: tuple[int, int]
) -> Placement:
    """Return the place of the map on an image in which the part has this pose.

    Args:
        pose: pose of the part.
        locator: the locating method that found it.
        shape: (height, width) of the map.
        image_size: (height, width) of the image.
    """
    height, width = locator.frame.image_size
    own = np.diag([image_size[1] / width, image_size[0] / height])
    return Placement.of(own @ pose.to_image(locator.frame, shape, resize=locator.align.resize))


def _at_size_of_reference(rgb: RGB, size: tuple[int, int]) -> RGB:
    height, width = rgb.shape[:2]
    if (height, width) == size:
        return rgb
    ratio = (width / height) / (size[1] / size[0])
    if max(ratio, 1 / ratio) > _SAME_RATIO:
        raise PartNotFound(
            f"the image has {width:,} × {height:,} pixels, another shape than the reference's "
            f"{size[1]:,} × {size[0]:,}"
        )
    smaller = height * width > size[0] * size[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=how), np.uint8)
