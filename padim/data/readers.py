"""Pillow's readers of image files, one for each format, and checks of what they read wrongly or in part."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

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

from padim.data import jpeg_check
from padim.data.formats import FORMATS
from padim.data.refusal import Refusal

_TIFF_SUBFILE, _TIFF_BITS_PER_SAMPLE, _TIFF_PLANAR, _TIFF_SAMPLE_FORMAT = 254, 258, 284, 339
_MPO_ENTRIES = 0xB002


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
READERS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
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


def check_jpeg(image: JpegImageFile, data: bytes) -> None:
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


def check_tiff(image: TiffImageFile) -> None:
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


def scale_color_key(image: PngImageFile) -> None:
    """Scale a PNG's transparent colour from the file's bit depth to the 8 bits of Pillow's pixels."""
    key = image.info.get("transparency")
    raw_mode = image.tile[0].args
    if isinstance(key, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif isinstance(key, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = key * (85 if raw_mode == "L;2" else 17)
