"""Image files made to take the server's memory or time: refused by name, or decoded within the limits.

The set in full, against a running server, is ``benchmarks/bombs.py``.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from padim.data import decode as images
from padim.data import decode_limits, image_headers
from padim.data.decode import decode
from padim.data.decode_budget import memory_budget
from padim.data.decode_pool import shared_pool
from padim.data.loading import Watch, batches, prepare
from padim.data.preprocess import Preprocess
from padim.errors import Cancelled, ImageError, PadimError
from tests import bombs, hostile

RGB = np.full((8, 9, 3), 40, np.uint8)
SLOW = bombs.jpeg_of_scans(49, 4000, 4000)


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "part 7")
    assert caught.value.name == "part 7"
    return caught.value.reason


# --- refused by name ---


def test_over_25_megapixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(decode_limits.MEGAPIXELS, raising=False)
    for data in (hostile.png_header(5000, 5001), bombs.webp_uniform(5000, 5001)):
        why = reason(data)
        assert "5000 x 5001 pixels (25.0 megapixels), over the limit of 25 megapixels" in why
        assert why.endswith("make it smaller, or raise PADIM_MAX_MEGAPIXELS")
    monkeypatch.setenv(decode_limits.MEGAPIXELS, "0.00007")
    assert "9 x 8 pixels" in reason(hostile.encode(RGB))
    monkeypatch.setenv(decode_limits.MEGAPIXELS, "0.000072")
    assert decode(hostile.encode(RGB), "a").shape == (8, 9, 3)


@pytest.mark.parametrize("depth", [4, 8])
def test_run_length_bmps(depth: int) -> None:
    why = reason(bombs.bmp_run_length(50, 40, depth))
    assert "run-length encoded BMP" in why
    assert "save it as PNG" in why


def test_jpegs_of_more_than_50_scans() -> None:
    assert "more than 50 scans" in reason(bombs.jpeg_of_scans(51, 64, 64))
    assert decode(bombs.jpeg_of_scans(50, 64, 64), "a").shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (hostile.png_header_bomb(5000, 5000), "45"),
        (hostile.encode(np.zeros((4000, 4000, 3), np.uint8), "BMP")[:2000], "2,000"),
        (hostile.encode(np.zeros((4000, 4000, 3), np.uint8), "JPEG")[:2000], "2,000"),
    ],
    ids=["PNG", "BMP", "JPEG"],
)
def test_more_pixels_than_the_bytes_can_hold(data: bytes, length: str) -> None:
    """Both numbers are in the message, and nothing was allocated for them."""
    why = reason(data)
    assert "000 pixels, but its" in why
    assert f"its {length} bytes can hold" in why


def test_more_memory_than_there_is_for_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decode_limits.MEMORY, "20")
    why = reason(hostile.png(np.zeros((1000, 1000), np.uint8)))
    assert "needs 29 MB to be decoded, more than the 20 MB set aside" in why
    assert why.endswith("or raise PADIM_DECODE_MEMORY")
    decode(hostile.encode(RGB), "a")


def test_longer_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decode_limits.SECONDS, "0.2")
    why = reason(SLOW)
    assert why.startswith("took longer than 0.2 s to decode and was stopped")
    assert why.endswith("or raise PADIM_DECODE_SECONDS")


def test_a_second_size_behind_the_first() -> None:
    """What the cost was told from is what is decoded."""
    png = hostile.png(np.zeros((8, 8), np.uint8))
    again = hostile.png_header(300, 300, 8, 0)[8:]
    at = png.index(b"IDAT") - 4
    assert "damaged" in reason(png[:at] + again + png[at:])


def test_a_wrong_setting_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decode_limits.SECONDS, "soon")
    with pytest.raises(PadimError, match="PADIM_DECODE_SECONDS") as caught:
        decode(hostile.encode(RGB), "a")
    assert not isinstance(caught.value, ImageError)


# --- decoded, within the limits ---


@pytest.mark.parametrize(
    "data",
    [
        bombs.webp_uniform(300, 200),
        bombs.png_deep(300, 200),
        bombs.png_of_empty_chunks(30_000),
        bombs.png_of_texts(10, 100_000),
        bombs.png_with_exif(400),
        bombs.jpeg_with_exif(400),
        bombs.jpeg_of_comments(3000),
        bombs.jpeg_of_exif_blocks(3),
        bombs.mpo(300),
        bombs.tiff_of_tags(400),
        bombs.tiff_compressed("tiff_lzw", 300, 1),
        bombs.tiff_compressed("group4", 300),
        bombs.tiff_compressed("zstd", 300),
    ],
)
def test_small_ones_of_each_kind_are_images_like_others(data: bytes) -> None:
    rgb = decode(data, "a")
    assert np.ptp(rgb.reshape(-1, 3), axis=0).max() == 0  # one color, as all of these are
    assert memory_budget(decode_limits.current().memory).held == 0


def test_many_at_once_stay_within_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads, and memory for two images: what is reserved never exceeds it, and all are decoded."""
    header = image_headers.read(bombs.webp_uniform(500, 400), "WebP")
    one = 500 * 400 * header.bytes_per_pixel + images._READING_BYTES + 68
    monkeypatch.setenv(decode_limits.MEMORY, str(2.5 * one / 1e6))
    budget = memory_budget(decode_limits.current().memory)
    held: list[int] = []

    def work(number: int) -> int:
        file = (
            bombs.webp_uniform(500, 400)
            if number % 2
            else hostile.png(np.zeros((500, 400, 4), np.uint16) - 1)
        )
        with images.decoded(file, "a") as rgb:
            held.append(budget.held)
            return rgb.size

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(work, range(24))) == {600_000}
    assert 0 < max(held) <= budget.total
    assert budget.held == 0


