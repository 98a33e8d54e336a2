"""Images for people: heatmap, overlay, mask and the four-panel strip (docs/design.md, section 2).

The colour scale is fixed by the threshold alone: level 0 is its bottom, the threshold its exact middle, twice
the threshold its top. So colours mean the same on every image, and a good part looks cold. Heat is enlarged
smoothly, for the eye; the mask is the nearest-neighbour one that was judged.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from padim.data.preprocess import Box
from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.prediction import Prediction
from padim.decision.regions import mask_to_original

__all__ = [
    "COLORMAPS",
    "DEFAULT_COLORMAP",
    "color_table",
    "encode_jpeg",
    "encode_png",
    "four_panel",
    "heatmap",
    "mask_image",
    "overlay",
    "scale_bar",
    "scale_table",
    "score_text",
]

ImageArray = NDArray[np.uint8]
Color = tuple[int, int, int]

_OPENCV_MAPS = {
    # Perceptually uniform (lightness rises evenly), dark and cold at the bottom.
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,  # reads alike with red-green colour blindness
    # Rainbows: familiar, but they show edges where the map has none.
    "turbo": cv2.COLORMAP_TURBO,
    "jet": cv2.COLORMAP_JET,
}
COLORMAPS: tuple[str, ...] = tuple(_OPENCV_MAPS)
DEFAULT_COLORMAP = "inferno"

CONTOUR_COLOR: Color = (0, 229, 255)  # cyan: the default scale does not hold it
_HALO: Color = (16, 20, 24)


# --- the scale ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def scale_table(threshold: int) -> NDArray[np.uint8]:
    """Where each level lies on the scale of 256 steps: ``min(255, (255 * level + T) // (2 * T))``.

    That is 127.5 steps to the threshold, rounded half up: level 0 is step 0, the threshold T is step 128, 2 T
    and above is step 255. With a threshold of 0 every level but 0 is above twice the threshold: step 255.

    Returns:
        uint8 ``(65536,)``, read-only, indexed by level.

    Raises:
        ValueError: the threshold is not a level.
    """
    if not 0 <= threshold <= MAX_LEVEL:
        raise ValueError(f"a threshold is a level from 0 to {MAX_LEVEL}, not {threshold}")
    levels = np.arange(MAX_LEVEL + 1, dtype=np.int64)
    if threshold == 0:
        steps = np.where(levels > 0, 255, 0)
    else:
        steps = np.minimum(255, (255 * levels + threshold) // (2 * threshold))
    table = steps.astype(np.uint8)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=32)
def color_table(colormap: str = DEFAULT_COLORMAP) -> ImageArray:
    """The 256 colours of a scale, bottom first: uint8 ``(256, 3)`` RGB, read-only.

    Raises:
        ValueError: the name is not in ``COLORMAPS``.
    """
    if colormap not in _OPENCV_MAPS:
        raise ValueError(f"colormap must be one of {', '.join(COLORMAPS)}, not {colormap!r}")
    bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8), _OPENCV_MAPS[colormap])
    table = np.ascontiguousarray(bgr.reshape(256, 3)[:, ::-1])
    table.flags.writeable = False
    return table


def scale_bar(height: int, colormap: str = DEFAULT_COLORMAP, *, width: int | None = None) -> ImageArray:
    """A colour bar for legends, hottest at the top, the threshold in the middle.

    ``width`` defaults to a twelfth of the height. Turn it by ``np.rot90(bar, -1)`` for one that runs left to
    right. Returns uint8 ``(height, width, 3)`` RGB.
    """
    if height < 1:
        raise ValueError(f"height must be at least 1, not {height}")
    steps = np.linspace(255, 0, height).round().astype(np.intp)
    return np.repeat(color_table(colormap)[steps][:, None], width or max(1, height // 12), axis=1)


def _steps(q: NDArray[np.uint16], threshold: int, size: tuple[int, int], box: Box | None) -> ImageArray:
    """The map on the scale at an image's size, uint8 ``(h, w)``: enlarged as levels, then put on the scale.

    In this order the colour of an enlarged pixel is that of its level; colours mixed after clipping would not
    be.
    """
    if q.ndim != 2 or q.dtype != np.uint16:
        raise ValueError(f"a judged map is uint16 (S, S), not {q.dtype} {q.shape}")
    if box is not None:
        q = q[box.top : box.top + box.height, box.left : box.left + box.width]
    height, width = size
    if (height, width) != q.shape:
        # Linear sampling would step over hot pixels of an image smaller than the map: average there.
        smaller = height < q.shape[0] and width < q.shape[1]
        q = cv2.resize(q, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(cv2.LUT(q, scale_table(threshold)), dtype=np.uint8)


# --- heatmap, mask, overlay ---------------------------------------------------------------------------------


def heatmap(
    q: NDArray[np.uint16],
    threshold: int,
    original_size: tuple[int, int],
    *,
    colormap: str = DEFAULT_COLORMAP,
    content_box: Box | None = None,
) -> ImageArray:
    """The judged map in colours, at the image's size, on the scale that the threshold fixes.

    Args:
        q: uint16 ``(S, S)``, a judged map.
        threshold: a level; it gets the middle colour.
        original_size: ``(h, w)`` of the image.
        colormap: one of ``COLORMAPS``.
        content_box: where the image lies in the map when it was padded; None: it fills the map.

    Returns:
        uint8 ``(h, w, 3)`` RGB.

    Raises:
        ValueError: an unknown colormap, a threshold that is no level, or a map of another dtype or rank.
    """
    table = color_table(colormap)
    return _look_up(_steps(q, threshold, original_size, content_box), table)


def _look_up(steps: NDArray[np.uint8], table: ImageArray) -> ImageArray:
    """Each step's row of a ``(256, 3)`` table; OpenCV does it several times faster than ``table[steps]``."""
    colored = cv2.applyColorMap(steps, np.ascontiguousarray(table).reshape(256, 1, 3))
    return np.asarray(colored, dtype=np.uint8)


def mask_image(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A mask as a grey image: uint8 ``(h, w)``, 255 where the mask is set, else 0."""
    return np.multiply(mask, np.uint8(255), dtype=np.uint8)


def overlay(
    rgb: ImageArray,
    q: NDArray[np.uint16],
    mask: NDArray[np.bool_],
    threshold: int,
    *,
    opacity: float = 0.45,
    contour: bool = True,
    contour_color: Color = CONTOUR_COLOR,
    colormap: str = DEFAULT_COLORMAP,
    content_box: Box | None = None,
) -> ImageArray:
    """The image with heat laid over it and the mask outlined.

    The heat's weight rises with the third power of the level, from none at level 0 to ``opacity`` at the
    threshold and above: a good part's image stays as it was taken, and level 0 leaves a pixel's value
    untouched.

    Args:
        rgb: uint8 ``(h, w, 3)``, the original image; it is not changed.
        q: uint16 ``(S, S)``, a judged map.
        mask: bool ``(h, w)``, from the ``Prediction``.
        threshold: a level.
        opacity: weight of the heat from the threshold upwards, 0..1.
        contour: outline the mask, with a line whose width goes with the image's size.
        contour_color: RGB.
        colormap: one of ``COLORMAPS``.
        content_box: where the image lies in the map when it was padded; None: it fills the map.

    Returns:
        uint8 ``(h, w, 3)`` RGB.

    Raises:
        ValueError: shapes do not match or an argument is out of range.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"an image is uint8 (h, w, 3), not {rgb.dtype} {rgb.shape}")
    if mask.shape != rgb.shape[:2] or mask.dtype != np.bool_:
        raise ValueError(f"mask must be bool {rgb.shape[:2]}, not {mask.dtype} {mask.shape}")
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"opacity must be from 0 to 1, not {opacity}")
    table = color_table(colormap)
    if opacity == 0:
        out = rgb.copy()
    else:
        # out = rgb * (1 - a) + color * a, with a a function of the step: both factors are tables of 256 rows,
        # so that a 24-megapixel image needs no float copy of itself.
        alpha = opacity * np.minimum(1.0, np.arange(256) / 128.0)[:, None] ** 3
        heat = np.rint(table * alpha).astype(np.uint8)
        keep = np.rint(255.0 * (1.0 - alpha)).astype(np.uint8).repeat(3, axis=1)
        steps = _steps(q, threshold, (rgb.shape[0], rgb.shape[1]), content_box)
        out = cv2.multiply(rgb, _look_up(steps, keep), scale=1.0 / 255.0)
        out = np.asarray(cv2.add(out, _look_up(steps, heat)), dtype=np.uint8)
    if contour:
        _draw_contour(out, mask, contour_color)
    return out


