"""Decode image files safely: a file's bytes become an RGB array, or an error that gives the reason.

Files are untrusted: every limit on pixels, bytes, memory and time is checked here or in the helper process
(:mod:`padim.data.decode_pool`). Whatever is wrong with a file is raised as an :class:`ImageError`. The step
from RGB to model input is in :mod:`padim.data.preprocess` (docs/design.md, section 4.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImagePalette
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from padim.data import decode_limits, deep_pixels, formats, image_headers, jpeg_check, optional_readers, pnm
from padim.data.bit_depth import FULL, OtherDepth, Samples, to_levels
from padim.data.decode_budget import Cancel, memory_budget
from padim.data.decode_pool import TooSlow, shared_pool
from padim.data.formats import FORMATS
from padim.data.image_headers import Header
from padim.data.optional_readers import SampleValues
from padim.data.refusal import Refusal
from padim.errors import ImageError, PadimError

MIB = 1024 * 1024
MAX_BYTES = 256 * MIB
# Largest number of passes over the pixels in one JPEG; encoders write up to about twelve.
MAX_SCANS = 50
# Memory that reading any image takes beside its pixels.
_READING_BYTES = 16 * MIB

# Transparent pixels carry arbitrary hidden colours. They are put on white, as paper and image viewers show
# them, so that the model scores what the engineer sees.
ALPHA_BACKGROUND = (255, 255, 255)

Rgb = npt.NDArray[np.uint8]
Pixel = TypeVar("Pixel", bound=np.generic)


OnSamples = Callable[[Samples], None]


def sha256(data: bytes) -> str:
    """Return the hex SHA-256 of a file's bytes, which identifies the file in models and reports."""
    return hashlib.sha256(data).hexdigest()


# --- decoding -----------------------------------------------------------------------------------------------


class _Tiff(TiffImageFile):
    """TIFF reader that applies only this module's pixel limit, not Pillow's."""

    def load_prepare(self) -> None:
        # The base class applies Pillow's process-wide limit just before it creates this image: a warning from
        # 89 megapixels on. Our own limit has been applied already.
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()


class _Bmp(BmpImageFile):
    """BMP reader that reads 4 and 8 bits a pixel as such, also where the palette is gray."""

    def _open(self) -> None:
        super()._open()
        # Pillow takes a file with two grays for one of 1 bit, and one with sixteen for one of 8 bits: it
        # would read the image as black, or as noise.
        grays = {"1": (0, 255), "L": range(16)}.get(self.mode)
        depth = self._depth()
        if grays is None or depth not in (4, 8) or (self.mode == "L" and depth == 8):
            return
        self._mode = "P"
        self.palette = ImagePalette.raw("RGB", bytes(gray for gray in grays for _ in range(3)))
        (tile,) = self.tile
        assert isinstance(tile.args, tuple)
        self.tile = [tile._replace(args=("P" if depth == 8 else "P;4", *tile.args[1:]))]

    def _depth(self) -> int:
        """Return the number of bits a pixel, from the header."""
        assert self.fp is not None
        place = self.fp.tell()
        self.fp.seek(14)
        header = self.fp.read(16)
        self.fp.seek(place)
        at = 10 if header.startswith(b"\x0c\0\0\0") else 14
        return int.from_bytes(header[at : at + 2], "little")


# One reader per format, chosen by the file's first bytes and called directly: `Image.open` would try forty
# other formats and apply limits that belong to the whole process.
_READERS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "BMP": _Bmp,
    "TIFF": _Tiff,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "JPEG 2000": Jpeg2KImageFile,
    "AVIF": AvifImageFile,
    "PNM": PpmImageFile,  # of masks only; images are read by `padim.data.pnm`
}

_TIFF_BITS_PER_SAMPLE, _TIFF_SAMPLE_FORMAT, _TIFF_PHOTOMETRIC = 258, 339, 262
_TIFF_PLANAR, _TIFF_SUBFILE = 284, 254
EXIF_ORIENTATION = 274
_MPO_ENTRIES = 0xB002


