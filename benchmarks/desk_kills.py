"""Kill processes that record, review and make versions at random moments, and look for what was lost.

    python benchmarks/desk_kills.py --check             # 50 kills each
    python benchmarks/desk_kills.py --kills 5 --only review

A process that has imported the package forks a child, which works on one workspace without end and says on a
pipe what it is about to do, and what the program has reported as saved. It is killed (SIGKILL) a random time
after a drawn number of reports. Then database and files are looked through: what was reported is there, what
was begun is there whole or not at all, nothing is there twice, and each record says what its events say. What
was begun is done once more, as a user does, and the next child goes on with the same workspace.

``PADIM_DATABASE_URL`` may name an empty PostgreSQL database.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import func, select

from benchmarks import report
from padim import Padim, PadimConfig, Workspace
from padim.records.database import RecordsDatabase
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewOutcome, ReviewRecords, outcome_of
from padim.records.schema import EVIDENCE, INSPECTIONS, REVIEWS
from padim.records.version import VersionChange
from padim.records.versions import ModelVersions
from padim.storage import model_folders
from tests.parts import normals
from tests.recorded import new

DECISIONS = ("accept", "reject", "unsure")


@dataclass
class Seen:
    """What a child has said: what it began, and the answers to what is done."""

    begun: list[dict[str, Any]] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)

    @property
    def open(self) -> dict[str, Any] | None:
        """What was begun and not reported as done."""
        return self.begun[-1] if len(self.begun) > len(self.done) else None


class Recording:
    """Inspections are recorded, a few at a time, with level maps and originals."""

    name = "record"
    # Seconds within which an operation is done, mostly.
    latest = 0.05

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = InspectionRecords(root, draw=lambda: 0.999)
        self.expected: set[str] = set()
        self.number = 0

    def operations(self, draw: random.Random) -> Iterator[dict[str, Any]]:
        """Yield what to do, without end."""
        number = self.number
        while True:
            several = draw.randrange(1, 7)
            yield {"numbers": list(range(number, number + several))}
            number += several

    def do(self, operation: dict[str, Any]) -> Any:
        """Do it; return what the program reports."""
        return self.records.add([new(number) for number in operation["numbers"]])

    def check(self, seen: Seen) -> list[str]:
        """Return what is wrong after a kill, and do again what was begun."""
        wrong = []
        for operation in seen.done:
            self.expected |= {new(number).uid for number in operation["numbers"]}
        found = self._uids()
        begun = set() if seen.open is None else {new(number).uid for number in seen.open["numbers"]}
        if lost := self.expected - found:
            wrong.append(f"{len(lost)} inspections lost")
        if (found - self.expected) not in (set(), begun):
            wrong.append("a part of what was recorded together")
        if seen.open is not None:
            first, again = self.do(seen.open), self.do(seen.open)
            if first != again:
                wrong.append("recorded again in other rows")
            self.expected |= begun
        if self._uids() != self.expected or self.records.count() != len(self.expected):
            wrong.append("not each inspection once")
        for operation in (*seen.done, *([] if seen.open is None else [seen.open])):
            wrong += [fault for number in operation["numbers"] for fault in self._faults(number)]
            self.number = max(self.number, operation["numbers"][-1] + 1)
        return wrong

    def _uids(self) -> set[str]:
        return set(self.records.columns(None, ["uid"])["uid"])

    def _faults(self, number: int) -> list[str]:
        wanted = new(number)
        with RecordsDatabase(self.root).reading() as connection:
            assert connection is not None
            mine = INSPECTIONS.c.uid == wanted.uid
            row = int(connection.execute(select(INSPECTIONS.c.id).where(mine)).scalar_one())
            kept = select(func.count()).select_from(EVIDENCE).where(EVIDENCE.c.inspection_id == row)
            if connection.execute(kept).scalar() != 1:
                return ["an inspection without its evidence"]
        found, levels = self.records.get(row), self.records.levels(row)
        whole = (
            found is not None
            and (found.sha256, found.regions) == (wanted.sha256, wanted.regions)
            and levels is not None
            and wanted.levels is not None
            and levels.tobytes() == wanted.levels.tobytes()
            and self.records.original(row) == wanted.original
        )
        return [] if whole else ["an inspection with half of its files"]


class Reviewing:
    """People decide, comment, give second opinions and undo, on thirty inspections."""

    name = "review"
    latest = 0.05

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reviews = ReviewRecords(root)
        self.records = InspectionRecords(root, draw=lambda: 0.999)
        slim: dict[str, Any] = {"levels": None, "original": None}
        self.rows = self.records.add([new(number, **slim) for number in range(30)])
        self.expected: set[str] = set()

    def operations(self, draw: random.Random) -> Iterator[dict[str, Any]]:
        """Yield what to do, without end."""
        while True:
            yield {
                "uid": f"{draw.getrandbits(128):032x}",
                "row": draw.choice(self.rows),
                "who": draw.choice(("Anna", "Ben")),
                "what": draw.choice((*DECISIONS, *DECISIONS, "undo")),
            }

    def do(self, operation: dict[str, Any]) -> Any:
        """Do it; return the event's uid if there is one."""
        who, row, uid = operation["who"], operation["row"], operation["uid"]
        if operation["what"] == "undo":
            return None if self.reviews.undo(who, row, uid=uid) is None else uid
        defect_type = "dent" if operation["what"] == "reject" else ""
        self.reviews.decide(row, who, operation["what"], defect_type, instead=True, uid=uid)
        return uid

    def check(self, seen: Seen) -> list[str]:
        """Return what is wrong after a kill, and do again what was begun."""
        wrong = []
        self.expected |= {operation["answer"] for operation in seen.done} - {None}
        begun = set() if seen.open is None else {seen.open["uid"]}
        found = self._uids()
        if lost := self.expected - set(found):
            wrong.append(f"{len(lost)} events lost")
        if set(found) - self.expected - begun:
            wrong.append("an event that nobody made")
        wrong += self._contradictions()
        if seen.open is not None:
            answers = {self.do(seen.open), self.do(seen.open)} - {None}
            self.expected |= answers | (begun & set(found))
        found = self._uids()
        if sorted(found) != sorted(self.expected):
            wrong.append("not each event once")
        return wrong + self._contradictions()

    def _uids(self) -> list[str]:
        with RecordsDatabase(self.root).reading() as connection:
            assert connection is not None
            return list(connection.execute(select(REVIEWS.c.uid)).scalars())

    def _contradictions(self) -> list[str]:
        wrong = []
        for row in self.rows:
            found, state = self.records.get(row), outcome_of(self.reviews.events(row))
            same = found is not None and found.waits == (state.decision is None)
            for name in ReviewOutcome.__dataclass_fields__:
                same = same and getattr(found, name) == getattr(state, name)
            if not same:
                wrong.append("an inspection that contradicts its events")
        return wrong


