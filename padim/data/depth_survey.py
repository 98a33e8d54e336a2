"""Find the bit depth of a set of images before a fit; only files deeper than 8 bits are decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized

from padim.data import formats, image_headers
from padim.data.bit_depth import AS_PROPOSED, BitDepthQuestion, Samples, settle
from padim.data.decode import decoded
from padim.data.decode_budget import Cancel
from padim.data.loading import Named, Progress
from padim.errors import Cancelled, ImageError

__all__ = ["bit_depth_of", "may_be_deep", "samples_in"]

# Formats of 8 bits, and those that Pillow reduces to 8 bits by the range that they define.
_EIGHT_BITS = ("BMP", "WebP", "GIF", "AVIF")


def bit_depth_of(
    images: Iterable[Named], *, progress: Progress | None = None, cancel: Cancel | None = None
) -> int | None:
    """Return the bit depth that a set's files declare, or 16 if their values use the full range.

    Returns:
        The bit depth; None if no image is deeper than 8 bits.

    Raises:
        InputError: only the values would propose a depth, or the files declare different ones; with the
            remedy.
        Cancelled: ``cancel`` returned True.
    """
    found = settle(samples_in(images, progress=progress, cancel=cancel))
    if isinstance(found, BitDepthQuestion):
        raise found.error()
    return found


def samples_in(
    images: Iterable[Named], *, progress: Progress | None = None, cancel: Cancel | None = None
) -> Iterator[tuple[str, Samples | None]]:
    """Yield the name and the samples of each usable image; None for images of 8 bits.

    Raises:
        Cancelled: ``cancel`` returned True.
    """
    total = len(images) if isinstance(images, Sized) else None
    for done, (name, content) in enumerate(images):
        if cancel is not None and cancel():
            raise Cancelled("The images were not read to the end.")
        if progress is not None:
            progress(done, total, "Looking at the images")
        if not isinstance(content, bytes) or not may_be_deep(content):
            yield name, None
            continue
        found: list[Samples] = []
        try:
            with decoded(content, name, bit_depth=AS_PROPOSED, on_samples=found.append, cancel=cancel):
                pass
        except ImageError:
            continue  # reported by whoever uses the images
        yield name, found[0] if found else None


def may_be_deep(data: bytes) -> bool:
    """Return whether a file may be deeper than 8 bits, by its header."""
    kind = formats.image_format(data[: formats.HEAD])
    if kind == "PNG":
        return data[24:25] == b"\x10"
    if kind == "JPEG":
        return image_headers.read(data, kind).reader != "pillow"
    return kind is not None and kind not in _EIGHT_BITS