def decode(
    data: bytes,
    name: str,
    *,
    max_pixels: int | None = None,
    max_bytes: int = MAX_BYTES,
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
    max_bytes: int = MAX_BYTES,
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
            if len(data) > max_bytes:
                raise Refusal(too_large(max_bytes))
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


def too_large(max_bytes: int) -> str:
    """Return the message for a file over the limit on bytes."""
    return f"is larger than {megabytes(max_bytes)}, the limit for one image; save it smaller or as JPEG"


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
    image = _READERS[kind](BytesIO(data))
    _check_pixels(image.size, max_pixels)
    # Pillow turns the size of a TIFF along with its pixels. An AVIF may be a cut-out of what is stored.
    if header.size is not None and kind != "AVIF" and sorted(image.size) != sorted(header.size):
        raise ValueError(f"declares the sizes {header.size} and {image.size}")
    if isinstance(image, PngImageFile):
        # Pillow decodes IDAT chunks without checking their checksums: flipped bits would become pixels.
        PngImageFile(BytesIO(data)).verify()
        _scale_color_key(image)
    if isinstance(image, TiffImageFile):
        _check_tiff(image)
    elif getattr(image, "n_frames", 1) > 1:
        raise Refusal("is an animation; save the frame to be inspected as an image of its own")
    if isinstance(image, JpegImageFile):
        _check_jpeg(image, data)
    deep_color = deep_pixels.is_deep_color(image)
    image.load()
    if isinstance(image, WebPImageFile):
        # Frees two canvases and a copy of the pixels, twelve bytes per pixel, no longer needed.
        image.fp = image._decoder = None
    # Pillow turns TIFFs upright while loading them and then drops their orientation tag.
    orientation = _orientation(image)
    if deep_color:
        rgb, samples = _deep_color_to_rgb(image, lambda: _READERS[kind](BytesIO(data)), data, bit_depth)
    elif _is_deep_gray(image):
        rgb, samples = _deep_gray_to_rgb(image, data, bit_depth)
    else:
        rgb, samples = _to_rgb(image), None
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
    return np.ascontiguousarray(turned(_samples_to_rgb(found, samples, bit_depth), found.orientation))


def _samples_to_rgb(found: SampleValues, samples: Samples | None, bit_depth: int | None) -> Rgb:
    """Convert samples in their own range to uint8 (h, w, 3)."""
    values = found.values
    if values.dtype.kind == "f":
        levels = _float_levels(values)
    elif samples is not None:
        white = samples.white(bit_depth)
        levels = to_levels(np.minimum(values, white), white)
        if found.has_alpha and int(values[..., -1].max()) > white:
            levels[..., -1] = values[..., -1] // 256  # transparency of the full range beside such colours
    elif found.top == 255:
        levels = values.astype(np.uint8, copy=False)
    else:
        levels = np.rint(np.arange(found.top + 1) * (255 / found.top)).astype(np.uint8)[values]
    if found.white_is_zero:
        levels = 255 - levels
    if levels.ndim == 2 or levels.shape[2] == 1:
        return np.repeat(levels.reshape(*levels.shape[:2], 1), 3, axis=2)
    if found.has_alpha:
        return np.array(_on_background(Image.fromarray(np.ascontiguousarray(levels))))
    return levels


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise Refusal(
            f"has {width} x {height} pixels ({width * height / 1e6:.1f} megapixels), over the limit of "
            f"{max_pixels / 1e6:g} megapixels; make it smaller, or raise {decode_limits.MEGAPIXELS}"
        )


def _check_jpeg(image: JpegImageFile, data: bytes) -> None:
    """Raise Refusal for JPEGs with missing data and for those that hold several views of equal rank."""
    if jpeg_check.is_damaged(data):
        raise Refusal(
            "is a JPEG that is damaged or cut short: parts of its data are missing, and would show as gray "
            "or shifted areas; copy it again from where it was taken"
        )
    views: Any = None
    with suppress(Exception):  # a broken list of views does not cost the image, as with EXIF
        views = (image._getmp() or {}).get(_MPO_ENTRIES)
    for view in views or ():
        if str(view["Attribute"]["MPType"]).startswith("Multi-Frame Image"):
            raise Refusal(
                "holds several views (a stereo pair, a panorama or other angles); save the view to be "
                "inspected as an image of its own"
            )


def _check_tiff(image: TiffImageFile) -> None:
    """Raise Refusal for TIFFs that Pillow would read wrongly or only in part."""
    tags = image.tag_v2
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (1,))
    if image.mode == "L" and 2 in tags.get(_TIFF_SAMPLE_FORMAT, ()):
        raise Refusal("holds signed 8-bit pixels; save it as ordinary 8-bit or as 16-bit")
    # Two cases that Pillow 13 decodes wrongly, without an error.
    packed = image.info["compression"] != "raw"
    if tags.get(_TIFF_PLANAR) == 2 and max(bits) > 8 and len(bits) > 1 and not packed:
        raise Refusal(
            "keeps its 16-bit colours in separate planes; save it with interleaved colours or as PNG"
        )
    if image.mode in ("I", "F") and tags.prefix == b"MM" and packed:
        raise Refusal(
            "is compressed, big-endian and of an unusual pixel type; save it uncompressed or as PNG"
        )
    if int(tags.get(_TIFF_SUBFILE, 0)) & 1:
        raise Refusal(f"starts with a mere preview (a camera's raw file?); export it as {FORMATS}")
    if not getattr(image, "is_animated", False):
        return
    # Page by page instead of `n_frames`, which follows a chain of any length.
    for page in range(1, 64):
        try:
            image.seek(page)
        except EOFError:
            break
        if not int(image.tag_v2.get(_TIFF_SUBFILE, 0)) & (1 | 4):  # reduced copy, mask
            raise Refusal("has several pages; save the page to be inspected as an image of its own")
    else:
        raise Refusal("has more than 64 pages; save the page to be inspected as an image of its own")
    image.seek(0)


