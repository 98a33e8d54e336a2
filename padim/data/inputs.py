"""Turn the accepted kinds of input (paths, arrays, PIL images, tensors) into one stream of named images.

``fit`` and ``predict`` take their images through :func:`as_images`. Images are read lazily, one at a time, so
a generator over a million files works in constant memory. Input that is not images at all (a number, a data
set of image-label pairs) raises :class:`padim.errors.InputError` with the remedy; a single file or array that
cannot be used is replaced in the stream by an :class:`padim.errors.ImageError`, and the stream continues.
"""

from __future__ import annotations

import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sized
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from padim.data.account import FileAccount, grouped
from padim.data.archives import ZipSource
from padim.data.decode import file_limit, too_large
from padim.data.formats import FORMATS, HEAD, image_format
from padim.data.loading import Named
from padim.data.sources import FolderSource, Source, unique_names
from padim.errors import ImageError, InputError

RIGHT = (
    "a folder, a zip or an image file; a list of image files; arrays of uint8 or uint16, (h, w), (h, w, 3) "
    "or (n, 3, h, w); PIL images; tensors; or (name, image) pairs"
)
"""The accepted kinds of input, as text for error messages."""


def as_images(data: Any) -> Iterable[Named]:
    """Return a stream of (name, file bytes or RGB array) from any accepted kind of input.

    An array of uint16 becomes the 16-bit PNG file of its values, because the range of its values is a setting
    of the model: :mod:`padim.data.bit_depth`.

    Args:
        data: a path (folder, zip, image file); an iterable of paths, arrays, PIL images, tensors, file
            contents or batches; (name, image) pairs or a mapping of them; a single image; or a
            :class:`padim.data.sources.Source`, which is returned unchanged. Arrays are uint8 or uint16,
            ``(h, w)`` or ``(h, w, 3)``; batches ``(n, 3, h, w)`` or ``(n, h, w, 3)``; tensors also
            ``(3, h, w)``.

    Returns:
        An iterable, with a length where ``data`` has one, that can be iterated as often as ``data`` can.
        Names are unique text that UTF-8 can encode; images without a name are ``image 0001`` and so on.

    Raises:
        InputError: ``data`` is of no accepted kind, the path does not exist, or it contains no image. A wrong
            kind among the items of a stream raises when the iteration reaches it.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str | PurePath):
        source = source_at(Path(data))
        return _stream(((Path(data).name, data),), 1) if source is None else files_of(source)
    if isinstance(data, Mapping):
        return _stream(data.items(), len(data))
    if is_image(data):
        return _stream((data,), len(data) if _is_batch(data) else 1)
    if not isinstance(data, Iterable):
        raise InputError(f"{_kind(data)} holds no images: give {RIGHT}")
    return _stream(data, len(data) if isinstance(data, Sized) else None)


def source_at(path: Path) -> Source | None:
    """Return the source of a folder or a zip; None for any other file, which may be an image.

    Raises:
        InputError: the path does not exist, or it contains no image.
    """
    if path.is_dir():
        source: Source = FolderSource(path)
    elif not path.exists():
        raise InputError(f"{path}: there is no such file or folder; give {RIGHT}")
    elif _is_zip(path):
        source = ZipSource(path)
    else:
        return None
    if not len(source):
        raise InputError(f"{path}: holds no image ({FORMATS})")
    return source


def _is_zip(path: Path) -> bool:
    """Return whether a file is a zip: by its name or its content, unless it begins as an image."""
    try:
        with path.open("rb") as file:
            if image_format(file.read(HEAD)) is not None:
                return False
    except OSError:  # reported when it is read
        return False
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def files_of(source: Source) -> Iterable[Named]:
    """Return a stream over a source that yields an error in place of each unreadable file."""
    return _Files(source)


class _Files:
    """Stream over a source that yields an error in place of each unreadable file.

    Files that are not images yield nothing; the first iteration warns of those that the user may have meant.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._warned = False

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Named]:
        reported = 0
        for item in self._source:
            for error in self._source.skipped[reported:]:
                yield error.name, error
            reported = len(self._source.skipped)
            yield item
        for error in self._source.skipped[reported:]:
            yield error.name, error
        of_user = FileAccount(0, (), tuple(self._source.passed_over)).of_user
        if of_user and not self._warned:
            self._warned = True
            each = "; ".join(
                f"{number:,} {reason} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})"
                for reason, number, names in grouped(of_user)
            )
            warnings.warn(f"files passed over: {each}", UserWarning, stacklevel=2)


class _Stream:
    """Stream of named images over items of any accepted kind, of unknown length."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Named]:
        return unique_names(self._named())

    def _named(self) -> Iterator[Named]:
        for number, (name, image) in enumerate(_singles(self._items), start=1):
            named = f"image {number:04}" if name is None else _text(name)
            try:
                yield named, _content(named, image)
            except ImageError as error:
                yield named, error


class _SizedStream(_Stream):
    """Stream of named images over items of any accepted kind, of known length."""

    def __init__(self, items: Iterable[Any], length: int) -> None:
        super().__init__(items)
        self._length = length

    def __len__(self) -> int:
        return self._length


def _stream(items: Iterable[Any], length: int | None) -> _Stream:
    return _Stream(items) if length is None else _SizedStream(items, length)


def _singles(items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield (name or None, image) for each item and for each image of a batch."""
    for item in items:
        name, image = None, item
        if isinstance(item, tuple | list) and len(item) == 2:
            name, image = item
            if is_image(name) and not isinstance(name, bytes):
                raise InputError(
                    "the data give (image, label) pairs; give the images alone, as in "
                    "(image for image, label in data), or (name, image) pairs"
                )
        elif isinstance(item, str | PurePath):
            name = Path(item).name
        if not (is_image(image) or isinstance(image, str | PurePath | ImageError)):
            raise InputError(f"{_kind(image)} among the images: give {RIGHT}")
        if _is_batch(image):
            for one in _batch(image):
                yield None if name is None else _text(name), one
        else:
            yield name, image


