"""``fit`` and ``score`` resume from whatever a kill has left, and never mistake foreign files for it."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from padim import Padim
from padim.output.scoring_journal import NAME, Journal, rows_kept
from padim.storage import leftovers
from padim.storage.resume import Request, look
from tests.cli.conftest import SMALL, Run, write
from tests.cli.test_fit import same
from tests.parts import defects, normals, part, png

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory, good: Path, small_model: Padim) -> Path:
    """Return a folder with ``m.partial`` of a fit that was killed after all images, before saving."""
    folder = tmp_path_factory.mktemp("stopped")
    code = """
import os, signal
from padim import Padim
Padim.save = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
from padim.cli import main
main()
"""
    command = ["fit", str(good), "-o", str(folder / "m"), *SMALL]
    done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    return folder


@pytest.fixture
def begun(stopped: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder."""
    shutil.copytree(stopped / "m.partial", tmp_path / "m.partial")
    return tmp_path / "m.partial"


@pytest.mark.slow
def test_the_command_that_goes_on_is_kept_and_works(
    run: Run, good: Path, stopped: Path, begun: Path, small_model: Padim
) -> None:
    request = Request.read(begun)
    assert request is not None
    assert request.total == 22
    assert request.command[:2] == ("fit", str(good))
    assert request.command[-1] == "--resume"
    command = [word.replace(str(stopped), str(begun.parent)) for word in request.command]
    assert run(*command).code == 0
    same(Padim.load(begun.parent / "m"), small_model)


@pytest.mark.parametrize(
    "left",
    [
        ["unfinished.json"],
        ["unfinished.json", "request.json", "batches.jsonl"],
        ["unfinished.json", "spool/spool.json", "spool/features.f32"],
        ["unfinished.json", "spool"],
    ],
    ids=["header", "records", "features", "spool"],
)
@pytest.mark.parametrize("flag", ["--resume", "--force", None])
def test_a_half_removed_folder_blocks_nothing(
    run: Run, good: Path, begun: Path, small_model: Padim, left: list[str], flag: str | None
) -> None:
    for name in left:
        path = begun / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (begun / ".unfinished.json.0123abcd.tmp").write_bytes(b"{")
    assert look(begun) == "begun"
    assert run("fit", good, "-o", begun.parent / "m", *SMALL, *([flag] if flag else [])).code == 0
    same(Padim.load(begun.parent / "m"), small_model)
    assert not begun.exists()


def test_an_incomplete_model_is_no_model_and_no_obstacle(
    run: Run, good: Path, begun: Path, saved_model: Path, small_model: Padim
) -> None:
    shutil.copytree(saved_model, begun.parent / "m")
    (begun.parent / "m" / "manifest.json").unlink()
    assert run("fit", good, "-o", begun.parent / "m", *SMALL, "--resume").code == 0
    same(Padim.load(begun.parent / "m"), small_model)
    # A folder with a foreign file in it is a foreign folder.
    (begun.parent / "m" / "manifest.json").unlink()
    (begun.parent / "m" / "notes.txt").write_bytes(b"mine")
    assert "is no model" in run("fit", good, "-o", begun.parent / "m", *SMALL, "--force").sentence


def test_a_complete_fit_says_so(run: Run, good: Path, tmp_path: Path) -> None:
    command = ("fit", good, "-o", tmp_path / "m", *SMALL)
    assert run(*command).code == 0
    before = (tmp_path / "m" / "manifest.json").read_bytes()
    done = run(*command, "--resume", "--json")
    assert done.code == 0
    assert "the fit is already complete" in done.err
    assert done.json["parts"] == 22
    assert (tmp_path / "m" / "manifest.json").read_bytes() == before
    # A model of other settings, or of other images, is not the requested one.
    assert "other images or settings" in run(*command, "--seed", 5, "--resume").sentence
    write(tmp_path / "more", normals(23))
    assert "--force" in run("fit", tmp_path / "more", "-o", tmp_path / "m", *SMALL, "--resume").sentence
    assert run("fit", tmp_path / "more", "-o", tmp_path / "m", *SMALL, "--resume", "--force").code == 0


def test_killed_after_saving_it_goes_on_over_its_own_model(
    run: Run, good: Path, begun: Path, saved_model: Path, small_model: Padim
) -> None:
    shutil.copytree(saved_model, begun.parent / "m")
    command = ("fit", good, "-o", begun.parent / "m", *SMALL)
    assert "there is a model already" in run(*command).sentence
    assert run(*command, "--resume", "--keep-features").code == 0
    assert Padim.load(begun.parent / "m", work_dir=begun.parent / "m" / "work").working_set.has_features
    assert not begun.exists()


def test_a_fit_at_work_is_left_alone(run: Run, good: Path, begun: Path) -> None:
    before = sorted(begun.rglob("*"))
    with leftovers.held_folder(begun):
        for flag in ("--resume", "--force"):
            expected = run("fit", good, "-o", begun.parent / "m", *SMALL, flag).sentence
            assert "another fit is running" in expected
    assert sorted(begun.rglob("*")) == before


# --- score ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory, saved_model: Path) -> tuple[Path, Path]:
    """Return images, one of them unreadable, and the results of an uninterrupted run."""
    from typer.testing import CliRunner

    from padim.cli.app import app

    folder = tmp_path_factory.mktemp("judged")
    images = write(folder / "in", [*normals(14, first=70), *defects(6), ("good_072b.png", b"no image")])
    arguments = ["score", saved_model, images, "-o", folder / "out", "--panel-side", 64]
    assert CliRunner().invoke(app, [str(argument) for argument in arguments]).exit_code == 0
    return images, folder / "out"


