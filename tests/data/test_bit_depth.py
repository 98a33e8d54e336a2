"""Bit depth: the step to 8 bits, what files declare, what values propose, and what is refused."""

from __future__ import annotations

import importlib
import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.data import bit_depth, decode_limits, image_headers
from padim.data.bit_depth import BitDepthQuestion, Samples, proposed, settle, to_levels
from padim.data.decode import decode, decoded
from padim.data.depth_survey import bit_depth_of
from padim.data.inputs import as_images
from padim.data.sources import UploadSource
from padim.data.survey import survey
from padim.errors import ImageError, InputError
from tests import hostile
from tests.data.test_formats import needs_extra

DEPTHS = range(8, 17)
RNG = np.random.default_rng(12)
TWELVE = RNG.integers(0, 4096, (5, 7)).astype(np.uint16)
TWELVE[0, :2] = 0, 4095
COLOR = RNG.integers(0, 4096, (5, 7, 3)).astype(np.uint16)


def sbit(*bits: int) -> bytes:
    return hostile.png_chunk(b"sBIT", bytes(bits))


def gray(levels: Any) -> npt.NDArray[np.uint8]:
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=2)


def samples(data: bytes, depth: int | None = None) -> Samples | None:
    found: list[Samples] = []
    with decoded(data, "a", bit_depth=depth, on_samples=found.append):
        pass
    return found[0] if found else None


def refused(data: bytes, depth: int | None) -> str:
    with pytest.raises(ImageError) as raised:
        decode(data, "it.png", bit_depth=depth)
    return raised.value.reason


