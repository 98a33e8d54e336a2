"""Figures of a long benchmark, kept on disk so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from padim.storage.atomic import write_atomic


class KeptFigures:
    """A JSON file of figures by what they were measured of; without a file they are kept in memory alone."""

    def __init__(self, path: Path | None) -> None:
        """
        Raises:
            ValueError: the file is there and not one of these.
        """
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} holds no figures of this benchmark ({error})") from error
        if not isinstance(known, dict) or not all(isinstance(entry, dict) for entry in known.values()):
            raise ValueError(f"{path} holds no figures of this benchmark")
        self._known = known

    @contextmanager
    def of(self, measured: Any) -> Iterator[dict[str, Any]]:
        """The figures of ``measured`` (anything that JSON can say), to read and to add to.

        The file is written when the block ends, also by an error: what was measured until then is kept.
        """
        key = hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()
        entry = self._known.setdefault(key, {})
        before = len(entry)
        try:
            yield entry
        finally:
            if self._path is not None and len(entry) > before:
                write_atomic(self._path, json.dumps(self._known, indent=1).encode())