class MakingVersions:
    """A model's threshold is changed, each time to another value, which makes a version."""

    name = "version"
    latest = 0.3

    def __init__(self, root: Path) -> None:
        self.store = Workspace(root)
        config = PadimConfig(input_size=64, n_features=20, smoothing_sigma=2, min_area=8)
        entry = self.store.create("Flange")
        self.store.save(entry.id, Padim(config).fit(normals(12)), VersionChange("Anna", reason="first"))
        self.model_id = entry.id
        self.versions = ModelVersions(root, entry.id)
        self.expected = {"first"}
        self.number = 0

    def operations(self, draw: random.Random) -> Iterator[dict[str, Any]]:
        """Yield what to do, without end."""
        number = self.number
        while True:
            number += 1
            yield {"reason": f"step {number}", "threshold": 2.0 + number / 1000}

    def do(self, operation: dict[str, Any]) -> Any:
        """Do it; return nothing."""
        change = VersionChange("Anna", reason=operation["reason"])
        with self.store.edit(self.model_id, change=change) as model:
            model.set_decision(value=operation["threshold"])

    def check(self, seen: Seen) -> list[str]:
        """Return what is wrong after a kill, and do again what was begun."""
        wrong = []
        self.expected |= {operation["reason"] for operation in seen.done}
        begun = set() if seen.open is None else {seen.open["reason"]}
        before = self.versions.catch_up()  # as whoever looks at the versions does
        reasons = [one.reason for one in self.versions.all()]
        if lost := self.expected - set(reasons):
            wrong.append(f"{len(lost)} versions lost")
        if set(reasons) - self.expected - begun:
            wrong.append("a version that nobody made")
        if before is None or before.revision != self.store.get(self.model_id).revision:
            wrong.append("the saved model is not a version")
        if seen.open is not None:
            self.do(seen.open)
            self.expected |= begun
        found = self.versions.all()
        if sorted(one.reason for one in found) != sorted(self.expected):
            wrong.append("not each version once")
        if [one.number for one in found] != list(range(1, len(found) + 1)):
            wrong.append("numbers are left out")
        if [one.state for one in found].count("approved") != 1:
            wrong.append("not one version is approved")
        for one in found[-3 - len(seen.done) :]:
            operation = next((o for o in (*seen.done, seen.open) if o and o["reason"] == one.reason), None)
            if operation and self.versions.open(one).threshold_ != one.threshold:
                wrong.append(f"version {one.number} is not the model that it says")
        self.number = max([self.number, *(int(reason[5:]) for reason in self.expected - {"first"})])
        return wrong