# --- the step to 8 bits ---


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_value_of_a_depth_in_256_steps_of_equal_width(depth: int) -> None:
    values = np.arange(1 << depth, dtype=np.uint16)
    levels = to_levels(values, (1 << depth) - 1)
    assert levels[0] == 0
    assert levels[-1] == 255
    assert (np.diff(levels.astype(int)) >= 0).all()
    np.testing.assert_array_equal(np.bincount(levels), np.full(256, (1 << depth) // 256))


@given(white=st.integers(255, 65535), values=st.lists(st.integers(0, 65535), min_size=2, max_size=50))
def test_steps_of_any_range_are_monotone_and_exact_at_both_ends(white: int, values: list[int]) -> None:
    given_ones = np.array(sorted({0, white, *(value for value in values if value <= white)}), np.uint16)
    levels = to_levels(given_ones, white).astype(int)
    assert (levels[0], levels[-1]) == (0, 255)
    assert (np.diff(levels) >= 0).all()
    assert np.abs(levels - given_ones * 255.0 / white).max() < 1


@given(depth=st.integers(9, 16), seed=st.integers(0, 99))
def test_an_8_bit_image_stored_in_more_bits_comes_back(depth: int, seed: int) -> None:
    eight = np.random.default_rng(seed).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    deep = eight.astype(np.uint16) << (depth - 8) | eight >> (16 - depth)
    np.testing.assert_array_equal(decode(hostile.png(deep), "a", bit_depth=depth), eight)
    np.testing.assert_array_equal(decode(hostile.tiff([deep]), "a", bit_depth=depth), eight)


def test_the_full_range_is_read_as_ever() -> None:
    values = RNG.integers(0, 65536, (5, 7)).astype(np.uint16)
    for depth in (None, 16):
        np.testing.assert_array_equal(decode(hostile.png(values), "a", bit_depth=depth), gray(values >> 8))
        np.testing.assert_array_equal(decode(hostile.png(COLOR), "a", bit_depth=depth), COLOR >> 8)


@pytest.mark.parametrize("file", [hostile.png, lambda pixels: hostile.tiff([pixels], compression=8)])
def test_8_bit_images_do_not_change_with_the_depth(file: Any) -> None:
    eight = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    for depth in (None, 12, 16):
        np.testing.assert_array_equal(decode(file(eight), "a", bit_depth=depth), eight)
        assert samples(file(eight), depth) is None


# --- kinds of files ---

TIFFS: dict[str, dict[str, Any]] = {
    "TIFF": {},
    "big-endian TIFF": {"big_endian": True},
    "compressed TIFF": {"compression": 8},
    "LZW TIFF": {"compression": 5},
}
COLOR_KINDS = {
    "PNG": hostile.png,
    **{
        name: lambda pixels, options=options: hostile.tiff([pixels], **options)
        for name, options in TIFFS.items()
        if options.get("compression") != 5
    },
}


@pytest.mark.parametrize("kind", COLOR_KINDS)
def test_16_bit_colors_are_read_with_their_lower_bytes(kind: str) -> None:
    data = COLOR_KINDS[kind](COLOR)
    np.testing.assert_array_equal(decode(data, "a", bit_depth=12), COLOR >> 4)
    found = samples(data)
    assert found is not None
    assert (found.largest, found.declared) == (COLOR.max(), None)
    assert "values up to" in refused(data, 10)


def test_transparency_of_deep_colors() -> None:
    rgba = np.zeros((1, 3, 4), np.uint16)
    rgba[0] = [(4095, 0, 160, 4095), (1, 2, 3, 0), (0, 0, 4095, 4095)]
    expected = [[[255, 0, 10], [255] * 3, [0, 0, 255]]]
    np.testing.assert_array_equal(decode(hostile.png(rgba), "a", bit_depth=12), expected)
    rgba[..., 3] = [(65535, 0, 65535)]
    np.testing.assert_array_equal(decode(hostile.png(rgba), "a", bit_depth=12), expected)
    la = np.array([[(4095, 65535), (160, 65535), (160, 0)]], np.uint16)
    np.testing.assert_array_equal(decode(hostile.png(la), "a", bit_depth=12), gray([[255, 10, 255]]))
    # Only the very color is transparent, not its neighbors in the same of the 256 steps.
    pixels = np.array([[(160, 0, 16), (161, 0, 16)]], np.uint16)
    keyed = hostile.png(pixels, hostile.png_chunk(b"tRNS", struct.pack(">3H", 160, 0, 16)))
    np.testing.assert_array_equal(decode(keyed, "a", bit_depth=12), [[[255] * 3, [10, 0, 1]]])


def test_white_is_zero_and_signed_values() -> None:
    inverted = hostile.tiff([TWELVE], [{262: 0}])
    np.testing.assert_array_equal(decode(inverted, "a", bit_depth=12), 255 - gray(TWELVE >> 4))
    short = np.array([[-5, 0, 16, 4095]], np.int16)
    np.testing.assert_array_equal(decode(hostile.tiff([short]), "a", bit_depth=12), gray([[0, 0, 1, 255]]))
    assert "4,096" in refused(hostile.tiff([np.array([[4096]], np.int16)]), 12)


def test_what_cannot_be_read_with_its_depth_is_refused() -> None:
    ink = hostile.tiff([np.full((4, 4, 4), 4000, np.uint16)], [{338: 1}])  # multiplied by its transparency
    planes = hostile.tiff([COLOR], planes=2, compression=8)
    for data, depth in ((ink, 12), (planes, 12), (planes, None)):
        assert "16-bit RGB" in refused(data, depth)
    np.testing.assert_array_equal(decode(planes, "a", bit_depth=16), COLOR >> 8)


def test_packed_12_bit_tiffs_define_their_range() -> None:
    rows = b"".join(bytes((a >> 4, (a & 15) << 4 | b >> 8, b & 255)) for a, b in [(0, 4095), (2048, 16)])
    data = hostile.tiff([rows], [{258: 12, 277: 1, 262: 1}], size=(2, 2))
    for depth in (None, 12, 16):
        np.testing.assert_array_equal(decode(data, "a", bit_depth=depth), gray([[0, 255], [128, 1]]))
    assert "declares 12 bits (BitsPerSample)" in refused(data, 14)


# --- metadata ---


@pytest.mark.parametrize(
    "data",
    [
        hostile.png(TWELVE, sbit(12)),
        hostile.png(COLOR, sbit(12, 12, 12)),
        hostile.png(COLOR[..., [0, 1, 2, 0]] | np.array([0, 0, 0, 4095], np.uint16), sbit(12, 12, 12, 12)),
        hostile.tiff([TWELVE], [{281: 4095}]),
        hostile.tiff([TWELVE], [{341: 4095}]),
        hostile.tiff([TWELVE], [{281: 65535, 341: 4095}]),
        hostile.tiff([COLOR], [{281: (4095, 4095, 4095)}]),
    ],
    ids=["sBIT", "sBIT of colors", "sBIT with alpha", "MaxSampleValue", "SMaxSampleValue", "both", "colors"],
)
def test_metadata_decide(data: bytes) -> None:
    found = samples(data)
    assert found is not None
    assert found.declared == 12
    np.testing.assert_array_equal(decode(data, "a"), decode(data, "a", bit_depth=12))
    assert decode(data, "a").max() > 200  # not the 16 levels of the full range
    for depth in (10, 14, 16):
        assert f"declares 12 bits ({found.by})" in refused(data, depth)
    assert settle([("a", found), ("b", None)]) == 12


def test_a_dark_image_with_metadata_is_not_asked_about() -> None:
    dark = RNG.integers(0, 900, (5, 7)).astype(np.uint16)
    for data, depth in (
        (hostile.png(dark, sbit(12)), 12),
        (hostile.tiff([dark], [{281: 16383}]), 14),
        (hostile.tiff([dark], [{281: 65535}]), 16),
    ):
        assert settle([("a", samples(data))]) == depth
        np.testing.assert_array_equal(decode(data, "a"), gray(dark >> (depth - 8)))


def test_the_largest_value_in_use_is_no_range() -> None:
    """The TIFF specification lets MaxSampleValue be the maximum that occurs."""
    data = hostile.tiff([TWELVE], [{281: 4012}])
    assert samples(data) == Samples(4095)
    assert isinstance(settle([("a", samples(data))]), BitDepthQuestion)


def test_metadata_below_the_values_are_refused() -> None:
    data = hostile.tiff([np.array([[5000]], np.uint16)], [{281: 4095}])
    reason = refused(data, None)
    assert "5,000" in reason
    assert "MaxSampleValue" in reason


def test_png_values_scaled_to_the_full_range_have_it_whatever_sbit_says() -> None:
    """As the PNG specification has it; sBIT then tells the depth before scaling."""
    for scaled in (TWELVE << 4, TWELVE << 4 | TWELVE >> 8, np.rint(TWELVE * 65535.0 / 4095)):
        pixels = scaled.astype(np.uint16)
        data = hostile.png(pixels, sbit(12))
        for depth in (None, 16):
            np.testing.assert_array_equal(decode(data, "a", bit_depth=depth), gray(pixels >> 8))
        assert settle([("a", samples(data))]) == 16
        # A dark image of the same set: nothing but the others tells that it is scaled, too.
        dark = (pixels[pixels < 4096] if (pixels < 4096).any() else pixels[:1] * 0).reshape(1, -1)
        other = hostile.png(dark, sbit(12))
        assert settle([("a", samples(data)), ("b", samples(other))]) == 16
        np.testing.assert_array_equal(decode(other, "b", bit_depth=16), gray(dark >> 8))


@given(depth=st.integers(9, 15), value=st.integers(0, 65535))
def test_a_model_never_clips(depth: int, value: int) -> None:
    data = hostile.png(np.array([[value]], np.uint16))
    if value < 1 << depth:
        assert decode(data, "a", bit_depth=depth)[0, 0, 0] == value >> (depth - 8)
    else:
        reason = refused(data, depth)
        assert f"{value:,}" in reason
        assert f"{(1 << depth) - 1:,}" in reason
        assert f"bit_depth={proposed(value)}" in reason


def test_the_helper_process_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        hostile.png(TWELVE, sbit(12)),
        hostile.png(COLOR),
        hostile.tiff([COLOR], [{281: 4095}]),
        hostile.tiff([TWELVE]),
    ]
    here = [(decode(file, "a"), decode(file, "a", bit_depth=12), samples(file)) for file in files]
    real = image_headers.read
    monkeypatch.setattr(
        image_headers,
        "read",
        lambda *given, **options: image_headers.Header(
            (header := real(*given, **options)).size, header.bytes_per_pixel, bounded=False
        ),
    )
    for file, (free, twelve, described) in zip(files, here, strict=True):
        np.testing.assert_array_equal(decode(file, "a"), free)
        np.testing.assert_array_equal(decode(file, "a", bit_depth=12), twelve)
        assert samples(file) == described
        assert "values up to" in refused(file, 10) or "declares" in refused(file, 10)
    assert decode_limits.current().seconds > 0


# --- a set of images ---


@pytest.mark.parametrize(
    ("largest", "depth"), [(1023, 10), (1024, 12), (4012, 12), (4096, 14), (16383, 14), (200, 8)]
)
def test_values_only_propose(largest: int, depth: int) -> None:
    """A dark set stays low, too: the user is asked."""
    found = settle([("dark.png", Samples(largest // 2)), ("light.png", Samples(largest)), ("c.jpg", None)])
    assert found == BitDepthQuestion(largest, 2, "dark.png", depth)
    assert f"{largest:,}" in found.text
    assert f"--bit-depth {depth}" in str(found.error())
    assert "--bit-depth 16" in str(found.error())
    assert f"bit_depth={depth}" in str(found.error())


def test_one_value_of_the_full_range_settles_it() -> None:
    assert settle([("a", Samples(900)), ("b", Samples(16384))]) == 16
    assert settle([("a", None)]) is None


@pytest.mark.parametrize(("largest", "depth"), [(5000, 14), (16384, 16), (65535, 16)])
def test_few_bright_images_do_not_settle_it_for_all(largest: int, depth: int) -> None:
    """A hot pixel or an overlay in one image must not cost the others four of their bits unsaid."""
    low = [(f"{i}.png", Samples(4000 + i)) for i in range(19)]
    found = settle([*low, ("hot.png", Samples(largest))])
    assert found == BitDepthQuestion(largest, 20, "0.png", depth, 4018, ("hot.png",))
    assert found.choices == (12, 14, 16)
    assert f"use values up to 4,018, but hot.png up to {largest:,}. Which range" in found.text
    assert f"hot.png up to {largest:,}" in str(found.error())
    assert f"--bit-depth 12, which refuses the images above it, or --bit-depth {depth} " in str(found.error())


def test_a_set_of_dark_and_bright_images_of_the_full_range_is_not_asked_about() -> None:
    assert settle([(f"{i}.png", Samples(4000 if i % 3 else 40000)) for i in range(12)]) == 16


def test_sets_that_mix_depths_are_refused_by_name() -> None:
    ten, twelve = Samples(900, declared=10, by="sBIT"), Samples(900, declared=12, by="MaxSampleValue")
    with pytest.raises(InputError, match=r"10 bits: a\.png; 12 bits: b\.tif"):
        settle([("a.png", ten), ("b.tif", twelve)])
    with pytest.raises(InputError, match=r"declare 10 bits \(a\.png\).*up to 4,000 \(c\.png\)"):
        settle([("a.png", ten), ("c.png", Samples(4000))])
    # Whether the others' metadata hold for a file without is for the user to say.
    found = settle([("a.png", twelve), ("c.png", Samples(900))])
    assert isinstance(found, BitDepthQuestion)
    assert found.proposed == 12


def test_the_survey_asks_and_shows_images_with_the_proposed_range() -> None:
    dark = (TWELVE // 8).astype(np.uint16)
    source = UploadSource([("a.png", hostile.png(TWELVE)), ("b.png", hostile.png(dark))])
    found = survey(source, thumbnail_side=7)
    assert found.bit_depth == BitDepthQuestion(4095, 2, "a.png", 12)
    bright = [decode(item.thumbnail or b"", "a").astype(float).mean() for item in found.seen]
    assert abs(bright[0] - (TWELVE >> 4).mean()) < 3
    assert abs(bright[1] - (dark >> 4).mean()) < 3  # not brightened by its own values
    answered = survey(source, thumbnail_side=7, bit_depth=14)
    assert abs(decode(answered.seen[0].thumbnail or b"", "a").mean() - (TWELVE >> 6).mean()) < 3
    assert [error.name for error in survey(source, bit_depth=10).failed] == ["a.png"]


def test_only_deep_files_are_decoded_to_find_the_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    eight = hostile.png(np.zeros((2, 2), np.uint8))
    cut = hostile.png(TWELVE)[:40]
    named = [("a.png", eight), ("b.png", hostile.png(TWELVE, sbit(12))), ("cut.png", cut)]
    assert bit_depth_of(named) == 12
    with pytest.raises(InputError, match="--bit-depth 12"):
        bit_depth_of([("a.png", eight), ("b.png", hostile.png(TWELVE))])
    monkeypatch.setattr("padim.data.depth_survey.decoded", None)
    assert bit_depth_of([("a.png", eight), ("a.jpg", hostile.encode(gray([[1]]), "JPEG"))]) is None


@given(st.lists(st.lists(st.integers(0, 4095), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_16_bit_array_is_scaled_as_its_file(values: list[list[int]]) -> None:
    array = np.array(values, np.uint16)
    color = np.stack([array, array, array // 2], axis=2)
    (_, one), (_, other) = as_images([array, color])
    assert isinstance(one, bytes)
    assert isinstance(other, bytes)
    np.testing.assert_array_equal(decode(one, "a", bit_depth=12), gray(array >> 4))
    np.testing.assert_array_equal(decode(other, "a", bit_depth=12), color >> 4)


def test_samples_survive_a_round_trip() -> None:
    one = Samples(5, 16, 12, "sBIT", maybe_full=True)
    assert Samples(**one.to_dict()) == one
    assert bit_depth.FULL == 16


@needs_extra
@pytest.mark.parametrize("compression", ["lerc", "jpegxl"])
def test_metadata_of_tiffs_that_the_extra_reads(compression: str) -> None:
    tifffile = importlib.import_module("tifffile")
    for tags, white_is_zero in (([], False), ([(281, "H", 1, 4095, True)], False), ([], True)):
        buffer = BytesIO()
        kind = "miniswhite" if white_is_zero else "minisblack"
        tifffile.imwrite(buffer, TWELVE, compression=compression, photometric=kind, extratags=tags)
        data = buffer.getvalue()
        assert image_headers.read(data, "TIFF").reader == "tiff"
        found = samples(data)
        assert found is not None
        assert (found.declared, found.by) == ((12, "MaxSampleValue") if tags else (None, ""))
        levels = gray(TWELVE >> 4)
        np.testing.assert_array_equal(
            decode(data, "a", bit_depth=12), 255 - levels if white_is_zero else levels
        )
        assert bit_depth_of_one(data) == (12 if tags else "asked")


@needs_extra
def test_jpegs_of_12_bits_are_seen_before_a_fit() -> None:
    codecs = importlib.import_module("imagecodecs")
    assert bit_depth_of_one(codecs.jpeg8_encode(TWELVE, level=100, bitspersample=12)) == 12


def bit_depth_of_one(data: bytes) -> int | str | None:
    try:
        return bit_depth_of([("a", data)])
    except InputError:
        return "asked"