def _line_width(height: int, width: int) -> int:
    """About a three-hundredth of the longer side: a contour looks alike at 300 and at 6000 pixels."""
    return max(1, round(max(height, width) / 300))


def _draw_contour(image: ImageArray, mask: NDArray[np.bool_], color: Color) -> None:
    """Outline regions and holes in place: a line on the mask's edge pixels, a dark halo just outside of them.

    The line closes along the image's edge too, and a mask of one pixel is all line: nothing that is set
    goes unseen. By morphology, whose cost does not depend on how ragged the mask is, unlike that of tracing
    and drawing polygons.
    """
    thin = _line_width(*mask.shape)
    thick = -(-thin // 2)
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width == 0:
        return
    rows, cols = slice(max(0, y - thick), y + height + thick), slice(max(0, x - thick), x + width + thick)
    inside, region = mask[rows, cols].astype(np.uint8), image[rows, cols]
    core = cv2.erode(inside, _square(thin), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    region[cv2.dilate(inside, _square(thick)) > inside] = _HALO
    region[core < inside] = color


def _square(radius: int) -> NDArray[np.uint8]:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


# --- the four-panel strip -----------------------------------------------------------------------------------

_GROUND: Color = (30, 34, 41)
_TEXT: Color = (236, 239, 244)
_QUIET: Color = (160, 168, 180)
_REJECT: Color = (198, 40, 57)
_ACCEPT: Color = (31, 132, 90)
_PANELS = ("Original", "Heatmap", "Mask", "Overlay")
_MIN_SIDE = 192  # smaller images are enlarged by a whole factor: below this the labels cannot be read


def score_text(score: int, threshold: int) -> str:
    """The score as a multiple of the threshold, to two decimals, never rounded across the threshold.

    Rounded up when rejected and down when accepted, so that a rejected image never reads "1.00 x".
    """
    if threshold == 0:
        return f"score {score}, threshold 0"
    hundredths = 100 * score // threshold if score <= threshold else -(-100 * score // threshold)
    return f"score {hundredths // 100}.{hundredths % 100:02d} × threshold"


def four_panel(
    rgb: ImageArray,
    q: NDArray[np.uint16],
    decision: Prediction,
    *,
    colormap: str = DEFAULT_COLORMAP,
    opacity: float = 0.45,
    labels: bool = True,
    caption: str | None = None,
    content_box: Box | None = None,
    panel_side: int | None = None,
) -> ImageArray:
    """Original, heatmap, mask and overlay side by side, as one image to file or to print.

    Args:
        rgb: uint8 ``(h, w, 3)``, the original image.
        q: uint16 ``(S, S)``, the judged map that was decided on.
        decision: the verdict; its mask has the image's size.
        colormap: one of ``COLORMAPS``.
        opacity: of the overlay's heat, 0..1.
        labels: name the panels above them, and show the colour scale (with its middle, the threshold,
            marked).
        caption: the image's name, for a line below with the score as a multiple of the threshold and the
            verdict; None: no such line.
        content_box: where the image lies in the map when it was padded; None: it fills the map.
        panel_side: longest side of one panel in pixels; larger images are reduced to it (the mask so that
            no set pixel is lost). None: the image's own size. Images under 192 pixels are enlarged by a
            whole factor.

    Returns:
        uint8 ``(h', w', 3)`` RGB.

    Raises:
        ValueError: shapes do not match or an argument is out of range.
    """
    height, width = rgb.shape[:2]
    mask = decision.mask
    if mask.shape != (height, width):
        raise ValueError(f"the decision's mask is {mask.shape}, the image {(height, width)}")
    if panel_side is not None and panel_side < 1:
        raise ValueError(f"panel_side must be at least 1, not {panel_side}")
    longest = max(height, width)
    if panel_side is not None and longest > panel_side:
        height = max(1, round(height * panel_side / longest))
        width = max(1, round(width * panel_side / longest))
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        mask = mask_to_original(mask, (height, width))
    elif longest < _MIN_SIDE:
        factor = -(-_MIN_SIDE // longest)
        height, width = height * factor, width * factor
        rgb = rgb.repeat(factor, axis=0).repeat(factor, axis=1)
        mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)

    panels = (
        rgb,
        heatmap(q, decision.decision_level, (height, width), colormap=colormap, content_box=content_box),
        np.broadcast_to(mask_image(mask)[:, :, None], rgb.shape),
        overlay(
            rgb, q, mask, decision.decision_level, opacity=opacity, colormap=colormap, content_box=content_box
        ),
    )
    gutter = max(2, round(max(height, width) / 100))
    font_size = min(96, max(12, round(max(height, width) / 24)))
    line = 2 * font_size if labels else gutter
    foot = 2 * font_size if caption is not None else gutter
    strip = np.empty((line + height + foot, 4 * width + 5 * gutter, 3), np.uint8)
    strip[:] = _GROUND
    lefts = [gutter + i * (width + gutter) for i in range(4)]
    for left, panel in zip(lefts, panels, strict=True):
        strip[line : line + height, left : left + width] = panel
    if labels:
        head = _Line(strip[:line], font_size)
        for left, label in zip(lefts, _PANELS, strict=True):
            end = head.text(left, label, _TEXT, width)
            if label == "Heatmap":
                head.scale(end + font_size, left + width - font_size // 2, colormap)
        strip[:line] = head.pixels()
    if caption is not None:
        below = _Line(strip[line + height :], font_size)
        below.caption(gutter, strip.shape[1] - gutter, caption, decision)
        strip[line + height :] = below.pixels()
    return strip


# Looked for where the operating system keeps its fonts, when the built-in one lacks a character of a name.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "LiberationSans-Regular.ttf",
    "segoeui.ttf",
    "msyh.ttc",
    "Arial Unicode.ttf",
    "PingFang.ttc",
)
_SPELT = str.maketrans({"×": "x", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"})
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)
def _font(name: str | None, size: int) -> _Font | None:
    """A system font by its file name, or Pillow's built-in one for None; None where there is no such font."""
    if name is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _can_write(font: _Font, text: str) -> bool:
    """Whether the font has a glyph for every character; what it lacks it draws as its placeholder box."""
    box = bytes(font.getmask("\uffff"))
    return all(c.isspace() or bytes(font.getmask(c)) != box for c in set(text))


def _written(text: str, size: int) -> tuple[str, _Font]:
    """A text on one line and a font that can write it; failing that, in plain letters ("?" for the rest)."""
    text = " ".join(text.split())
    for name in (None, *_SYSTEM_FONTS):
        font = _font(name, size)
        if font is not None and _can_write(font, text):
            return text, font
    plain = unicodedata.normalize("NFKD", text.translate(_SPELT))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    font = ImageFont.load_default(size)
    return "".join(c if c.isspace() or _can_write(font, c) else "?" for c in plain), font


class _Line:
    """One line of text on a band of the strip. Pillow draws it: OpenCV's fonts know ASCII only."""

    def __init__(self, band: ImageArray, font_size: int) -> None:
        self.image = Image.fromarray(band)
        self.draw = ImageDraw.Draw(self.image)
        self.size = font_size
        self.middle = band.shape[0] / 2

    def pixels(self) -> ImageArray:
        return np.asarray(self.image)

    def length(self, text: str) -> int:
        text, font = _written(text, self.size)
        return round(font.getlength(text))

    def text(self, left: int, text: str, color: Color, room: int) -> int:
        """Write the text, shortened in its middle to the room there is; returns where it ends."""
        text, font = _written(text, self.size)
        kept = len(text)
        short = text
        while kept > 0 and font.getlength(short) > room:
            # Names differ at their ends as often as at their beginnings: both stay.
            kept -= 1
            short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if kept == 0:
            return left
        self.draw.text((left, self.middle), short, fill=color, font=font, anchor="lm")
        return left + round(font.getlength(short))

    def scale(self, left: int, right: int, colormap: str) -> None:
        """The colour scale, flush right, its middle (the threshold) ticked; none where there is no room."""
        width = min(right - left, 8 * self.size)
        if width < 4 * self.size:
            return
        bar = np.rot90(scale_bar(width, colormap, width=max(4, self.size // 2)), -1)
        top = round(self.middle - bar.shape[0] / 2)
        self.image.paste(Image.fromarray(np.ascontiguousarray(bar)), (right - width, top))
        tick, overhang = max(1, self.size // 12), max(2, self.size // 5)
        at = right - width + width // 2
        self.draw.rectangle(
            (at - tick // 2, top - overhang, at - tick // 2 + tick - 1, top + bar.shape[0] - 1 + overhang),
            fill=_TEXT,
        )

    def caption(self, left: int, right: int, name: str, decision: Prediction) -> None:
        """Name on the left; score and verdict on the right, which the name gives way to."""
        verdict, color = ("REJECT", _REJECT) if decision.rejected else ("ACCEPT", _ACCEPT)
        pad = self.size // 2
        begin = right - self.length(verdict) - 2 * pad
        half = 0.78 * self.size
        self.draw.rounded_rectangle(
            (begin, self.middle - half, right - 1, self.middle + half), radius=self.size // 4, fill=color
        )
        self.text(begin + pad, verdict, _TEXT, right - begin)
        # The built-in font has no multiplication sign, and one line should not be set in two fonts for it.
        score = score_text(decision.score_level, decision.decision_level).replace("×", "x")
        begin -= self.length(score) + self.size
        self.text(begin, score, _QUIET, right - left)
        self.text(left, name, _TEXT, begin - self.size - left)


# --- files --------------------------------------------------------------------------------------------------


def encode_png(image: ImageArray) -> bytes:
    """An image, uint8 ``(h, w)`` grey or ``(h, w, 3)`` RGB, as a PNG file: lossless."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def encode_jpeg(image: ImageArray, quality: int = 92) -> bytes:
    """An image, uint8 ``(h, w)`` grey or ``(h, w, 3)`` RGB, as a JPEG file.

    Colour is kept at full resolution (4:4:4): halving it blurs contours and thin heat.
    """
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])


def _encode(suffix: str, image: ImageArray, options: list[int]) -> bytes:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"an image is uint8 (h, w) or (h, w, 3), not {image.dtype} {image.shape}")
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, bgr, options)
    if not done:
        raise ValueError(f"an image of {image.shape} cannot be written as {suffix}")
    return bytes(data)
