"""``doctor``: damage is named, interrupted work listed, leftovers removed on request only."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.records.image_files import ImageFiles
from padim.storage import leftovers
from padim.storage.atomic import open_beside
from padim.storage.resume import Request
from tests.cli.conftest import SMALL, Run, write
from tests.parts import normals


@pytest.fixture
def home(tmp_path: Path, small_model: Padim, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with one model and its features, and an own cache."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "system"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "system").mkdir()
    store = Workspace(tmp_path / "home")
    entry = store.create("Flange")
    work = store.work_dir(entry.id)
    Padim(small_model.config, work_dir=work).fit(normals(6)).save(entry.path)
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def left(path: Path, size: int = 10) -> Path:
    """Create a temporary file of a process that has ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_an_intact_workspace_has_no_findings_and_stays_unchanged(run: Run, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    done = run("doctor", "--json")
    assert done.code == 0, done.err
    assert done.json["damaged"] == 0
    assert [one["kind"] for one in done.json["checked"]] == ["model", "working files"]
    assert done.json["removed"] is None
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert "all intact" in run("doctor").out


def test_every_damaged_file_is_named_with_a_remedy(run: Run, home: Path, tmp_path: Path) -> None:
    (entry,) = Workspace(home).models()
    cached = write(tmp_path / "cache" / "backbones", [("net-1.onnx", b"x"), ("net-1.sha256", b"0" * 64)])
    victims = [
        next(entry.path.glob("held_out-*.npy")),
        entry.path / "work" / "spool" / "features.f32",
        cached / "net-1.onnx",
    ]
    for victim in victims[:2]:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 4
        victim.write_bytes(content)
    done = run("doctor", "--json")
    assert done.code == 1
    report = [one for one in done.json["checked"] if one["problem"]]
    assert {one["kind"] for one in report} == {"model", "working files", "cached network"}
    assert all(one["remedy"] for one in report)
    assert any(victims[0].name in one["problem"] for one in report)
    assert run("doctor").out.count("damaged") >= 1


def test_a_damaged_scorer_is_distinguished_from_an_intact_one(
    run: Run, tmp_path: Path, saved_model: Path
) -> None:
    scorer = tmp_path / "line.onnx"
    assert run("export", saved_model, "-o", scorer).code == 0
    assert run("doctor", scorer, "--json").json["checked"][0]["problem"] is None
    content = bytearray(scorer.read_bytes())
    content[len(content) // 2] ^= 1
    scorer.write_bytes(content)
    done = run("doctor", scorer, saved_model, "--json")
    assert done.code == 1
    assert [bool(one["problem"]) for one in done.json["checked"]] == [True, False]


def test_sweep_removes_what_dead_processes_left_and_nothing_else(
    run: Run, home: Path, tmp_path: Path
) -> None:
    (entry,) = Workspace(home).models()
    gone = [
        left(entry.path / ".manifest.json.0123abcd.tmp"),
        left(entry.path / "work" / "spool" / ".records.txt.0123abcd.tmp"),
        left(entry.path / "images" / f".{'ab' * 32}.0123abcd.tmp"),
        left(home / "models" / ".flange-000000.0123abcd.tmp" / "manifest.json").parent,
        left(home / "jobs" / "0123456789abcdef" / "000000", 1000).parent,
        left(tmp_path / "system" / "padim-scratch-ab12cd34" / "thumbnails.bin").parent,
    ]
    stay = [
        left(home / "notes.tmp"),
        left(home / "jobs" / "mine" / "notes.txt"),
        left(entry.path / "work" / ".mine"),
        left(entry.path / "images" / ("ab" * 32)),
        left(tmp_path / "system" / "padim-notes" / "a.txt"),
    ]
    handle, under_way = open_beside(entry.path / "manifest.json")
    done = run("doctor", "--json")
    assert {one["path"] for one in done.json["leftovers"]} == set(map(str, gone))
    assert all(path.exists() for path in gone)
    done = run("doctor", "--sweep", "--json")
    assert {one["path"] for one in done.json["removed"]} == set(map(str, gone))
    assert sum(one["bytes"] for one in done.json["removed"]) == 1050
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in [*stay, under_way])
    assert run("doctor", "--json").json["leftovers"] == []
    os.close(handle)


def test_images_of_a_library_are_swept_while_its_model_is_worked_on_except_those_being_written(
    run: Run, home: Path
) -> None:
    """A library is written without the model's lock: what is locked there is the file itself."""
    (entry,) = Workspace(home).models()
    orphan = left(entry.path / "images" / f".{'ab' * 32}.0123abcd.tmp")
    handle, being_written = open_beside(entry.path / "images" / ("cd" * 32))
    try:
        with Workspace(home).locked(entry.id):
            removed = run("doctor", "--sweep", "--json").json["removed"]
    finally:
        os.close(handle)
    assert [one["path"] for one in removed] == [str(orphan)]
    assert being_written.exists()


def test_a_file_of_a_library_is_locked_until_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a sweep by another process could take it between its closing and its renaming."""
    seen: list[bool] = []
    replace = Path.replace

    def looked_at(path: Path, target: Path) -> Path:
        seen.append(leftovers.is_held(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", looked_at)
    files = ImageFiles(tmp_path)
    with files.locked():
        files.write([("ef" * 32, b"image")])
    assert seen == [True]
    assert files.path("ef" * 32).read_bytes() == b"image"


def test_stopped_fits_are_listed_with_the_command_that_goes_on(
    run: Run, home: Path, good: Path, tmp_path: Path, small_model: Padim
) -> None:
    entry = Workspace(home).create("Half")
    Request.now(40, label="good.zip").write(entry.path / "work")
    partial = tmp_path / "models" / "m.partial"
    request = Request.now(22, command=("fit", str(good), "-o", str(partial.parent / "m"), *SMALL, "--resume"))
    request.write(partial)
    (report,) = run("doctor", "--json").json["stopped_fits"]
    assert (report["name"], report["done"], report["of"], report["resume"]) == ("Half", 0, 40, None)
    for place in (partial.parent, partial.parent / "m"):
        (report,) = run("doctor", place, "--json").json["stopped_fits"]
        words = report["resume"].split()
        assert words[:4] == ["python", "-m", "padim", "fit"]
    assert run(*words[3:]).code == 0
    assert (
        Padim.load(partial.parent / "m").state.fitted.held_out.shape
        == small_model.state.fitted.held_out.shape
    )
    # Work that a running process is doing was not interrupted.
    with leftovers.held_folder(entry.path):
        assert run("doctor", "--json").json["stopped_fits"] == []


def test_a_stopped_scoring_is_listed(run: Run, tmp_path: Path, saved_model: Path, good: Path) -> None:
    out = tmp_path / "out"
    assert run("score", saved_model, good, "-o", out, "--no-panels", "--no-masks").code == 0
    document = json.loads((out / "results.json").read_text(encoding="utf-8"))
    from padim.output.scoring_journal import Journal

    with Journal.begin(out, {}, document["images"][:5]):
        pass
    assert run("doctor", out, "--json").json["stopped_scorings"] == [{"folder": str(out), "scored": 5}]
    assert "5" in run("doctor", out).out


def test_foreign_files_are_reported_in_one_sentence(run: Run, tmp_path: Path) -> None:
    assert "does not exist" in run("doctor", tmp_path / "none").sentence
    (tmp_path / "folder").mkdir()
    assert "holds no workspace" in run("doctor", tmp_path / "folder").sentence
    shutil.rmtree(tmp_path / "folder")
