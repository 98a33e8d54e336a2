"""Processes of watched folders: started, started again with growing waits, ended when they are not wanted."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from padim.errors import StorageError
from padim.records.watches import WatchedFolder, Watches
from padim.service import watch_processes
from padim.service.watch_processes import WatchProcesses
from padim.service.watch_status import WatchStatus, write_status

# A program that says with which arguments it was started, and goes on until a file tells it to end.
PROGRAM = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path
    out = next(Path(word.removeprefix("--out=")) for word in sys.argv if word.startswith("--out="))
    if (out / "deaf").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with (out / "starts").open("a") as starts:
        starts.write(" ".join(sys.argv[1:]) + " in " + os.environ["PADIM_HOME"] + "\\n")
    if (out / "fail").exists():
        print("first line", "│ Error: the disk of the model is away  │", "╰────╯", "", sep="\\n")
        sys.exit(3)
    while not (out / "end").exists():
        time.sleep(0.01)
    """
)


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def processes(tmp_path: Path, clock: Clock) -> Iterator[WatchProcesses]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = WatchProcesses(tmp_path / "home", command=(sys.executable, str(program)), clock=clock)
    yield found
    found.stop()


@pytest.fixture
def watch(tmp_path: Path) -> WatchedFolder:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return Watches(tmp_path / "home").add("plate-1", tmp_path / "in", tmp_path / "out", "Anna")


def until(what: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)  # interval between two looks


def starts(watch: WatchedFolder) -> list[str]:
    file = watch.output / "starts"
    return file.read_text().splitlines() if file.exists() else []


def test_a_wanted_watch_has_one_process_with_its_arguments(
    tmp_path: Path, processes: WatchProcesses, watch: WatchedFolder
) -> None:
    processes.look()
    processes.look()
    until(lambda: starts(watch))
    assert starts(watch) == [f"{' '.join(watch.arguments)} in {tmp_path / 'home'}"]
    assert processes.runs(watch.uid)
    assert processes.ended(watch.uid) is None
    processes.stop()
    assert not processes.runs(watch.uid)
    assert Watches(tmp_path / "home").all()[0].wanted, "the next server starts it again"


def test_what_is_stopped_or_belongs_to_somebody_else_is_not_started(
    tmp_path: Path, processes: WatchProcesses
) -> None:
    watches = Watches(tmp_path / "home")
    of = [watches.add("m", tmp_path / f"in{i}", tmp_path / f"out{i}", "A", wanted=i != 0) for i in range(2)]
    of.append(watches.add("m", tmp_path / "in3", tmp_path / "out3", "A", starter="shell"))
    of.append(watches.add("m", tmp_path / "in4", tmp_path / "out4", "A"))
    watches.remove(of[3].uid)
    # Another process watches the second one: it was started before this server.
    (tmp_path / "out1").mkdir()
    write_status(WatchStatus(of[1].uid, "m", str(of[1].folder), str(of[1].output), phase="watching"))
    processes.look()
    assert not any(processes.runs(one.uid) for one in of)


def test_what_ends_is_started_again_after_growing_waits(
    processes: WatchProcesses, watch: WatchedFolder, clock: Clock
) -> None:
    (watch.output / "fail").touch()
    begun = []
    for second in range(70):
        clock.now = second
        before = len(starts(watch))
        processes.look()
        if processes.runs(watch.uid):
            begun.append(second)
            until(lambda before=before: len(starts(watch)) > before)  # type: ignore[misc]
            until(lambda: not alive(processes, watch))
            processes.look()
    assert begun == [0, 2, 6, 14, 30, 62]
    ended = processes.ended(watch.uid)
    assert ended is not None
    assert (ended.code, ended.message) == (3, "the disk of the model is away")
    assert ended.log.read_text().count("first line") == len(begun)
    # Whoever presses Start does not wait, and what goes on is well after a minute.
    (watch.output / "fail").unlink()
    processes.look_now(watch.uid)
    processes.look()
    assert processes.runs(watch.uid)
    clock.now += 61
    processes.look()
    assert processes.ended(watch.uid) is None


def alive(processes: WatchProcesses, watch: WatchedFolder) -> bool:
    running = processes._running.get(watch.uid)
    return running is not None and running.process.poll() is None


def test_one_that_is_not_wanted_ends_by_itself(
    tmp_path: Path, processes: WatchProcesses, watch: WatchedFolder
) -> None:
    processes.look()
    Watches(tmp_path / "home").set_wanted(watch.uid, False)
    processes.look()
    assert alive(processes, watch), "it is given time to obey"
    (watch.output / "end").touch()
    until(lambda: not alive(processes, watch))
    processes.look()
    assert not processes.runs(watch.uid)
    assert processes.ended(watch.uid) is None


@pytest.mark.skipif(os.name == "nt", reason="there a process cannot refuse to be terminated")
@pytest.mark.parametrize("deaf", [False, True])
def test_one_that_does_not_obey_is_ended(
    deaf: bool, tmp_path: Path, processes: WatchProcesses, watch: WatchedFolder, clock: Clock
) -> None:
    if deaf:
        (watch.output / "deaf").touch()
    processes.look()
    until(lambda: starts(watch))
    Watches(tmp_path / "home").remove(watch.uid)
    processes.look()
    clock.now += 31
    processes.look()
    if deaf:
        processes.look()
        assert alive(processes, watch)
        clock.now += 15
        processes.look()
    until(lambda: not alive(processes, watch))
    processes.look()
    assert not processes.runs(watch.uid)


def test_a_database_that_is_away_ends_nothing(
    processes: WatchProcesses, watch: WatchedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.look()

    def away(_: Watches) -> list[WatchedFolder]:
        raise StorageError("the database does not answer")

    monkeypatch.setattr(watch_processes.Watches, "all", away)
    processes.look()
    assert alive(processes, watch)


def test_a_program_that_cannot_be_started_is_said(tmp_path: Path, watch: WatchedFolder) -> None:
    processes = WatchProcesses(tmp_path / "home", command=(str(tmp_path / "nothing"),))
    processes.look()
    ended = processes.ended(watch.uid)
    assert ended is not None
    assert "cannot be started" in ended.message


def test_the_thread_starts_and_stops_them(processes: WatchProcesses, watch: WatchedFolder) -> None:
    processes.start()
    until(lambda: starts(watch))
    processes.stop()
    assert not processes.runs(watch.uid)