def _to_rgb(image: ImageFile.ImageFile) -> Rgb:
    """Convert a loaded image to uint8 (h, w, 3), not yet turned upright."""
    if isinstance(image, BmpImageFile) and image.mode == "RGBA" and not np.asarray(image)[..., 3].any():
        # Many programs leave the fourth byte of a BMP zero, and viewers show such an image as opaque.
        return np.array(image.convert("RGB"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or image.has_transparency_data:
        return np.array(_on_background(image))
    # An RGB image is not converted, because that would copy it.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _on_background(image: Image.Image) -> Image.Image:
    """Paste a transparent image on `ALPHA_BACKGROUND`."""
    rgba: Image.Image = image.convert("LA") if image.mode == "La" else image
    rgba = rgba if rgba.mode == "RGBA" else rgba.convert("RGBA")
    alpha = rgba.getchannel("A")
    _check_visible(alpha.getextrema()[1] == 0)
    flat = Image.new("RGB", rgba.size, ALPHA_BACKGROUND)
    flat.paste(rgba, mask=alpha)
    return flat


def _check_visible(nothing: bool) -> None:
    if nothing:
        raise Refusal("is transparent everywhere, there is nothing to see; save it without transparency")


def _scale_color_key(image: PngImageFile) -> None:
    """Scale a PNG's transparent colour from the file's bit depth to the 8 bits of Pillow's pixels."""
    key = image.info.get("transparency")
    raw_mode = image.tile[0].args
    if isinstance(key, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif isinstance(key, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = key * (85 if raw_mode == "L;2" else 17)


def _is_deep_gray(image: ImageFile.ImageFile) -> bool:
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def _deep_gray_to_rgb(
    image: ImageFile.ImageFile, data: bytes, bit_depth: int | None
) -> tuple[Rgb, Samples | None]:
    """Convert grey pixels of 12, 16 or 32 bits, or floats from 0 to 1, to uint8 (h, w, 3)."""
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    values = np.asarray(image)
    samples = None
    if image.mode == "F":
        gray = _float_levels(values)
    elif tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0] > FULL:
        gray = _long_integer_levels(values, signed=2 in tags.get(_TIFF_SAMPLE_FORMAT, ()))
    else:
        values = np.maximum(values, 0) if values.dtype.kind == "i" else values
        if isinstance(image, Jpeg2KImageFile):
            values = deep_pixels.as_stored(values, data)
        samples = deep_pixels.samples_of(image, data, values, int(values.max()))
        gray = to_levels(values, samples.white(bit_depth))
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # "white is zero", which Pillow applies up to 8 bits only
        gray = 255 - gray
    rgb = np.repeat(gray[..., np.newaxis], 3, axis=2)
    key = image.info.get("transparency")
    if isinstance(key, int):
        hidden = values == key
        _check_visible(bool(hidden.all()))
        rgb[hidden] = ALPHA_BACKGROUND
    return rgb, samples


def _deep_color_to_rgb(
    image: ImageFile.ImageFile,
    again: Callable[[], ImageFile.ImageFile],
    data: bytes,
    bit_depth: int | None,
) -> tuple[Rgb, Samples | None]:
    """Convert colours, or grey with transparency, of 16 bits to uint8 (h, w, 3)."""
    found = deep_pixels.color_samples(image, again, data, bit_depth)
    if found is None:
        if bit_depth == FULL:
            return _to_rgb(image), None
        raise Refusal(
            "holds 16-bit colours of a kind of which only the upper 8 bits can be read, and uses less than "
            "the full range; save it as 16-bit RGB"
        )
    samples, values = found
    white = samples.white(bit_depth)
    if values is None or white == (1 << FULL) - 1:
        return _to_rgb(image), samples
    key = again().info.get("transparency")
    hidden = (values == np.array(key, np.uint16)).all(axis=2) if isinstance(key, tuple) else None
    if values.shape[2] == 4 and int(values[..., 3].max()) > white:
        # Transparency of the full range beside such colours.
        values[..., 3] = (values[..., 3].astype(np.uint32) * white + 32767) // 65535
    levels = to_levels(values, white, overwrite=True)
    if hidden is not None:
        _check_visible(bool(hidden.all()))
        levels[hidden] = ALPHA_BACKGROUND
    if values.shape[2] == 3:
        return levels, samples
    return np.array(_on_background(Image.fromarray(levels))), samples


def _long_integer_levels(values: npt.NDArray[Any], *, signed: bool) -> npt.NDArray[np.uint8]:
    """Scale 32-bit integers from the full range of their type, of signed ones from the positive half."""
    # Pillow returns unsigned 32-bit values as signed.
    values = np.maximum(values, 0) if signed else values.view(np.uint32)
    gray = (values >> (23 if signed else 24)).astype(np.uint8)
    # No camera has 32 bits: such files hold smaller numbers, and would become black without a message.
    if not gray.any() and values.any():
        raise Refusal(
            f"holds 32-bit integers up to {int(values.max())} only, all of them black on the full scale; "
            "save it as 8- or 16-bit"
        )
    return gray


def _float_levels(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())  # a NaN anywhere makes both NaN
    if not (low >= 0 and high <= 1):
        raise Refusal(
            f"holds floating-point pixels from {low:g} to {high:g} where 0 to 1 is expected; "
            "save it as 8- or 16-bit"
        )
    return np.rint(values * 255).astype(np.uint8)


def _orientation(image: ImageFile.ImageFile) -> int:
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:
        # Cameras often write broken EXIF blocks, and the parser fails in many ways. The pixels are
        # intact: the image is used as stored, as viewers do.
        return 1
    return value if isinstance(value, int) else 1


def turned(pixels: npt.NDArray[Pixel], orientation: int) -> npt.NDArray[Pixel]:
    """Turn stored pixels ``(h, w, ...)`` upright, by their EXIF orientation (EXIF 2.32, tag 274: 1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
