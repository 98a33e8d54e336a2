"""Load named images as batches for the network; threads decode ahead of the network."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.data.bit_depth import Samples
from padim.data.decode import decoded
from padim.data.decode_budget import Cancel
from padim.data.preprocess import Preprocess, thumbnail
from padim.data.shapes import color_kind
from padim.errors import Cancelled, ImageError

if TYPE_CHECKING:
    from padim.locating.placement import Placement
    from padim.locating.pose import Pose

RGB = npt.NDArray[np.uint8]
Image = tuple[str, bytes | RGB]
"""A name, with the file's bytes or its pixels, uint8 ``(h, w, 3)``."""

Named = tuple[str, bytes | RGB | ImageError]
"""As :data:`Image`, or a name with the error that says why there is no image."""

Progress = Callable[[int, int | None, str], None]
OnError = Callable[[ImageError], None]

DECODERS = 2


@dataclass(frozen=True)
class Watch:
    """Callbacks of the caller of long-running work: progress, cancellation and unusable images.

    Attributes:
        progress: called as (done, total or None, stage).
        cancel: polled between steps and, from other threads, while an image is decoded; True stops.
        on_error: called with the error of each image that cannot be used; without it the first one is raised.
    """

    progress: Progress | None = None
    cancel: Cancel | None = None
    on_error: OnError | None = None

    def step(self, done: int, total: int | None, stage: str) -> None:
        """Report progress, after checking for cancellation.

        Raises:
            Cancelled: ``cancel`` returned True.
        """
        if self.cancel is not None and self.cancel():
            raise Cancelled("stopped on request; nothing was changed")
        if self.progress is not None:
            self.progress(done, total, stage)

    def bad(self, error: ImageError) -> None:
        """Pass the error of an unusable image to ``on_error``, or raise it if there is no such callback."""
        if self.on_error is None:
            raise error
        self.on_error(error)


@dataclass(frozen=True)
class Prepared:
    """An image ready for the network; the decoded original is not kept.

    Attributes:
        name: name as given.
        sha256: hex SHA-256 of the file's bytes; of shape and pixels, if given as an array.
        rgb: model input, uint8 ``(size, size, 3)``.
        original_size: (height, width) in pixels.
        thumbnail: a small JPEG, if requested.
        samples: the file's samples, if they are integers of 9 to 16 bits; None for all other images.
        color_kind: see :func:`padim.data.shapes.color_kind`.
        pose: pose of the part; None for models that do not locate it, and if it was not found.
        placement: place of the map on the original; None as for ``pose``.
        lost: why the part was not found; empty if it was, or is not looked for.
    """

    name: str
    sha256: str
    rgb: RGB
    original_size: tuple[int, int]
    thumbnail: bytes | None
    samples: Samples | None = None
    color_kind: str | None = None
    pose: Pose | None = None
    placement: Placement | None = None
    lost: str = ""

    @cached_property
    def input_sha256(self) -> str:
        """Hex SHA-256 of shape and pixels of the model input: the same for files with the same pixels."""
        return content_hash(self.rgb)


def prepare(
    image: Named,
    preprocess: Preprocess,
    thumbnail_side: int | None = None,
    cancel: Cancel | None = None,
) -> Prepared:
    """Decode and resize one image, and make a thumbnail of it if a longest side is given.

    Raises:
        ImageError: the image cannot be used.
        Cancelled: ``cancel`` returned True while the image was decoded.
    """
    name, content = image
    if isinstance(content, ImageError):
        raise content
    if isinstance(content, np.ndarray):
        if content.dtype != np.uint8 or content.ndim != 3 or content.shape[2] != 3 or content.size == 0:
            raise ImageError(name, f"must be uint8 (h, w, 3), got {content.dtype} {content.shape}")
        return _prepared(name, content, content, preprocess, thumbnail_side)
    # Inside the block, so that a large image's memory stays reserved until the image has been resized.
    found: list[Samples] = []
    with decoded(
        content, name, bit_depth=preprocess.bit_depth, on_samples=found.append, cancel=cancel
    ) as rgb:
        samples = found[0] if found else None
        return _prepared(name, content, rgb, preprocess, thumbnail_side, samples)


def _prepared(
    name: str,
    content: bytes | RGB,
    rgb: RGB,
    preprocess: Preprocess,
    thumbnail_side: int | None,
    samples: Samples | None = None,
) -> Prepared:
    height, width = rgb.shape[:2]
    small = None if thumbnail_side is None else thumbnail(rgb, thumbnail_side)
    cut = preprocess.cut(rgb)
    kind = color_kind(cut.rgb, content)
    sha256, size = content_hash(content), (height, width)
    return Prepared(name, sha256, cut.rgb, size, small, samples, kind, cut.pose, cut.placement, cut.lost)


def content_hash(content: bytes | RGB) -> str:
    """Return the hex SHA-256 of a file's bytes, or of shape and pixels for an image given as an array."""
    if isinstance(content, np.ndarray):
        content = str(content.shape).encode() + np.ascontiguousarray(content).tobytes()
    return hashlib.sha256(content).hexdigest()


def batches(
    images: Iterable[Named],
    preprocess: Preprocess,
    size: int,
    watch: Watch,
    stage: str,
    *,
    thumbnail_side: int | None = None,
) -> Iterator[list[Prepared]]:
    """Yield prepared images in their order, ``size`` at a time; errors of unusable ones go to ``watch``.

    At most ``2 * size`` images are ahead of the consumer and two are decoded at once, so memory use does
    not grow with the number of images.

    Raises:
        Cancelled: the ``cancel`` callback of ``watch`` returned True.
        ImageError: an image cannot be used and ``watch`` has no ``on_error`` callback.
    """
    total = len(images) if isinstance(images, Sized) else None
    # Set when the consumer stops early, for example on an error of its own; ends long decodings as well.
    abandoned = threading.Event()

    def stopped() -> bool:
        return abandoned.is_set() or (watch.cancel is not None and watch.cancel())

    def attempt(image: Named) -> Prepared | ImageError:
        try:
            return prepare(image, preprocess, thumbnail_side, stopped)
        except ImageError as error:
            return error

    batch: list[Prepared] = []
    # Closed explicitly: an exception's traceback would keep this frame alive, and the decoding with it.
    with closing(_ahead(images, attempt, 2 * size, abandoned)) as ahead:
        for done, outcome in enumerate(ahead, start=1):
            if isinstance(outcome, ImageError):
                watch.bad(outcome)
            else:
                batch.append(outcome)
            if len(batch) == size:
                yield batch
                batch = []
            watch.step(done, total, stage)
    if batch:
        yield batch


def _ahead(
    items: Iterable[Named],
    work: Callable[[Named], Prepared | ImageError],
    most: int,
    abandoned: threading.Event,
) -> Generator[Prepared | ImageError]:
    """Yield results in order, computed at most ``most`` items ahead; set ``abandoned`` at the end."""
    with ThreadPoolExecutor(DECODERS) as pool:
        queue: deque[Future[Prepared | ImageError]] = deque()
        try:
            for item in items:
                queue.append(pool.submit(work, item))
                if len(queue) >= most:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            abandoned.set()
            for future in queue:
                future.cancel()
