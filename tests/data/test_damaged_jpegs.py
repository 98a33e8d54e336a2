"""JPEGs with missing data are refused, although Pillow decodes them; sound ones of every kind pass."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from padim.data import jpeg_check
from padim.data.decode import decode
from padim.errors import ImageError
from tests import bombs, hostile

END = b"\xff\xd9"
ROWS, COLUMNS = np.mgrid[0:160, 0:208]
# Shades with grain, as a camera gives: every block has coefficients to lose.
PHOTO = (
    (
        np.stack((ROWS, COLUMNS, 255 - ROWS // 2 - COLUMNS // 2), axis=2)
        + np.random.default_rng(3).normal(0, 8, (160, 208, 1))
    )
    .clip(0, 255)
    .astype(np.uint8)
)


def jpeg(mode: str = "RGB", format: str = "JPEG", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(PHOTO).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def exif_with_thumbnail() -> bytes:
    thumbnail = hostile.encode(PHOTO[::4, ::4], "JPEG")
    directory = struct.pack(">HHHIIHHII", 2, 513, 4, 1, 8 + 6 + 30, 514, 4, 1, len(thumbnail))
    return b"Exif\0\0MM\0*" + struct.pack(">IHI", 8, 0, 14) + directory + struct.pack(">I", 0) + thumbnail


def compressed(data: bytes) -> int:
    """Where the first compressed data begin."""
    at = data.index(b"\xff\xda", _after_metadata(data))
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _after_metadata(data: bytes) -> int:
    return next(start for marker, start, _ in bombs.jpeg_segments(data) if marker == 0xDB)


def markers(data: bytes) -> list[int]:
    """Positions of the markers of all segments after the first, and of the end."""
    found = [(start, end) for _, start, end in bombs.jpeg_segments(data)]
    return [start for start, _ in found[1:]] + [found[-1][1]]


KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "fine": {"quality": 95, "subsampling": 0},
    "coarse": {"quality": 30},
    "4:2:2": {"subsampling": 1},
    "own tables": {"optimize": True},
    "progressive": {"progressive": True},
    "gray": {"mode": "L"},
    "gray progressive": {"mode": "L", "progressive": True},
    "CMYK": {"mode": "CMYK"},
    "CMYK progressive": {"mode": "CMYK", "progressive": True},
    "RGB stored": {"keep_rgb": True},
    "restarts": {"restart_marker_blocks": 4},
    "restarts by row": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
    "thumbnail": {"exif": exif_with_thumbnail()},
}
FILES = {name: jpeg(**options) for name, options in KINDS.items()}


def refused(data: bytes) -> bool:
    try:
        decode(data, "part 7.jpg")
    except ImageError as error:
        return "damaged or cut short" in error.reason
    return False


def pillow_decodes(data: bytes) -> bool:
    try:
        Image.open(BytesIO(data)).load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


# --- sound ---


@pytest.mark.parametrize("kind", KINDS)
def test_sound_jpegs_of_every_kind_pass(kind: str) -> None:
    assert decode(FILES[kind], "a").shape == PHOTO.shape
    for behind in (b"\0" * 1000, FILES["gray"], b"ftypmp42" * 100):
        assert decode(FILES[kind] + behind, "a").shape == PHOTO.shape


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (17, 3), (1, 300)])
@pytest.mark.parametrize("progressive", [False, True])
def test_sound_jpegs_of_every_size_pass(size: tuple[int, int], progressive: bool) -> None:
    data = hostile.encode(PHOTO[: size[0], : size[1]], "JPEG", progressive=progressive)
    assert not jpeg_check.is_damaged(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stray", [b"\0", b"abc", bytes(range(1, 17)), b"\0" * 300], ids=len)
def test_stray_bytes_before_a_marker_pass(kind: str, stray: bytes) -> None:
    for at in markers(FILES[kind]):
        data = FILES[kind][:at] + stray + FILES[kind][at:]
        assert not jpeg_check.is_damaged(data), at


def test_stray_bytes_do_not_hide_what_comes_after_them() -> None:
    for kind in ("baseline", "progressive"):
        data = FILES[kind]
        at = _after_metadata(data)
        cut = data[:at] + b"abc" + data[at : compressed(data) + 2000] + END
        assert pillow_decodes(cut)
        assert refused(cut)
    # Between two scans of a progressive file, with the damage in a later one.
    data = FILES["progressive"]
    scans = [start for marker, start, _ in bombs.jpeg_segments(data) if marker == 0xDA]
    at = data.rindex(b"\xff\xc4", 0, scans[2])
    assert jpeg_check.is_damaged(data[:at] + b"\0\0\0" + data[at : scans[-1] + 200] + END)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
        lambda data: data[:2] + b"\xff\xe2\0\x12ICC_PROFILE\0\5\x09ab" + data[2:],
        lambda data: data[: compressed(data) - 3] + b"\0\0\0" + data[compressed(data) :],
        lambda data: data[:-2] + b"\xff" * 9 + data[-2:],
    ],
    ids=["JFIF version", "color profile", "parameters of the scan", "padding"],
)
def test_harmless_complaints_pass_and_hide_nothing(change: Any) -> None:
    data = change(FILES["baseline"])
    assert data != FILES["baseline"]
    assert decode(data, "a").shape == PHOTO.shape
    assert refused(data[: len(data) // 2] + END)


def test_the_extra_views_of_a_phone_are_not_looked_at() -> None:
    buffer = BytesIO()
    first = Image.fromarray(PHOTO)
    first.save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(PHOTO[::2, ::2])])
    assert decode(buffer.getvalue(), "a").shape == PHOTO.shape
    assert decode(buffer.getvalue()[:-500], "a").shape == PHOTO.shape


def test_lossless_jpegs_never_reach_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would allocate an eighth of the size for them and write the whole."""
    data = bytearray(FILES["baseline"])
    frame = next(start for marker, start, _ in bombs.jpeg_segments(bytes(data)) if marker == 0xC0)
    data[frame + 1] = 0xC3

    def called(*_: object, **__: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr(jpeg_check.simplejpeg, "decode_jpeg", called)
    assert not jpeg_check.is_damaged(bytes(data))
    # A frame that only looks like one, inside metadata, does not count.
    comment = b"\xff\xfe\0\x06\xff\xc0\0\x11"
    assert not jpeg_check.is_damaged(bytes(data[:2]) + comment + bytes(data[2:]))


# --- damaged ---


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_refused(kind: str) -> None:
    data = FILES[kind]
    start = compressed(data)
    seen = 0
    for tenth in range(10):
        cut = data[: start + (len(data) - start) * tenth // 10]
        assert refused(cut)
        assert refused(cut + END)
        seen += pillow_decodes(cut + END)
    assert seen >= 9  # Pillow alone would take them


def lost_blocks(data: bytes, size: int, times: int) -> Iterator[bytes]:
    chance = random.Random(size)
    start = compressed(data)
    for _ in range(times):
        at = chance.randrange(start, len(data) - 2 - size)
        yield data[:at] + data[at + size :]
        yield data[:at] + bytes(size) + data[at + size :]


@pytest.mark.parametrize("kind", KINDS)
def test_lost_blocks_are_refused(kind: str) -> None:
    files = list(lost_blocks(FILES[kind], 512, 50))
    assert len(files) == 100
    assert sum(map(refused, files)) >= 97


# Of 200 single flipped bits in the compressed data, how many are told at least: most only change pixels.
@pytest.mark.parametrize(("kind", "least"), [("baseline", 10), ("fine", 40), ("progressive", 30)])
def test_some_flipped_bits_are_refused(kind: str, least: int) -> None:
    chance = random.Random(11)
    data = FILES[kind]
    told = 0
    for _ in range(200):
        bit = chance.randrange(compressed(data) * 8, (len(data) - 2) * 8)
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        told += refused(bytes(flipped))
    assert least <= told < 150


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(KINDS)), st.floats(0, 0.98), st.booleans())
def test_any_cut_is_refused(kind: str, share: float, closed: bool) -> None:
    data = FILES[kind]
    start = compressed(data)
    cut = data[: start + int((len(data) - start) * share)]
    assert refused(cut + END if closed else cut)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.integers(2, 6000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_whatever_is_wrong_is_decided_without_an_error(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[kind])
    for at, value in changes:
        data[at % len(data)] = value
    assert jpeg_check.is_damaged(bytes(data)) in (True, False)
    assert jpeg_check.is_damaged(bytes(data[: len(data) // 2])) in (True, False)
