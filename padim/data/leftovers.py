"""Recognize hidden files, and files and folders that operating systems and storage devices leave behind.

One rule for folders, zip archives and folders chosen in a browser. Some leftovers are images: thumbnails that
a network drive has made, and parts that were deleted. They must not become part of a model or of a result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_THUMBNAILS = "thumbnails"
_DELETED = "deleted files"
_SNAPSHOT = "earlier versions of files"
_SYSTEM = "data of the operating system"

# By name in lower case: operating systems write these names in any case.
_KNOWN = {
    "__macosx": _SYSTEM,
    "@eadir": _THUMBNAILS,
    "@synoresource": _THUMBNAILS,
    "#recycle": _DELETED,
    "@recycle": _DELETED,
    "$recycle.bin": _DELETED,
    "recycler": _DELETED,
    "recycled": _DELETED,
    "network trash folder": _DELETED,
    "#snapshot": _SNAPSHOT,
    "~snapshot": _SNAPSHOT,
    "@snapshot": _SNAPSHOT,
    "@recently-snapshot": _SNAPSHOT,
    "system volume information": _SYSTEM,
    "temporary items": _SYSTEM,
    "lost+found": "fragments of a damaged file system",
    "thumbs.db": _THUMBNAILS,
    "ehthumbs.db": _THUMBNAILS,
    "ehthumbs_vista.db": _THUMBNAILS,
    "zbthumbnail.info": _THUMBNAILS,
    "desktop.ini": _SYSTEM,
    "picasa.ini": _SYSTEM,
    "icon\r": _SYSTEM,
}
# Fragments that a repair of a Windows disk has found, and a Synology device's data beside a file.
_PATTERNS = (
    (re.compile(r"found\.\d{3}"), "fragments of a damaged file system"),
    (re.compile(r".*@syno(eastream|resource)"), _SYSTEM),
)


def reason(entry: str) -> str | None:
    """Return why a file or folder of this name is passed over; None if it is not.

    Args:
        entry: name of a file or folder, without its path.
    """
    lower = entry.lower()
    what = _KNOWN.get(lower) or next((text for known, text in _PATTERNS if known.fullmatch(lower)), None)
    if what is not None:
        return f"system leftover: {what}"
    if entry.startswith(".") and entry not in (".", ".."):
        return "hidden: its name begins with a dot"
    return None


def outermost(parts: Sequence[str]) -> tuple[int, str] | None:
    """Return the first component of a path that is hidden or a leftover, as (index, reason), or None.

    Args:
        parts: the components of a relative path.
    """
    return next(((i, why) for i, part in enumerate(parts) if (why := reason(part)) is not None), None)
