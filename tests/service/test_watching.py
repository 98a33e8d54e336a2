"""A watched folder: each image once, whatever happens to file, folder, model, disk or process."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from padim import Padim
from padim.errors import ImageError, PadimError, StorageError
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.recipes import Recipes
from padim.records.watches import WatchedFolder, WatchOptions
from padim.service.inspecting_models import InspectingModels
from padim.service.inspector import InspectionResult
from padim.service.watch_status import WatchStatus, read_status, refused_files
from padim.service.watching import FolderWatch
from tests.parts import part, png
from tests.refusing import refusing
from tests.service.conftest import Line

GOOD = [png(part(seed)) for seed in range(60, 66)]
BAD = [png(part(seed, defect=True)) for seed in range(500, 503)]


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watching:
    """A watch that is stepped by hand, with all that it said."""

    def __init__(self, line: Line, folder: Path, output: Path, **options: Any) -> None:
        self.line, self.folder, self.output = line, folder, output
        self.clock = Clock()
        self.results: list[InspectionResult] = []
        self.notes: list[str] = []
        self.alarms: list[str] = []
        target = options.pop("target", line.model_id)
        self.watched = WatchedFolder("", target, folder, output, WatchOptions(**options))
        self.models = InspectingModels(line.root)
        folder.mkdir(parents=True, exist_ok=True)
        self.watch = self.open()

    def open(self) -> FolderWatch:
        return FolderWatch(
            self.watched,
            self.models,
            on_result=self.results.append,
            on_note=self.notes.append,
            on_alarm=self.alarm,
            clock=self.clock,
        )

    def alarm(self, subject: str, text: str) -> bool:
        assert text
        self.alarms.append(subject)
        return True

    def restart(self) -> None:
        self.watch.close()
        self.watch = self.open()

    def work(self, seconds: float = 3.0) -> None:
        """Let time pass; look and inspect as often as the watch wants to."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            while self.watch.step():
                pass
            self.clock.now += 0.25

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.results]

    @property
    def status(self) -> WatchStatus:
        return self.watch.status()

    @property
    def phase(self) -> str:
        return self.watch.status().phase

    def count(self, name: str) -> int:
        return self.status.counts[name]

    def recorded(self) -> list[str]:
        return [one.name for one in InspectionRecords(self.line.root).iterate(InspectionQuery())]

    def documents(self) -> list[dict[str, Any]]:
        files = sorted((self.output / "results").rglob("*.json"))
        return [json.loads(path.read_bytes()) for path in files]

    def check(self, names: list[str]) -> None:
        """Exactly these are on record, each with its files, which say the same."""
        assert sorted(self.recorded()) == sorted(names)
        documents = self.documents()
        assert sorted(one["name"] for one in documents) == sorted(names)
        by_uid = {one.uid: one for one in InspectionRecords(self.line.root).iterate(InspectionQuery())}
        for one in documents:
            kept = by_uid[one["id"]]
            assert (one["verdict"], one["score_level"]) == (kept.verdict, kept.score_level)
        if self.watched.options.panels:
            panels = list((self.output / "results").rglob("*.jpg"))
            assert len(panels) == len(names)
            assert all(path.with_suffix(".json").exists() for path in panels)
        assert not list(self.output.rglob("*.tmp"))


@pytest.fixture
def watching(line: Line, tmp_path: Path) -> Any:
    made: list[Watching] = []

    def make(**options: Any) -> Watching:
        made.append(Watching(line, tmp_path / "in", tmp_path / "out", **options))
        return made[-1]

    yield make
    for one in made:
        one.watch.close()


Make = Callable[..., Watching]


