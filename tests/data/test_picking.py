"""A few files of a source, by name."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from padim.data import picking
from padim.data.opening import expand_uploads, open_source
from padim.errors import ImageError

FILES = [(f"{i}.png", bytes([i]) * 3) for i in range(5)]


def test_from_uploads_in_the_order_of_the_source() -> None:
    source = expand_uploads(FILES)
    assert list(picking.pick(source, ["3.png", "1.png"])) == [FILES[1], FILES[3]]
    assert list(picking.pick(source, [])) == []


def test_a_folder_is_read_no_further_than_needed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, data in FILES:
        (tmp_path / "sub" / name).write_bytes(data)
    source = open_source(tmp_path)
    with patch.object(picking, "read_plain", wraps=picking.read_plain) as read:
        assert list(picking.pick(source, ["sub/3.png"])) == [("sub/3.png", FILES[3][1])]
    assert read.call_count == 1


def test_what_is_no_longer_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    for source in (open_source(tmp_path), expand_uploads(FILES)):
        with pytest.raises(ImageError, match=r"gone\.png.*no longer there"):
            list(picking.pick(source, ["gone.png"]))
