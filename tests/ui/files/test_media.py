"""Media URLs: exact bytes, one URL per content, slots that release memory, and names that stay text."""

from __future__ import annotations

import gzip
import re
import string
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from streamlit import runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from padim.output.render import encode_png
from ui.files.media import Numbers, ServedImage, mimetype_of, new_run
from ui.widgets import panels

JPEG = b"\xff\xd8\xff\xe0 rest"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> MemoryMediaFileStorage:
    """Return Streamlit's own media store and manager, without a server."""
    store = MemoryMediaFileStorage("/media")
    server = SimpleNamespace(media_file_mgr=MediaFileManager(store))
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: server)
    new_run()
    return store


def png(value: int) -> bytes:
    return encode_png(np.full((4, 5, 3), value, np.uint8))


def served(storage: MemoryMediaFileStorage, url: str) -> bytes:
    return storage.get_file(url.removeprefix("media/")).content


@pytest.mark.parametrize(
    ("data", "mimetype"), [(png(1), "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")]
)
def test_the_signature_determines_the_type(data: bytes, mimetype: str) -> None:
    assert mimetype_of(data) == mimetype


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"BM", b"RIFF\x00\x00\x00\x00WAVE"])
def test_nothing_else_is_served(data: bytes) -> None:
    with pytest.raises(ValueError, match="PNG, JPEG and WebP"):
        mimetype_of(data)


def test_the_url_is_relative_and_serves_the_exact_bytes(storage: MemoryMediaFileStorage) -> None:
    data = png(7)
    url = ServedImage(data).url()
    assert url.startswith("media/")
    assert url.endswith(".png")
    assert served(storage, url) == data
    assert ServedImage(data).url() == url  # a rerun registers the same file
    assert ServedImage(png(8)).url() != url


def test_large_images_that_differ_in_one_byte_have_urls_of_their_own(
    storage: MemoryMediaFileStorage,
) -> None:
    # For its ids Streamlit samples files above 1 MiB, and this byte is not among the samples.
    one = bytearray(JPEG + bytes(4 * 2**20))
    other = bytearray(one)
    other[2**20] = 1
    urls = [ServedImage(bytes(data)).url() for data in (one, other)]
    assert urls[0] != urls[1]
    assert served(storage, urls[1]) == bytes(other)


def test_within_a_run_a_file_is_hashed_once_and_registered_again_in_the_next(
    storage: MemoryMediaFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = runtime.get_instance().media_file_mgr
    image = ServedImage(png(9))
    url = image.url()
    with monkeypatch.context() as patch:
        patch.setattr(manager, "add", None)
        assert ServedImage(png(9)).url() == url  # a fragment of the page that runs on its own
    # A full run: Streamlit drops the registered files, and so must the cache of URLs.
    manager.clear_session_refs()
    new_run()
    assert image.url() == url
    manager.remove_orphaned_files()
    assert served(storage, url) == png(9)


def test_a_slot_releases_the_image_before(storage: MemoryMediaFileStorage) -> None:
    first, kept = ServedImage(png(1)).url("panel"), ServedImage(png(2)).url()
    second = ServedImage(png(3)).url("panel")
    runtime.get_instance().media_file_mgr.remove_orphaned_files()
    assert served(storage, kept)
    assert served(storage, second)
    with pytest.raises(Exception, match="No media file"):
        served(storage, first)


def test_names_are_text_never_markup(storage: MemoryMediaFileStorage) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    html = [
        panels.gallery([panels.Thumb(ServedImage(png(1)), evil, evil, "reject")]),
        panels.problems([(evil, evil)]),
        panels.facts([(evil, evil)]),
    ]
    for text in html:
        assert "<img src=x" not in text
        assert "onerror=alert(1)&gt;" in text


@pytest.mark.parametrize("text", ["![seen](x) [a](y) **b**", ":red[x] $a$ `c`", "1. # a\n- b", "<img src=x>"])
def test_names_are_shown_literally(text: str) -> None:
    # CommonMark: a backslash before a punctuation mark makes it an ordinary character.
    escaped = panels.plain(text)
    marks = [i for i, letter in enumerate(escaped) if letter in string.punctuation and letter != "\\"]
    assert all(escaped[i - 1] == "\\" for i in marks)
    assert re.sub(r"\\(.)", r"\1", escaped) == " ".join(text.split())


@pytest.mark.parametrize("text", ["http://192.0.2.1/", "a `b` ``c`` d", "`", ""])
def test_words_of_a_link_stay_inside_their_code_span(text: str) -> None:
    span = panels.literal(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert span == f"{fence} {text} {fence}"
    assert fence not in re.findall("`+", text)


def test_a_verdict_is_a_word_not_only_a_color(storage: MemoryMediaFileStorage) -> None:
    html = panels.gallery(
        [panels.Thumb(ServedImage(png(1)), "a", "", "reject"), panels.Thumb(ServedImage(png(2)), "b")]
    )
    assert html.count("Reject") == 1


tables = hnp.arrays(
    np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 65535)
)


@given(found=st.lists(tables, min_size=1, max_size=3))
@settings(deadline=None)
def test_numbers_can_be_unpacked(found: list[npt.NDArray[np.uint16]]) -> None:
    """As ``tables.js`` does it, written out one number at a time."""
    data, at = gzip.decompress(Numbers.of(*found).data), 0
    for table in found:
        rows, columns = table.shape
        low, high = (data[at + k * table.size : at + (k + 1) * table.size] for k in (0, 1))
        at += 2 * table.size
        above = [0] * columns
        for row in range(rows):
            left = 0
            for column in range(columns):
                signed = low[row * columns + column] | high[row * columns + column] << 8
                above[column] = (above[column] + ((signed >> 1) ^ -(signed & 1))) % 65536
                left = (left + above[column]) % 65536
                assert left == table[row, column]
    assert at == len(data)


def test_the_same_numbers_are_one_small_file(storage: MemoryMediaFileStorage) -> None:
    y, x = np.mgrid[0:256, 0:256]
    smooth = (3000 + 2000 * np.sin(x / 40) * np.cos(y / 30)).astype(np.uint16)
    numbers = Numbers.of(smooth)
    assert len(numbers.data) < smooth.nbytes / 4
    assert Numbers.of(smooth.copy()).url() == numbers.url()
    assert numbers.mimetype == "application/gzip"


def test_without_a_server_there_is_no_url() -> None:
    assert ServedImage(png(1)).url() == ""
