"""Bit depth of images deeper than 8 bits: which range their values have, and the step from it to 8 bits.

Cameras of 10, 12 and 14 bits write 16-bit files. Read over the full range of 16 bits, 12-bit data keeps 16 of
its 4,096 levels, and faint defects vanish. The range is therefore

1. what the file's metadata declare (:class:`Samples`), or else
2. what the user says: the setting ``bit_depth``.

The values alone only propose a range, because a dark set of true 16-bit images stays low, too
(:func:`settle`). A model has one range for all its images; an image above it is refused, never clipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from padim.errors import InputError

__all__ = [
    "AS_PROPOSED",
    "COMMON",
    "FULL",
    "BitDepthQuestion",
    "OtherDepth",
    "Samples",
    "choices",
    "proposed",
    "range_note",
    "settle",
    "to_levels",
]

# The bits of a 16-bit file's full range, and the depths of cameras that are stored in such files.
FULL = 16
COMMON = (10, 12, 14, 16)
# In place of a bit depth: scale an image without metadata by what its own values propose. For previews only,
# before the user has answered; never for fits and scores, where brightness must mean the same in each image.
AS_PROPOSED = -1

_MOST_NAMES = 3
# A set uses the full range if more than this share of its images do: a hot pixel or an overlay in one image
# of twenty says nothing about the others.
_FEW = 0.25


class OtherDepth(ValueError):
    """An image's values or metadata contradict the bit depth asked for; the message is the reason."""


