"""``score``: the files contain the engine's decisions, whatever the images' names, also when interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import Guard, Padim
from padim.data.decode import decode
from padim.data.opening import open_source
from padim.output.results import CSV_COLUMNS
from tests.cli.conftest import Run, write
from tests.parts import defects, normals, part, png

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write good parts and defects in sub-folders, names that differ only by suffix, one broken file."""
    folder = tmp_path_factory.mktemp("mixed")
    write(folder / "line 1", normals(2, first=60))
    write(folder / "line 2", defects(2))
    bad = png(part(500, defect=True))
    write(folder, [("a.png", bad), ("a.PNG", png(part(61))), ("a.bmp", bad), ("=1+1.png", png(part(62)))])
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "old.psd").write_bytes(b"another kind")
    return folder


def rows(out: Path) -> tuple[list[dict[str, Any]], list[dict[str, str]], dict[str, Any]]:
    """Return the JSON's images, the CSV's rows, and the whole JSON document."""
    document = json.loads((out / "results.json").read_text(encoding="utf-8"))
    text = (out / "results.csv").read_bytes().decode("utf-8-sig")
    return document["images"], list(csv.DictReader(io.StringIO(text))), document


def test_results_are_the_engines_decisions(
    run: Run, mixed: Path, tmp_path: Path, saved_model: Path, small_model: Padim
) -> None:
    out = tmp_path / "out"
    done = run("score", saved_model, mixed, "-o", out, "--json")
    assert done.code == 0, done.err
    images, _, document = rows(out)
    assert done.json["counts"] == document["counts"]
    assert document["interrupted"] is None
    expected = {
        scored.name: (scored, small_model.decide(scored))
        for scored in small_model.predict(open_source(mixed), on_error=lambda error: None)
    }
    usable = {row["name"]: row for row in images if "error" not in row}
    assert usable.keys() == expected.keys()
    value = small_model.state.fitted.quantizer.to_value
    files = set()
    for name, (scored, decision) in expected.items():
        row = usable[name]
        assert row["verdict"] == ("reject" if decision.rejected else "accept")
        assert row["above_threshold"] == decision.rejected
        assert row["sha256"] == scored.sha256
        assert row["score"] == pytest.approx(value(scored.score_level), rel=1e-5)
        assert row["threshold"] == pytest.approx(value(decision.decision_level), rel=1e-5)
        assert [(r["x"], r["y"], r["width"], r["height"], r["area"]) for r in row["regions"]] == [
            (r.x, r.y, r.width, r.height, r.area) for r in decision.regions
        ]
        mask = decode((out / row["mask"]).read_bytes(), row["mask"])
        assert np.array_equal(mask[..., 0] == 255, decision.mask)
        panel = decode((out / row["panel"]).read_bytes(), row["panel"])
        assert panel.shape[1] > 4 * 96
        files |= {row["mask"], row["panel"]}
        assert row["mask"].startswith("masks/" + name.rpartition("/")[0])
    assert len(files) == 2 * len(expected)
    assert {str(place.relative_to(out).as_posix()) for place in out.rglob("*") if place.is_file()} == {
        *files,
        "results.csv",
        "results.json",
    }
    assert {row["name"] for row in images if "error" in row} == {"broken.png", "old.psd"}
    assert document["counts"] == {"accept": 4, "review": 0, "reject": 4, "unreadable": 2}