def _is_tensor(data: Any) -> bool:
    torch = sys.modules.get("torch")  # a caller with a tensor has imported torch; do not import it otherwise
    return torch is not None and isinstance(data, torch.Tensor)


def is_image(data: Any) -> bool:
    """Return whether data is an image, or a batch: an array, file contents, a PIL image or a tensor."""
    return isinstance(data, np.ndarray | bytes | bytearray | PillowImage.Image) or _is_tensor(data)


def _is_batch(data: Any) -> bool:
    return (isinstance(data, np.ndarray) or _is_tensor(data)) and data.ndim == 4


def _array(data: Any) -> npt.NDArray[Any]:
    return data if isinstance(data, np.ndarray) else np.asarray(data.detach().cpu())


def _batch(data: Any) -> Iterator[npt.NDArray[Any]]:
    images = _array(data)
    first, last = images.shape[1] == 3, images.shape[3] == 3
    if first and last:
        raise InputError(
            f"a batch of shape {images.shape} may have its colors first or last; give the images one by one"
        )
    if not first and not last:
        raise InputError(f"a batch is (n, 3, h, w) or (n, h, w, 3), got {images.shape}")
    yield from (image.transpose(1, 2, 0) if first else image for image in images)


def _content(name: str, image: Any) -> bytes | npt.NDArray[np.uint8]:
    """Return file bytes, or uint8 ``(h, w, 3)``, of an image of any accepted kind; raise ImageError."""
    if isinstance(image, ImageError):
        raise image
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if isinstance(image, str | PurePath):
        return _read(name, Path(image))
    if isinstance(image, PillowImage.Image):
        return _png(name, image)
    pixels = _array(image)
    if _is_tensor(image) and pixels.ndim == 3 and pixels.shape[0] == 3:
        pixels = pixels.transpose(1, 2, 0)
    return _rgb(name, pixels)


def _read(name: str, path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ImageError(name, "is a folder; give it by itself, or the image files in it")
        with path.open("rb") as file:
            content = file.read(file_limit() + 1)
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror or error})") from None
    if len(content) > file_limit():
        raise ImageError(name, too_large(file_limit()))
    return content


def _png(name: str, image: PillowImage.Image) -> bytes:
    """Encode a PIL image as PNG, so that depth, transparency and orientation are treated as in files."""
    buffer = BytesIO()
    try:
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        image.save(buffer, "PNG", exif=image.getexif(), compress_level=1)
    except (OSError, ValueError) as error:
        raise ImageError(name, f"is a PIL image of mode {image.mode} that cannot be used ({error})") from None
    return buffer.getvalue()


def _deep_png(pixels: npt.NDArray[np.uint16]) -> bytes:
    """Encode 16-bit pixels, ``(h, w)`` or ``(h, w, 3)``, as an uncompressed PNG file."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1).astype(">u2").view(np.uint8)
    filtered = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _rgb(name: str, pixels: npt.NDArray[Any]) -> bytes | npt.NDArray[np.uint8]:
    """Convert grey or color pixels to uint8 ``(h, w, 3)``, or uint16 ones to a file of the same values."""
    received = f"got {pixels.dtype} {pixels.shape}"
    if pixels.dtype.kind == "f":
        raise ImageError(
            name, f"must be uint8 or uint16, {received}; scale it: (255 * x).round().astype('uint8')"
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(name, f"must be uint8 or uint16, {received}")
    if pixels.size == 0:
        raise ImageError(name, f"has no pixels, {received}")
    if pixels.ndim == 3 and pixels.shape[2] != 3 and pixels.shape[0] == 3:
        raise ImageError(name, f"must be (h, w) or (h, w, 3), {received}; transpose it: x.transpose(1, 2, 0)")
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] != 3):
        raise ImageError(name, f"must be (h, w) or (h, w, 3), {received}")
    if pixels.dtype == np.uint16:
        return _deep_png(pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    return np.ascontiguousarray(pixels)


def _text(name: Any) -> str:
    """Return an image's name as text that UTF-8 can encode.

    Raises:
        InputError: the name is neither text, a path nor an integer.
    """
    if isinstance(name, PurePath):
        name = name.as_posix()
    elif isinstance(name, int | np.integer) and not isinstance(name, bool):
        name = str(int(name))
    if not isinstance(name, str):
        raise InputError(f"{_kind(name)} is no name for an image: names are text")
    # Lone surrogates, as in file names from another system, cannot be encoded as UTF-8.
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def _kind(data: Any) -> str:
    """Return the type's name with its article, for a message: ``None``, ``a float``, ``an int`` ..."""
    if data is None:
        return "None"
    kind = type(data).__name__
    return f"an {kind}" if kind[:1].lower() in "aeiou" else f"a {kind}"
