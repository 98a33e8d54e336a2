"""What lies in a watched folder, when its files are whole, and in which order they are inspected."""

from __future__ import annotations

import os
import random
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.service.watch_folder import FoundFile, WaitingFiles, is_unfinished, scan
from padim.service.watch_results import base_of, move
from padim.service.watch_state import FileMark, WatchedFileRow, WatchState


def everything(found: Mapping[str, FileMark]) -> list[tuple[str, FileMark]]:
    return list(found.items())


def made(tmp_path: Path, total: int) -> Path:
    """A folder with many files, made in no order."""
    folder = tmp_path / "in"
    folder.mkdir()
    numbers = list(range(total))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        (folder / f"{number}.png").touch()
    return folder


def test_ten_thousand_waiting_files_are_worked_off_in_order(tmp_path: Path) -> None:
    folder = made(tmp_path, 10_000)
    state = WatchState(tmp_path, folder)
    waiting = WaitingFiles(0.5, 30)
    waiting.observe(scan(folder, state.unknown).images, 0.0)
    rows: list[WatchedFileRow] = []
    while len(waiting):
        for found in waiting.ready(1.0):
            rows.append(WatchedFileRow(found.path, "a" * 64, "0" * 32, "", found.mark, "done", "accept"))
            waiting.remove(found.path)
    assert [row.path for row in rows] == [f"{number}.png" for number in range(10_000)]
    # What is done is not kept in memory.
    state.put(rows)
    assert scan(folder, state.unknown).images == []


def test_only_names_of_waiting_files_are_in_memory(tmp_path: Path) -> None:
    folder = made(tmp_path, 1_000)
    waiting = WaitingFiles(0.5, 30)
    tracemalloc.start()
    waiting.observe(scan(folder, everything).images, 0.0)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1_500 * 1_000


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    images, others = ["a.png", "B.JPG", "c.dng"], ["notes.txt", ".d.png", "Thumbs.db", "noending"]
    for name in (*images, *others, "e.png.part", "~f.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "g.tif").write_bytes(b"x")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "h.png").write_bytes(b"x")
    found = scan(tmp_path, everything)
    assert [one.path for one in found.images] == ["a.png", "B.JPG", "c.dng", "sub/deep/g.tif"]
    assert (found.unfinished, found.passed_over) == (2, 5)
    assert [one.path for one in scan(tmp_path, everything, sub_folders=False).images] == [
        "a.png",
        "B.JPG",
        "c.dng",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_links_and_pipes_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(b"x")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    (folder / "inside.png").symlink_to(folder / "a.png")
    (folder / "outside.png").symlink_to(tmp_path / "outside.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    odd = os.fsdecode(b"odd\xff.png")
    (folder / odd).write_bytes(b"x")
    found = scan(folder, everything)
    assert [one.path for one in found.images] == ["a.png", "inside.png", "odd\\xff.png"]
    assert found.images[2].place.name == odd


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "gone", everything)


@pytest.mark.parametrize("name", ["a.png.tmp", "a.PART", "~$a.png", "a.png~", "a.jpg.crdownload"])
def test_temporary_names(name: str) -> None:
    assert is_unfinished(name)
    assert not is_unfinished("part.png")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["look", "take", "pass"]),
            st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3)),
            st.floats(0, 2),
        ),
        max_size=20,
    )
)
def test_only_files_that_have_not_changed_for_a_while_are_ready(
    events: list[tuple[str, dict[str, int], float]],
) -> None:
    waiting, now = WaitingFiles(1.0, 10.0), 0.0
    since: dict[str, tuple[int, float]] = {}
    for kind, folder, seconds in events:
        now += seconds
        if kind == "look":
            images = [FoundFile(name, Path(name), FileMark(size, 0, 0)) for name, size in folder.items()]
            waiting.observe(images, now)
            since = {
                name: since[name] if name in since and since[name][0] == size else (size, now)
                for name, size in folder.items()
            }
        elif kind == "take":
            for one in waiting.ready(now):
                waiting.remove(one.path)
                del since[one.path]
        ready = {one.path for one in waiting.ready(now)}
        assert ready == {name for name, (_, at) in since.items() if now >= at + 1.0}
        assert len(waiting) == len(since)


def test_patience_ends(tmp_path: Path) -> None:
    waiting = WaitingFiles(1.0, 10.0)
    one = FoundFile("a", tmp_path, FileMark(1, 1, 1))
    waiting.observe([one], 0.0)
    tries, now = 0, 1.0
    while waiting.unreadable("a", now):
        tries += 1
        assert list(waiting.ready(now)) == []
        after = waiting.next_ready()
        assert after is not None
        now = after
    assert now == 10.0
    assert 5 <= tries <= 12
    # Changed on the last moment: all of its patience again.
    waiting.changed(one, now)
    assert waiting.unreadable("a", now + 9)


def test_results_of_different_files_have_different_places() -> None:
    day = "2026-11-30"
    assert base_of("sub/a.png", "f" * 64, day, ()) == "results/2026-11-30/sub/a.png"
    taken = "results/2026-11-30/a.png"
    assert base_of("a.png", "f" * 64, day, {taken}) == f"{taken}-ffffffff"
    long = [base_of(f"{'ü' * 200}{end}.png", "f" * 64, day, ()) for end in "ab"]
    assert long[0] != long[1]
    assert all(len(part.encode()) <= 200 for base in long for part in base.split("/"))


def test_a_file_that_was_changed_is_not_moved(tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    place.write_bytes(b"new")
    assert move(place, FileMark(3, 1, 1), tmp_path / "done" / "a.png") is None
    assert place.exists()
