"""Resize an RGB image to the model input: one preprocessing for fitting, scoring, the app and exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image

from padim.data.to_rgb import Rgb

# The border of fit="pad": mid-grey is (almost) the zero of the networks' normalised input.
PAD_COLOR = (127, 127, 127)


# --- preprocessing ------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """Rectangle in pixels of the model input, which are also the pixels of the anomaly map."""

    top: int
    left: int
    height: int
    width: int


class Settings(Protocol):
    """The settings of a model that its preprocessing depends on, as in :class:`padim.PadimConfig`."""

    @property
    def input_size(self) -> int: ...
    @property
    def fit(self) -> Literal["stretch", "pad"]: ...
    @property
    def bit_depth(self) -> int | None: ...


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing from an RGB image to model input, saved with the model (docs/design.md, section 4.1).

    Attributes:
        size: side S of the square model input, in pixels.
        fit: "stretch" resizes the whole image to S x S; "pad" keeps its aspect ratio, centred on mid-grey.
        bit_depth: the range of images deeper than 8 bits, with which files are decoded to RGB: see
            :func:`padim.data.decode.decode`. None as each file declares.
    """

    size: int = 256
    fit: Literal["stretch", "pad"] = "stretch"
    bit_depth: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Preprocess:
        """Return the preprocessing of a model with these settings."""
        return cls(size=settings.input_size, fit=settings.fit, bit_depth=settings.bit_depth)

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a positive integer, got {self.size!r}")
        if self.fit not in ("stretch", "pad"):
            raise ValueError(f"fit must be 'stretch' or 'pad', got {self.fit!r}")

    def __call__(self, rgb: Rgb) -> Rgb:
        """Resize an image to model input.

        Args:
            rgb: uint8 (h, w, 3), h and w at least 1.

        Returns:
            uint8 (S, S, 3), resized with Pillow's antialiasing bilinear filter.
        """
        box = self.content_box(_checked(rgb).shape[:2])
        content = np.array(Image.fromarray(rgb).resize((box.width, box.height), Image.Resampling.BILINEAR))
        if self.fit == "stretch":
            return content
        canvas = np.empty((self.size, self.size, 3), np.uint8)
        canvas[:] = PAD_COLOR
        canvas[box.top : box.top + box.height, box.left : box.left + box.width] = content
        return canvas

    def content_box(self, original_size: tuple[int, ...]) -> Box:
        """Return the box that an image of `original_size` (h, w) fills in the input: all for "stretch"."""
        height, width = original_size
        if height < 1 or width < 1:
            raise ValueError(f"original_size must be positive, got {original_size!r}")
        if self.fit == "stretch":
            return Box(0, 0, self.size, self.size)
        longest = max(height, width)
        # Rounded half up in integers, and at least one pixel: a 1 x 5000 strip is still an image.
        high, wide = (max(1, (2 * side * self.size + longest) // (2 * longest)) for side in (height, width))
        return Box((self.size - high) // 2, (self.size - wide) // 2, high, wide)

    def to_dict(self) -> dict[str, int | str]:
        """Return the settings as a dictionary for JSON, ``bit_depth`` only if there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Create from :meth:`to_dict`'s result; ValueError for a wrong value, TypeError for a wrong key."""
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