# --- work ends when nobody waits for it ---


def test_who_waits_for_memory_can_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(decode_limits.MEMORY, "30")
    budget = memory_budget(decode_limits.current().memory)
    file = hostile.encode(RGB)
    with budget.holding(budget.total):
        for work in (
            lambda stop: decode(file, "a", cancel=stop),
            lambda stop: prepare(("a", file), Preprocess(), cancel=stop),
        ):
            with pytest.raises(Cancelled):
                work(lambda: budget.waiting == 1)
        assert budget.waiting == 0
    assert decode(file, "a").shape == (8, 9, 3)


def test_a_stopped_job_ends_the_decoding_it_waits_for() -> None:
    """Not after the image, and not at the deadline: its helper process is ended."""
    stop = threading.Event()

    def cancel() -> bool:
        if shared_pool()._busy:
            stop.set()
        return stop.is_set()

    found = batches([("slow", SLOW)] * 3, Preprocess(), 8, Watch(cancel=cancel), "Reading")
    with pytest.raises(Cancelled):
        next(found)
    assert not shared_pool()._busy
    assert memory_budget(decode_limits.current().memory).held == 0


def test_a_file_that_cannot_be_used_ends_the_decoding_ahead() -> None:
    """Where nobody takes such files, the first one raises; the exception, kept, keeps no decoding alive."""
    files = [("broken", b"\x89PNG"), ("b", SLOW), ("c", SLOW)]
    with pytest.raises(ImageError, match="broken"):
        list(batches(files, Preprocess((8, 8)), 1, Watch(), "Reading"))
    assert not shared_pool()._busy


def test_the_consumer_going_away_ends_the_decoding_ahead() -> None:
    files = [("a", hostile.encode(RGB)), ("b", SLOW), ("c", SLOW)]
    for batch in batches(files, Preprocess((8, 8)), 1, Watch(), "Reading"):
        assert batch[0].name == "a"
        while not shared_pool()._busy:
            pass
        break  # the consumer goes away, and the generator is closed with it
    del batch
    assert not shared_pool()._busy