def files(folder: Path) -> dict[str, bytes]:
    """Contents by name, without the times of the rows, which differ between runs."""
    return {
        str(p.relative_to(folder)): re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"", p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file()
    }


def half(scored: tuple[Path, Path], saved_model: Path, out: Path, rows: int) -> None:
    """Create the files of a scoring run that was killed after a number of rows."""
    shutil.copytree(scored[1], out)
    document = json.loads((out / "results.json").read_text(encoding="utf-8"))
    with Journal.begin(
        out,
        {
            **{key: document[key] for key in ("model_id", "threshold", "min_area")},
            "panel_side": 64,
            "masks": True,
        },
    ) as journal:
        for row in document["images"][:rows]:
            journal.add(row)
    for row in document["images"][rows + 1 :]:
        for key in ("panel", "mask"):
            if key in row:
                (out / row[key]).unlink()
    (out / "results.json").unlink()
    (out / "results.csv").unlink()


def test_scored_images_are_not_scored_again(
    run: Run, saved_model: Path, scored: tuple[Path, Path], tmp_path: Path
) -> None:
    images, wanted = scored
    out = tmp_path / "out"
    half(scored, saved_model, out, 18)
    command = ("score", saved_model, images, "-o", out, "--panel-side", 64)
    assert "17 images scored" in run(*command).sentence
    before = (out / "panels" / "bad_000.jpg").stat().st_mtime_ns
    done = run(*command, "--resume")
    assert done.code == 0
    assert "16 images scored before" in done.err  # by whole batches
    assert files(out) == files(wanted)
    assert (out / "panels" / "bad_000.jpg").stat().st_mtime_ns == before
    # Once more: nothing is left to score.
    done = run(*command, "--resume", "--json")
    assert done.json["counts"]["unreadable"] == 1
    assert files(out) == files(wanted)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_cut_anywhere_loses_its_last_row_at_most(
    scored: tuple[Path, Path], saved_model: Path, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    out = tmp_path_factory.mktemp("cut") / "out"
    half(scored, saved_model, out, 18)
    content = (out / NAME).read_bytes()
    head = content.index(b"\n") + 1
    at = data.draw(st.integers(head, len(content)))
    (out / NAME).write_bytes(content[:at] + data.draw(st.sampled_from([b"", b"\0\0\0", b"{}", b'{"na'])))
    complete = content[head : content.rindex(b"\n", 0, at) + 1]
    assert rows_kept(out) == complete.count(b"\n") - complete.count(b'"error": "')


def test_a_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    row = {"name": "\udc80“ü”.png", "sha256": "0", "verdict": "accept"}
    with Journal.begin(tmp_path, {}) as journal:
        assert journal.row(journal.add(row)) == row
    assert rows_kept(tmp_path) == 1


def test_other_images_settings_and_models_are_distinguished(
    run: Run, saved_model: Path, scored: tuple[Path, Path], tmp_path: Path, own_model: Path
) -> None:
    out, images = tmp_path / "out", tmp_path / "in"
    shutil.copytree(scored[0], images)
    half(scored, saved_model, out, 21)
    command = ("score", saved_model, images, "-o", out, "--panel-side", 64)
    assert "threshold" in run(*command, "--resume", "--threshold", 3).sentence
    assert "panel_side 64, not 768" in run("score", saved_model, images, "-o", out, "--resume").sentence
    # One file changed, one removed, one new: every existing file has one row, of its own content.
    (images / "good_070.png").write_bytes(png(part(900, defect=True)))
    (images / "good_071.png").unlink()
    (images / "good_0711.png").write_bytes(png(part(901)))
    assert run(*command, "--resume").code == 0
    document = json.loads((out / "results.json").read_text(encoding="utf-8"))
    names = [row["name"] for row in document["images"]]
    assert sorted(names) == sorted(path.name for path in images.iterdir())
    fresh = tmp_path / "fresh"
    assert run("score", saved_model, images, "-o", fresh, "--panel-side", 64).code == 0
    scores = {row["name"]: row.get("score") for row in document["images"]}
    for row in json.loads((fresh / "results.json").read_text(encoding="utf-8"))["images"]:
        assert scores[row["name"]] == pytest.approx(row.get("score")) if row.get("score") else True
    lines = list(csv.DictReader((out / "results.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [line["name"] for line in lines] == names


# --- a full disk ------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 300 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = shutil.which("mount") and os.name != "nt" and os.getuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_really_full(run: Run, good: Path, saved_model: Path, tiny_disk: Path) -> None:
    done = run("fit", good, "-o", tiny_disk / "m", *SMALL, "-q")
    assert done.code == 2
    assert done.err.count("error: ") == 1
    assert f"{tiny_disk}" in done.err
    assert "no space left on the disk; free some space" in done.err
    for path in tiny_disk.iterdir():
        shutil.rmtree(path)
    done = run("score", saved_model, good, "-o", tiny_disk / "out", "-q")
    assert done.code == 2
    assert "no space left on the disk" in done.err
    kept = rows_kept(tiny_disk / "out")
    assert kept > 0
    shutil.rmtree(tiny_disk / "out" / "panels")
    assert f"{kept} images scored" in run("score", saved_model, good, "-o", tiny_disk / "out").sentence


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_whatever_refuses_to_write_is_one_sentence_with_a_file(
    run: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("padim.storage.atomic.os.fsync", refuse)
    expected = run("fit", good, "-o", tmp_path / "m", *SMALL, "--json").sentence
    assert expected.startswith(f"{tmp_path / 'm.partial'}")
    assert ("read-only" if number == errno.EROFS else "no space left") in expected
