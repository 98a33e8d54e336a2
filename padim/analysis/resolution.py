"""Resolution of a model: original pixels per map pixel, the smallest defect to expect, and warnings.

**The smallest defect** is an estimate from the settings alone. A defect narrower than the window that a
map value averages over is diluted with what is good around it. That window is the grid position, resampled
linearly to map pixels (a triangle of half-width ``grid_stride``, standard deviation
``grid_stride / sqrt(6)``), and the Gaussian of ``smoothing_sigma``: together a bell, whose width
at half its height is::

    2.355 * sqrt(smoothing_sigma ** 2 + grid_stride ** 2 / 6)      # map pixels; 12.2 with the usual settings

A smaller round defect loses more than half of its height in the map. A region also needs ``min_area`` pixels,
a disc of diameter ``2 * sqrt(min_area / pi)``; the larger of both is the estimate. On the sample, spots with
a contrast of 20 % of the range were caught in 9 of 10 places from 12.6 map pixels, of 40 % from 6.8, and half
of those of 20 % from 3; with an input of 128 from 12.0, 4.5 and 3.3. A small defect
is caught if it is marked enough, and only the sensitivity study tells.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padim.data.input_shape import input_shape_for
from padim.data.preprocess import Preprocess
from padim.input_size import as_text
from padim.text import size as size_text

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.locating.frame import Frame
    from padim.model import Padim

__all__ = [
    "MOST_REDUCED",
    "MOST_SQUEEZED",
    "Resolution",
    "model_resolution",
    "resolution_of",
    "smallest_diameter",
]

Size = tuple[int, int]

# Beyond these, images get a warning: the ratio of the reductions in both directions, and the reduction itself
# (the geometric mean of both), in original pixels per map pixel.
MOST_SQUEEZED, MOST_REDUCED = 2.0, 6.0
# Width of a Gaussian at half its height, in standard deviations.
_HALF_HEIGHT = 2 * math.sqrt(2 * math.log(2))


def smallest_diameter(config: PadimConfig) -> float:
    """Return the diameter in map pixels of the smallest round defect to expect: see the module's text."""
    averaged = _HALF_HEIGHT * math.sqrt(config.smoothing_sigma**2 + config.grid_stride**2 / 6)
    return max(averaged, 2 * math.sqrt(config.min_area / math.pi))


