"""Read the first directory of a TIFF: its compression, and whether one image of known channels is in it.

Some programs store a stack of slices in one directory, where every reader sees the first slice only, or more
channels than colors. Such files are refused with what can be done: a part must not be accepted by a part of
its data.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_ENTRIES = 4096
_MOST_TEXT = 1_000_000
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_DESCRIPTION, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 270, 277, 338, 339
_DEPTH, _METAMORPH_PLANES = 32997, 33629
_WANTED = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION, _SAMPLES, _EXTRA_SAMPLES),
    *(_SAMPLE_FORMAT, _DEPTH, _METAMORPH_PLANES),
}

# Compressions that libtiff reads, as Pillow brings it, and those that the extra `formats` reads.
_PLAIN = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34925, 50000))
_BY_EXTRA = frozenset((22610, 33003, 33004, 33005, 34712, 34887, 34933, 34934, 50001, 50002, 52546))
# Number of color channels by photometric interpretation; of others nothing is said.
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
_TRANSPARENCY = (1, 2)

_STACK = "; save the slice or channel to be inspected as an image of its own"


@dataclass(frozen=True)
class Directory:
    """What is read of the first directory.

    Attributes:
        numbers: the values of tags that hold integers.
        counts: the number of values of each tag.
        description: the image description.
        further: whether other directories follow.
    """

    numbers: dict[int, tuple[int, ...]]
    counts: dict[int, int]
    description: str
    further: bool

    def number(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return self.numbers.get(tag, (default,))[0]

    @property
    def compression(self) -> int:
        """The number of the compression; 1 is none."""
        return self.number(_COMPRESSION, 1)

    @property
    def needs_extra(self) -> bool:
        """Whether the extra `formats` is needed, and suffices as far as the header tells."""
        bits = self.number(_BITS, 1)
        gray = self.number(_SAMPLES, 1) == 1
        half = bits == 16 and self.number(_SAMPLE_FORMAT, 1) == 3
        packed = 8 < bits < 16 and not (bits == 12 and gray and self.compression != 7)
        return self.compression in _BY_EXTRA or half or packed


def directory(data: bytes) -> Directory | None:
    """Read the first directory of a classic or a big TIFF; None if it is cut short or too long."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        big = 43 in data[2:4]
        at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        entries = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
        if entries > _MOST_ENTRIES:
            return None
        at += 8 if big else 2
        numbers: dict[int, tuple[int, ...]] = {}
        counts: dict[int, int] = {}
        description = ""
        for tag, kind, count, place in _entries(data, at, entries, order, big):
            if tag not in _WANTED or tag in counts:
                continue
            counts[tag] = count
            if tag == _DESCRIPTION and kind == 2:
                description = data[place : place + min(count, _MOST_TEXT)].decode("utf-8", "replace")
            elif kind in _FORMATS and count:
                numbers[tag] = struct.unpack_from(f"{order}{min(count, 64)}{_FORMATS[kind]}", data, place)
        end = at + entries * (20 if big else 12)
        (further,) = struct.unpack_from(order + ("Q" if big else "I"), data, end)
    except struct.error:
        return None
    return Directory(numbers, counts, description, bool(further))


def _entries(
    data: bytes, at: int, entries: int, order: str, big: bool
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (tag, type, number of values, position of the values) of the entries of a directory."""
    form, length, room = (order + "HHQ", 20, 8) if big else (order + "HHI", 12, 4)
    for entry in range(at, at + entries * length, length):
        tag, kind, count = struct.unpack_from(form, data, entry)
        place = entry + length - room
        if count * _SIZES.get(kind, 8) > room:
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
        yield tag, kind, count, place


def refusal(found: Directory) -> str:
    """Return why a TIFF with this directory cannot be used as one image; empty if it can."""
    slices = _slices(found)
    if slices > 1:
        return f"is a stack of {slices} images in one{_STACK}"
    extra = _extra_channels(found)
    if extra:
        return extra
    if found.compression not in _PLAIN | _BY_EXTRA:
        number = found.compression
        return f"has the compression {number}, which is not supported; save it uncompressed or as PNG"
    return ""


def _slices(found: Directory) -> int:
    """Return the number of slices that the one directory says it stands for."""
    slices = max(found.number(_DEPTH, 1), found.counts.get(_METAMORPH_PLANES, 1))
    if found.further:
        return slices  # the slices have directories of their own, which are counted elsewhere
    text = found.description
    if text.startswith("ImageJ="):
        stated = re.search(r"^images=(\d{1,9})", text, re.MULTILINE)
        return max(slices, int(stated[1]) if stated else 1)
    if text.startswith('{"shape":'):  # as tifffile writes it
        try:
            shape = json.loads(text.rstrip("\0"))["shape"]
            total = 1
            for side in shape:
                total *= int(side)
        except (ValueError, TypeError, KeyError, RecursionError):
            return slices
        pixels = found.number(_WIDTH, 1) * found.number(_HEIGHT, 1) * found.number(_SAMPLES, 1)
        return max(slices, total // max(1, pixels))
    return slices


def _extra_channels(found: Directory) -> str:
    """Return why the channels beside the colors cannot be used; empty if there are none but transparency."""
    samples = found.number(_SAMPLES, 1)
    colors = _COLORS.get(found.number(_PHOTOMETRIC, 1))
    if colors is None or samples <= colors:
        return ""
    kinds = found.numbers.get(_EXTRA_SAMPLES, ())
    if samples == colors + 1 and kinds[:1] and kinds[0] in _TRANSPARENCY:
        return ""
    return (
        f"has {samples} channels, of which {samples - colors} are neither color nor transparency; "
        "save the channels to be inspected as a gray or an RGB image"
    )