def test_csv_and_json_say_the_same(
    run: Run, mixed: Path, tmp_path: Path, saved_model: Path, small_model: Padim
) -> None:
    run("score", saved_model, mixed, "-o", tmp_path / "out", "--no-panels", "--no-masks")
    images, lines, document = rows(tmp_path / "out")
    assert tuple(lines[0])[: len(CSV_COLUMNS)] == CSV_COLUMNS
    assert len(images) == len(lines) == 10
    for row, line in zip(images, lines, strict=True):
        assert line["name"].removeprefix("'") == row["name"]
        assert line["model_id"] == document["model_id"]
        assert line["scoring_identity"] == document["scoring_identity"] == small_model.state.identity
        assert line["model"] == document["model"] == "model"
        assert line["random_weights"] == "no"
        assert line["sha256"] == (row["sha256"] or "")
        if "error" in row:
            assert line["error"] == row["error"]
            assert line["verdict"] == line["score"] == ""
            continue
        assert float(line["score"]) == row["score"]
        assert float(line["score_over_threshold"]) == row["score_over_threshold"]
        assert line["verdict"] == row["verdict"]
        assert json.loads(line["regions_json"] or "[]") == row["regions"]
        assert int(line["regions"]) == len(row["regions"])
        assert (int(line["width"]), int(line["height"])) == (row["width"], row["height"])
    assert any(line["name"] == "'=1+1.png" for line in lines)
    assert not (tmp_path / "out" / "panels").exists()
    assert not (tmp_path / "out" / "masks").exists()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([("a.png", png(part(60)))], 0),
        ([("a.png", png(part(60))), ("b.png", png(part(501, defect=True)))], 1),
        ([("a.png", png(part(60))), ("b.png", b"no image")], 1),
    ],
)
def test_fail_on_reject_stops_the_line(
    run: Run, tmp_path: Path, saved_model: Path, files: list[tuple[str, bytes]], code: int
) -> None:
    write(tmp_path / "in", files)
    assert run("score", saved_model, tmp_path / "in", "-o", tmp_path / "a").code == 0
    done = run("score", saved_model, tmp_path / "in", "-o", tmp_path / "b", "--fail-on-reject", "-q")
    assert (done.code, done.out, done.err) == (code, "", "")


def test_review_stops_the_line_too(run: Run, tmp_path: Path, own_model: Path) -> None:
    model = Padim.load(own_model)
    write(tmp_path / "in", [("a.png", png(part(60)))])
    model.set_guard(Guard(half_width=1e6, sd=1.0, dof=5, parts=2, shots=7)).save(own_model)
    done = run("score", own_model, tmp_path / "in", "-o", tmp_path / "out", "--fail-on-reject", "--json")
    assert done.code == 1
    assert done.json["counts"]["review"] == 1


def test_threshold_and_area_can_be_others_for_once(
    run: Run, mixed: Path, tmp_path: Path, saved_model: Path
) -> None:
    before = sorted((place.name, place.stat().st_mtime_ns) for place in saved_model.iterdir())
    common = ("--no-panels", "--no-masks", "--json")
    low = run("score", saved_model, mixed, "-o", tmp_path / "low", "--threshold", "0.5", *common).json
    assert low["counts"]["reject"] == 8
    high = run("score", saved_model, mixed, "-o", tmp_path / "high", "--threshold", "90", *common).json
    assert high["counts"]["reject"] == 0
    run("score", saved_model, mixed, "-o", tmp_path / "half", "--percentile", 50, "--min-area", 99, *common)
    assert rows(tmp_path / "half")[2]["min_area"] == 99
    assert 0.5 < rows(tmp_path / "half")[2]["threshold"] < 90
    assert sorted((place.name, place.stat().st_mtime_ns) for place in saved_model.iterdir()) == before


def test_earlier_results_are_replaced_only_by_force(run: Run, tmp_path: Path, saved_model: Path) -> None:
    write(tmp_path / "one", normals(2, first=70))
    write(tmp_path / "two", normals(1, first=80))
    out = tmp_path / "out"
    assert run("score", saved_model, tmp_path / "one", "-o", out).code == 0
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    assert "--force" in run("score", saved_model, tmp_path / "two", "-o", out).sentence
    assert len(rows(out)[0]) == 2
    assert run("score", saved_model, tmp_path / "two", "-o", out, "--force").code == 0
    assert len(list((out / "panels").iterdir())) == 1
    assert (out / "notes.txt").exists()