Scenario = Recording | Reviewing | MakingVersions
SCENARIOS: dict[str, Callable[[Path], Scenario]] = {
    one.name: one for one in (Recording, Reviewing, MakingVersions)
}


def child(scenario: Scenario, draw: random.Random, out: int) -> None:
    """Work without end, and say so."""
    # A process that was started has none of its parent's; this one was forked, which takes less time.
    model_folders._LOCKS.clear()
    for operation in scenario.operations(draw):
        os.write(out, b"begin " + json.dumps(operation).encode() + b"\n")
        answer = scenario.do(operation)
        os.write(out, b"done " + json.dumps({**operation, "answer": answer}).encode() + b"\n")


def killed(scenario: Scenario, draw: random.Random) -> Seen:
    """Let a child work, kill it at a random moment, and return what it has said."""
    reports, delay = draw.randrange(1, 6), draw.random() * scenario.latest
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        try:
            child(scenario, random.Random(draw.random()), writing)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(writing)
    seen = Seen()
    with os.fdopen(reading, "rb") as pipe:
        for line in pipe:
            _note(seen, line)
            if len(seen.done) == reports:
                time.sleep(delay)
                os.kill(process, signal.SIGKILL)
                break
        for line in pipe:
            _note(seen, line)
    _, status = os.waitpid(process, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"{scenario.name}: the work ended by itself, at {seen.open}")
    return seen


def _note(seen: Seen, line: bytes) -> None:
    if line.endswith(b"\n"):
        what, _, text = line.partition(b" ")
        (seen.begun if what == b"begin" else seen.done).append(json.loads(text))


def run(scenario: Scenario, kills: int, seed: str) -> tuple[list[str], int, int]:
    """Kill as often; return the faults, and the numbers of kills within an operation and of those saved."""
    draw = random.Random(seed)
    faults: list[str] = []
    inside = saved = 0
    for number in range(kills):
        seen = killed(scenario, draw)
        inside += seen.open is not None
        saved += len(seen.done)
        faults += [f"kill {number + 1}: {fault}" for fault in scenario.check(seen)]
    return faults, inside, saved


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="per scenario; default 50")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="may be repeated")
    report.add_arguments(parser)
    args = parser.parse_args(arguments)
    result = report.Report("desk_kills")
    chosen = args.only or list(SCENARIOS)
    for name in chosen:
        result.target(f"{name}_faults", "<=", 0)
    report.run(parser, result, args)
    table = []
    # One workspace for all, as a database has one.
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(chosen, key=list(SCENARIOS).index):
            faults, inside, saved = run(SCENARIOS[name](Path(folder)), args.kills, f"{args.seed} {name}")
            result.values[f"{name}_faults"] = len(faults)
            result.details[name] = {
                "kills": args.kills,
                "inside": inside,
                "saved": saved,
                "faults": faults[:20],
            }
            table.append([name, args.kills, inside, saved, len(faults)])
            for fault in faults[:20]:
                result.note(f"{name}, {fault}")
    result.show("Kills", ["", "kills", "within an operation", "operations saved", "faults"], table)
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
