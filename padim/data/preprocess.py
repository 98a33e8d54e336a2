"""Resize an RGB image to the model input: one preprocessing for fitting, scoring, the app and exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image

from padim.data.to_rgb import Rgb

if TYPE_CHECKING:
    from padim.locating.cut import Cut
    from padim.locating.locator import Locator

# The border of fit="pad": mid-grey is (almost) the zero of the networks' normalised input.
PAD_COLOR = (127, 127, 127)


# --- preprocessing ------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """Rectangle in pixels of the model input, which are also the pixels of the anomaly map."""

    top: int
    left: int
    height: int
    width: int


class PreprocessSettings(Protocol):
    """The settings of a model that its preprocessing depends on, as in :class:`padim.PadimConfig`."""

    @property
    def input_shape(self) -> tuple[int, int]: ...
    @property
    def fit(self) -> Literal["stretch", "pad"]: ...
    @property
    def bit_depth(self) -> int | None: ...


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing from an RGB image to model input, saved with the model (docs/design.md, section 4.1).

    Attributes:
        shape: (h, w) of the model input in pixels.
        fit: "stretch" resizes the whole image to h x w; "pad" keeps its aspect ratio, centred on mid-grey.
        bit_depth: the range of images deeper than 8 bits, with which files are decoded to RGB: see
            :func:`padim.data.decode.decode`. None as each file declares.
        locator: finds the part, whose frame becomes the model input; None: the whole image does.
    """

    shape: tuple[int, int] = (256, 256)
    fit: Literal["stretch", "pad"] = "stretch"
    bit_depth: int | None = None
    locator: Locator | None = None

    @classmethod
    def of(cls, settings: PreprocessSettings, locator: Locator | None = None) -> Preprocess:
        """Return the preprocessing of a model with these settings, which locates the part or does not."""
        return cls(
            shape=settings.input_shape, fit=settings.fit, bit_depth=settings.bit_depth, locator=locator
        )

    def __post_init__(self) -> None:
        sides = self.shape if isinstance(self.shape, tuple) else ()
        if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
            raise ValueError(f"shape must be two positive integers, height and width, got {self.shape!r}")
        if self.fit not in ("stretch", "pad"):
            raise ValueError(f"fit must be 'stretch' or 'pad', got {self.fit!r}")

    def __call__(self, rgb: Rgb) -> Rgb:
        """Resize an image to model input.

        Args:
            rgb: uint8 (h, w, 3), h and w at least 1.

        Returns:
            uint8 (h, w, 3) of :attr:`shape`, resized with Pillow's antialiasing bilinear filter.
        """
        return self.cut(rgb).rgb

    def cut(self, rgb: Rgb) -> Cut:
        """Return the model input of an image, with the place of the part that it was cut out at.

        Without a locator it is the whole image, without a place.

        Args:
            rgb: uint8 (h, w, 3), h and w at least 1.
        """
        from padim.locating import cut  # imported late: the decoding helper processes need no OpenCV

        _checked(rgb)
        if self.locator is None:
            return cut.Cut(self._whole(rgb), None, None)
        return cut.cut_out(rgb, self.locator, self.shape)

    def _whole(self, rgb: Rgb) -> Rgb:
        box = self.content_box(rgb.shape[:2])
        content = np.array(Image.fromarray(rgb).resize((box.width, box.height), Image.Resampling.BILINEAR))
        if self.fit == "stretch":
            return content
        canvas = np.empty((*self.shape, 3), np.uint8)
        canvas[:] = PAD_COLOR
        canvas[box.top : box.top + box.height, box.left : box.left + box.width] = content
        return canvas

    def content_box(self, original_size: tuple[int, ...]) -> Box:
        """Return the box that an image of `original_size` (h, w) fills in the input: all for "stretch"."""
        height, width = original_size
        if height < 1 or width < 1:
            raise ValueError(f"original_size must be positive, got {original_size!r}")
        high, wide = self.shape
        if self.fit == "stretch":
            return Box(0, 0, high, wide)
        # The axis that is filled is the one along which the image is longer, compared with the input. Rounded
        # half up in integers, and at least one pixel: a 1 x 5000 strip is still an image.
        if height * wide >= width * high:
            filled, across = high, max(1, (2 * width * high + height) // (2 * height))
            return Box(0, (wide - across) // 2, filled, across)
        filled, down = wide, max(1, (2 * height * wide + width) // (2 * width))
        return Box((high - down) // 2, 0, down, filled)

    def to_dict(self) -> dict[str, int | str | list[int]]:
        """Return the settings as a dictionary for JSON, ``bit_depth`` only if there is one.

        A square has the key ``size``, its side, as before there were rectangles; a rectangle has ``shape``.
        """
        height, width = self.shape
        found: dict[str, int | str | list[int]] = {}
        if height == width:
            found["size"] = height
        else:
            found["shape"] = [height, width]
        found["fit"] = self.fit
        if self.bit_depth is not None:
            found["bit_depth"] = self.bit_depth
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Create from :meth:`to_dict`'s result; ValueError for a wrong value, TypeError for a wrong key."""
        values = dict(values)
        if "size" in values:
            side = values.pop("size")
            values["shape"] = (side, side)
        elif isinstance(values.get("shape"), list):
            values["shape"] = tuple(values["shape"])
        return cls(**values)


def thumbnail(rgb: Rgb, max_side: int = 512, quality: int = 88) -> bytes:
    """Encode the whole image, uint8 (h, w, 3), as a JPEG with its longer side at most `max_side` pixels.

    It is never enlarged. Colours are not subsampled, so that small coloured defects stay visible.
    """
    import cv2  # imported late: the decoding helper processes do not need it

    height, width = _checked(rgb).shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Averaged over areas: as free of aliasing as Pillow's filter, in half the time. Never for model input.
    small = np.ascontiguousarray(rgb) if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    buffer = BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _checked(rgb: Rgb) -> Rgb:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"rgb must be uint8 (h, w, 3), got {rgb.dtype} {rgb.shape}")
    return rgb