@pytest.mark.parametrize("beside", [None, "{", '{"images": [{"mask": "masks/a.png"}]}', "[1]", "results"])
def test_folders_that_no_run_has_written_are_never_removed(
    run: Run, tmp_path: Path, saved_model: Path, beside: str | None
) -> None:
    """A user's folder of ground truth may be called "masks" too."""
    write(tmp_path / "in", normals(1, first=70))
    out = tmp_path / "out"
    command = ("score", saved_model, tmp_path / "in", "-o", out, "--no-masks")
    if beside == "results":  # of a run that wrote panels, but no masks
        assert run(*command).code == 0
    write(out / "masks", [("truth.png", png(part(1)))])
    if beside not in (None, "results"):
        (out / "results.json").write_text(str(beside), encoding="utf-8")
    before = {place: place.is_file() and place.read_bytes() for place in out.rglob("*")}
    for flags in ((), ("--force",)):
        phrase = run(*command, *flags).sentence
        assert "masks not written by an earlier run" in phrase
    assert {place: place.is_file() and place.read_bytes() for place in out.rglob("*")} == before


def test_what_cannot_be_scored_is_one_sentence(
    run: Run, tmp_path: Path, saved_model: Path, good: Path
) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for model, images, target, phrase in (
        (tmp_path / "none", good, out, "no saved model"),
        (tmp_path / "empty", good, out, "manifest.json"),
        (tmp_path / "file", good, out, "manifest.json"),
        (saved_model, tmp_path / "empty", out, "holds no images"),
        (saved_model, tmp_path / "none", out, "does not exist"),
        (saved_model, good, good / "out", "is inside"),
        (saved_model, good, tmp_path / "file", "is a file"),
        (saved_model, good, tmp_path / "file" / "out", "Not a directory"),
    ):
        assert phrase in run("score", model, images, "-o", target, "--json").sentence
    assert not out.exists()


def test_nothing_but_broken_files_is_an_error_with_rows(run: Run, tmp_path: Path, saved_model: Path) -> None:
    write(tmp_path / "in", [("a.png", b"no image")])
    done = run("score", saved_model, tmp_path / "in", "-o", tmp_path / "out")
    assert done.code == 2
    assert "none of the files" in done.err
    assert [row["name"] for row in rows(tmp_path / "out")[0]] == ["a.png"]


def test_without_a_threshold_nothing_can_be_decided(run: Run, tmp_path: Path, small_model: Padim) -> None:
    path = Padim(small_model.config).fit(normals(2)).save(tmp_path / "two")
    write(tmp_path / "in", normals(1, first=70))
    assert "no threshold yet" in run("score", path, tmp_path / "in", "-o", tmp_path / "out").sentence
    assert run("score", path, tmp_path / "in", "-o", tmp_path / "out", "--threshold", 3).code == 0


def test_images_under_way_are_few(saved_model: Path, tmp_path: Path) -> None:
    """Of 200 images, only those in the pipeline are in memory."""
    from padim.cli.score_pending import PendingFiles
    from padim.data.sources import UploadSource
    from padim.output.scoring_journal import Journal

    content = png(part(1))
    source = UploadSource([(f"{i:03d}.png", content) for i in range(200)])
    pending = PendingFiles(source, tmp_path, Journal.begin(tmp_path, {}), 16, panels=False, masks=False)
    most = 0
    for scored in Padim.load(saved_model).predict(pending):
        most = max(most, len(pending._in_progress))
        assert pending.take(scored.name).content == content
    assert most <= 16 * 3 + 1
    assert not pending._in_progress


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_stopped_half_way_the_files_are_whole_and_say_so(saved_model: Path, tmp_path: Path) -> None:
    write(tmp_path / "in", [(f"{i:03d}.png", png(part(i))) for i in range(60)])
    # The signal comes from inside, with the 20th row: no sleep, no race.
    code = f"""
import os
from padim.cli import main
from padim.output.results import Results
add = Results.add
def added(self, row, order=None):
    add(self, row, order)
    if self.counts.total() == 20:
        os.kill(os.getpid(), {int(signal.SIGINT)})
Results.add = added
main()
"""
    out = tmp_path / "out"
    command = ["score", str(saved_model), str(tmp_path / "in"), "-o", str(out), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    images, lines, document = rows(out)
    assert 20 <= len(images) < 60
    assert f"{len(images)} of 60" in document["interrupted"]
    assert lines[-1]["name"] == ""
    assert lines[-1]["error"] == f"interrupted: {document['interrupted']}"
    assert len(lines) == len(images) + 1
    assert json.loads(done.stdout)["interrupted"] == document["interrupted"]
    assert not [place for place in out.iterdir() if place.suffix == ".tmp"]