def test_what_is_there_and_what_comes_is_inspected_once(watching: Make, small_model: Padim) -> None:
    one = watching(station="Press 4", name_pattern="{lot}-{serial}")
    for number, content in ((10, GOOD[0]), (2, BAD[0]), (1, GOOD[1])):
        one.put(f"L7-{number}.png", content)
    one.put("sub/L8-3.png", GOOD[2])
    one.put("notes.txt", b"hello")
    one.put(".hidden.png", GOOD[3])
    one.work()
    assert one.names == ["L7-1.png", "L7-2.png", "L7-10.png", "sub/L8-3.png"]
    one.check(one.names)
    assert one.count("passed_over") == 2
    (record, *_) = InspectionRecords(one.line.root).iterate(InspectionQuery())
    assert (record.source, record.station, record.lot, record.serial) == ("watch", "Press 4", "L7", "1")
    assert one.folder.joinpath("L7-1.png").exists(), "nothing is moved unless asked for"
    # The same verdicts as everywhere.
    files = [(name, (one.folder / name).read_bytes()) for name in one.names]
    for result, same in zip(one.results, small_model.predict(files), strict=True):
        found = result.document or {}
        assert (found["verdict"], found["score_level"]) == (same.verdict, same.score_level)
    # New ones, also under a former name; the same content again is the same image.
    one.put("L7-11.png", GOOD[4])
    one.put("L7-1.png", BAD[1])
    os.utime(one.put("L7-2.png", BAD[0]), (5, 5))
    one.work(12)
    assert one.names[4:] == ["L7-1.png", "L7-11.png"]
    one.check(one.names)
    one.restart()
    one.work(12)
    assert len(one.names) == 6
    assert one.status.counts["inspected"] == 6
    assert one.status.last == ()


def test_a_file_is_read_when_it_is_whole(watching: Make) -> None:
    one = watching(settle=1.0, patience=20.0)
    path = one.put("a.png", GOOD[0][:100])
    one.put("b.png.part", GOOD[1])
    one.work(0.75)
    for end in range(200, len(GOOD[0]), 2000):
        path.write_bytes(GOOD[0][:end])
        one.work(0.75)
    assert one.names == []
    assert (one.count("waiting"), one.count("unfinished")) == (1, 1)
    path.write_bytes(GOOD[0])
    one.folder.joinpath("b.png.part").rename(one.folder / "b.png")
    one.work(12)
    assert sorted(one.names) == ["a.png", "b.png"]
    assert one.count("refused") == 0


