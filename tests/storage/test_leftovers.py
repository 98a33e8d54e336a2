"""Temporaries: those of living processes stay, those of dead ones go, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from padim.storage import leftovers
from padim.storage.atomic import open_beside, remove_tree, write_atomic
from padim.storage.image_store import ImageStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such locks")

ROOT = Path(__file__).parents[2]
HOLDS = """
import os, signal, sys
from pathlib import Path
from padim.storage.atomic import open_beside
from padim.storage.leftovers import ScratchFolder
handle, path = open_beside(Path(sys.argv[1]))
os.write(handle, b"half")
folder = ScratchFolder(beside=Path(sys.argv[1]))
system = ScratchFolder()
(Path(system.name) / "file").write_bytes(b"1234")
print(path, folder.name, system.name, flush=True)
signal.pause()
"""


def test_what_a_living_process_makes_stays_until_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "system"))
    monkeypatch.setattr("tempfile.tempdir", None)
    target = tmp_path / "model.zip"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(target)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        made = sorted(Path(name) for name in other.stdout.readline().split())
        assert all(path.exists() for path in made)
        found = leftovers.beside(tmp_path) + leftovers.in_system_folder()
        assert found == []
        other.send_signal(signal.SIGKILL)
    found = leftovers.beside(tmp_path) + leftovers.in_system_folder()
    assert sorted(one.path for one in found) == made
    assert [one.bytes for one in found if one.path.is_file()] == [4]
    assert leftovers.sweep(found) == found
    assert not any(path.exists() for path in made)


def test_only_names_of_this_program_are_swept(tmp_path: Path) -> None:
    theirs = [".a.tmp", "a.12345678.tmp", ".a.1234567.tmp", ".a.12345678.tmp.txt", ".a.1234-678.tmp", "a"]
    for name in theirs:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".a.12345678.tmp").write_bytes(b"")
    (tmp_path / ".b.12345678.tmp").mkdir()
    (tmp_path / ".c.12345678.tmp").symlink_to(tmp_path / "a")
    assert [one.path.name for one in leftovers.beside(tmp_path, "b")] == [".b.12345678.tmp"]
    assert leftovers.beside(tmp_path, older_than=3600) == []
    leftovers.sweep(leftovers.beside(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, ".c.12345678.tmp"}


def test_a_file_under_way_in_this_process_is_not_swept(tmp_path: Path) -> None:
    handle, path = open_beside(tmp_path / "a")
    assert leftovers.beside(tmp_path) == []
    os.close(handle)
    assert [one.path for one in leftovers.beside(tmp_path)] == [path]

    def swept_while_written(file: object) -> None:
        assert [one.path for one in leftovers.sweep(leftovers.beside(tmp_path))] == [path]

    write_atomic(tmp_path / "a", swept_while_written)
    assert {place.name for place in tmp_path.iterdir()} == {"a"}


def test_a_folder_goes_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "file").write_bytes(b"x")
    with monkeypatch.context() as patch:
        patch.setattr("padim.storage.atomic.shutil.rmtree", lambda *_, **__: None)  # the kill
        remove_tree(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert [one.bytes for one in leftovers.sweep(leftovers.beside(tmp_path, "folder"))] == [1]
    assert not [*tmp_path.iterdir()]


def test_a_held_folder_is_nobody_elses(tmp_path: Path) -> None:
    with leftovers.held_folder(tmp_path) as ours:
        assert ours
        assert leftovers.is_held(tmp_path)
        with leftovers.held_folder(tmp_path) as too:
            assert not too
    assert not leftovers.is_held(tmp_path)
    assert not leftovers.is_held(tmp_path / "none")


def test_records_made_in_a_scratch_folder_leave_it_held() -> None:
    """A folder made anew under the same name would be nobody's, and the next process would sweep it."""
    with leftovers.ScratchFolder() as place:
        (Path(place) / "older.bin").write_bytes(b"x")
        ImageStore(Path(place), (4, 4)).start()
        assert leftovers.is_held(Path(place))
        assert not (Path(place) / "older.bin").exists()


def test_a_folder_swept_before_it_could_be_locked_is_created_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process sweeps it in the moment between its creation and its lock."""
    created: list[Path] = []
    make = tempfile.mkdtemp

    def swept(*args: object, **more: object) -> str:
        name = make(*args, **more)  # type: ignore[call-overload]
        created.append(Path(name))
        if len(created) == 1:
            created[0].rmdir()
        return str(name)

    monkeypatch.setattr(tempfile, "mkdtemp", swept)
    with leftovers.ScratchFolder() as place:
        assert len(created) == 2
        assert Path(place) == created[1]
        assert leftovers.is_held(created[1])
    assert not created[1].exists()
