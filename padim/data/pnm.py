"""Read PBM, PGM, PPM, PAM and PFM files, the plain formats of machine vision cameras and scientific tools.

Pillow reads most of them, but 12-bit files sample by sample in Python, and no PAM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.data.refusal import Refusal

# Numbers of a header, with comments between them.
_NUMBER = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*(\d+)")
_FLOAT = re.compile(rb"\s*(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)")
_PAM_LINE = re.compile(rb"[ \t]*(?:#[^\n]*|(\w+)(?:[ \t]+([^\n]*?))?)?[ \t\r]*\n")
_MOST_LINES = 200
# By the first two bytes: channels, and whether the samples are written as text.
_CHANNELS = {b"P1": 1, b"P2": 1, b"P3": 3, b"P4": 1, b"P5": 1, b"P6": 3}
_TEXT = (b"P1", b"P2", b"P3")
_ALPHA = {b"BLACKANDWHITE_ALPHA": 2, b"GRAYSCALE_ALPHA": 2, b"RGB_ALPHA": 4}
_OPAQUE = {b"BLACKANDWHITE": 1, b"GRAYSCALE": 1, b"RGB": 3}


@dataclass(frozen=True)
class PnmHeader:
    """The header of a PNM file.

    Attributes:
        magic: its first two bytes.
        size: (width, height) in pixels.
        channels: number of channels.
        top: the value of white; 0 for floating-point numbers.
        alpha: whether the last channel is transparency.
        data: position of the first sample.
        big_endian: byte order of floating-point numbers.
    """

    magic: bytes
    size: tuple[int, int]
    channels: int
    top: int
    alpha: bool
    data: int
    big_endian: bool = True

    @property
    def text(self) -> bool:
        """Whether the samples are written as text."""
        return self.magic in _TEXT

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return 4 if self.top == 0 else 1 if self.top < 256 else 2

    @property
    def length(self) -> int:
        """Number of bytes of all samples; of a file that is written as text, the least number."""
        width, height = self.size
        if self.magic == b"P4":
            return (width + 7) // 8 * height
        return width * height * self.channels * (1 if self.text else self.sample_bytes)


def header(data: bytes) -> PnmHeader:
    """Read the header of a PNM file.

    Raises:
        Refusal: the header is of a kind that is not used, or has values that make no sense.
        IndexError: the file ends within its header.
    """
    magic = data[:2]
    if magic == b"P7":
        return _pam(data)
    if magic in (b"Pf", b"PF"):
        return _pfm(data)
    numbers, at = [], 2
    for _ in range(2 if magic in (b"P1", b"P4") else 3):
        found = _NUMBER.match(data, at)
        if found is None:
            raise IndexError("the header is cut short")
        numbers.append(int(found[1][:10]))
        at = found.end()
    width, height, *rest = numbers
    return PnmHeader(magic, (width, height), _CHANNELS[magic], _top(rest[0] if rest else 1), False, at + 1)


def _top(value: int) -> int:
    if not 0 < value < 65536:
        raise Refusal(f"declares {value} as its largest value, where 1 to 65535 is possible; save it as PNG")
    return value


def _pam(data: bytes) -> PnmHeader:
    found: dict[bytes, bytes] = {}
    at = data.index(b"\n") + 1 if b"\n" in data[:64] else len(data)
    for _ in range(_MOST_LINES):
        line = _PAM_LINE.match(data, at)
        if line is None:
            break
        at = line.end()
        if line[1] == b"ENDHDR":
            width, height, depth, top = (
                int(found.get(key, b"0").split()[0][:10] or 0)
                for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
            )
            kind = found.get(b"TUPLTYPE", b"").strip().upper()
            known = _ALPHA.get(kind) or _OPAQUE.get(kind)
            if known not in (None, depth) or (known is None and depth not in (1, 3)):
                named = kind.decode("ascii", "replace") or "of no TUPLTYPE"
                raise Refusal(
                    f"is a PAM file of {depth} channels ({named}); save the channels to be inspected as a "
                    "gray or an RGB image"
                )
            return PnmHeader(b"P7", (width, height), depth, _top(top), kind in _ALPHA, at)
        if line[1]:
            found[line[1]] = line[2] or b""
    raise IndexError("the header is cut short")


def _pfm(data: bytes) -> PnmHeader:
    numbers, at = [], 2
    for _ in range(3):
        found = _FLOAT.match(data, at)
        if found is None:
            raise IndexError("the header is cut short")
        numbers.append(float(found[1][:20]))
        at = found.end()
    width, height, scale = numbers
    channels = 3 if data[:2] == b"PF" else 1
    return PnmHeader(data[:2], (int(width), int(height)), channels, 0, False, at + 1, scale > 0)


def read(data: bytes, head: PnmHeader) -> npt.NDArray[np.uint8 | np.uint16 | np.float32]:
    """Return the samples of a PNM file: uint8, uint16 or float32 (h, w, channels), in their own range.

    Raises:
        Refusal: the file contains several images, or values above the declared largest.
        ValueError: the file is cut short or damaged.
    """
    width, height = head.size
    count = width * height * head.channels
    samples: npt.NDArray[np.uint8 | np.uint16 | np.float32]
    if head.text:
        samples = _of_text(data, head, count)
    elif len(data) < head.data + head.length:
        raise ValueError("the file is cut short")
    else:
        if re.match(rb"P[1-7]\s", data[head.data + head.length :][:3]):
            raise Refusal("holds several images; save the one to be inspected as an image of its own")
        if head.magic == b"P4":
            rows = np.frombuffer(data, np.uint8, head.length, head.data).reshape(height, -1)
            samples = 1 - np.unpackbits(rows, axis=1, count=width)  # a set bit is black
        else:
            order = ">" if head.big_endian else "<"
            kind = {1: "u1", 2: ">u2", 4: f"{order}f4"}[head.sample_bytes]
            samples = np.frombuffer(data, kind, count, head.data)
            samples = samples.astype(samples.dtype.newbyteorder("="))
    if head.top and samples.size and int(samples.max()) > head.top:
        raise Refusal(
            f"has values up to {int(samples.max())}, above {head.top}, which it declares as its largest; "
            "save it anew"
        )
    pixels = samples.reshape(height, width, head.channels)
    return pixels[::-1] if head.top == 0 else pixels  # PFM begins with the lowest row


def _of_text(data: bytes, head: PnmHeader, count: int) -> npt.NDArray[np.uint8 | np.uint16]:
    body = re.sub(rb"#[^\r\n]*", b"", data[head.data :])
    if head.magic == b"P1":  # digits need no space between them
        digits = np.frombuffer(body, np.uint8)
        bits = digits[(digits == ord("0")) | (digits == ord("1"))]
        if len(bits) != count:
            raise ValueError("the file is cut short or damaged")
        return (ord("1") - bits).astype(np.uint8)
    if re.search(rb"[^0-9\s]", body):
        raise ValueError("the file is damaged")
    # Counted first: of too few numbers, NumPy returns as many as asked for, the last of them never written.
    digit = np.frombuffer(b" " + body, np.uint8) >= ord("0")
    if int(np.count_nonzero(digit[1:] & ~digit[:-1])) < count:
        raise ValueError("the file is cut short")
    numbers = np.fromstring(body, np.int64, count, sep=" ") if count else np.zeros(0, np.int64)
    if count and not 0 <= int(numbers.min()) <= int(numbers.max()) <= head.top:
        raise Refusal(f"has values outside of 0 to {head.top}, which its header declares; save it anew")
    return numbers.astype(np.uint8 if head.top < 256 else np.uint16)
