"""Tell whether the compressed data of a JPEG are complete: lost blocks, and files cut short and closed again.

Pillow fills what is missing in a JPEG with grey, without an error. A model would be fitted on that grey, or a
part accepted that was not seen. Here the file is decoded a second time, at an eighth of its size, by
libjpeg-turbo in its strict mode, which reads all of the compressed data and reports what it had to guess. The
pixels stay Pillow's.

What the format cannot tell stays unseen: most flipped bits change pixels but leave data that decode without a
complaint. In three rare kinds still less is seen: arithmetic coding, which has hardly any invalid data;
lossless JPEG; and sampling factors that libjpeg-turbo's interface does not name, as 4:1:0.
"""

from __future__ import annotations

import re
from bisect import bisect_left

import simplejpeg

# What libjpeg-turbo says when data are missing or wrong. Its other complaints concern metadata or a kind of
# JPEG that it cannot decode; neither is damage.
_DAMAGE = re.compile(
    r"premature end of data segment|Premature end of JPEG file|bad Huffman code|bad arithmetic code"
    r"|found marker 0x"
)
_STRAY = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x(\w+)")
# Up to this many bytes before a marker, or any number with one value, are taken for padding. What a decoder
# leaves unread after a lost block is longer, as a rule, or followed by other complaints.
_PADDING_BYTES = 16
# Finding each gap takes several decodings; with more gaps than this, what follows them is not checked.
_MOST_GAPS = 4

_MARKER = re.compile(rb"\xff([^\x00\x01\xff])")
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN, _END, _ADOBE, _COMMENT = 0xDA, 0xD9, 0xEE, 0xFE
_RESTARTS = range(0xD0, 0xD8)
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive, with Huffman or arithmetic coding. simplejpeg must see no other kind: of
# a lossless JPEG, which cannot be scaled, libjpeg-turbo writes all pixels where it has room for an eighth.
_CHECKED = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_PROGRESSIVE = (0xC2, 0xCA)


def is_damaged(data: bytes) -> bool:
    """Return whether data are missing from a JPEG, or cannot be what was written.

    False does not mean that the file is intact: see the module's text for what cannot be seen.

    Args:
        data: the whole file. Bytes after the end of the image, as phones append them, are not looked at.
    """
    if _frame(data) not in _CHECKED:
        return False
    if not _all_scans(data):
        return True
    complaint = _complaint(data)
    if complaint is None or _DAMAGE.search(complaint):
        return complaint is not None
    # libjpeg-turbo reports its first complaint only: what is harmless is taken out, to hear of the others.
    data, compressed = _bare(data)
    for _ in range(_MOST_GAPS):
        complaint = _complaint(data)
        if complaint is None or _DAMAGE.search(complaint):
            return complaint is not None
        stray = _STRAY.match(complaint)
        if stray is None:
            return False
        if int(stray[2], 16) in _RESTARTS:
            # libjpeg-turbo may report these at a later marker, so that they cannot be found and taken out.
            return int(stray[1]) > _PADDING_BYTES or not _restarts_in_order(data, compressed)
        end = _place(data, compressed, complaint)
        if end is None:
            return False
        start = max(compressed, end - int(stray[1]))
        if end - start > _PADDING_BYTES and len(set(data[start:end])) > 1:
            return True
        data = data[:start] + data[end:]
    return False


