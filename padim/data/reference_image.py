"""Find the image of the reference part among the images of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from itertools import chain

from padim.data.decode import decode
from padim.data.decode_budget import Cancel
from padim.data.loading import RGB, Named, content_hash
from padim.errors import ImageError
from padim.locating.errors import LocatingError

__all__ = ["ReferenceImage", "find_reference"]

ReferenceImage = tuple[str, str, RGB]
"""Name, hex SHA-256 of the content, and pixels, uint8 ``(h, w, 3)``."""


def find_reference(
    images: Iterable[Named], wanted: str | None, bit_depth: int | None, cancel: Cancel | None = None
) -> tuple[ReferenceImage | None, Iterable[Named]]:
    """Find the reference image, and return all images again.

    Args:
        images: the images of a fit; they must have a length if the reference is named, because they are then
            read twice up to it.
        wanted: name of the reference; None for the first image that can be used.
        bit_depth: see :class:`padim.data.preprocess.Preprocess`.
        cancel: polled while an image is decoded.

    Returns:
        The reference, or None if no image can be used, and an iterable over the same images.

    Raises:
        LocatingError: there is no image of that name, or it cannot be used.
        Cancelled: ``cancel`` returned True.
    """
    if wanted is not None:
        return _named(images, wanted, bit_depth, cancel), images
    iterator, passed = iter(images), list[Named]()
    found = None
    for image in iterator:
        passed.append(image)
        try:
            found = _read(image, bit_depth, cancel)
            break
        except ImageError:
            continue  # reported when the images are read to be fitted
    again = chain(passed, iterator)
    return found, _Sized(again, len(images)) if isinstance(images, Sized) else again


def _named(
    images: Iterable[Named], wanted: str, bit_depth: int | None, cancel: Cancel | None
) -> ReferenceImage:
    if not isinstance(images, Sized):
        raise LocatingError(
            f"the reference {wanted} is looked for in images that can be read only once; give them as a "
            "folder, a zip or a list, or give the reference as the first image"
        )
    for image in images:
        if image[0] == wanted:
            try:
                return _read(image, bit_depth, cancel)
            except ImageError as error:
                raise LocatingError(f"{error}; choose another reference part") from error
    raise LocatingError(f"there is no image {wanted}; choose the reference part among the images of the fit")


def _read(image: Named, bit_depth: int | None, cancel: Cancel | None) -> ReferenceImage:
    name, content = image
    if isinstance(content, ImageError):
        raise content
    if isinstance(content, bytes):
        return name, content_hash(content), decode(content, name, bit_depth=bit_depth, cancel=cancel)
    if content.ndim != 3 or content.size == 0:
        raise ImageError(name, f"must be uint8 (h, w, 3), got {content.dtype} {content.shape}")
    return name, content_hash(content), content


class _Sized:
    """Images of a known number, for one iteration."""

    def __init__(self, images: Iterator[Named], count: int) -> None:
        self._images, self._count = images, count

    def __iter__(self) -> Iterator[Named]:
        return self._images

    def __len__(self) -> int:
        return self._count
