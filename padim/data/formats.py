"""Image formats: what a file is by its first bytes, and which file names are read.

The content decides how a file is read; its name decides only whether a file in a folder or an archive is
meant as an image. A new format is added here first.
"""

from __future__ import annotations

import re

# File name endings of the formats that can be read, those of the extra ``formats`` included: where it is not
# installed, the error names it.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".jls"),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff", ".btf", ".tf8"),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "PNM": (".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "AVIF": (".avif", ".avifs"),
    "HEIC": (".heic", ".heif", ".hif"),
    "JPEG XL": (".jxl",),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
# Images in formats that are not read. A source refuses such files instead of passing them over: otherwise a
# folder of thirty raw photographs would look empty, without a reason.
UNREADABLE_SUFFIXES = (
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),  # cameras' raw files
    *(".psd", ".psb", ".xcf", ".svg", ".eps", ".ico", ".cur", ".tga", ".pcx", ".dds", ".sgi", ".qoi"),
    *(".exr", ".hdr", ".jxr", ".wdp", ".hdp", ".dcm", ".fits", ".czi", ".lif", ".nd2", ".lsm", ".stk"),
)
ARCHIVE_SUFFIXES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")

# What to save an image as that cannot be read.
FORMATS = "PNG, JPEG, BMP, TIFF or WebP"

# Number of bytes at a file's beginning from which its format is recognized. Some of what is no image is named
# exactly only with more of it.
HEAD = 64
# Number of bytes from which archives are recognized: a tar archive by byte 257.
ARCHIVE_HEAD = 512

_PNM = re.compile(rb"P(?:[1-6]\s+[#\d]|7\s*[\n#]|[fF]\s+\d)")
_JPEG_2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# The sizes of a BMP's second header; the two letters alone begin many a text.
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))


def image_format(head: bytes) -> str | None:
    """Return the image format that a file's first bytes announce; None if it is none of those that are read.

    Args:
        head: the first bytes of the file, :data:`HEAD` of them or more.
    """
    head = bytes(head[:HEAD])
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"BM") and (len(head) < 18 or int.from_bytes(head[14:18], "little") in _BMP_HEADERS):
        return "BMP"
    if head.startswith(_TIFF):
        return None if _raw_of_a_camera(head) else "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if _PNM.match(head):
        return "PNM"
    if head.startswith(_JPEG_2000):
        return "JPEG 2000"
    if head.startswith(_JPEG_XL):
        return "JPEG XL"
    brands = _brands(head)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIC_BRANDS and not brands & {b"crx "}:
        return "HEIC"
    return None


def _raw_of_a_camera(head: bytes) -> bool:
    return head[8:10] == b"CR"  # Canon's CR2; others are recognized by the preview with which they begin


def _brands(head: bytes) -> frozenset[bytes]:
    """Return the brands of an ISO media file, the main one first among equals; empty for other files."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset((head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))))


_ARCHIVES: tuple[tuple[bytes, str], ...] = (
    (b"PK\3\4", "a zip archive"),
    (b"PK\5\6", "a zip archive"),
    (b"PK\7\x08", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\7", "a RAR archive"),
    (b"\x1f\x8b", "a gzip archive (.gz or .tar.gz)"),
    (b"BZh", "a bzip2 archive (.bz2)"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive (.zst)"),
    (b"MSCF", "a CAB archive"),
)
_TAR = 257

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"II\xbc", "a JPEG XR image"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI image"),
    (b"%!PS", "a PostScript file"),
    (b"\x01\xda", "an SGI image"),
    (b"\x0a\x05\x01", "a PCX image"),
    (b"icns", "an icon"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"IIRO", "a camera's raw file"),
    (b"IIU\0", "a camera's raw file"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"\0\0\1\xba", "a video"),
    (b"\0\0\1\xb3", "a video"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SIMPLE  =", "a FITS file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a placeholder of Git LFS, not the file itself"),
)


def archive_kind(head: bytes) -> str | None:
    """Return the kind of archive that a file's first bytes announce, with its article; None for other files.

    Args:
        head: the first bytes of the file; a tar archive is recognized by the first 262.
    """
    for start, what in _ARCHIVES:
        if head.startswith(start):
            return what
    return "a tar archive" if head[_TAR : _TAR + 5] == b"ustar" else None


def describe(head: bytes) -> str:
    """Return what a file is that is no readable image, as a phrase: ``a PDF``, ``text, not an image`` ...

    Args:
        head: the first bytes of the file; 300 suffice for everything that is told apart here.
    """
    archive = archive_kind(head)
    if archive is not None:
        return archive
    for start, what in _OTHERS:
        if head.startswith(start):
            return what
    brands = _brands(head)
    if brands:
        return "a camera's raw file" if b"crx " in brands else "a video or sound file"
    if head.startswith(b"RIFF"):
        return "a video or sound file"
    if head.startswith(_TIFF):
        return "a camera's raw file"
    if head[:4] in (b"\0\0\1\0", b"\0\0\2\0") and head[4:6].strip(b"\0"):
        return "an icon or a cursor"
    if head[128:132] == b"DICM":
        return "a DICOM image"
    text = bytes(head[:HEAD]).lstrip(b"\xef\xbb\xbf")
    if b"<svg" in head[:300]:
        return "an SVG drawing"
    if all(byte in b"\t\n\r\f" or byte >= 32 for byte in text):
        return "text, not an image"
    if len(head) and not any(head):
        return "nothing but zeros: its content was lost, as when a copy or a card fails"
    return "not an image of a known format"
