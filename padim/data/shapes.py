"""Shapes, sizes and color kinds of images: the rule for good parts of mixed shapes, and notes on test images.

A test image of another shape, size or color kind than the good parts was taken by another camera or saved by
another program; its verdict may then mean little. It is noted, and never changes a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import TiffImageFile

from padim.config import PadimConfig
from padim.data.input_shape import with_input_shape

__all__ = ["Expected", "color_kind", "for_shapes", "mixed_shapes", "shape_note"]

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

# Aspect ratios differ if one is more than this many times the other: a crop of some pixels is no other shape.
_SAME_RATIO = 1.01
# Good parts of more sizes than this are taken to vary freely between the smallest and the largest.
_MOST_NAMED = 3
# Channels of a gray image differ by no more than this, because JPEG rounds colors; those of an image in color
# by more than the second number somewhere. In between is a gray part before a color camera, neither for sure.
_GRAY_SPREAD, _COLOR_SPREAD = 2, 8

GRAY, NEARLY_GRAY, COLOR, ALPHA = "gray", "nearly gray", "color", " with alpha"


# --- the rule for good parts of mixed shapes ----------------------------------------------------------------


def mixed_shapes(sizes: Iterable[Size]) -> bool:
    """Whether aspect ratios differ by more than 1 %, so that stretching distorts images differently."""
    ratios = [width / height for height, width in sizes]
    return bool(ratios) and max(ratios) > _SAME_RATIO * min(ratios)


def for_shapes(config: PadimConfig, sizes: Iterable[Size]) -> PadimConfig:
    """Return the configuration for good parts of these sizes: of mixed shapes they are padded.

    A configuration that sets ``fit`` keeps it, as one with ``align``, which cuts every part out alike. The
    input size follows :func:`padim.data.input_shape.with_input_shape`. The application proposes the same.
    """
    sizes = list(sizes)
    decided = "fit" in config.model_fields_set or config.align is not None or config.fit == "pad"
    if not decided and mixed_shapes(sizes):
        given = {name: getattr(config, name) for name in config.model_fields_set}
        config = PadimConfig.of({**given, "fit": "pad"})
    # The frame of located parts decides when it is known.
    return config if config.align is not None else with_input_shape(config, sizes)


def shape_note(sizes: Iterable[Size]) -> str:
    """Describe how widely the shapes of good parts differ: a sentence without its period."""
    known = sorted(set(sizes), key=lambda size: size[1] / size[0])
    low, high = known[0], known[-1]
    return f"the good parts differ in shape, from {_pixels(low)} to {_pixels(high)} pixels"


# --- notes on test images -----------------------------------------------------------------------------------


def color_kind(model_input: npt.NDArray[np.uint8], content: bytes | npt.NDArray[np.uint8]) -> str:
    """Return the kind of an image's colors: ``gray``, ``nearly gray`` or ``color``, perhaps `` with alpha``.

    An image is gray if its channels are the same, whatever its file says.

    Args:
        model_input: the resized image, uint8 ``(h, w, 3)``, which is quick to look through.
        content: the file's bytes, or pixels, which have no alpha.
    """
    red, green, blue = model_input[..., 0], model_input[..., 1], model_input[..., 2]
    most = np.maximum(np.maximum(red, green), blue)
    spread = int((most - np.minimum(np.minimum(red, green), blue)).max())
    kind = GRAY if spread <= _GRAY_SPREAD else COLOR if spread > _COLOR_SPREAD else NEARLY_GRAY
    return kind + ALPHA if isinstance(content, bytes) and _has_alpha(content) else kind


def _has_alpha(data: bytes) -> bool:
    """Whether a decodable PNG, WebP or TIFF file has an alpha channel or a transparent color."""
    if data.startswith(b"\x89PNG"):
        return data[25:26] in (b"\4", b"\6") or data.find(b"tRNS", 0, data.find(b"IDAT")) >= 0
    if data[8:12] == b"WEBP":
        if data[12:16] == b"VP8L":
            return bool(int.from_bytes(data[21:25], "little") >> 28 & 1)
        return data[12:16] == b"VP8X" and bool(data[20] & 0x10)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with TiffImageFile(BytesIO(data)) as image:
            return image.mode in ("LA", "PA", "RGBA", "La", "RGBa")
    return False


@dataclass(frozen=True)
class Expected:
    """Sizes and color kinds of a model's good parts, that test images are held against.

    Attributes:
        sizes: the different sizes, (height, width), from small to large.
        gray: True if all are gray, False if all are in color; None otherwise, and if it is not known.
        alpha: True if all have an alpha channel, False if none has; None as for ``gray``.
    """

    sizes: tuple[Size, ...]
    gray: bool | None
    alpha: bool | None

    @classmethod
    def of(cls, sizes: Iterable[Size], kinds: Iterable[str | None]) -> Expected:
        """Summarize good parts by their sizes and results of :func:`color_kind`, None where not known."""
        known = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
        kinds = list(kinds)
        if not kinds or None in kinds:
            return cls(tuple(known), None, None)
        colors = {kind.removesuffix(ALPHA) for kind in kinds if kind}
        alphas = {kind.endswith(ALPHA) for kind in kinds if kind}
        return cls(
            tuple(known),
            True if colors == {GRAY} else False if colors == {COLOR} else None,
            alphas.pop() if len(alphas) == 1 else None,
        )

    def notes(self, size: Size, kind: str | None) -> tuple[str, ...]:
        """Return what is unlike the good parts in an image, as sentences; empty if nothing is.

        Args:
            size: (height, width) in pixels.
            kind: the image's :func:`color_kind`; None where it is not known.
        """
        found = []
        if self.sizes and not self._has_size(size):
            named = f"{_pixels(size)} pixels"
            if self._has_shape(size):
                found.append(f"The image has {named}; the good parts have {self._named_sizes()}.")
            else:
                parts = self._named_sizes()
                found.append(f"The image has another shape, {named}; the good parts have {parts}.")
        if kind is None:
            return tuple(found)
        color, alpha = kind.removesuffix(ALPHA), kind.endswith(ALPHA)
        if color == GRAY and self.gray is False:
            found.append("The image is gray; the good parts are in color.")
        elif color == COLOR and self.gray is True:
            found.append("The image is in color; the good parts are gray.")
        if self.alpha is not None and alpha != self.alpha:
            found.append(
                "The image has an alpha channel; the good parts have none."
                if alpha
                else "The image has no alpha channel; the good parts have one."
            )
        return tuple(found)

    @property
    def _vary(self) -> bool:
        return len(self.sizes) > _MOST_NAMED

    def _has_size(self, size: Size) -> bool:
        if size in self.sizes:
            return True
        if not self._vary or not self._has_shape(size):
            return False
        sides = list(zip(*self.sizes, strict=True))
        return all(min(known) <= side <= max(known) for side, known in zip(size, sides, strict=True))

    def _has_shape(self, size: Size) -> bool:
        ratio = size[1] / size[0]
        known = [width / height for height, width in self.sizes]
        if self._vary:
            return min(known) / _SAME_RATIO <= ratio <= max(known) * _SAME_RATIO
        return any(own / _SAME_RATIO <= ratio <= own * _SAME_RATIO for own in known)

    def _named_sizes(self) -> str:
        if not self._vary:
            return " or ".join(map(_pixels, self.sizes))
        heights, widths = zip(*self.sizes, strict=True)
        return f"{_pixels((min(heights), min(widths)))} to {_pixels((max(heights), max(widths)))}"


def _pixels(size: Size) -> str:
    """Format a size as width times height, as users are used to it."""
    height, width = size
    return f"{width:,} × {height:,}"
