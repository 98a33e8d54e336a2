"""Saved models whose self-test expects other level maps than they compute."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from padim.storage.bundle import Bundle, write

Levels = npt.NDArray[np.uint16]
_OWN = ("format", "version", "files", "seal")


def expecting(path: Path, change: Callable[[Levels], Levels]) -> Path:
    """Let the self-test of a saved model expect changed maps, uint16 ``(k * h, w)``; return its path."""
    saved = Bundle(path)
    files = {name: saved.bytes(name) for name in saved.manifest["files"]}
    with Image.open(io.BytesIO(files["self_test_maps.png"])) as image:
        maps = np.asarray(image).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(change(maps)).save(buffer, "PNG")
    files["self_test_maps.png"] = buffer.getvalue()
    write(path, {key: value for key, value in saved.manifest.items() if key not in _OWN}, files)
    return path


def one_level(maps: Levels) -> Levels:
    """Return the maps with one level more at their cool pixels, which decide no score."""
    return np.where(maps < np.median(maps), maps + 1, maps).astype(np.uint16)


def hotter(maps: Levels) -> Levels:
    """Return the maps twice as hot."""
    return (2 * maps.astype(np.uint32)).clip(0, 65535).astype(np.uint16)


def without(path: Path) -> Path:
    """Take the self-test out of a saved model, as in models saved before there was one; return its path."""
    saved = Bundle(path)
    files = {name: saved.bytes(name) for name in saved.manifest["files"] if not name.startswith("self_test")}
    own = (*_OWN, "self_test")
    write(path, {key: value for key, value in saved.manifest.items() if key not in own}, files)
    return path
