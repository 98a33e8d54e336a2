"""Which of the kept images are read."""

from __future__ import annotations

from typing import Any

import pytest

from padim.storage.image_store import ImageStore


def rows_read(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The rows that are read from now on; it grows as they are."""
    read: set[int] = set()
    former = ImageStore.read

    def reading(self: ImageStore, rows: Any) -> Any:
        read.update(int(row) for row in rows)
        return former(self, rows)

    monkeypatch.setattr(ImageStore, "read", reading)
    return read
