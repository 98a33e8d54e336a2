"""Images and level maps served to the browser under same-origin, content-hashed URLs.

``st.image`` shrinks wide images and re-encodes gray ones, which hides defects. These classes pass the exact
bytes to Streamlit's own media store, which keeps them as long as the page that shows them: at the end of each
full run, the store drops a session's files that the run has not registered again.
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
    """Return the MIME type of encoded image bytes, recognized by their signature.

    Raises:
        ValueError: they are not PNG, JPEG or WebP.
    """
    for signature, mimetype in _SIGNATURES:
        if data.startswith(signature):
            return mimetype
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise ValueError("only PNG, JPEG and WebP images can be shown")


@dataclass
class _RegisteredUrls:
    """The URLs that this full run of the page has registered, by the SHA-256 of their content.

    Streamlit hashes a file every time it is registered. With this cache a fragment that runs on its own, as
    it does whenever the threshold is released, need not register its hundreds of maps again.
    """

    urls: dict[str, str] = field(default_factory=dict)


def new_run() -> None:
    """Clear the cache of URLs at the start of a full run, when Streamlit drops those of the run before."""
    state.of(_RegisteredUrls).urls.clear()


@dataclass(frozen=True)
class Served:
    """Bytes that the browser fetches by a URL of their content."""

    data: bytes

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def mimetype(self) -> str:
        return "application/octet-stream"

    def url(self, slot: str | None = None) -> str:
        """Return a URL, relative to any of the app's pages, that serves exactly these bytes to this session.

        Args:
            slot: names a place on the page that shows one image at a time; a new image in the slot releases
                the one before it. Without a slot the image stays until the next full run.

        Returns:
            ``media/<hash>.<suffix>`` without a leading slash, so that it works below ``server.baseUrlPath``
            and behind a proxy's prefix alike, as all pages of the app are in one folder. Empty without a
            Streamlit server.
        """
        if not runtime.exists():
            return ""
        registered = state.of(_RegisteredUrls).urls
        if slot is None and self.digest in registered:
            return registered[self.digest]
        # For the id of a file above 1 MiB Streamlit hashes only samples of it, so two large images could
        # share one. The id also depends on the file name, so the digest as the name makes it unique.
        url = runtime.get_instance().media_file_mgr.add(
            self.data, self.mimetype, f"padim:{slot or self.digest}", file_name=self.digest
        )
        url = url.lstrip("/")
        if slot is None:
            registered[self.digest] = url
        return url


@dataclass(frozen=True)
class ServedImage(Served):
    """An encoded PNG, JPEG or WebP image that is served as it is."""

    @cached_property
    def mimetype(self) -> str:
        return mimetype_of(self.data)


@dataclass(frozen=True)
class Numbers(Served):
    """Tables of unsigned 16-bit numbers, losslessly compressed.

    Each number is stored as its difference (modulo 65536) to the prediction ``left + above - upper left``,
    which is small for a smooth map, with the sign moved to the lowest bit. Of each table, all low bytes are
    followed by all high bytes; the tables follow one another, compressed by gzip. A level map shrinks to a
    fifth of its size, in less time than the server would take to compress it at every request.
    ``tables.js`` unpacks it.
    """

    @property
    def mimetype(self) -> str:
        return "application/gzip"  # the server does not compress this type again

    @classmethod
    def of(cls, *tables: npt.NDArray[np.uint16]) -> Numbers:
        """Pack tables of shape ``(rows, columns)`` and dtype uint16."""
        import numpy as np

        parts = []
        for table in tables:
            left = np.diff(table, axis=1, prepend=np.zeros((len(table), 1), np.uint16))
            rest = np.diff(left, axis=0, prepend=np.zeros((1, table.shape[1]), np.uint16)).view(np.int16)
            signed = ((rest << 1) ^ (rest >> 15)).astype("<i2")
            parts.append(np.ascontiguousarray(signed.view(np.uint8).reshape(-1, 2).T).tobytes())
        # Without a time stamp, equal numbers give equal bytes and therefore the same URL.
        return cls(gzip.compress(b"".join(parts), 1, mtime=0))
