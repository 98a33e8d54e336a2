"""Convert the pixels of a loaded image, of any mode and depth, to 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.TiffImagePlugin import TiffImageFile

from padim.data import deep_pixels
from padim.data.bit_depth import FULL, Samples, to_levels
from padim.data.optional_readers import SampleValues
from padim.data.refusal import Refusal

_TIFF_BITS_PER_SAMPLE, _TIFF_SAMPLE_FORMAT, _TIFF_PHOTOMETRIC = 258, 339, 262

# Transparent pixels carry arbitrary hidden colours. They are put on white, as paper and image viewers show
# them, so that the model scores what the engineer sees.
ALPHA_BACKGROUND = (255, 255, 255)

Rgb = npt.NDArray[np.uint8]


def to_rgb(image: ImageFile.ImageFile) -> Rgb:
    """Convert a loaded image to uint8 (h, w, 3), not yet turned upright."""
    if isinstance(image, BmpImageFile) and image.mode == "RGBA" and not np.asarray(image)[..., 3].any():
        # Many programs leave the fourth byte of a BMP zero, and viewers show such an image as opaque.
        return np.array(image.convert("RGB"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or image.has_transparency_data:
        return np.array(_on_background(image))
    # An RGB image is not converted, because that would copy it.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def samples_to_rgb(found: SampleValues, samples: Samples | None, bit_depth: int | None) -> Rgb:
    """Convert samples in their own range to uint8 (h, w, 3)."""
    values = found.values
    if values.dtype.kind == "f":
        levels = _float_levels(values)
    elif samples is not None:
        white = samples.white(bit_depth)
        levels = to_levels(np.minimum(values, white), white)
        if found.has_alpha and int(values[..., -1].max()) > white:
            levels[..., -1] = values[..., -1] // 256  # transparency of the full range beside such colours
    elif found.top == 255:
        levels = values.astype(np.uint8, copy=False)
    else:
        levels = np.rint(np.arange(found.top + 1) * (255 / found.top)).astype(np.uint8)[values]
    if found.white_is_zero:
        levels = 255 - levels
    if levels.ndim == 2 or levels.shape[2] == 1:
        return np.repeat(levels.reshape(*levels.shape[:2], 1), 3, axis=2)
    if found.has_alpha:
        return np.array(_on_background(Image.fromarray(np.ascontiguousarray(levels))))
    return levels


def _on_background(image: Image.Image) -> Image.Image:
    """Paste a transparent image on `ALPHA_BACKGROUND`."""
    rgba: Image.Image = image.convert("LA") if image.mode == "La" else image
    rgba = rgba if rgba.mode == "RGBA" else rgba.convert("RGBA")
    alpha = rgba.getchannel("A")
    _check_visible(alpha.getextrema()[1] == 0)
    flat = Image.new("RGB", rgba.size, ALPHA_BACKGROUND)
    flat.paste(rgba, mask=alpha)
    return flat


def _check_visible(nothing: bool) -> None:
    if nothing:
        raise Refusal("is transparent everywhere, there is nothing to see; save it without transparency")


def is_deep_gray(image: ImageFile.ImageFile) -> bool:
    """Return whether the pixels are gray with more than 8 bits."""
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def deep_gray_to_rgb(
    image: ImageFile.ImageFile, data: bytes, bit_depth: int | None
) -> tuple[Rgb, Samples | None]:
    """Convert grey pixels of 12, 16 or 32 bits, or floats from 0 to 1, to uint8 (h, w, 3)."""
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    values = np.asarray(image)
    samples = None
    if image.mode == "F":
        gray = _float_levels(values)
    elif tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0] > FULL:
        gray = _long_integer_levels(values, signed=2 in tags.get(_TIFF_SAMPLE_FORMAT, ()))
    else:
        values = np.maximum(values, 0) if values.dtype.kind == "i" else values
        if isinstance(image, Jpeg2KImageFile):
            values = deep_pixels.as_stored(values, data)
        samples = deep_pixels.samples_of(image, data, values, int(values.max()))
        gray = to_levels(values, samples.white(bit_depth))
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # "white is zero", which Pillow applies up to 8 bits only
        gray = 255 - gray
    rgb = np.repeat(gray[..., np.newaxis], 3, axis=2)
    key = image.info.get("transparency")
    if isinstance(key, int):
        hidden = values == key
        _check_visible(bool(hidden.all()))
        rgb[hidden] = ALPHA_BACKGROUND
    return rgb, samples


def deep_color_to_rgb(
    image: ImageFile.ImageFile,
    again: Callable[[], ImageFile.ImageFile],
    data: bytes,
    bit_depth: int | None,
) -> tuple[Rgb, Samples | None]:
    """Convert colours, or grey with transparency, of 16 bits to uint8 (h, w, 3)."""
    found = deep_pixels.color_samples(image, again, data, bit_depth)
    if found is None:
        if bit_depth == FULL:
            return to_rgb(image), None
        raise Refusal(
            "holds 16-bit colours of a kind of which only the upper 8 bits can be read, and uses less than "
            "the full range; save it as 16-bit RGB"
        )
    samples, values = found
    white = samples.white(bit_depth)
    if values is None or white == (1 << FULL) - 1:
        return to_rgb(image), samples
    key = again().info.get("transparency")
    hidden = (values == np.array(key, np.uint16)).all(axis=2) if isinstance(key, tuple) else None
    if values.shape[2] == 4 and int(values[..., 3].max()) > white:
        # Transparency of the full range beside such colours.
        values[..., 3] = (values[..., 3].astype(np.uint32) * white + 32767) // 65535
    levels = to_levels(values, white, overwrite=True)
    if hidden is not None:
        _check_visible(bool(hidden.all()))
        levels[hidden] = ALPHA_BACKGROUND
    if values.shape[2] == 3:
        return levels, samples
    return np.array(_on_background(Image.fromarray(levels))), samples


def _long_integer_levels(values: npt.NDArray[Any], *, signed: bool) -> npt.NDArray[np.uint8]:
    """Scale 32-bit integers from the full range of their type, of signed ones from the positive half."""
    # Pillow returns unsigned 32-bit values as signed.
    values = np.maximum(values, 0) if signed else values.view(np.uint32)
    gray = (values >> (23 if signed else 24)).astype(np.uint8)
    # No camera has 32 bits: such files hold smaller numbers, and would become black without a message.
    if not gray.any() and values.any():
        raise Refusal(
            f"holds 32-bit integers up to {int(values.max())} only, all of them black on the full scale; "
            "save it as 8- or 16-bit"
        )
    return gray


def _float_levels(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())  # a NaN anywhere makes both NaN
    if not (low >= 0 and high <= 1):
        raise Refusal(
            f"holds floating-point pixels from {low:g} to {high:g} where 0 to 1 is expected; "
            "save it as 8- or 16-bit"
        )
    return np.rint(values * 255).astype(np.uint8)
