"""Rendering of results: heatmap, overlay, mask and the four-panel image (docs/design.md, section 2).

The colour scale depends on the threshold only: level 0 is its bottom, the threshold its exact middle, twice
the threshold its top. So a colour means the same on every image, and good parts show the bottom of the scale.
The heatmap is enlarged by smooth interpolation; the mask by nearest neighbour, so that it is the mask of the
decision.
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
from padim.decision.back_projection import levels_on_original
from padim.decision.guard_band import Verdict
from padim.decision.prediction import Prediction
from padim.decision.regions import mask_to_original
from padim.locating.placement import Placement

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
    # Perceptually uniform (lightness rises evenly), dark at the bottom.
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,  # looks the same with red-green colour blindness
    # Rainbow colormaps: familiar, but they show edges where the map has none.
    "turbo": cv2.COLORMAP_TURBO,
    "jet": cv2.COLORMAP_JET,
}
COLORMAPS: tuple[str, ...] = tuple(_OPENCV_MAPS)
DEFAULT_COLORMAP = "inferno"

CONTOUR_COLOR: Color = (0, 229, 255)  # cyan does not occur in the default colormap
_HALO: Color = (16, 20, 24)


# --- the scale ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def scale_table(threshold: int) -> NDArray[np.uint8]:
    """Return the step, 0..255, of every level on the colour scale of a threshold T.

    The step is ``min(255, (255 * level + T) // (2 * T))``: 127.5 steps to the threshold, rounded half up.
    Level 0 is step 0, T is step 128, 2 T and above is step 255. With T = 0 every level but 0 is step 255.

    Args:
        threshold: T, a level.

    Returns:
        uint8 ``(65536,)``, read-only, indexed by level.

    Raises:
        ValueError: the threshold is not a level.
    """
    if not 0 <= threshold <= MAX_LEVEL:
        raise ValueError(f"threshold must be a level from 0 to {MAX_LEVEL}, not {threshold}")
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
    """Return the 256 colours of a colormap, bottom first: uint8 ``(256, 3)`` RGB, read-only.

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
    """Draw a vertical colour bar for legends, with the highest level at the top and the threshold halfway.

    For a horizontal one, from left to right, rotate it by ``np.rot90(bar, -1)``.

    Args:
        height: in pixels.
        colormap: one of ``COLORMAPS``.
        width: in pixels; default a twelfth of the height.

    Returns:
        uint8 ``(height, width, 3)`` RGB.

    Raises:
        ValueError: the height is below 1, or the colormap is unknown.
    """
    if height < 1:
        raise ValueError(f"height must be at least 1, not {height}")
    steps = np.linspace(255, 0, height).round().astype(np.intp)
    return np.repeat(color_table(colormap)[steps][:, None], width or max(1, height // 12), axis=1)


def _steps(
    q: NDArray[np.uint16],
    threshold: int,
    size: tuple[int, int],
    box: Box | None,
    placement: Placement | None,
) -> ImageArray:
    """Resample a level map to an image's size and convert it to scale steps, uint8 ``(h, w)``.

    Levels are resampled before conversion, so that the colour of a pixel is that of its level; interpolating
    between clipped steps would give other colours.
    """
    if q.ndim != 2 or q.dtype != np.uint16:
        raise ValueError(f"a level map must be uint16 (h, w), not {q.dtype} {q.shape}")
    if placement is not None:
        q = levels_on_original(q, placement, size)
    elif box is not None:
        q = q[box.top : box.top + box.height, box.left : box.left + box.width]
    height, width = size
    if (height, width) != q.shape:
        # For images smaller than the map: linear interpolation would skip pixels, so areas are averaged.
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
    placement: Placement | None = None,
) -> ImageArray:
    """Draw a level map in colours at the image's size, on the colour scale of the threshold.

    Args:
        q: uint16 ``(h, w)``, a level map.
        threshold: a level; it gets the middle colour.
        original_size: ``(h, w)`` of the image.
        colormap: one of ``COLORMAPS``.
        content_box: the image's area in the map, for a padded image; None: all of the map.
        placement: the place of the map on the image, if the part was located in it; what lies outside the map
            has level 0. None: the map shows the whole image.

    Returns:
        uint8 ``(h, w, 3)`` RGB.

    Raises:
        ValueError: the colormap is unknown, the threshold is no level, or the map has another dtype or rank.
    """
    table = color_table(colormap)
    return _look_up(_steps(q, threshold, original_size, content_box, placement), table)


def _look_up(steps: NDArray[np.uint8], table: ImageArray) -> ImageArray:
    """Return each step's row of a ``(256, 3)`` table, several times faster than ``table[steps]``."""
    colored = cv2.applyColorMap(steps, np.ascontiguousarray(table).reshape(256, 1, 3))
    return np.asarray(colored, dtype=np.uint8)


def mask_image(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Convert a mask to a grey image: uint8 ``(h, w)``, 255 where the mask is set, else 0."""
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
    placement: Placement | None = None,
) -> ImageArray:
    """Blend the heatmap over an image and outline the mask.

    The weight of the heatmap rises with the third power of the level, from 0 at level 0 to ``opacity`` at the
    threshold and above, so that images of good parts are hardly changed, and pixels of level 0 not at all.

    Args:
        rgb: uint8 ``(h, w, 3)``, the original image; it is not changed.
        q: uint16 ``(h, w)``, a level map.
        mask: bool ``(h, w)``, from the ``Prediction``.
        threshold: a level.
        opacity: weight of the heatmap at and above the threshold, 0..1.
        contour: outline the mask, with a line width proportional to the image's size.
        contour_color: RGB.
        colormap: one of ``COLORMAPS``.
        content_box: the image's area in the map, for a padded image; None: all of the map.
        placement: the place of the map on the image, if the part was located in it; what lies outside the map
            has level 0. None: the map shows the whole image.

    Returns:
        uint8 ``(h, w, 3)`` RGB.

    Raises:
        ValueError: shapes do not match or an argument is out of range.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"an image must be uint8 (h, w, 3), not {rgb.dtype} {rgb.shape}")
    if mask.shape != rgb.shape[:2] or mask.dtype != np.bool_:
        raise ValueError(f"mask must be bool {rgb.shape[:2]}, not {mask.dtype} {mask.shape}")
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"opacity must be from 0 to 1, not {opacity}")
    table = color_table(colormap)
    if opacity == 0:
        out = rgb.copy()
    else:
        # out = rgb * (1 - a) + color * a, where a is a function of the step: (1 - a) and color * a are tables
        # of 256 rows, which avoids a float copy of, say, a 24-megapixel image.
        alpha = opacity * np.minimum(1.0, np.arange(256) / 128.0)[:, None] ** 3
        heat = np.rint(table * alpha).astype(np.uint8)
        keep = np.rint(255.0 * (1.0 - alpha)).astype(np.uint8).repeat(3, axis=1)
        steps = _steps(q, threshold, (rgb.shape[0], rgb.shape[1]), content_box, placement)
        out = cv2.multiply(rgb, _look_up(steps, keep), scale=1.0 / 255.0)
        out = np.asarray(cv2.add(out, _look_up(steps, heat)), dtype=np.uint8)
    if contour:
        _draw_contour(out, mask, contour_color)
    return out


def _line_width(height: int, width: int) -> int:
    """Return 1/300 of the longer side, at least 1, so that contours look alike at 300 and at 6000 pixels."""
    return max(1, round(max(height, width) / 300))


def _draw_contour(image: ImageArray, mask: NDArray[np.bool_], color: Color) -> None:
    """Outline regions and holes in place: a line on the mask's edge pixels, with a dark halo outside.

    The line also runs along the image's edge, and a mask of one pixel becomes all line, so that every region
    is visible. Morphology is used because its cost does not depend on the mask's shape, unlike that of
    tracing and drawing polygons.
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


def _draw_frame(image: ImageArray, placement: Placement, shape: tuple[int, ...]) -> None:
    """Draw the border of the map on an image, in place: a thin light line with a dark one beside it."""
    height, width = shape
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)]) @ placement.matrix.T
    # In sixteenths of a pixel; OpenCV counts pixel centers as whole numbers, here they are at halves.
    points = np.round((corners - 0.5) * 16).astype(np.int32)[None]
    line = max(1, _line_width(image.shape[0], image.shape[1]) // 2)
    cv2.polylines(image, [*points], True, _HALO, 3 * line, cv2.LINE_AA, 4)
    cv2.polylines(image, [*points], True, _QUIET, line, cv2.LINE_AA, 4)


def _square(radius: int) -> NDArray[np.uint8]:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


# --- the four-panel image -----------------------------------------------------------------------------------

_GROUND: Color = (30, 34, 41)
_TEXT: Color = (236, 239, 244)
_QUIET: Color = (160, 168, 180)
_REJECT: Color = (198, 40, 57)
_ACCEPT: Color = (31, 132, 90)
_REVIEW: Color = (150, 98, 0)
_VERDICT_COLORS: dict[Verdict, Color] = {"accept": _ACCEPT, "review": _REVIEW, "reject": _REJECT}
_PANELS = ("Original", "Heatmap", "Mask", "Overlay")
_MIN_SIDE = 192  # images of smaller sides are enlarged by an integer factor, so that labels are legible


def score_text(score: int, threshold: int) -> str:
    """Format a score as a multiple of the threshold, with two decimals, never rounded across the threshold.

    It is rounded up if rejected and down if accepted, so that a rejected image never reads "1.00 x".

    Args:
        score: a level.
        threshold: a level.
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
    """Draw original, heatmap, mask and overlay side by side, as one image for files and printing.

    Args:
        rgb: uint8 ``(h, w, 3)``, the original image.
        q: uint16 ``(h, w)``, the level map of the decision.
        decision: the decision; its mask has the image's size. If the part was located, heatmap and overlay
            are turned back to its place, and a thin line shows what the model has seen of the image.
        colormap: one of ``COLORMAPS``.
        opacity: weight of the heatmap in the overlay, 0..1.
        labels: write the panels' names above them, and draw the colour scale with the threshold marked.
        caption: the image's name, written below the panels with the score as a multiple of the threshold and
            the verdict; None: no caption.
        content_box: the image's area in the map, for a padded image; None: all of the map.
        panel_side: longest side of one panel in pixels; larger images are reduced to it (the mask so that
            no set pixel is lost). None: the image's own size. Images under 192 pixels are enlarged by an
            integer factor.

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
    longest, placement = max(height, width), decision.placement
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

    level = decision.decision_level
    if placement is not None:
        placement = placement.on(decision.original_size, (height, width))
    panels = (
        rgb,
        heatmap(q, level, (height, width), colormap=colormap, content_box=content_box, placement=placement),
        np.broadcast_to(mask_image(mask)[:, :, None], rgb.shape),
        overlay(
            rgb,
            q,
            mask,
            level,
            opacity=opacity,
            colormap=colormap,
            content_box=content_box,
            placement=placement,
        ),
    )
    if placement is not None:
        for panel in (panels[1], panels[3]):
            _draw_frame(panel, placement, q.shape)
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


# System fonts to try, in this order, if the built-in font lacks a character of a name.
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
_TRANSLITERATION = str.maketrans({"×": "x", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"})
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)
def _font(name: str | None, size: int) -> _Font | None:
    """Load a system font by its file name, or Pillow's built-in font for None; None if not installed."""
    if name is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _has_glyphs(font: _Font, text: str) -> bool:
    """Whether the font has a glyph for every character; missing ones render as the placeholder box."""
    box = bytes(font.getmask("\uffff"))
    return all(c.isspace() or bytes(font.getmask(c)) != box for c in set(text))


def _text_and_font(text: str, size: int) -> tuple[str, _Font]:
    """Return the text on one line and a font that has its characters; else its ASCII form, with "?"."""
    text = " ".join(text.split())
    for name in (None, *_SYSTEM_FONTS):
        font = _font(name, size)
        if font is not None and _has_glyphs(font, text):
            return text, font
    plain = unicodedata.normalize("NFKD", text.translate(_TRANSLITERATION))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    font = ImageFont.load_default(size)
    return "".join(c if c.isspace() or _has_glyphs(font, c) else "?" for c in plain), font


class _Line:
    """One line of text above or below the panels, drawn by Pillow, as OpenCV's fonts have ASCII only."""

    def __init__(self, band: ImageArray, font_size: int) -> None:
        self.image = Image.fromarray(band)
        self.draw = ImageDraw.Draw(self.image)
        self.size = font_size
        self.middle = band.shape[0] / 2

    def pixels(self) -> ImageArray:
        return np.asarray(self.image)

    def length(self, text: str) -> int:
        text, font = _text_and_font(text, self.size)
        return round(font.getlength(text))

    def text(self, left: int, text: str, color: Color, room: int) -> int:
        """Write a text, shortened in its middle to ``room`` pixels; return the x coordinate of its end."""
        text, font = _text_and_font(text, self.size)
        kept = len(text)
        short = text
        while kept > 0 and font.getlength(short) > room:
            # Names differ at the end as often as at the beginning, so both are kept.
            kept -= 1
            short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if kept == 0:
            return left
        self.draw.text((left, self.middle), short, fill=color, font=font, anchor="lm")
        return left + round(font.getlength(short))

    def scale(self, left: int, right: int, colormap: str) -> None:
        """Draw the colour scale, right-aligned, with a tick at the threshold; nothing if there is no room."""
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
        """Write the name on the left, score and verdict on the right; the name is shortened if necessary."""
        # The verdict of the results, which with a guard band may be neither.
        verdict, color = decision.verdict.upper(), _VERDICT_COLORS[decision.verdict]
        pad = self.size // 2
        begin = right - self.length(verdict) - 2 * pad
        half = 0.78 * self.size
        self.draw.rounded_rectangle(
            (begin, self.middle - half, right - 1, self.middle + half), radius=self.size // 4, fill=color
        )
        self.text(begin + pad, verdict, _TEXT, right - begin)
        # The built-in font has no multiplication sign, and it should not need a second font in one line.
        score = score_text(decision.score_level, decision.decision_level).replace("×", "x")
        if decision.lost:
            score = "part not found"
        else:
            score = "; ".join((score, *(check.sentence for check in decision.checks if check.fired)))
        begin -= self.length(score) + self.size
        self.text(begin, score, _QUIET, right - left)
        self.text(left, name, _TEXT, begin - self.size - left)


# --- files --------------------------------------------------------------------------------------------------


def encode_png(image: ImageArray) -> bytes:
    """Encode an image, uint8 ``(h, w)`` grey or ``(h, w, 3)`` RGB, as a PNG file (lossless)."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def encode_jpeg(image: ImageArray, quality: int = 92) -> bytes:
    """Encode an image, uint8 ``(h, w)`` grey or ``(h, w, 3)`` RGB, as a JPEG file.

    Colour is not subsampled (4:4:4): half its resolution would blur contours and thin structures.
    """
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])


def _encode(suffix: str, image: ImageArray, options: list[int]) -> bytes:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"an image must be uint8 (h, w) or (h, w, 3), not {image.dtype} {image.shape}")
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, bgr, options)
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as {suffix}")
    return bytes(data)
