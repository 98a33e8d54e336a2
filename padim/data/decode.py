"""Decode image files safely: a file's bytes become an RGB array, or an error that gives the reason.

Files are untrusted: every limit on pixels, bytes, memory and time is checked here or in the helper process
(:mod:`padim.data.decode_pool`). Whatever is wrong with a file is raised as an :class:`ImageError`. The step
from RGB to model input is in :mod:`padim.data.preprocess` (docs/design.md, section 4.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from padim import settings
from padim.data import decode_limits, deep_pixels, formats, image_headers, optional_readers, pnm
from padim.data.bit_depth import OtherDepth, Samples
from padim.data.decode_budget import Cancel, memory_budget
from padim.data.decode_pool import TooSlow, shared_pool
from padim.data.formats import FORMATS
from padim.data.image_headers import Header
from padim.data.optional_readers import SampleValues
from padim.data.orientation import orientation_of_file, turned
from padim.data.readers import READERS, check_jpeg, check_tiff, scale_color_key
from padim.data.refusal import Refusal
from padim.data.to_rgb import Rgb, deep_color_to_rgb, deep_gray_to_rgb, is_deep_gray, samples_to_rgb, to_rgb
from padim.errors import ImageError, PadimError

MIB = 1024 * 1024
# Largest number of passes over the pixels in one JPEG; encoders write up to about twelve.
MAX_SCANS = 50
# Memory that reading any image takes beside its pixels.
_READING_BYTES = 16 * MIB

OnSamples = Callable[[Samples], None]


def sha256(data: bytes) -> str:
    """Return the hex SHA-256 of a file's bytes, which identifies the file in models and reports."""
    return hashlib.sha256(data).hexdigest()


def decode(
    data: bytes,
    name: str,
    *,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    bit_depth: int | None = None,
    cancel: Cancel | None = None,
) -> Rgb:
    """Decode an image file to RGB.

    The format is determined from the content, never from the name. Pixels are converted as follows:

    * EXIF (or XMP, or TIFF) orientation is applied; colour profiles are not: the values are treated as sRGB.
    * Integers of 9 to 16 bits are scaled from the range of ``bit_depth``, or else the range that the file's
      metadata declare, or else the full range of their type, by keeping the top 8 bits of that range (see
      :func:`padim.data.bit_depth.to_levels`); never from the image's own values: brightness must mean the
      same in each image. A value above the range, or metadata that declare another one, is refused. Signed
      integers are scaled from their positive half; negative values become black.
    * Floats must be in 0 to 1, where 1 becomes 255; others are refused, because their scale is unknown.
    * Palette, grey, CMYK, YCbCr and LAB become RGB. CMYK JPEGs are read in Adobe's inverted polarity, as
      browsers do.
    * Transparent pixels are put on white; an image without one visible pixel is refused.
    * Animations and TIFFs with several pages are refused: scoring only the first page would accept the others
      unseen. Pages that are declared previews or masks of the first do not count, nor do the extra views in a
      phone's JPEG.

    The cost is limited (``padim.data.decode_limits``): the size, by the header, before anything is decoded;
    the memory of all decoding in this process, by a budget, for which this function waits; and the time, for
    files whose size does not bound it, by decoding them in a helper process that can be stopped. Run-length
    BMPs, JPEGs of more than ``MAX_SCANS`` scans, and files that declare more pixels than their bytes can hold
    are refused for their cost.

    Args:
        data: the file's bytes.
        name: the file's name as the user knows it, for the error.
        max_pixels: largest width x height; default: the setting ``PADIM_MAX_MEGAPIXELS``.
        max_bytes: largest file.
        bit_depth: bits, 8 to 16, of the range of integers deeper than 8 bits; None as the file declares.
        cancel: polled while this function waits and while a helper process decodes; True stops at once.

    Returns:
        uint8 (h, w, 3), C-contiguous and writable.

    Raises:
        ImageError: the file cannot be used; the message gives the reason and the remedy.
        Cancelled: `cancel` returned True.
        PadimError: a setting is invalid, or no helper process can be started.
    """
    with decoded(
        data, name, max_pixels=max_pixels, max_bytes=max_bytes, bit_depth=bit_depth, cancel=cancel
    ) as rgb:
        return rgb


