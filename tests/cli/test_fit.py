"""``fit``: its output, its files, and that a resumed fit equals an uninterrupted one bit for bit."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import Padim, PadimConfig
from padim.data.sources import FolderSource
from padim.decision.self_test import MOST_IMAGES
from padim.errors import Cancelled, PadimError
from padim.network.extractor import open_extractor
from padim.storage.resume import images_done
from tests.cli.conftest import SMALL, Run, write
from tests.parts import defects, normals, part, png, screw

ROOT = Path(__file__).parents[2]


def same(one: Padim, other: Padim) -> None:
    """Compare every fitted array and record, bit for bit."""
    assert one.normals_ == other.normals_
    assert np.array_equal(one.state.gaussians.mean, other.state.gaussians.mean)
    assert np.array_equal(one.state.fitted.held_out, other.state.fitted.held_out)
    assert one.state.fitted.quantizer == other.state.fitted.quantizer
    assert one.current_threshold == other.current_threshold
    ours, theirs = one.state.gaussians.factor.files(), other.state.gaussians.factor.files()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert [one.working_set.thumbnail(i) for i in range(len(one.normals_))] == [
        other.working_set.thumbnail(i) for i in range(len(other.normals_))
    ]


def test_a_fit_is_the_engines(run: Run, good: Path, tmp_path: Path, small_model: Padim) -> None:
    done = run("fit", good, "-o", tmp_path / "m", *SMALL)
    assert done.code == 0, done.err
    same(Padim.load(tmp_path / "m"), small_model)
    assert "22 parts, 22 images" in done.out
    assert "Expected false rejects (overkill) 4 %, at most" in done.out
    assert done.out.index("memory") < done.out.index("Fitted and saved")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["m"]


def test_json_is_all_there_is_on_stdout(run: Run, good: Path, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", [(f"{i}.png", png(part(i))) for i in range(4)])
    (folder / "broken.png").write_bytes(b"no image")
    done = run("fit", folder, "-o", tmp_path / "m.zip", *SMALL, "--json", "--percentile", 50)
    assert done.code == 0, done.err
    assert done.json["parts"] == 4
    assert done.json["threshold"]["percentile"] == 50
    assert [entry["name"] for entry in done.json["skipped"]] == ["broken.png"]
    assert "broken.png: " in done.err
    assert Padim.load(tmp_path / "m.zip").decision.choice.permille == 500


def test_quiet_is_quiet(run: Run, good: Path, tmp_path: Path) -> None:
    done = run("fit", good, "-o", tmp_path / "m", *SMALL, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_strict_saves_nothing(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", normals(3))
    (folder / "broken.png").write_bytes(b"no image")
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL, "--strict")
    assert done.code == 2
    assert "--strict" in done.err
    assert [place.name for place in tmp_path.iterdir()] == ["in"]


def test_settings_come_from_yaml_and_options_count_more(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", normals(3))
    yaml = tmp_path / "padim.yaml"
    yaml.write_text("padim:\n  input_size: 96\n  n_features: 7\n  seed: 5\n", encoding="utf-8")
    done = run("fit", folder, "-o", tmp_path / "m", "-c", yaml, "--input-size", 64, "--json")
    assert done.code == 0, done.err
    config = done.json["config"]
    assert (config["input_size"], config["n_features"], config["seed"]) == (64, 7, 5)


def test_other_layers_bring_their_own_number_of_features(run: Run, tmp_path: Path) -> None:
    yaml = tmp_path / "padim.yaml"
    yaml.write_text("n_features: 100\n", encoding="utf-8")
    config = run("info", "-c", yaml, "--layers", "blocks.2", "--json").json["config"]
    assert config["layers"] == ["blocks.2"]
    assert config["n_features"] == 24
    assert run("info", "--n-features", "ALL", "--json").json["cost"]["features"] == 176


@pytest.mark.parametrize(("by", "parts"), [("likeness", 4), ("none", 12), ("folder", 2), ("prefix", 4)])
def test_repeat_shots_are_grouped_as_requested(run: Run, tmp_path: Path, by: str, parts: int) -> None:
    files = [
        (f"{'ab'[i % 2]}/part{i:03d}_{shot}.png", png(part(i, shot=shot)))
        for i in range(4)
        for shot in range(3)
    ]
    write(folder := tmp_path / "in", files)
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL, "--groups-by", by, "--json")
    assert done.code == 0, done.err
    assert done.json["parts"] == parts


def test_parts_in_any_position_are_grouped_by_nothing_but_copies(run: Run, tmp_path: Path) -> None:
    files = [(f"{i:03d}.png", png(screw(i, side=64, shift=0.0))) for i in range(40)]
    write(folder := tmp_path / "in", [*files, ("copy.png", files[0][1])])
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0, done.err
    assert (done.json["images"], done.json["parts"]) == (41, 40)
    assert "may be repeat shots" in done.err
    assert "They count as different parts" in done.err


def test_features_are_kept_on_request(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", normals(4))
    assert run("fit", folder, "-o", tmp_path / "m", *SMALL, "--keep-features").code == 0
    model = Padim.load(tmp_path / "m", work_dir=tmp_path / "m" / "work")
    assert model.working_set.has_features
    assert run("info", tmp_path / "m", "--json").json["bytes"]["features"] == model.working_set.nbytes > 0
    assert not (tmp_path / "m.partial").exists()


# --- interruption and resumption ----------------------------------------------------------------------


class Stopped(Exception):
    """A simulated power cut."""


def power_cut(done: int, total: int | None, stage: str) -> None:
    """Return a ``progress`` callback that lets all images be read and then interrupts the fit."""
    if stage.startswith("Learning"):
        raise Stopped


def test_a_stopped_fit_goes_on_without_the_network_and_to_the_bit(
    small_config: PadimConfig, small_model: Padim, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    source = [*FolderSource(good)]
    source.insert(3, ("broken.png", b"no image"))
    runs_of_all = 2  # 22 images, 16 at a time

    def stop_at(count: int) -> Any:
        return lambda done, total, stage: (_ for _ in ()).throw(Stopped) if done == count else None

    failed: list[Any] = []
    first = Padim(small_config, work_dir=tmp_path / "work")
    before = first.network.extractor.runs
    with pytest.raises(Stopped):
        first.fit(source, unfinished=tmp_path / "p", progress=stop_at(20), on_error=failed.append)
    assert first.network.extractor.runs == before + 1
    assert images_done(tmp_path / "p") == 16
    assert len(failed) == 1
    seen: list[tuple[int, int | None, str]] = []
    second = Padim(small_config, work_dir=tmp_path / "work")
    second.fit(
        source,
        unfinished=tmp_path / "p",
        on_error=failed.append,
        progress=lambda *step: seen.append(step),
    )
    assert second.network.extractor.runs == before + runs_of_all
    assert len(failed) == 2
    reading = [done for done, total, stage in seen if stage == "Reading images"]
    assert reading == sorted(reading)
    assert reading[-1] == 23
    same(second, small_model)
    assert images_done(tmp_path / "p") is None


def test_stopped_while_fitting_the_network_is_not_run_again(
    small_config: PadimConfig, small_model: Padim, good: Path, tmp_path: Path
) -> None:
    model = Padim(small_config, work_dir=tmp_path / "work")
    with pytest.raises(Stopped):
        model.fit(FolderSource(good), unfinished=tmp_path / "p", progress=power_cut)
    runs = model.network.extractor.runs
    assert images_done(tmp_path / "p") == 22
    model.fit(FolderSource(good), unfinished=tmp_path / "p")
    assert model.network.extractor.runs == runs
    same(model, small_model)


@pytest.mark.parametrize("damage", ["features", "keys", "thumbnails", "record"])
def test_what_a_crash_cut_short_is_done_again(
    small_config: PadimConfig, small_model: Padim, good: Path, tmp_path: Path, damage: str
) -> None:
    partial = tmp_path / "p"
    model = Padim(small_config, work_dir=tmp_path / "work")
    with pytest.raises(Stopped):
        model.fit(FolderSource(good), unfinished=partial, progress=power_cut)
    path = {
        "features": partial / "spool" / "features.f32",
        "keys": partial / "spool" / "records.txt",
        "thumbnails": partial / "thumbnails.bin",
        "record": partial / "batches.jsonl",
    }[damage]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    runs = model.network.extractor.runs
    model.fit(FolderSource(good), unfinished=partial)
    assert model.network.extractor.runs == runs + 1
    same(model, small_model)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda files: files[1:], "other images"),
        (lambda files: files[:3], "are missing"),
        (lambda files: [files[1], files[0], *files[2:]], "other images"),
        (lambda files: [("new.png", png(part(77))), *files], "new.png was not among them"),
    ],
)
def test_other_images_than_before_are_refused(
    small_config: PadimConfig, good: Path, tmp_path: Path, change: Any, expected: str
) -> None:
    model = Padim(small_config, work_dir=tmp_path / "work")
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        model.fit(FolderSource(good), unfinished=tmp_path / "p", cancel=lambda: next(asked) > 18)
    with pytest.raises(PadimError, match=expected):
        model.fit(change([*FolderSource(good)]), unfinished=tmp_path / "p")
    assert images_done(tmp_path / "p") == 16, "nothing is lost by asking"


def test_other_settings_than_before_are_named(small_config: PadimConfig, good: Path, tmp_path: Path) -> None:
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        Padim(small_config).fit(
            FolderSource(good), unfinished=tmp_path / "p", cancel=lambda: next(asked) > 18
        )
    for changes, expected in (
        ({"grid_stride": 16}, "grid_stride 8, not 16"),
        ({"fit": "pad"}, "fit stretch, not pad"),
        ({"layers": ("blocks.2",), "n_features": 10}, "layers blocks.2, blocks.4, blocks.10, not blocks.2"),
    ):
        config = PadimConfig.of({**small_config.model_dump(), **changes})
        with pytest.raises(PadimError, match=expected):
            Padim(config).fit(FolderSource(good), unfinished=tmp_path / "p")
    # Settings that embeddings do not depend on may change in between.
    config = PadimConfig.of({**small_config.model_dump(), "seed": 3})
    model = Padim(config, work_dir=tmp_path / "work").fit(FolderSource(good), unfinished=tmp_path / "p")
    assert np.array_equal(
        model.state.gaussians.mean, Padim(config).fit(FolderSource(good)).state.gaussians.mean
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_resume_goes_on_from(
    good: Path, tmp_path: Path, small_model: Padim, number: signal.Signals
) -> None:
    # The signal comes from inside, when the first batch is done: no sleep, no race.
    stopping = f"""