def test_a_file_that_is_never_completed_is_refused_and_holds_nobody_up(watching: Make) -> None:
    one = watching(patience=20.0)
    one.put("a.png", GOOD[0][: len(GOOD[0]) // 2])
    one.put("b.png", GOOD[1])
    one.put("empty.png", b"")
    one.put("text.jpg", b"not an image at all")
    one.work(5)
    assert one.names == ["b.png"]
    assert (one.count("refused"), one.count("waiting")) == (0, 3)
    one.work(30)
    assert (one.count("refused"), one.count("waiting")) == (3, 0)
    assert sorted(found.name for found in refused_files(one.output)) == ["a.png", "empty.png", "text.jpg"]
    assert all(found.reason for found in refused_files(one.output))
    one.restart()
    one.work(30)
    assert one.count("refused") == 3
    # It is completed after all.
    one.put("a.png", GOOD[0])
    one.work(12)
    one.check(["a.png", "b.png"])
    # Or somebody says that it is to be tried again.
    assert one.watch.retry_refused() >= 2
    one.work(40)
    one.check(["a.png", "b.png"])


def test_a_folder_that_goes_away_and_returns_costs_nothing(watching: Make, tmp_path: Path) -> None:
    one = watching()
    one.put("a.png", GOOD[0])
    one.work()
    one.folder.rename(tmp_path / "unplugged")
    one.work(5)
    assert one.phase == "no folder"
    assert "cannot be read" in one.status.error
    (tmp_path / "unplugged" / "b.png").write_bytes(GOOD[1])
    (tmp_path / "unplugged").rename(one.folder)
    one.work(5)
    assert one.phase == "watching"
    assert one.status.error == ""
    one.check(["a.png", "b.png"])
    assert one.alarms == ["watch: folder"]


@pytest.mark.parametrize(("number", "refused"), [(errno.EIO, 0), (errno.ESTALE, 0), (errno.EACCES, 1)])
def test_a_disk_that_fails_for_a_while_refuses_nothing(
    watching: Make, monkeypatch: pytest.MonkeyPatch, number: int, refused: int
) -> None:
    one = watching(patience=5.0)
    one.put("a.png", GOOD[0])

    def failing(place: Path, name: str) -> bytes:
        raise ImageError(name, "cannot be read") from OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("padim.service.watching.read_plain", failing)
        one.work(30)
        assert (one.count("waiting"), one.count("refused")) == (1 - refused, refused)
    one.work(15)
    assert one.names == ([] if refused else ["a.png"])


def test_a_changed_model_inspects_from_the_next_image_on(watching: Make) -> None:
    one = watching()
    one.put("a.png", GOOD[0])
    one.work()
    one.line.set_threshold(1e-3)
    one.put("b.png", GOOD[1])
    one.work(12)
    versions = {
        found.name: (found.version_number, found.verdict)
        for found in InspectionRecords(one.line.root).iterate(InspectionQuery())
    }
    assert versions == {"a.png": (1, "accept"), "b.png": (2, "reject")}
    assert any("version 2 of Flange inspects" in note for note in one.notes)
    one.check(["a.png", "b.png"])


def test_a_model_that_is_gone_stops_inspecting_and_loses_no_image(watching: Make) -> None:
    one = watching(target="FL-100")
    one.put("a.png", GOOD[0])
    one.work()
    recipes = Recipes(one.line.root)
    recipes.remove("FL-100", "Ann")
    one.put("b.png", GOOD[1])
    one.work(12)
    assert one.phase == "problem"
    assert "part number FL-100 has no model" in one.status.error
    recipes.set("FL-100", one.line.model_id, "Ann")
    one.work(12)
    one.check(["a.png", "b.png"])
    assert one.status.error == ""


def test_a_part_of_another_model_is_refused(watching: Make) -> None:
    one = watching(name_pattern="{part_number}_{}")
    one.put("FL-100_1.png", GOOD[0])
    one.put("XY_1.png", GOOD[1])
    one.work()
    one.check(["FL-100_1.png"])
    (refused,) = refused_files(one.output)
    assert "part number XY has no model" in refused.reason


def test_two_watches_on_one_folder_or_one_output(watching: Make, line: Line, tmp_path: Path) -> None:
    first = watching()
    models = InspectingModels(line.root)
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder, output, why in (
        ("in", "out", "folder for results is in use"),
        ("other", "out", "folder for results is in use"),
        ("in", "out 2", "watched folder is in use"),
        ("link", "out 2", "watched folder is in use"),
    ):
        with pytest.raises(PadimError, match=why):
            FolderWatch(WatchedFolder("", line.model_id, tmp_path / folder, tmp_path / output), models)
    first.watch.close()
    FolderWatch(WatchedFolder("", line.model_id, tmp_path / "in", tmp_path / "out 2"), models).close()


def test_files_are_moved_when_asked_for(watching: Make, tmp_path: Path) -> None:
    one = watching(move_to=str(tmp_path / "done"), patience=5.0)
    one.put("a.png", GOOD[0])
    one.put("sub/b.png", BAD[0])
    one.put("c.png", b"broken")
    one.work(15)
    moved = sorted(p.relative_to(tmp_path / "done").as_posix() for p in (tmp_path / "done").rglob("*.png"))
    assert moved == ["accept/a.png", "refused/c.png", "reject/sub/b.png"]
    assert not list(one.folder.rglob("*.png"))
    # Another image of the same name keeps both; the same one again is not inspected again.
    one.put("a.png", GOOD[1])
    one.work(12)
    one.put("a.png", GOOD[0])
    one.work(12)
    assert len(one.recorded()) == 3
    assert len(list((tmp_path / "done" / "accept").glob("a*.png"))) == 2
    assert not list(one.folder.rglob("*.png"))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_for_results_stops_nothing(watching: Make, error: int) -> None:
    one = watching()
    one.put("a.png", GOOD[0])
    one.work()
    with refusing(one.output, error):
        one.put("b.png", BAD[0])
        one.work(15)
        assert one.names == ["a.png", "b.png"], "inspecting goes on"
        assert sorted(one.recorded()) == ["a.png", "b.png"]
        assert one.phase == "problem"
        assert one.alarms == ["watch: files"]
    one.work(20)
    one.check(["a.png", "b.png"])
    assert one.status.error == ""
    assert one.names == ["a.png", "b.png"], "and nothing is inspected twice"


def test_a_disk_for_results_that_goes_away_and_returns(watching: Make, tmp_path: Path) -> None:
    one = watching()
    one.put("a.png", GOOD[0])
    one.work()
    one.output.rename(tmp_path / "unplugged")
    one.put("b.png", GOOD[1])
    one.work(8)
    assert one.phase == "problem"
    shutil.rmtree(one.output, ignore_errors=True)
    (tmp_path / "unplugged").rename(one.output)
    one.work(40)
    assert one.status.error == ""
    one.check(["a.png", "b.png"])


def test_a_full_disk_for_evidence_costs_no_record(watching: Make) -> None:
    one = watching()
    one.put("a.png", BAD[0])
    one.work()
    with refusing(one.line.root / "evidence", errno.ENOSPC):
        one.put("b.png", BAD[1])
        one.put("c.png", BAD[2])
        one.work(12)
        assert "results are on record without images and level maps" in one.status.error
    records = InspectionRecords(one.line.root)
    found = {kept.name: records.evidence(kept.id) for kept in records.iterate(InspectionQuery())}
    assert {name: kept.has_original for name, kept in found.items()} == {
        "a.png": True,
        "b.png": False,
        "c.png": False,
    }
    assert found["b.png"].original_gone == "the disk was full when it was inspected"
    one.put("d.png", GOOD[0])
    one.work(12)
    assert one.status.error == ""
    one.check(["a.png", "b.png", "c.png", "d.png"])


def test_records_that_cannot_be_written_stop_no_inspection(
    watching: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = watching(panels=False)
    monkeypatch.setattr("padim.service.watch_unsaved._MOST", 2)
    for number, content in enumerate(GOOD[:5]):
        one.put(f"{number}.png", content)

    def full(*_: object) -> list[int]:
        raise StorageError("records.sqlite: no space left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(InspectionRecords, "add", full)
        one.work(10)
        assert len(one.names) == 5, "inspecting goes on"
        assert one.count("not_on_record") == 5
        assert "no space left" in one.status.error
        assert "5 images were inspected and the results not stored" in one.watch.problem
        one.put("later.png", BAD[0])
        one.work(15)
        assert len(one.names) == 6
        assert one.alarms == ["watch: record"]
    one.work(40)
    assert one.status.error == ""
    assert one.watch.problem == ""
    one.check([f"{number}.png" for number in range(5)] + ["later.png"])


def test_a_workspace_is_not_needed(saved_model: Path, tmp_path: Path, watching: Make) -> None:
    shutil.copytree(saved_model, tmp_path / "plate.padim")
    one = watching(target=str(tmp_path / "plate.padim"))
    one.put("a.png", GOOD[0])
    one.work()
    assert [found["name"] for found in one.documents()] == ["a.png"]
    assert one.recorded() == []
    assert not one.status.recording
    one.restart()
    one.work()
    assert one.names == ["a.png"]


def test_the_status_is_read_by_others(watching: Make) -> None:
    from padim.service.watch_reporter import WatchReporter

    one = watching()
    one.put("a.png", BAD[0])
    one.work()
    asked: list[bool] = []
    reporter = WatchReporter(one.watch.status, lambda: True, lambda: asked.append(True))
    reporter.report()
    found = read_status(one.output)
    assert found is not None
    assert found.running
    assert found.counts["reject"] == 1
    assert found.last[0]["name"] == "a.png"
    assert (one.output / f"{found.last[0]['files']}.json").is_file()
    one.watch.ended("stopped")
    reporter.report()
    found = read_status(one.output)
    assert found is not None
    assert not found.running
