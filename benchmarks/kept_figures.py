"""Storage of a long benchmark's measurements on disk, so that a stopped run can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from padim.storage.atomic import write_atomic


class KeptFigures:
    """Measurements by a key that identifies them, in a JSON file or, without a file, in memory."""

    def __init__(self, path: Path | None) -> None:
        """
        Raises:
            ValueError: the file exists and has another format.
        """
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} contains no measurements of this benchmark ({error})") from error
        if not isinstance(known, dict) or not all(isinstance(entry, dict) for entry in known.values()):
            raise ValueError(f"{path} contains no measurements of this benchmark")
        self._known = known

    @contextmanager
    def of(self, measured: Any) -> Iterator[dict[str, Any]]:
        """Provide the measurements of ``measured``, a dictionary to read and to add to.

        The file is written when the block ends, even by an error, so that completed measurements are kept.

        Args:
            measured: identifies the measurements; any value that can be converted to JSON.
        """
        key = hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()
        entry = self._known.setdefault(key, {})
        before = len(entry)
        try:
            yield entry
        finally:
            if self._path is not None and len(entry) > before:
                write_atomic(self._path, json.dumps(self._known, indent=1).encode())