import os
from padim.cli import main
from padim.storage.resume import Unfinished
add = Unfinished.add
def added(self, batch):
    add(self, batch)
    os.kill(os.getpid(), {int(number)})
Unfinished.add = added
main()
"""
    command = ["fit", str(good), "-o", str(tmp_path / "m"), *SMALL]
    done = subprocess.run(
        [sys.executable, "-c", stopping, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + number, done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m").exists()
    assert images_done(tmp_path / "m.partial") == 16
    again = subprocess.run(
        [sys.executable, "-m", "padim", *command, "--resume"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "16 images done" in again.stdout
    same(Padim.load(tmp_path / "m"), small_model)
    assert not (tmp_path / "m.partial").exists()


def test_a_stopped_fit_is_not_lost_by_fitting_again(
    run: Run, good: Path, tmp_path: Path, small_config: PadimConfig
) -> None:
    partial = tmp_path / "m.partial"
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        Padim(small_config).fit(FolderSource(good), unfinished=partial, cancel=lambda: next(asked) > 18)
    command = ("fit", good, "-o", tmp_path / "m", *SMALL)
    assert "16 images done" in run(*command).sentence
    done = run(*command, "--resume", "--grid-stride", 16)
    assert done.code == 2
    assert "grid_stride 8, not 16" in done.err
    assert images_done(partial) == 16
    assert run(*command, "--force", "--grid-stride", 16).code == 0
    assert not partial.exists()


@pytest.mark.parametrize(
    "damage", [b"[{", b"\xff\xfe\n", b'[{"sha256": "1"}]\n', b"7\n"], ids=["cut", "bytes", "bare", "number"]
)
def test_a_damaged_line_costs_no_more_than_what_is_behind_it(
    run: Run, good: Path, tmp_path: Path, small_config: PadimConfig, small_model: Padim, damage: bytes
) -> None:
    partial = tmp_path / "m.partial"
    with pytest.raises(Stopped):
        Padim(small_config, work_dir=partial).fit(FolderSource(good), unfinished=partial, progress=power_cut)
    first, second = (partial / "batches.jsonl").read_bytes().splitlines(keepends=True)
    (partial / "batches.jsonl").write_bytes(first + damage + second)
    assert images_done(partial) == 16
    command = ("fit", good, "-o", tmp_path / "m", *SMALL)
    assert "16 images done" in run(*command).sentence
    # A run that fails does not remove them.
    assert run(*command, "--resume", "--grid-stride", 16).code == 2
    assert images_done(partial) == 16
    # The one that the command will find open, whichever networks other tests have had open since.
    extractor = open_extractor(small_model.config)
    runs = extractor.runs
    assert run(*command, "--resume").code == 0
    # One batch was left, and the model was saved with a self-test.
    assert extractor.runs == runs + 1 + MOST_IMAGES
    same(Padim.load(tmp_path / "m"), small_model)


def test_what_an_earlier_run_began_is_not_removed_by_one_that_fails(
    run: Run, good: Path, tmp_path: Path, small_config: PadimConfig
) -> None:
    partial = tmp_path / "m.partial"
    with pytest.raises(Stopped):
        Padim(small_config, work_dir=partial).fit(FolderSource(good), unfinished=partial, progress=power_cut)
    (partial / "batches.jsonl").unlink()
    before = (partial / "spool" / "features.f32").read_bytes()
    assert run("fit", good, "-o", tmp_path / "m", *SMALL, "--resume", "--grid-stride", 16).code == 2
    assert (partial / "spool" / "features.f32").read_bytes() == before
    # A run that starts and fails leaves no files of its own.
    write(tmp_path / "text", [("a.png", b"no image")])
    assert run("fit", tmp_path / "text", "-o", tmp_path / "n", *SMALL).code == 2
    assert not (tmp_path / "n.partial").exists()


@pytest.mark.parametrize("flags", [(), ("--resume",), ("--force",), ("--resume", "--force")])
@pytest.mark.parametrize("header", [None, "no JSON"])
def test_a_foreign_folder_is_neither_used_nor_removed(
    run: Run, good: Path, tmp_path: Path, flags: tuple[str, ...], header: str | None
) -> None:
    place = write(tmp_path / "m.partial", [("sub/notes.txt", b"mine"), ("batches.jsonl", b"mine")])
    if header is not None:
        (place / "unfinished.json").write_text(header, encoding="utf-8")
    files = sorted(place.rglob("*"))
    expected = run("fit", good, "-o", tmp_path / "m", *SMALL, *flags).sentence
    assert "m.partial: is in the way" in expected
    assert sorted(place.rglob("*")) == files
    assert not (tmp_path / "m").exists()


def test_an_empty_folder_is_no_obstacle(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in", normals(3))
    (tmp_path / "m.partial").mkdir()
    assert run("fit", tmp_path / "in", "-o", tmp_path / "m", *SMALL).code == 0
    assert not (tmp_path / "m.partial").exists()


def test_resume_without_anything_to_go_on_from_starts(run: Run, good: Path, tmp_path: Path) -> None:
    done = run("fit", good, "-o", tmp_path / "m", *SMALL, "--resume")
    assert done.code == 0
    assert "nothing to resume" in done.err


def test_a_fit_that_cannot_be_saved_is_not_lost(
    run: Run, good: Path, tmp_path: Path, small_model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("fit", good, "-o", tmp_path / "m", *SMALL)

    def full(self: Padim, path: Path, **_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Padim, "save", full)
        done = run(*command)
        assert done.code == 2
        assert "no space left on the disk" in done.err
        assert "--resume" in done.err
    assert not (tmp_path / "m").exists()
    runs = small_model.network.extractor.runs
    assert run(*command, "--resume").code == 0
    assert small_model.network.extractor.runs == runs + MOST_IMAGES  # the self-test of the saved model
    same(Padim.load(tmp_path / "m"), small_model)
    assert not (tmp_path / "m.partial").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_labelled_data_is_not_fitted_but_asked_about(run: Run, tmp_path: Path, zipped: bool) -> None:
    root = tmp_path / "set"
    write(root / "train" / "good", normals(4))
    write(root / "test" / "good", normals(2, first=50))
    write(root / "test" / "dent", defects(3))
    given = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", root)) if zipped else root
    asked = run("fit", given, "-o", tmp_path / "m", *SMALL, "--json")
    assert (asked.code, asked.out) == (2, "")
    assert "holds more than good parts" in asked.err
    lines = [line.strip() for line in asked.err.splitlines()]
    listed = {tuple(line.split()) for line in lines if line.endswith("images")}
    assert listed == {
        ("train/good", "4", "images"),
        ("test/good", "2", "images"),
        ("test/dent", "3", "images"),
    }
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "m.partial").exists()
    # The command line that is printed does what it says.
    (line,) = [line for line in lines if line.endswith("--folder train/good")]
    words = shlex.split(line)
    assert run(*words[words.index("fit") :]).json["images"] == 4
    assert run("fit", given, "-o", tmp_path / "all", *SMALL, "--folder", ".", "--json").json["images"] == 9
    inside = run("fit", given, "-o", tmp_path / "no", *SMALL, "--folder", "test")
    assert inside.code == 2
    assert "--folder test/good" in inside.err
    missing = run("fit", given, "-o", tmp_path / "no", *SMALL, "--folder", "nowhere").sentence
    assert "train/good" in missing
    # What was chosen counts, not the names above it.
    if not zipped:
        assert run("fit", root / "test" / "good", "-o", tmp_path / "good", *SMALL).code == 0


# --- errors -------------------------------------------------------------------------------------------


def test_a_model_is_replaced_only_by_force(run: Run, good: Path, own_model: Path) -> None:
    former = sorted(place.name for place in own_model.iterdir())
    assert "--force" in run("fit", good, "-o", own_model, *SMALL).sentence
    assert sorted(place.name for place in own_model.iterdir()) == former
    assert run("fit", good, "-o", own_model, *SMALL, "--force", "--seed", 9).code == 0
    assert Padim.load(own_model).config.seed == 9


def test_what_is_no_model_is_never_replaced(run: Run, good: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "a.zip").write_bytes(b"mine")
    for place in ("notes", "a.zip"):
        assert "is no model" in run("fit", good, "-o", tmp_path / place, *SMALL, "--force").sentence
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--backbone", "resnet19"], "resnet18"),
        (["--layers", "blocks.3"], "blocks.2 (stride 4, 24 channels)"),
        (["--n-features", "900"], "176 channels"),
        (["--n-features", "many"], "'many'"),
        (["--input-size", "70"], "multiple of 32"),
        (["--grid-stride", "5"], "grid_stride"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--weights", "none.pth"], "none.pth"),
        (["--percentile", "101"], "percentile"),
        (["--percentile", "90", "--threshold", "5"], "mutually exclusive"),
        (["--min-area", "0"], "min_area"),
    ],
)
def test_settings_that_make_no_model_are_one_sentence(
    run: Run, good: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    done = run("fit", good, "-o", tmp_path / "m", "--json", *options)
    assert expected in done.sentence
    assert not [*tmp_path.iterdir()]


def test_no_images_are_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.png").write_bytes(b"no image")
    (tmp_path / "a.zip").write_bytes(b"no zip")
    for place, expected in (("none", "does not exist"), ("empty", "holds no images"), ("a.zip", "not a zip")):
        assert expected in run("fit", tmp_path / place, "-o", tmp_path / "m").sentence
    assert "none of the images" in run("fit", tmp_path / "text", "-o", tmp_path / "m", *SMALL, "-q").sentence
    assert not [place for place in tmp_path.iterdir() if place.name.startswith("m")]


def test_an_unwritable_place_is_one_sentence_before_any_work(run: Run, good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run("fit", good, "-o", tmp_path / "file" / "m", *SMALL, "--json")
    assert "Not a directory" in done.sentence


def test_a_threshold_beyond_the_scale_does_not_lose_the_fit(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", normals(4))
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL, "--threshold", "1e9")
    assert done.code == 0
    assert "at most" in done.err
    assert Padim.load(tmp_path / "m").decision.choice.basis == "image"


@pytest.mark.slow
def test_random_weights_are_reported(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", normals(3))
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL, "--random-weights")
    assert done.code == 0, done.err
    assert "random weights" in done.err
