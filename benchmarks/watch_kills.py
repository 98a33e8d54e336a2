"""Kill a watched folder's process at random moments; look for images lost, doubled or half kept.

    python benchmarks/watch_kills.py --check             # 50 kills each
    python benchmarks/watch_kills.py --kills 5 --only stay

A process that has imported the package forks a child, which runs ``padim watch`` on a folder into which
images are written meanwhile: under a temporary name and renamed, or in two halves. It is killed (SIGKILL) a
random time after a drawn number of results, or after its start. Then records and files are looked through:
each JSON is whole and says what the record says, each panel can be read, nothing is there twice. At the end
the watch works off what is left: each image is on record once, with its files. In the second scenario
inspected images are moved away.

``PADIM_DATABASE_URL`` may name an empty PostgreSQL database.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from benchmarks import report
from padim.cli.app import app
from padim.records.inspection import Inspection
from padim.records.inspections import InspectionQuery, InspectionRecords
from padim.service import watching
from padim.storage import model_folders

SCENARIOS = ("stay", "move")
# What the command imports is imported before the fork.
assert watching
# Images of a run between two kills.
_IMAGES = 8
# Seconds after which a run that gives too few results is killed all the same.
_LONGEST = 120.0


def prepare(root: Path, images: int) -> None:
    """Make a workspace with a model, and images; in a process of its own, as a fork must have no threads."""
    from padim import Padim, PadimConfig, Workspace
    from tests.parts import normals, part, png

    config = PadimConfig(input_size=64, n_features=20, smoothing_sigma=2.0, min_area=8)
    workspace = Workspace(root / "workspace")
    entry = workspace.create("Flange")
    workspace.save(entry.id, Padim(config).fit(normals(22)))
    (root / "model").write_text(entry.id)
    (root / "images").mkdir()
    for number in range(images):
        seed = 1_000 + number
        (root / "images" / f"{number}.png").write_bytes(png(part(seed, defect=number % 3 == 0)))


@dataclass
class Line:
    """A watched folder into which images come, and what must be true of its results.

    Attributes:
        root: the folder with workspace, images, watched folder and results.
        scenario: ``stay`` or ``move``.
        put: names of the images that are there, or were.
        halves: files of which only half is written, with the other half.
    """

    root: Path
    scenario: str
    put: list[str] = field(default_factory=list)
    halves: list[tuple[Path, bytes]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / self.scenario / "in"

    @property
    def output(self) -> Path:
        return self.root / self.scenario / "out"

    @property
    def arguments(self) -> list[str]:
        model = (self.root / "model").read_text()
        words = ["watch", model, str(self.folder), "--out", str(self.output), "--settle", "0.05"]
        words += ["--patience", "300", "--panel-side", "96", "--lot", self.scenario]
        if self.scenario == "move":
            words += ["--move-to", str(self.root / self.scenario / "done")]
        return words

    def write(self, draw: random.Random) -> None:
        """Write a new image, or the other half of one."""
        if self.halves and draw.random() < 0.7:
            self.complete()
            return
        name = f"{len(self.put)}.png"
        content = (self.root / "images" / name).read_bytes()
        place = self.folder / ("sub" if draw.random() < 0.3 else "") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if draw.random() < 0.5:
            place.with_suffix(".part").write_bytes(content)
            place.with_suffix(".part").replace(place)
        else:
            half = len(content) // 2
            place.write_bytes(content[:half])
            self.halves.append((place, content[half:]))
        self.put.append(place.relative_to(self.folder).as_posix())

    def complete(self) -> None:
        """Write the other half of an image."""
        place, rest = self.halves.pop(0)
        with place.open("ab") as file:
            file.write(rest)

    def results(self) -> list[Path]:
        """Return the files of results that are there."""
        return list((self.output / "results").rglob("*.json"))

    def records(self) -> list[Inspection]:
        """Return what is on record."""
        query = InspectionQuery(lot=self.scenario)
        return list(InspectionRecords(self.root / "workspace").iterate(query))

    def check(self, *, complete: bool) -> list[str]:
        """Return what is wrong, as sentences; with ``complete`` nothing may be missing either."""
        wrong = []
        records = self.records()
        twice = [name for name, number in Counter(one.name for one in records).items() if number > 1]
        wrong += [f"{name} is on record more than once" for name in twice]
        by_uid = {one.uid: one for one in records}
        names: list[str] = []
        for path in self.results():
            try:
                document: dict[str, Any] = json.loads(path.read_bytes())
            except ValueError:
                wrong.append(f"{path.name} is not whole")
                continue
            names.append(document["name"])
            kept = by_uid.get(document["id"])
            if kept is None:
                wrong.append(f"{path.name} is on no record")
            elif (kept.name, kept.verdict, kept.score_level) != tuple(
                document[key] for key in ("name", "verdict", "score_level")
            ):
                wrong.append(f"{path.name} says something else than the record")
        wrong += [f"{name} has two results" for name, number in Counter(names).items() if number > 1]
        panels = list((self.output / "results").rglob("*.jpg"))
        for path in panels:
            try:
                with Image.open(path) as image:
                    image.load()
            except OSError:
                wrong.append(f"{path.name} is not whole")
        if complete:
            wrong += [f"{name} was lost" for name in sorted(set(self.put) - {one.name for one in records})]
            wrong += [f"{name} has no result" for name in sorted(set(self.put) - set(names))]
            if len(panels) != len(self.put):
                wrong.append(f"{len(panels)} panels of {len(self.put)} images")
            wrong += [f"{path.name} was left over" for path in self.output.rglob("*.tmp")]
            left = [path for path in self.folder.rglob("*") if path.is_file()]
            if self.scenario == "move" and left:
                wrong.append(f"{len(left)} images were not moved")
            moved = [path for path in (self.root / "move" / "done").rglob("*") if path.is_file()]
            if self.scenario == "move" and len(moved) != len(self.put):
                wrong.append(f"{len(moved)} moved images of {len(self.put)}")
        return wrong


def child(arguments: list[str]) -> None:
    """Run the command without its output."""
    model_folders._LOCKS.clear()  # the parent's, as this process was forked
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    app([*arguments, "--quiet"], standalone_mode=False)


def started(arguments: list[str]) -> int:
    process = os.fork()
    if process == 0:
        try:
            child(arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def killed(line: Line, draw: random.Random) -> bool:
    """Let a watch work while images come, and kill it; return whether it had given results."""
    before, first = len(line.results()), len(line.put)
    wanted = draw.randrange(0, _IMAGES + 1)
    delay = draw.random() * (0.15 if wanted else 2.0)
    process = started(line.arguments)
    begin = time.monotonic()
    try:
        while time.monotonic() - begin < _LONGEST:
            if len(line.put) - first < _IMAGES:
                line.write(draw)
            elif line.halves:
                line.complete()
            if len(line.results()) - before >= wanted:
                time.sleep(delay)
                break
            time.sleep(0.005)
    finally:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"{line.scenario}: the watch ended by itself")
    while len(line.put) - first < _IMAGES:
        line.write(draw)
    return len(line.results()) > before


def run(line: Line, kills: int, seed: str) -> tuple[list[str], int]:
    """Kill as often; return the faults, and how many of the killed had given results."""
    draw = random.Random(seed)
    line.folder.mkdir(parents=True)
    faults: list[str] = []
    working = 0
    for number in range(kills):
        working += killed(line, draw)
        faults += [f"kill {number + 1}: {fault}" for fault in line.check(complete=False)]
    while line.halves:
        line.complete()
    process = started([*line.arguments, "--once"])
    _, status = os.waitpid(process, 0)
    if code := os.waitstatus_to_exitcode(status):
        faults.append(f"the last run ended with exit code {code}")
    return faults + [f"at the end: {fault}" for fault in line.check(complete=True)], working


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="per scenario; default 50")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="may be repeated")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    report.add_arguments(parser)
    args = parser.parse_args(arguments)
    if args.prepare:
        prepare(args.prepare, args.kills * _IMAGES)
        return 0
    result = report.Report("watch_kills")
    chosen = [name for name in SCENARIOS if name in (args.only or SCENARIOS)]
    for name in chosen:
        result.target(f"{name}_faults", "<=", 0)
    report.run(parser, result, args)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["PADIM_HOME"] = str(root / "workspace")
        command = [sys.executable, __file__, "--prepare", str(root), "--kills", str(args.kills)]
        subprocess.run(command, check=True)
        for name in chosen:
            line = Line(root, name)
            faults, working = run(line, args.kills, f"{args.seed} {name}")
            result.values[f"{name}_faults"] = len(faults)
            result.details[name] = {
                "kills": args.kills,
                "with_results": working,
                "images": len(line.put),
                "faults": faults[:20],
            }
            table.append([name, args.kills, working, len(line.put), len(faults)])
            for fault in faults[:20]:
                result.note(f"{name}, {fault}")
    result.show("Kills", ["", "kills", "after results", "images", "faults"], table)
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
