"""Decide from fingerprints whether the parts of a set share a position, as repeat-shot proposals require.

In a set whose parts lie anywhere (screws dropped on a belt), two images are alike when the two parts happen
to lie the same way, which says nothing about whether they are the same part. Such a set shows itself when its
images are registered to one another: two parts in different positions disagree as they are, and agree once
one of them is turned and moved. Aligned parts agree as they are; textures without an outline never do.

The registration is a search over rotations in steps of 10 degrees and all shifts, on fingerprints of 32 x 32
pixels. Measured, share of the disagreement that it removes: aligned parts and textures 0 to .30 (bottles 0,
magnetic tiles .18), parts shifted by 2 % and turned by 5 degrees .43, parts in any position .7 to .9.

Limits: parts of which each shows another face, or which touch the border, agree less once registered; images
that are not square are turned in their stretched fingerprints, which costs some agreement (.7 at 16 : 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

__all__ = ["share_position"]

Floats = npt.NDArray[np.float32]

# The share of the disagreement of two images that a registration may remove in a set of aligned parts.
MAX_REMOVED = 0.4
# The agreement (cosine) that two registered images of one product reach at least; textures, whose best match
# is chance, reach .26, and parts with an outline .7 to .95.
MIN_REGISTERED = 0.5
# The gain of agreement below which a registration found noise: aligned parts agree to .97 as they are.
MIN_GAIN = 0.05

_STEP = 10  # degrees between trial rotations
_PAIRS = 40  # pairs of images that are registered; more give the same median


def share_position(prints: Floats, groups: Iterable[Sequence[int]] = ()) -> bool:
    """Return whether the parts lie the same way in the images, or have no outline by which to tell.

    Args:
        prints: float32 ``(n, side * side)``, from :func:`padim.data.grouping.fingerprint`.
        groups: images that may show one part, as indices; each group counts by its first image, because
            shots of one part share its position in any set.
    """
    repeated = {i for group in groups for i in sorted(group)[1:]}
    different = [i for i in range(len(prints)) if i not in repeated and prints[i].any()]
    if len(different) < 2:
        return True
    # Evenly over all, because images are often in order of time; each is paired with the next one chosen.
    count = min(_PAIRS, len(different))
    chosen = [different[i * len(different) // count] for i in range(count)]
    side = round(prints.shape[1] ** 0.5)
    images = prints[chosen].reshape(count, side, side)
    as_they_are = np.sum(images * np.roll(images, -1, axis=0), axis=(1, 2))
    registered = np.maximum(_registered(images, np.roll(images, -1, axis=0)), as_they_are)
    agreement, best = float(np.median(as_they_are)), float(np.median(registered))
    gain = best - agreement
    return best < MIN_REGISTERED or gain < MIN_GAIN or gain <= MAX_REMOVED * (1 - agreement)


def _registered(images: Floats, others: Floats) -> Floats:
    """Return the largest cosine of each image, turned and moved, with its other one, float32 ``(n,)``.

    Args:
        images, others: float32 ``(n, side, side)``, each of norm 1.
    """
    count, side, _ = images.shape
    best = np.full(count, -1, np.float32)
    # Padded, so that what is moved out at one border does not come in at the other.
    size = (2 * side, 2 * side)
    spectrum = fft.rfft2(others, s=size)
    middle = ((side - 1) / 2, (side - 1) / 2)
    for angle in range(0, 360, _STEP):
        matrix = cv2.getRotationMatrix2D(middle, angle, 1)
        turned = np.stack([cv2.warpAffine(image, matrix, (side, side)) for image in images])
        norm = np.linalg.norm(turned, axis=(1, 2))
        correlation = fft.irfft2(np.conj(fft.rfft2(turned, s=size)) * spectrum, s=size).max(axis=(1, 2))
        best = np.maximum(best, correlation / np.maximum(norm, 1e-6))
    return best