@dataclass(frozen=True)
class Resolution:
    """How finely a model sees its images.

    Attributes:
        image_size: (height, width) in pixels of what the map shows: an image, or of an aligned model the
            frame of the part; of mixed sizes the most frequent one.
        map_shape: (height, width) of the part of the map that shows it.
        sizes: the number of different image sizes.
        coarsest: the most original pixels per map pixel among all sizes: the geometric mean of both
            directions.
        squeezed: the largest ratio between both directions among all sizes, at least 1.
        smallest: diameter of the smallest round defect to expect, in map pixels.
        mm_per_pixel: size of an original pixel in mm; None if it is not known.
        framed: whether the map shows a frame around the located part.
        own_shape: the input size of about the same area that is nearest to what the map shows, as text.
    """

    image_size: tuple[float, float]
    map_shape: Size
    sizes: int
    coarsest: float
    squeezed: float
    smallest: float
    mm_per_pixel: float | None = None
    framed: bool = False
    own_shape: str = ""

    @property
    def down(self) -> float:
        """Original pixels per map pixel from top to bottom."""
        return self.image_size[0] / self.map_shape[0]

    @property
    def across(self) -> float:
        """Original pixels per map pixel from left to right."""
        return self.image_size[1] / self.map_shape[1]

    @property
    def smallest_area(self) -> float:
        """Area of the smallest defect to expect, in original pixels."""
        return math.pi / 4 * self.smallest**2 * self.down * self.across

    @property
    def smallest_original(self) -> float:
        """Diameter of the round defect of that area, in original pixels."""
        return self.smallest * math.sqrt(self.down * self.across)

    @property
    def smallest_mm(self) -> float | None:
        """Diameter of the smallest defect to expect in mm; None if the size of a pixel is not known."""
        return None if self.mm_per_pixel is None else self.smallest_original * self.mm_per_pixel

    @property
    def map_pixel_text(self) -> str:
        """What a map pixel shows: "7.5 × 4.2 original pixels"."""
        across, down = f"{self.across:.3g}", f"{self.down:.3g}"
        text = f"{across} × {down} original pixels"
        if self.mm_per_pixel is not None:
            text += f" ({self.across * self.mm_per_pixel:.2g} × {self.down * self.mm_per_pixel:.2g} mm)"
        return text

    @property
    def smallest_text(self) -> str:
        """The smallest defect to expect: "about 24 original pixels across (0.6 mm)"."""
        mm = "" if self.smallest_mm is None else f" ({self.smallest_mm:.2g} mm)"
        return f"about {_rounded(self.smallest_original)} original pixels across{mm}"

    def region_text(self, min_area: int) -> str:
        """Return an area of the map in the image: "180 px² of the image, 0.45 mm²" (words.js has it too)."""
        pixels = min_area * self.down * self.across
        mm = "" if self.mm_per_pixel is None else f", {_short(pixels * self.mm_per_pixel**2)} mm²"
        return f"{_short(pixels)} px² of the image{mm}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The resolution in sentences for users, without the warnings."""
        shown = "the frame around the part" if self.framed else "the image"
        if self.sizes > 1:
            shown = f"the most frequent of {self.sizes} image sizes"
        height, width = map(round, self.image_size)
        return (
            f"A map pixel shows {self.map_pixel_text}: {shown}, {size_text((height, width))} pixels, is "
            f"resized to {size_text(self.map_shape)}.",
            f"Expect defects from {self.smallest_text} if they differ clearly; smaller ones are found only "
            "if they differ strongly. Validate, Smallest defect, measures it.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes small defects invisible, each a sentence or two with the remedy; empty if nothing."""
        found = []
        if self.squeezed > MOST_SQUEEZED:
            what = "The frame around the part is" if self.framed else "Images are"
            own = f", such as {self.own_shape} (height x width)" if self.own_shape else ""
            found.append(
                f"{what} squeezed {self.squeezed:.1f} : 1 in one direction: narrow defects are lost. "
                f"Use an input size of its own shape{own}{'' if self.framed else ', or pad the images'}."
            )
        if self.coarsest > MOST_REDUCED:
            found.append(
                f"Images are reduced {self.coarsest:.1f} : 1: defects of fewer than "
                f"{_rounded(self.smallest * self.coarsest)} original pixels across are mostly invisible. Use "
                "a larger input size, or inspect less at once: alignment cuts images to the part, and tiles "
                "or a closer camera do the rest."
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return the resolution as plain JSON, lengths in original pixels unless the name says otherwise."""
        return {
            "image_size": list(self.image_size),
            "map_shape": list(self.map_shape),
            "sizes": self.sizes,
            "pixels_per_map_pixel": {"across": self.across, "down": self.down},
            "squeezed": self.squeezed,
            "coarsest": self.coarsest,
            "smallest_defect": {
                "map_pixels": self.smallest,
                "diameter": self.smallest_original,
                "area": self.smallest_area,
                "diameter_mm": self.smallest_mm,
            },
            "mm_per_pixel": self.mm_per_pixel,
            "warnings": list(self.warnings),
        }


def resolution_of(
    config: PadimConfig,
    sizes: Iterable[Size],
    *,
    frame: Frame | None = None,
    mm_per_pixel: float | None = None,
) -> Resolution:
    """Return the resolution of a configuration for images of these sizes.

    Args:
        config: the configuration.
        sizes: (height, width) of the images in pixels.
        frame: the frame of an aligned model, which is what the map then shows of every image.
        mm_per_pixel: size of an original pixel in mm, if known.

    Raises:
        ValueError: there is no size, or the size of a pixel is not positive.
    """
    if mm_per_pixel is not None and not (math.isfinite(mm_per_pixel) and mm_per_pixel > 0):
        raise ValueError(f"mm_per_pixel must be above 0, got {mm_per_pixel}")
    counted = Counter((height, width) for height, width in sizes)
    preprocess = Preprocess.of(config)
    boxes: dict[tuple[float, float], Size] = {}
    if frame is not None:
        boxes[frame.height, frame.width] = config.input_shape
    else:
        for size in counted:
            box = preprocess.content_box(size)
            boxes[size] = (box.height, box.width)
    if not boxes:
        raise ValueError("it takes the size of an image to compute a resolution")
    usual: tuple[float, float] = max(counted, key=lambda size: (counted[size], size), default=(0, 0))
    if frame is not None:
        usual = frame.height, frame.width
    scales = [(h / shape[0], w / shape[1]) for (h, w), shape in boxes.items()]
    return Resolution(
        image_size=usual,
        map_shape=boxes[usual],
        sizes=len(boxes),
        coarsest=max(math.sqrt(down * across) for down, across in scales),
        squeezed=max(max(down / across, across / down) for down, across in scales),
        smallest=smallest_diameter(config),
        mm_per_pixel=mm_per_pixel,
        framed=frame is not None,
        own_shape=as_text(
            input_shape_for([(round(usual[0]), round(usual[1]))], math.prod(config.input_shape))
        ),
    )


def _short(number: float) -> str:
    """Format with two significant digits below 100, else in whole numbers, half up as in the browser."""
    return f"{float(f'{number:.2g}'):g}" if number < 100 else f"{math.floor(number + 0.5):,}"


def _rounded(pixels: float) -> str:
    """Format a length to two digits, without decimals from 10 on."""
    return f"{pixels:.1f}" if pixels < 10 else f"{pixels:,.0f}"


def model_resolution(model: Padim, mm_per_pixel: float | None = None) -> Resolution:
    """Return the resolution of a fitted model for the sizes of its good parts.

    Args:
        model: the model.
        mm_per_pixel: size of an original pixel in mm; default: the model's, if it is known.
    """
    if mm_per_pixel is None:
        mm_per_pixel = model.config.pixel_size_mm
    locator = model.state.fitted.locator
    return resolution_of(
        model.config,
        [normal.original_size for normal in model.normals_],
        frame=None if locator is None else locator.frame,
        mm_per_pixel=mm_per_pixel,
    )