def _frame(data: bytes) -> int:
    """Return the marker of a JPEG's frame, which names its kind of coding; 0 if there is none."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker = found[1][0]
        if marker in _FRAMES:
            return marker
        if marker in (_START_OF_SCAN, _END):
            break
        at = found.end()
        if marker not in _RESTARTS and marker != 0xD8:
            at += int.from_bytes(data[at : at + 2], "big")
    return 0


def _all_scans(data: bytes) -> bool:
    """Return whether the scans of a JPEG send every component, and of a progressive one every bit of it.

    A file that was cut between two scans and closed is as valid as a whole one, only coarse.
    """
    components: list[int] = []
    progressive = False
    # The lowest bit sent so far of the first and of the last coefficient of each component.
    left: dict[int, list[int]] = {}
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _END:
            break
        if marker in _RESTARTS or marker == 0xD8:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        at += length
        if marker in _FRAMES and len(segment) > 5:
            progressive = marker in _PROGRESSIVE
            components = list(segment[6::3])[: segment[5]]
            left = {component: [99, 99] for component in components}
        elif marker == _START_OF_SCAN and segment and len(segment) >= 2 * segment[0] + 4:
            first, last, bits = segment[-3:]
            for component in segment[1 : 1 + 2 * segment[0] : 2]:
                sent = left.setdefault(component, [99, 99])
                if not progressive or first == 0:
                    sent[0] = bits & 15 if progressive else 0
                if not progressive or last == 63:
                    sent[1] = bits & 15 if progressive else 0
            if not progressive and segment[0] == len(components):
                return True
    return all(left[component] == [0, 0] for component in components)


def _complaint(data: bytes) -> str | None:
    """Return the first complaint of libjpeg-turbo about a JPEG; None if there is none.

    Grey at an eighth of the size costs the least and still decompresses every block of every color; a CMYK
    file is not converted to it.
    """
    complaint = ""
    for colors in ("GRAY", "CMYK"):
        try:
            simplejpeg.decode_jpeg(data, colors, min_height=1, min_width=1, strict=True)
            return None
        except Exception as error:
            # ValueError with libjpeg-turbo's words; for kinds that it cannot decode, KeyError or MemoryError.
            complaint = str(error)
            if "color" not in complaint.lower():
                break
    return complaint


def _bare(data: bytes) -> tuple[bytes, int]:
    """Return a JPEG without metadata and stray bytes in its header, and where its compressed data begin."""
    kept = bytearray(data[:2])
    at, compressed, sequential = 2, 0, False
    while (found := _MARKER.search(data, at)) is not None:
        marker, start = found[1][0], found.start()
        if compressed:
            # Compressed data, with what may stand between them and the next marker, stay as they are.
            kept += data[at:start]
        if marker == _END:
            return bytes(kept) + _END_OF_IMAGE, compressed
        if marker in _RESTARTS or marker == 0xD8:
            kept += data[start : start + 2]
            at = start + 2
            continue
        at = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        segment = bytearray(data[start:at])
        if marker in _FRAMES:
            sequential = marker in _SEQUENTIAL
        if marker == _START_OF_SCAN and sequential:
            segment[-3:] = b"\0\x3f\0"  # some cameras write other values, which sequential decoding ignores
        metadata = (0xE0 <= marker <= 0xEF and marker != _ADOBE) or marker == _COMMENT
        kept += b"" if metadata else segment
        if marker == _START_OF_SCAN and not compressed:
            compressed = len(kept)
    return bytes(kept) + data[at:], compressed


def _place(data: bytes, compressed: int, complaint: str) -> int | None:
    """Return the position of the marker before which the complaint found stray bytes; None if not found.

    The file is cut before one marker after another: the complaint appears once the stray bytes are inside.
    """
    amount = complaint.split(" before ")[0]
    markers = [found.start() for found in _MARKER.finditer(data, compressed)]

    def complains(end: int) -> bool:
        return (_complaint(data[:end] + _END_OF_IMAGE) or "").startswith(amount)

    index = bisect_left(markers, True, key=complains)
    return markers[index] if index < len(markers) else None


def _restarts_in_order(data: bytes, compressed: int) -> bool:
    """Return whether the restart markers of each scan count from 0 to 7 and again from 0."""
    expected = 0
    for found in _MARKER.finditer(data, compressed):
        marker = found[1][0]
        if marker == _START_OF_SCAN:
            expected = 0
        elif marker in _RESTARTS:
            if marker - _RESTARTS.start != expected:
                return False
            expected = (expected + 1) % len(_RESTARTS)
    return True
