"""The reference part of a fitted model, with what is fixed by the fit: stored in the bundle."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from padim.locating.cut import placement_of
from padim.locating.errors import LocatingError
from padim.locating.frame import Frame
from padim.locating.locator import Locator, freeze
from padim.locating.pose import Pose
from padim.locating.settings import Align
from padim.locating.warp import covered

__all__ = ["MOST_MISSED", "FrozenReference", "commonly_covered"]

# Places that more than this share of the good parts' images do not show are not scored at all.
MOST_MISSED = 0.05


@dataclass(frozen=True, eq=False)
class FrozenReference:
    """The reference part that a model's images are located by.

    Attributes:
        name: name of its image.
        sha256: hex SHA-256 of its image, as of every normal.
        png: the image, losslessly, as the content of a PNG file.
        locator: the locating method, prepared with it.
    """

    name: str
    sha256: str
    png: bytes
    locator: Locator

    @classmethod
    def of(cls, align: Align, name: str, sha256: str, rgb: npt.NDArray[np.uint8]) -> FrozenReference:
        """Freeze an image as the reference.

        Args:
            align: the settings.
            name: name of the image.
            sha256: hex SHA-256 of the image.
            rgb: its pixels, uint8 ``(h, w, 3)``.

        Raises:
            LocatingError: it, or a mark on it, cannot be used; the error names the image.
        """
        try:
            locator = freeze(align, rgb)
        except LocatingError as error:
            raise LocatingError(f"{name}: cannot be the reference part: {error}") from error
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG")
        return cls(name, sha256, buffer.getvalue(), locator)

    def record(self) -> bytes:
        """Return name, hash, the settings with the marks in use and the frame as JSON, for the bundle."""
        document = {
            "name": self.name,
            "sha256": self.sha256,
            "align": self.locator.align.model_dump(mode="json"),
            "frame": self.locator.frame.to_json(),
        }
        return json.dumps(document, ensure_ascii=False).encode()

    @classmethod
    def read(cls, record: bytes, png: bytes) -> FrozenReference:
        """Open the reference of a saved model.

        Raises:
            ValueError: the record or the image is not valid.
        """
        try:
            document = json.loads(record)
            align, frame = Align.model_validate(document["align"]), Frame.from_json(document["frame"])
            with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                rgb = np.array(image.convert("RGB"))
            if rgb.shape[:2] != frame.image_size:
                raise ValueError("the image does not have the frame's size")
            return cls(str(document["name"]), str(document["sha256"]), png, freeze(align, rgb, frame))
        except (
            KeyError,
            TypeError,
            OSError,
            RecursionError,
            Image.DecompressionBombError,
            LocatingError,
        ) as error:
            raise ValueError(f"the reference part is not readable ({error})") from error


def commonly_covered(
    locator: Locator, shape: tuple[int, int], poses: Iterable[tuple[Pose, tuple[int, int]]]
) -> npt.NDArray[np.bool_]:
    """Return the map pixels that at least 95 % of the images show: bool ``shape``.

    Args:
        locator: the locating method.
        shape: (height, width) of the map.
        poses: pose of the part in each image, and the image's (height, width).
    """
    missed, count = np.zeros(shape, np.int64), 0
    for pose, size in poses:
        missed += ~covered(placement_of(pose, locator, shape, size).matrix, shape, size)
        count += 1
    return np.asarray(missed <= MOST_MISSED * count)