@dataclass(frozen=True)
class Samples:
    """Integer samples of an image file that are deeper than 8 bits.

    Attributes:
        largest: the largest value; for colours of the full range possibly less, but above 14 bits as well.
        bits: bits of the samples' type: 16, or fewer where the type itself is the declared depth.
        declared: the bit depth that the metadata declare; None if they declare none.
        by: the name of these metadata: "sBIT", "MaxSampleValue" ...
        maybe_full: whether the values may as well be scaled to the full 16 bits, as the PNG specification has
            it for files with an sBIT chunk. Some writers do so, others store the camera's values.
        top: the value of white where it is no power of two less one (a PGM's maxval); None otherwise.
        signed: whether the type is signed; its full range is then the positive half.
    """

    largest: int
    bits: int = FULL
    declared: int | None = None
    by: str = ""
    maybe_full: bool = False
    top: int | None = None
    signed: bool = False

    def white(self, bit_depth: int | None) -> int:
        """Return the value that becomes 255.

        Args:
            bit_depth: the model's bit depth; None for what the file declares, or else the full range of its
                type; ``AS_PROPOSED`` for what it declares, or else what its values propose.

        Raises:
            OtherDepth: the image does not have this bit depth.
        """
        if bit_depth is None or bit_depth == AS_PROPOSED:
            guess = proposed(self.largest) if bit_depth == AS_PROPOSED else FULL
            depth = guess if self.declared is None else self.declared
        else:
            self._check(bit_depth)
            depth = self.declared if self.of_format and self.declared is not None else bit_depth
        if self.top is not None:
            return self.top
        white = (1 << depth) - 1
        if self.largest > white:
            raise OtherDepth(
                f"has values up to {self.largest:,}, above {white:,}, the largest of the {depth} bits "
                f"{f'that its {self.by} declares' if bit_depth in (None, AS_PROPOSED) else 'of the model'}; "
                + (
                    "correct its metadata"
                    if bit_depth in (None, AS_PROPOSED)
                    else f"take it with the same camera setting, or fit a new model with bit_depth="
                    f"{proposed(self.largest)}"
                )
            )
        return white >> 1 if self.signed and depth == FULL else white

    @property
    def of_format(self) -> bool:
        """Whether the file's format itself defines the range: white is white without any metadata."""
        return self.top is not None or self.bits < FULL

    def _check(self, depth: int) -> None:
        if self.declared in (None, depth) or (depth == FULL and (self.maybe_full or self.of_format)):
            return
        raise OtherDepth(
            f"declares {self.declared} bits ({self.by}), but the model reads {depth} bits; take it with the "
            f"camera setting of the others, or fit a new model with bit_depth={self.declared}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary for JSON."""
        return asdict(self)


def to_levels(values: npt.NDArray[Any], white: int, *, overwrite: bool = False) -> npt.NDArray[np.uint8]:
    """Scale integers from 0 to ``white`` to 8 bits, in 256 steps of equal width: 0 is 0 and white is 255.

    Of 16 bits these are the upper 8 (``value >> 8``), of 12 bits ``value >> 4``: an 8-bit image that was
    stored in more bits, as ``value * 257`` or ``value << 4 | value >> 4``, comes back exactly, and models
    fitted on 16-bit images before there was a bit depth keep their scores. Rounding to the nearest of
    ``value * 255 / white`` would do neither.

    Args:
        values: non-negative integers up to ``white``, of any shape.
        white: the value that becomes 255.
        overwrite: whether the values may be overwritten, which saves memory.

    Returns:
        uint8, of the same shape; never decreasing in the value.
    """
    steps = white + 1
    if steps & white == 0:
        shift = white.bit_length() - 8
        if shift < 0:
            return (values << -shift).astype(np.uint8)
        return np.right_shift(values, shift, out=values if overwrite else None).astype(np.uint8)
    return (values.astype(np.uint32) * 256 // steps).astype(np.uint8)


def proposed(largest: int) -> int:
    """Return the smallest of the usual depths (8, 10, 12, 14, 16 bits) that contains the value."""
    return next((depth for depth in (8, *COMMON) if largest < 1 << depth), FULL)


def choices(largest: int) -> tuple[int, ...]:
    """Return the usual depths that contain a value, smallest first: the possible answers to the question."""
    return tuple(depth for depth in (8, *COMMON) if depth >= proposed(largest))


@dataclass(frozen=True)
class BitDepthQuestion:
    """What the user is to be asked about 16-bit images whose metadata declare no range.

    Attributes:
        largest: their largest value.
        images: their number.
        name: the name of one of them.
        proposed: the bit depth that is probably right.
        typical: the largest value of all but a few images that need a greater depth; 0 if none do.
        above: the names of these few.
    """

    largest: int
    images: int
    name: str
    proposed: int
    typical: int = 0
    above: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The question in one or two sentences."""
        these = "These 16-bit images use" if self.images > 1 else "This 16-bit image uses"
        if self.above:
            return (
                f"{these} values up to {self.typical:,}, but {_some(list(self.above))} up to "
                f"{self.largest:,}. Which range do they have?"
            )
        return f"{these} values up to {self.largest:,}. Which range do they have?"

    @property
    def choices(self) -> tuple[int, ...]:
        """The possible answers, smallest first; images above the range that is chosen are refused."""
        return choices(self.typical or self.largest)

    def error(self) -> InputError:
        """Return the error that names the remedy, where nobody can be asked."""
        if self.above:
            low, high = self.choices[0], self.proposed
            return InputError(
                f"the 16-bit images without metadata ({self.images:,}, first {self.name}) use values up to "
                f"{self.typical:,}, but {_some(list(self.above))} up to {self.largest:,}; say which range "
                f"they have: --bit-depth {low}, which refuses the images above it, or --bit-depth {high} "
                f"(in Python bit_depth={low} or bit_depth={high})"
            )
        return InputError(
            f"the 16-bit images without metadata ({self.images:,}, first {self.name}) use values up to "
            f"{self.largest:,} only, so that they are probably {self.proposed}-bit data in 16-bit files; say "
            f"which range they have: --bit-depth {self.proposed} or, if they are dark images of the full "
            f"range, --bit-depth {FULL} (in Python bit_depth={self.proposed} or bit_depth={FULL})"
        )


def settle(found: Iterable[tuple[str, Samples | None]]) -> int | BitDepthQuestion | None:
    """Decide the bit depth of a set of images from what their files say.

    Args:
        found: name and samples of each image; None for those of 8 bits, which fit any depth.

    Returns:
        The bit depth; None if no image is deeper than 8 bits; or the question where metadata leave it open
        and the values would propose less than the full range, or only few images use that.

    Raises:
        InputError: the images declare different depths; the message names some of each.
    """
    deep = [(name, samples) for name, samples in found if samples is not None]
    if not deep:
        return None
    # One value above its sBIT shows that a writer scales to the full range, as the PNG specification has it.
    scaled = any(one.by == "sBIT" and one.declared == FULL for _, one in deep)
    by_depth: dict[int, list[str]] = {}
    open_ones: list[tuple[str, Samples]] = []
    for name, one in deep:
        if one.declared is None:
            open_ones.append((name, one))
        else:
            depth = FULL if scaled and one.maybe_full else one.declared
            by_depth.setdefault(depth, []).append(name)
    if len(by_depth) > 1:
        listed = "; ".join(f"{depth} bits: {_some(by_depth[depth])}" for depth in sorted(by_depth))
        raise InputError(
            f"the images declare different bit depths ({listed}); fit on images of one camera setting"
        )
    declared = next(iter(by_depth), None)
    if not open_ones:
        return declared
    largest = max(one.largest for _, one in open_ones)
    guess = proposed(largest)
    if declared is not None and guess > declared:
        above = [name for name, one in open_ones if one.largest >= 1 << declared]
        raise InputError(
            f"some images declare {declared} bits ({_some(by_depth[declared])}), others have values up to "
            f"{largest:,} ({_some(above)}); fit on images of one camera setting"
        )
    by_value = sorted(one.largest for _, one in open_ones)
    typical = by_value[-1 - int(_FEW * len(by_value))]
    if declared is not None or proposed(typical) == guess:
        return (
            FULL
            if guess == FULL
            else BitDepthQuestion(largest, len(open_ones), open_ones[0][0], declared or guess)
        )
    few = tuple(name for name, one in open_ones if one.largest >= 1 << proposed(typical))
    typical = max(one.largest for name, one in open_ones if one.largest < 1 << proposed(typical))
    return BitDepthQuestion(largest, len(open_ones), open_ones[0][0], guess, typical, few)


def range_note(samples: Samples | None, bit_depth: int | None) -> tuple[str, ...]:
    """Return what is to be said of an image whose range nobody has told, as sentences; empty if nothing is.

    Args:
        samples: the image's samples; None for an image of 8 bits.
        bit_depth: the model's bit depth; None if it was fitted on 8-bit images.
    """
    if bit_depth is not None or samples is None or samples.declared is not None:
        return ()
    depth = proposed(samples.largest)
    if depth == FULL:
        return ()
    return (
        f"The image has 16-bit values up to {samples.largest:,} and does not declare their range, which may "
        f"be {depth} bits; it is read over the full 16 bits, and the good parts have 8.",
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES:,} more"
