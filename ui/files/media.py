"""Pictures and judged maps behind same-origin, content-hashed URLs.

``st.image`` shrinks wide pictures and re-encodes greys, which hides defects. These classes hand the exact
bytes to Streamlit's own media store, where they live as long as the page that shows them: the store forgets
a session's files at the start of each full run and drops, at its end, those the run did not name again.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from streamlit import runtime

from ui.app import state

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


def mimetype_of(data: bytes) -> str:
    """The mimetype of encoded PNG, JPEG or WebP bytes, told by their signature. Raises ValueError else."""
    for signature, mimetype in _SIGNATURES:
        if data.startswith(signature):
            return mimetype
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise ValueError("only PNG, JPEG and WebP pictures can be shown")


@dataclass
class _Named:
    """The URLs that this full run of the page has named, by content.

    Streamlit hashes a file every time it is named; a part of the page that runs again by itself, as at every
    release of the threshold, need not name its hundreds of maps once more.
    """

    urls: dict[str, str] = field(default_factory=dict)


def new_run() -> None:
    """A full run of a page begins: Streamlit has forgotten what the one before named."""
    state.of(_Named).urls.clear()


@dataclass(frozen=True)
class Served:
    """Bytes that the browser fetches."""

    data: bytes

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def mimetype(self) -> str:
        return "application/octet-stream"

    def url(self, slot: str | None = None) -> str:
        """A URL, relative to any of the app's pages, that serves exactly these bytes to this session.

        Args:
            slot: a place on the page that shows one picture at a time; a new picture in the slot releases
                the one before it. Without a slot the picture stays until the next full run.

        Returns:
            ``media/<hash>.<suffix>`` without a leading slash, so that it holds below ``server.baseUrlPath``
            and behind a proxy's prefix alike: all pages of the app lie in one folder. Empty where there
            is no Streamlit server.
        """
        if not runtime.exists():
            return ""
        named = state.of(_Named).urls
        if slot is None and self.digest in named:
            return named[self.digest]
        # Streamlit samples files above 1 MiB when it makes their id, so two large pictures could share one.
        # The file name takes part in the id: with the whole digest for a name the id names these bytes only.
        url = runtime.get_instance().media_file_mgr.add(
            self.data, self.mimetype, f"padim:{slot or self.digest}", file_name=self.digest
        )
        url = url.lstrip("/")
        if slot is None:
            named[self.digest] = url
        return url


@dataclass(frozen=True)
class Picture(Served):
    """An encoded PNG, JPEG or WebP picture, ready to be shown as it is."""

    @cached_property
    def mimetype(self) -> str:
        return mimetype_of(self.data)


@dataclass(frozen=True)
class Numbers(Served):
    """Tables of unsigned 16-bit numbers, packed.

    Of each number its difference to ``left + above - the one between`` (modulo 65536), which for a smooth map
    is small; the sign in the lowest bit; all low bytes of a table, then all high ones; the tables one after
    another, in gzip. A judged map comes to a fifth of its size, in less time than the server would take to
    compress it at every request. ``tables.js`` unpacks.
    """

    @property
    def mimetype(self) -> str:
        return "application/gzip"  # which the server does not compress again

    @classmethod
    def of(cls, *tables: npt.NDArray[np.uint16]) -> Numbers:
        """These tables, ``(rows, columns)`` each."""
        import numpy as np

        parts = []
        for table in tables:
            left = np.diff(table, axis=1, prepend=np.zeros((len(table), 1), np.uint16))
            rest = np.diff(left, axis=0, prepend=np.zeros((1, table.shape[1]), np.uint16)).view(np.int16)
            signed = ((rest << 1) ^ (rest >> 15)).astype("<i2")
            parts.append(np.ascontiguousarray(signed.view(np.uint8).reshape(-1, 2).T).tobytes())
        # No time stamp: the same numbers are the same bytes, under the same URL.
        return cls(gzip.compress(b"".join(parts), 1, mtime=0))
