"""Files that show an inspection later: its level map, and its image where the settings say so.

``<workspace>/evidence/maps`` has a 16-bit PNG for each level map; ``<workspace>/evidence/originals``, or the
folder of the settings, has images by the SHA-256 of their content. Files are written and flushed before their
rows. They may be deleted at any time: the record stays, and says what is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.decode import sha256
from padim.data.preprocess import Box
from padim.locating.placement import Placement
from padim.storage.atomic import write_atomic

if TYPE_CHECKING:
    from padim.decision.prediction import Prediction

FOLDER = "evidence"
# Of everybody who writes originals, as files of the same content are written once.
_PARTS = 2


class EvidenceFiles:
    """The files of inspections in a workspace.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.folder = Path(root) / FOLDER
        self.maps = self.folder / "maps"
        self.originals = self.folder / "originals"

    def map_path(self, uid: str) -> Path:
        """Return the path of an inspection's level map."""
        return self.maps / uid[:_PARTS] / f"{uid}.png"

    def original_path(self, digest: str, folder: str = "") -> Path:
        """Return the path of an image with this SHA-256, in the folder of the settings at the time."""
        return (Path(folder) if folder else self.originals) / digest[:_PARTS] / digest

    def write_map(self, uid: str, levels: npt.NDArray[np.uint16]) -> int:
        """Write an inspection's level map, uint16 ``(h, w)``; return the bytes of the file."""
        # OpenCV's default compression; a stronger one takes ten times as long for a tenth of the size.
        done, data = cv2.imencode(".png", levels)
        assert done
        write_atomic(self.map_path(uid), data.tobytes())
        return len(data)

    def read_map(self, uid: str) -> npt.NDArray[np.uint16] | None:
        """Return an inspection's level map, uint16 ``(h, w)``; None if its file is gone or damaged."""
        try:
            data = self.map_path(uid).read_bytes()
        except OSError:
            return None
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if found is None or found.dtype != np.uint16 or found.ndim != 2:
            return None
        return np.ascontiguousarray(found)

    def write_original(self, digest: str, content: bytes | Path, folder: str = "") -> int:
        """Write an image's file unless it is there already; return its size in bytes.

        Raises:
            OSError: it cannot be read or written.
        """
        path = self.original_path(digest, folder)
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        with suppress(OSError):
            if path.stat().st_size == size:
                path.touch()  # it is in use again: see `padim.records.retention`
                return size
        write_atomic(path, content.read_bytes() if isinstance(content, Path) else content)
        return size

    def read_original(self, digest: str, folder: str = "") -> bytes | None:
        """Return an image's file; None if it is gone or no longer what was stored."""
        try:
            data = self.original_path(digest, folder).read_bytes()
        except OSError:
            return None
        return data if sha256(data) == digest else None

    def has_original(self, digest: str, folder: str = "") -> bool:
        """Return whether an image's file is there."""
        return self.original_path(digest, folder).is_file()

    def delete(self, paths: Iterable[Path]) -> int:
        """Delete files; return the bytes that this frees. Those that are gone already count nothing."""
        freed = 0
        for path in paths:
            with suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        return freed


def place_of(prediction: Prediction) -> dict[str, Any]:
    """Return where an image lies in its level map, as plain JSON.

    ``box``: (top, left, height, width) of the part of the map that a padded image fills; ``placement``: the
    matrix from map pixels to image pixels of a located part. Without either the map shows the whole image.
    """
    if prediction.placement is not None:
        return {"placement": prediction.placement.to_json()}
    return {} if prediction.content_box is None else {"box": list(prediction.content_box)}


def placement_of(place: Mapping[str, Any]) -> tuple[Box | None, Placement | None]:
    """Return the content box and the placement that :func:`place_of` has stored."""
    box, placement = place.get("box"), place.get("placement")
    return None if box is None else Box(*box), None if placement is None else Placement.from_json(placement)
