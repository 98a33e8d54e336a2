"""Only files below allowed folders are read, whatever a path looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.errors import ImageError, PadimError
from padim.service.allowed_roots import AllowedRoots, PathNotAllowedError


@pytest.fixture
def roots(tmp_path: Path) -> AllowedRoots:
    (tmp_path / "in" / "line 1").mkdir(parents=True)
    (tmp_path / "in" / "line 1" / "a.png").write_bytes(b"inside")
    (tmp_path / "secret.png").write_bytes(b"outside")
    (tmp_path / "in" / "way.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in" / "circle")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.png").write_bytes(b"more")
    return AllowedRoots([tmp_path / "in", tmp_path / "more"])


def test_files_below_a_root_are_read(roots: AllowedRoots, tmp_path: Path) -> None:
    assert roots.read("line 1/a.png", 100, "X") == ("a.png", b"inside")
    assert roots.read(str(tmp_path / "in" / "line 1" / "a.png"), 6, "X") == ("a.png", b"inside")
    assert roots.read("b.png", 100, "X") == ("b.png", b"more")
    assert roots.read("line 1/../../more/b.png", 100, "X") == ("b.png", b"more")


@pytest.mark.parametrize(
    "path", ["", "\0", "..", ".", "/etc/passwd", "../secret.png", "line 1/../../secret.png"]
)
def test_others_are_not(roots: AllowedRoots, path: str) -> None:
    with pytest.raises(PathNotAllowedError):
        roots.read(path, 100, "X")


@pytest.mark.parametrize("path", ["line 1", "none.png", "x" * 300, "way.png", "circle"])
def test_what_is_not_a_file_is_said(roots: AllowedRoots, path: str) -> None:
    with pytest.raises(ImageError, match="no such file"):
        roots.read(path, 100, "X")


def test_a_file_beyond_the_limit_names_the_setting(roots: AllowedRoots) -> None:
    with pytest.raises(ImageError, match="limit set by PADIM_X"):
        roots.read("line 1/a.png", 5, "PADIM_X")


def test_no_root_allows_nothing() -> None:
    assert not AllowedRoots([])
    with pytest.raises(PathNotAllowedError, match="--allow-root"):
        AllowedRoots([]).find("/etc/passwd")


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="is not a folder"):
        AllowedRoots([tmp_path / "none"])