@contextmanager
def decoded(
    data: bytes,
    name: str,
    *,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    bit_depth: int | None = None,
    on_samples: OnSamples | None = None,
    cancel: Cancel | None = None,
) -> Iterator[Rgb]:
    """Decode an image file as :func:`decode` does and keep its memory reserved until the block ends.

    Do not decode another image inside the block: it would wait for memory that the block itself holds.
    ``on_samples`` is called, before the block begins, for an image of 9 to 16 bits.
    """
    limits = decode_limits.current()
    most = limits.pixels if max_pixels is None else max_pixels
    kind = ""
    with ExitStack() as held:
        try:
            if len(data) > file_limit(max_bytes):
                raise Refusal(too_large(file_limit(max_bytes)))
            kind = _recognise(data)
            header = image_headers.read(data, kind, max_scans=MAX_SCANS)
            _admit(header, len(data), most)
            rgb = _decode_within(limits, data, kind, header, most, bit_depth, on_samples, cancel, held)
        except PadimError:  # not caused by the file: a cancellation or an invalid setting
            raise
        except Refusal as refusal:
            raise ImageError(name, str(refusal)) from None
        except Exception as error:
            # As broad as possible on purpose. On malformed data the readers raise OSError, SyntaxError,
            # ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error, zlib.error,
            # DecompressionBombError and more, and the next Pillow may add to the list; for the user all of
            # them mean that this file is unusable. Nothing is hidden: the error names the file and chains the
            # cause. KeyboardInterrupt and SystemExit are not Exceptions and are not caught.
            raise ImageError(name, _reason(error, kind)) from error
        yield rgb


def decode_here(
    data: bytes, max_pixels: int, bit_depth: int | None = None, on_samples: OnSamples | None = None
) -> Rgb | str:
    """Decode an image file in the helper process; return RGB, or the reason why it cannot be used.

    Only the limit on pixels applies: the parent process has set the limits on memory and time.
    """
    kind = ""
    try:
        kind = _recognise(data)
        header = image_headers.read(data, kind)
        return _decode(data, kind, header, max_pixels, bit_depth, on_samples)
    except MemoryError:
        return "needs more memory to be decoded than an image of its size should; save it anew as PNG"
    except Exception as error:  # as in `decoded`; the parent process adds the file's name
        return _reason(error, kind)


def _decode_within(
    limits: decode_limits.DecodeLimits,
    data: bytes,
    kind: str,
    header: Header,
    max_pixels: int,
    bit_depth: int | None,
    on_samples: OnSamples | None,
    cancel: Cancel | None,
    held: ExitStack,
) -> Rgb:
    """Wait for memory, then decode here or in a helper process; `held` keeps the memory reserved."""
    budget = memory_budget(limits.memory)
    pixels = max_pixels if header.pixels is None else header.pixels
    need = pixels * header.bytes_per_pixel + 2 * len(data) + _READING_BYTES
    if need > budget.total:
        raise Refusal(
            f"needs {need / 1e6:,.0f} MB to be decoded, more than the {budget.total / 1e6:,.0f} MB set aside "
            f"for decoding; make it smaller, or raise {decode_limits.MEMORY}"
        )
    if header.bounded:
        held.enter_context(budget.holding(need, cancel))
        return _decode(data, kind, header, max_pixels, bit_depth, on_samples)
    pool = shared_pool()
    with pool.slot(cancel):
        held.enter_context(budget.holding(need, cancel))
        try:
            found = pool.decode(
                data,
                pixels=max_pixels,
                memory=need,
                seconds=limits.seconds,
                bit_depth=bit_depth,
                on_samples=on_samples,
                cancel=cancel,
            )
        except TooSlow:
            raise Refusal(
                f"took longer than {limits.seconds:g} s to decode and was stopped; save it anew as PNG or "
                f"plain JPEG, or raise {decode_limits.SECONDS}"
            ) from None
    if isinstance(found, str):
        raise Refusal(found)
    return found


def _admit(header: Header, length: int, max_pixels: int) -> None:
    """Raise Refusal if the file cannot be used or would cost too much, according to its header."""
    if header.refusal:
        raise Refusal(header.refusal)
    if header.size is not None:
        _check_pixels(header.size, max_pixels)
    if header.run_length:
        raise Refusal(
            "is a run-length encoded BMP (RLE), which may take minutes to decode; save it as PNG or as an "
            "ordinary BMP"
        )
    if header.scans > MAX_SCANS:
        raise Refusal(
            f"is a JPEG of more than {MAX_SCANS} scans, each of which goes over the whole image; save it "
            "anew as PNG or plain JPEG"
        )
    if header.size is None or header.most_pixels is None:
        return
    width, height = header.size
    if width * height > header.most_pixels:
        raise Refusal(
            f"declares {width} x {height} pixels, but its {length:,} bytes can hold {header.most_pixels:,} "
            "at most: it is damaged, cut short or made to use up memory; copy it again or save it anew as PNG"
        )


def _reason(error: Exception, kind: str) -> str:
    """Return the reason, in plain words with the remedy, for an error raised while reading a file."""
    if isinstance(error, Refusal | OtherDepth):
        return str(error)
    if isinstance(error, MemoryError):
        return "needs more memory than is free; close other programs or make it smaller"
    if isinstance(error, SyntaxError) and "unknown pixel mode" in str(error):
        return "has a kind of pixels that is not supported; save it as 8- or 16-bit grey or RGB"
    if _UNSUPPORTED.search(str(error)):
        return f"is a {kind} of a kind that is not supported ({str(error)[:80]}); save it anew as PNG"
    return f"is damaged or cut short and cannot be read as {kind}; copy it again or save it anew as PNG"


