"""Health check: resolution, range of values, repeat shots, and images unlike the others in light or focus.

Everything here is computed from the thumbnails of the good parts in the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from padim.analysis.health_findings import Finding, Remedy, percent
from padim.analysis.pose_spread import good_images
from padim.analysis.resolution import MOST_REDUCED, MOST_SQUEEZED, model_resolution
from padim.data.common_position import share_position
from padim.data.decode import decode
from padim.data.grouping import fingerprint, near_identical
from padim.text import count

if TYPE_CHECKING:
    from padim.data.loading import Watch
    from padim.model import Padim

__all__ = ["ImageFigures", "image_findings", "measured_images"]

RGB = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]

# An image is odd beyond so many robust standard deviations from the median: of a normal distribution two in a
# thousand million are, and of distributions with heavy tails still few ...
_ODD = 6.0
# ... and by at least so much, below which the decision does not change: 12 gray levels of mean brightness are
# the smallest change that the light check counts, and half an octave of sharpness is hardly visible.
_GRAY_LEVELS, _OCTAVES = 12.0, 0.5
# Images whose brightest places stay below a quarter of the range have lost two of their eight bits.
_DARK = 64
# Images measured; more take longer, and an odd one among thousands is found in the ranking of good parts.
_MOST = 300
_FEWEST = 5
# The sizes to recommend end here: larger ones take minutes to fit.
_LARGEST_INPUT = 512


@dataclass(frozen=True)
class ImageFigures:
    """Figures of the good parts' images.

    Attributes:
        indices: the images measured, as indices into ``model.normals_``.
        brightness: mean gray level of each, 0 to 255: float64 ``(n,)``.
        sharpness: binary logarithm of the ratio of fine to coarse contrast of each: float64 ``(n,)``.
        highest: the 99.9th percentile of each image's values: float64 ``(n,)``.
        prints: fingerprints, float32 ``(n, 1024)``.
    """

    indices: tuple[int, ...]
    brightness: Doubles
    sharpness: Doubles
    highest: Doubles
    prints: npt.NDArray[np.float32]


def measured_images(model: Padim, watch: Watch) -> ImageFigures:
    """Measure the images of the good parts, from their thumbnails.

    Raises:
        Cancelled: the user stopped it.
    """
    every = good_images(model)
    n = len(every)
    indices = [every[i * n // _MOST] for i in range(_MOST)] if n > _MOST else every
    figures, prints = [], []
    for done, index in enumerate(indices):
        watch.step(done, len(indices), "Looking at brightness and sharpness")
        rgb = decode(model.working_set.thumbnail(index), model.normals_[index].name)
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        figures.append((float(gray.mean()), _sharpness(gray), float(np.percentile(rgb, 99.9))))
        prints.append(fingerprint(rgb))
    brightness, sharpness, highest = np.array(figures, np.float64).reshape(-1, 3).T
    return ImageFigures(
        tuple(indices), brightness, sharpness, highest, np.array(prints, np.float32).reshape(len(prints), -1)
    )


def _sharpness(gray: npt.NDArray[np.float32]) -> float:
    """Return log2 of the contrast at one pixel relative to that at four: falls when an image is blurred."""
    fine = gray - cv2.GaussianBlur(gray, (0, 0), 1)
    coarse = cv2.GaussianBlur(gray, (0, 0), 2) - cv2.GaussianBlur(gray, (0, 0), 6)
    return float(np.log2((float(fine.std()) + 0.1) / (float(coarse.std()) + 0.1)))


def image_findings(model: Padim, figures: ImageFigures) -> list[Finding]:
    """Return the findings on resolution, bit depth, repeat shots and odd images."""
    return [
        _resolution(model),
        _bit_depth(model, figures),
        _repeat_shots(model, figures),
        _odd_images(model, figures),
    ]


def _resolution(model: Padim) -> Finding:
    found, config = model_resolution(model), model.config
    sentence = f"A map pixel shows {found.map_pixel_text}; expect defects from {found.smallest_text}."
    figures = {"coarsest": found.coarsest, "squeezed": found.squeezed}
    if found.squeezed > MOST_SQUEEZED and not found.framed:
        return Finding(
            "resolution",
            "amber",
            f"{found.warnings[0]}",
            Remedy(
                f"Fit a second model with an input of the images' own shape, {found.own_shape}.",
                {"input_size": found.own_shape},
            ),
            figures,
        )
    side = max(config.input_shape)
    if found.coarsest > MOST_REDUCED and side < _LARGEST_INPUT:
        shape = [min(_LARGEST_INPUT, 2 * length) for length in config.input_shape]
        text = " x ".join(map(str, shape))
        return Finding(
            "resolution",
            "amber",
            f"{sentence} Images are reduced {found.coarsest:.1f} : 1, so that smaller defects are lost.",
            Remedy(f"Fit a second model with an input of {text} pixels.", {"input_size": shape}),
            figures,
        )
    if found.warnings:
        return Finding(
            "resolution",
            "amber",
            found.warnings[0],
            Remedy("Inspect less at once: a closer camera, or a tighter frame.", action="take images"),
            figures,
        )
    return Finding("resolution", "green", sentence, None, figures)


def _bit_depth(model: Padim, figures: ImageFigures) -> Finding:
    depth = model.config.bit_depth
    highest = float(figures.highest.max()) if len(figures.highest) else 255.0
    values = {"bit_depth": depth, "highest_of_255": highest}
    if highest >= _DARK:
        what = "8 bits" if depth is None else f"{depth} bits, scaled to 8,"
        return Finding("bit depth", "green", f"Images are read with {what} and use the range.", None, values)
    share = f"{percent((highest + 1) / 256)} of the range from black to white"
    if depth is None or depth <= 8:
        return Finding(
            "bit depth",
            "amber",
            f"The images use only {share}: faint defects are lost in the rounding.",
            Remedy("Take the images with more light or a longer exposure.", action="take images"),
            values,
        )
    used = max(8, int(np.ceil(depth + np.log2((highest + 1) / 256))))
    return Finding(
        "bit depth",
        "amber",
        f"The images use only {share} of {depth} bits: they probably have {used} bits.",
        Remedy(f"Fit a second model that reads the images as {used} bits.", {"bit_depth": used}),
        values,
    )


def _repeat_shots(model: Padim, figures: ImageFigures) -> Finding:
    normals, indices = model.normals_, figures.indices
    parts = len({normals[i].group for i in indices})
    alike = near_identical(figures.prints) if len(indices) else []
    # Where the parts lie anywhere, two that lie the same way look like shots of one.
    if alike and not share_position(figures.prints, alike):
        alike = []
    apart = [rows for rows in alike if len({normals[indices[row]].group for row in rows}) > 1]
    values = {"parts": parts, "images": len(indices), "groups_apart": len(apart)}
    if apart:
        names = tuple(normals[indices[row]].name for row in apart[0])
        total = sum(map(len, apart))
        return Finding(
            "repeat shots",
            "amber",
            f"{total:,} images look like repeat shots of {count(len(apart), 'part')}, such as {names[0]} and "
            f"{names[1]}, but count as different parts: the threshold is then too low, and more good parts "
            "are rejected than promised.",
            Remedy("Say which images show the same part.", None, "group", names),
            values,
        )
    shots = "no repeat shots among them" if parts == len(indices) else "repeat shots are grouped"
    return Finding(
        "repeat shots",
        "green",
        f"{count(len(indices), 'image')} of {count(parts, 'part')}; {shots}.",
        None,
        values,
    )


def _odd_images(model: Padim, figures: ImageFigures) -> Finding:
    found: dict[str, str] = {}
    for row in _outliers(figures.brightness, _GRAY_LEVELS):
        darker = figures.brightness[row] < np.median(figures.brightness)
        found[model.normals_[figures.indices[row]].name] = "darker" if darker else "brighter"
    for row in _outliers(figures.sharpness, _OCTAVES):
        blurred = figures.sharpness[row] < np.median(figures.sharpness)
        name = model.normals_[figures.indices[row]].name
        found.setdefault(name, "less sharp" if blurred else "sharper")
    values = {"odd": [{"name": name, "how": how} for name, how in found.items()]}
    if not found:
        return Finding(
            "odd images", "green", "All good parts are about equally bright and sharp.", None, values
        )
    name, how = next(iter(found.items()))
    return Finding(
        "odd images",
        "amber",
        f"{count(len(found), 'image')} differ{'s' if len(found) == 1 else ''} from the others in brightness "
        f"or sharpness, such as {name}, which is much {how}.",
        Remedy(
            "Look at these images, and exclude those that production will not have.",
            None,
            "review",
            tuple(found),
        ),
        values,
    )


def _outliers(values: Doubles, least: float) -> Sequence[int]:
    """Return the rows far from the median, farthest first."""
    if len(values) < _FEWEST:
        return []
    distance = np.abs(values - np.median(values))
    limit = max(least, _ODD * 1.4826 * float(np.median(distance)))
    return [int(row) for row in np.argsort(-distance) if distance[row] > limit]
