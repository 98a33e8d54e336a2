"""The files of a watch's results, and inspected files that are moved away."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from padim.data.decode import decode
from padim.errors import PadimError
from padim.output.render import encode_jpeg, four_panel
from padim.service.watch_folder import mark_of
from padim.service.watch_state import FileMark
from padim.storage.atomic import naming, open_beside, sha256_of, sync_folder, write_atomic

if TYPE_CHECKING:
    from padim.decision.prediction import Prediction
    from padim.service.inspecting_models import InspectingModel

__all__ = ["MOVED_REFUSED", "base_of", "move", "panel_jpeg", "prediction_again", "write_results"]

RESULTS_FOLDER = "results"
# The folder below that of moved files for those that could not be inspected.
MOVED_REFUSED = "refused"
# Longest name in bytes, so that an ending, and that of a temporary file, have room in 255.
_LONGEST_NAME = 200
_CHUNK = 1 << 20


def base_of(path: str, sha256: str, day: str, taken: Collection[str]) -> str:
    """Return the path of a file's results below the folder for results, without an ending.

    Args:
        path: the file's path below the watched folder.
        sha256: of its content.
        day: the day, such as 2026-11-30: each has a folder.
        taken: paths of results of other contents of this file.
    """
    pure = PurePosixPath(path)
    parts = [_short(part) for part in pure.parts]
    base = "/".join([RESULTS_FOLDER, day, *parts])
    return f"{base}-{sha256[:8]}" if base in taken else base


def _short(name: str) -> str:
    data = name.encode("utf-8", "backslashreplace")
    if len(data) <= _LONGEST_NAME:
        return name
    return f"{data[: _LONGEST_NAME - 9].decode('utf-8', 'ignore')}-{hashlib.sha256(data).hexdigest()[:8]}"


def write_results(output: Path, base: str, document: dict[str, Any], panel: bytes | None) -> None:
    """Write an image's result as JSON and its panels as JPEG: the JSON is last, so that both are there then.

    Args:
        output: the folder for results.
        base: of :func:`base_of`.
        document: the result.
        panel: the JPEG's bytes; None for no panel.

    Raises:
        OSError: they cannot be written.
    """
    if panel is not None:
        write_atomic(output / f"{base}.jpg", panel)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(output / f"{base}.json", text.encode("utf-8", "backslashreplace"))


def panel_jpeg(content: bytes, name: str, prediction: Prediction, using: InspectingModel, side: int) -> bytes:
    """Draw original, heatmap, mask and overlay of an inspected image side by side; return a JPEG's bytes."""
    mark = "Random weights, for trials only: " if using.model.network.random_weights else ""
    strip = four_panel(
        decode(content, name, bit_depth=using.model.config.bit_depth),
        prediction.levels,
        prediction,
        caption=f"{mark}{name}",
        content_box=prediction.content_box,
        panel_side=side,
    )
    return encode_jpeg(strip)


def prediction_again(content: bytes, document: dict[str, Any], using: InspectingModel) -> Prediction | None:
    """Score an image again that is on record, to draw its panels; None if that would not show what decided.

    A process that was killed between recording an image and writing its files leaves it so.
    """
    from padim.records.versions import ModelVersions

    try:
        if document["version"] != using.version_number and using.root is not None:
            versions = ModelVersions(using.root, document["model_id"])
            version = next((one for one in versions.all() if one.number == document["version"]), None)
            if version is None:
                return None
            model = versions.open(version)
        else:
            model = using.model
        (found,) = model.predict([(document["name"], content)])
    except (PadimError, OSError, ValueError):
        return None
    if found.score_level != document["score_level"]:
        return None
    if found.threshold_level is None or found.threshold_level != document["threshold_level"]:
        return None
    return found


def move(place: Path, mark: FileMark, target: Path) -> Path | None:
    """Move an inspected file; return where it is now, or None if it was changed meanwhile and stays.

    On another disk the copy is complete and flushed before the file is deleted. A file of the same name and
    content is replaced; one of another content keeps its name.

    Args:
        place: the file.
        mark: as it was when it was read.
        target: its new path.

    Raises:
        OSError: it cannot be moved; it is where it was then.
    """
    if mark_of(place) != mark:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        digest = sha256_of(place)
        if sha256_of(target) != digest:
            target = target.with_name(f"{target.stem}-{digest[:8]}{target.suffix}")
    try:
        place.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(place, target)
        if mark_of(place) != mark:
            target.unlink(missing_ok=True)
            return None
        place.unlink()
    sync_folder(target.parent)
    return target


def _copy(place: Path, target: Path) -> None:
    with naming(target):
        handle, temporary = open_beside(target)
        try:
            with os.fdopen(handle, "wb") as out, place.open("rb") as source:
                shutil.copyfileobj(source, out, _CHUNK)
                out.flush()
                os.fsync(out.fileno())
            shutil.copystat(place, temporary)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