# The words of Pillow and of its libraries for files that are not damaged.
_UNSUPPORTED = re.compile(r"unsupported|not supported|cannot handle|not implemented", re.IGNORECASE)


def file_limit(asked: int | None = None) -> int:
    """Return the largest file of one image in bytes: what was asked for, or else the setting."""
    return settings.current().max_image_bytes if asked is None else asked


def too_large(max_bytes: int) -> str:
    """Return the message for a file over the limit on bytes."""
    return (
        f"is larger than {megabytes(max_bytes)}, the limit for one image; save it smaller or as JPEG, or "
        "raise "
        "PADIM_MAX_IMAGE_MB"
    )


def megabytes(n: int) -> str:
    """Format a number of bytes as text: whole MB from 1 MiB on, else bytes."""
    return f"{n / MIB:.0f} MB" if n >= MIB else f"{n} bytes"


def _recognise(data: bytes) -> str:
    """Return the file's format by its first bytes; raise Refusal, with what it is, for any other content."""
    if not data:
        raise Refusal("is empty (0 bytes); copy it again")
    kind = formats.image_format(data[: formats.HEAD])
    if kind is not None:
        return kind
    if data.startswith((b"PK\3\4", b"PK\5\6")):
        raise Refusal(
            "is a zip archive; to have its images read, give it by itself with the ending .zip, or unpack it"
        )
    head = bytes(data[:512])
    remedy = "unpack it and give its images" if formats.archive_kind(head) else f"save it as {FORMATS}"
    raise Refusal(f"is {formats.describe(head)}; {remedy}")


def prepare(data: bytes) -> None:
    """Import in the helper process what this file's reader needs, before the limits of the file apply."""
    with suppress(Exception):  # the file's own reading reports it
        optional_readers.prepare(image_headers.read(data, _recognise(data)).reader)


def _decode(
    data: bytes,
    kind: str,
    header: Header,
    max_pixels: int,
    bit_depth: int | None,
    on_samples: OnSamples | None,
) -> Rgb:
    """Decode a file of a known format to upright RGB; raises whatever Pillow raises on malformed data."""
    if header.size is not None:
        # Pillow's WebP reader allocates the canvas while it opens the file.
        _check_pixels(header.size, max_pixels)
    if header.reader != "pillow":
        return _decode_samples(data, header, max_pixels, bit_depth, on_samples)
    if kind == "PNG":
        data = image_headers.without_metadata(data)
    image = READERS[kind](BytesIO(data))
    _check_pixels(image.size, max_pixels)
    # Pillow turns the size of a TIFF along with its pixels. An AVIF may be a cut-out of what is stored.
    if header.size is not None and kind != "AVIF" and sorted(image.size) != sorted(header.size):
        raise ValueError(f"declares the sizes {header.size} and {image.size}")
    if isinstance(image, PngImageFile):
        # Pillow decodes IDAT chunks without checking their checksums: flipped bits would become pixels.
        PngImageFile(BytesIO(data)).verify()
        scale_color_key(image)
    if isinstance(image, TiffImageFile):
        check_tiff(image)
    elif getattr(image, "n_frames", 1) > 1:
        raise Refusal("is an animation; save the frame to be inspected as an image of its own")
    if isinstance(image, JpegImageFile):
        check_jpeg(image, data)
    deep_color = deep_pixels.is_deep_color(image)
    image.load()
    if isinstance(image, WebPImageFile):
        # Frees two canvases and a copy of the pixels, twelve bytes per pixel, no longer needed.
        image.fp = image._decoder = None
    # Pillow turns TIFFs upright while loading them and then drops their orientation tag.
    orientation = orientation_of_file(image)
    if deep_color:
        rgb, samples = deep_color_to_rgb(image, lambda: READERS[kind](BytesIO(data)), data, bit_depth)
    elif is_deep_gray(image):
        rgb, samples = deep_gray_to_rgb(image, data, bit_depth)
    else:
        rgb, samples = to_rgb(image), None
    if samples is not None and on_samples is not None:
        on_samples(samples)
    return np.ascontiguousarray(turned(rgb, orientation))


def _decode_samples(
    data: bytes, header: Header, max_pixels: int, bit_depth: int | None, on_samples: OnSamples | None
) -> Rgb:
    """Decode a file that Pillow does not read to upright RGB."""
    if header.reader == "pnm":
        head = pnm.header(data)
        found = SampleValues(pnm.read(data, head), head.top or 1, "maxval" if head.top < 65535 else "")
    else:
        found = optional_readers.read(header.reader, data)
    height, width = found.values.shape[:2]
    _check_pixels((width, height), max_pixels)
    samples = found.samples()
    if samples is not None and on_samples is not None:
        on_samples(samples)
    return np.ascontiguousarray(turned(samples_to_rgb(found, samples, bit_depth), found.orientation))


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise Refusal(
            f"has {width} x {height} pixels ({width * height / 1e6:.1f} megapixels), over the limit of "
            f"{max_pixels / 1e6:g} megapixels; make it smaller, or raise {decode_limits.MEGAPIXELS}"
        )
