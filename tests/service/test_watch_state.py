"""What a watch knows of files, and what it says about itself."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.errors import PadimError, StorageError
from padim.service import watch_status
from padim.service.watch_state import STATE_FILE, FileMark, WatchedFileRow, WatchState, refused_in
from padim.service.watch_status import WatchStatus, read_status, refused_files, write_status


def row(path: str, sha256: str = "a" * 64, time: int = 1, **changes: object) -> WatchedFileRow:
    base = WatchedFileRow(path, sha256, "0" * 32, f"2026-11-30/{path}", FileMark(10, time, time))
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def state(tmp_path: Path) -> WatchState:
    return WatchState(tmp_path, tmp_path / "in")


files = st.builds(
    row,
    path=st.sampled_from(["a.png", "b.png", "sub/ü.png"]),
    sha256=st.sampled_from(["a" * 64, "b" * 64]),
    time=st.integers(1, 3),
    state=st.sampled_from(["begun", "done", "refused"]),
    verdict=st.sampled_from(["accept", "reject"]),
    files=st.booleans(),
)


@given(st.lists(st.tuples(files, st.booleans()), max_size=12))
def test_it_says_what_a_dictionary_says(operations: list[tuple[WatchedFileRow, bool]]) -> None:
    state = WatchState.__new__(WatchState)
    state._path, state._connection = Path("x"), sqlite3.connect(":memory:", isolation_level=None)
    state._connection.executescript(
        "create table files (path, sha256, uid, base, size, modified, changed, state, verdict, reason, files,"
        " at, primary key (path, sha256))"
    )
    known: dict[tuple[str, str], WatchedFileRow] = {}
    for one, forget in operations:
        key = one.path, one.sha256
        if forget:
            state.put([], forget=[one])
            if key in known and known[key].state == "begun":
                del known[key]
        else:
            state.put([one])
            known[key] = one
    for path in ("a.png", "b.png", "sub/ü.png"):
        assert sorted(state.of(path), key=str) == sorted(
            (one for (name, _), one in known.items() if name == path), key=str
        )
        for time in (1, 2, 3):
            mark = FileMark(10, time, time)
            there = any(
                one.path == path and one.mark == mark and one.state != "begun" for one in known.values()
            )
            assert list(state.unknown({path: mark})) == ([] if there else [(path, mark)])
    ended = [one for one in known.values() if one.state != "begun"]
    expected = Counter("refused" if one.state == "refused" else one.verdict for one in ended)
    expected += Counter(without_files=sum(not one.files for one in ended))
    assert state.counts() == dict(expected)


def test_identities_are_the_same_in_the_next_process(tmp_path: Path) -> None:
    first = WatchState(tmp_path, tmp_path / "in")
    uid = first.uid_of("a.png", "a" * 64)
    first.put([row("a.png", state="refused", reason="text, not an image")])
    first.close()
    again = WatchState(tmp_path, tmp_path / "in")
    assert again.uid_of("a.png", "a" * 64) == uid != again.uid_of("b.png", "a" * 64)
    assert again.counts() == {"refused": 1}
    assert [(one.name, one.reason) for one in refused_files(tmp_path)] == [("a.png", "text, not an image")]
    watch_status.write_refused(tmp_path)
    assert 'a.png,"text, not an image",' in (tmp_path / "refused.csv").read_text("utf-8-sig")
    assert again.retry_refused() == 1
    assert refused_files(tmp_path) == []


def test_results_of_another_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    WatchState(tmp_path, tmp_path / "in").close()
    with pytest.raises(PadimError, match=r"results of the watched folder .*in; choose another"):
        WatchState(tmp_path, tmp_path / "other")
    (tmp_path / "in").rename(tmp_path / "mounted elsewhere")
    WatchState(tmp_path, tmp_path / "mounted elsewhere").close()


@pytest.mark.parametrize("content", [b"not a database, but long enough" * 40, b"\0" * 4096])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(PadimError, match=r"watch\.sqlite: is damaged"):
        WatchState(tmp_path, tmp_path / "in")
    assert refused_in(tmp_path / STATE_FILE, 5) == []


def test_a_full_disk_stores_nothing_and_says_so(state: WatchState) -> None:
    state.put([row("a.png")])
    state._connection.execute("pragma max_page_count = 1")
    many = [row(f"{i}.png", reason="x" * 1000) for i in range(50)]
    with pytest.raises(StorageError, match=r"watch\.sqlite: cannot be written .*full.*free some space"):
        state.put(many)
    assert state.of("0.png") == []
    state._connection.execute("pragma max_page_count = 100000")
    state.put(many)
    assert len(state.of("0.png")) == 1


def test_the_status_says_whether_its_process_runs(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    status = WatchStatus(
        "", "plate", "in", str(tmp_path), "watching", counts={"accept": 2}, last=[{"name": "a"}]
    )
    write_status(status)
    found = read_status(tmp_path)
    assert found is not None
    assert found.running
    assert (found.pid, found.counts, found.last) == (os.getpid(), {"accept": 2}, [{"name": "a"}])
    assert not replace(found, phase="stopped").running
    assert not replace(found, pid=2**22 + 5).running
    # Killed, and its number is another process's: nobody holds the folder.
    old = datetime.now(UTC) - timedelta(minutes=5)
    assert not replace(found, updated=old).running
    assert not replace(found, updated=old, host="elsewhere").running
    assert replace(found, host="elsewhere").running


@pytest.mark.parametrize("text", ["", "[]", "null", '{"format": "padim-watch"}', '{"format": 1}', "[" * 5000])
def test_a_damaged_status_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "watch.json").write_text(text)
    assert read_status(tmp_path) is None
