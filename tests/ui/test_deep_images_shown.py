"""What the viewer shows of images deeper than 8 bits is what the network sees."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from padim.data.decode import decode
from tests import hostile
from tests.parts import part, png
from tests.test_bit_depth_of_models import deep
from ui import viewing


def shown(path: Path, bit_depth: int | None) -> bytes:
    item: Any = SimpleNamespace(file=path, name=path.name)
    plain: Any = viewing._full
    served = plain.__wrapped__(item, "", bit_depth)  # without the cache
    assert served is not None
    return bytes(served.data)


def test_originals_are_shown_with_the_models_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing.runtime, "exists", lambda: True)
    path = tmp_path / "a.png"
    path.write_bytes(hostile.png(deep(1)))
    served = shown(path, 12)
    # Browsers show 16-bit files over their full range, nearly black.
    assert Image.open(path).mode == "I;16"
    np.testing.assert_array_equal(decode(served, "a"), np.repeat((deep(1) >> 4)[..., None], 3, axis=2))
    assert served != path.read_bytes()


def test_8_bit_originals_are_served_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing.runtime, "exists", lambda: True)
    path = tmp_path / "a.png"
    path.write_bytes(png(part(1)))
    assert shown(path, 12) == path.read_bytes()
