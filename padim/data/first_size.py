"""The size of the first usable image of a stream that can be read only once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized

import numpy as np
import numpy.typing as npt

from padim.data.bit_depth import AS_PROPOSED
from padim.data.decode import decoded
from padim.data.decode_budget import Cancel
from padim.data.input_shape import Size
from padim.data.loading import Named
from padim.errors import ImageError

__all__ = ["first_size"]


# Files that are looked at for the first usable one: a stream may hold none at all.
_MOST_LOOKED_AT = 32


def first_size(images: Iterable[Named], cancel: Cancel | None = None) -> tuple[Size | None, Iterable[Named]]:
    """Return the size of the first usable image of a stream, and the stream from its beginning.

    Args:
        images: a stream that may be read only once.
        cancel: polled while an image is decoded; True stops.

    Returns:
        (height, width) in pixels, None if the first files cannot be used; and all images, files that cannot
        be used as their errors.

    Raises:
        Cancelled: ``cancel`` returned True.
    """
    rest, read = iter(images), list[Named]()
    size: Size | None = None
    for name, content in itertools.islice(rest, _MOST_LOOKED_AT):
        try:
            size = _size(name, content, cancel)
        except ImageError as error:
            read.append((name, error))
        else:
            read.append((name, content))
            break
    if isinstance(images, Sized):
        return size, _BegunSized(read, rest, len(images))
    return size, _Begun(read, rest)


def _size(name: str, content: bytes | npt.NDArray[np.uint8] | ImageError, cancel: Cancel | None) -> Size:
    if isinstance(content, ImageError):
        raise content
    if isinstance(content, bytes):
        with decoded(content, name, bit_depth=AS_PROPOSED, cancel=cancel) as rgb:
            return rgb.shape[0], rgb.shape[1]
    if content.ndim != 3 or 0 in content.shape:
        raise ImageError(name, f"must be uint8 (h, w, 3), got {content.dtype} {content.shape}")
    return content.shape[0], content.shape[1]


class _Begun:
    """A stream of which the first images have been read already; it can be iterated once."""

    def __init__(self, read: list[Named], rest: Iterator[Named]) -> None:
        self._read, self._rest = read, rest

    def __iter__(self) -> Iterator[Named]:
        while self._read:
            yield self._read.pop(0)
        yield from self._rest


class _BegunSized(_Begun):
    def __init__(self, read: list[Named], rest: Iterator[Named], length: int) -> None:
        super().__init__(read, rest)
        self._length = length

    def __len__(self) -> int:
        return self._length
