"""Kill commands and the app's fit at many points, run them again, and compare the results.

    python benchmarks/kills.py --check                  # 50 kills per scenario
    python benchmarks/kills.py --kills 5 --only fit-resume

A process that has imported the package forks one child per run. The child counts every file operation below
the scenario's folder (opening, creating a folder, renaming, deleting, syncing) and kills itself with SIGKILL
before a given operation, chosen by the seed and spread over the whole run. After some of the kills, the end
of the file that was written last is cut off, as by a power failure. Then the follow-up command runs.

With ``--full`` the disk is full from that operation on instead: writing any further file fails. The command
must exit with code 2 and one sentence that names a file.

Reported are the numbers of follow-up commands that fail (blocked), whose result differs from that of an
undisturbed run, and after which temporary files are left.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing
sys.path.insert(0, str(ROOT))
SMALL = ("--input-size", "64", "--n-features", "20", "--smoothing", "2", "--min-area", "8")
# Append-only files, which may lose their end in a power failure.
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_GROWING = {"features.f32", "records.txt", "batches.jsonl", "thumbnails.bin", "results.partial.jsonl"}
_TAKES_SPACE = {"open", "os.mkdir", "os.fsync"}
_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.fsync"}


# --- one run, in a child ------------------------------------------------------------------------------------


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Counter:
    """Counter of file operations below a folder, which kills the process before a given operation, or
    simulates a full disk from that operation on."""

    def __init__(self, root: Path, at: int, *, full: bool = False) -> None:
        self._prefix, self._at, self._full = str(root), at, full
        self.count = 0

    def install(self) -> None:
        """Start counting; as this cannot be undone, call it in a child process only."""
        flush = os.fsync

        def fsync(handle: Any) -> None:
            self._count_operation("os.fsync", "")
            flush(handle)

        os.fsync = fsync  # type: ignore[assignment]
        sys.addaudithook(self._on_audit_event)

    def _on_audit_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not arguments or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and _only_reads(arguments):
            return
        place = _place(event, arguments)
        if place.startswith(self._prefix):
            self._count_operation(event, place)

    def _count_operation(self, event: str, place: str) -> None:
        self.count += 1
        if not self._full and self.count == self._at:
            _die()
        if self._full and 0 < self._at <= self.count and event in _TAKES_SPACE:
            # An error of fsync names no file.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([place] if place else []))


def _place(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the path of an operation; those of deleting a tree are relative to an open folder."""
    path = os.fsdecode(arguments[0])
    folder = arguments[-1]
    if event in ("os.remove", "os.rmdir") and isinstance(folder, int) and folder >= 0:
        return str(Path(f"/proc/self/fd/{folder}").readlink() / path)
    return path


def _only_reads(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
    return not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


@dataclass(frozen=True)
class ChildResult:
    """The result of a child process.

    Attributes:
        code: exit code; -9 if it was killed.
        operations: number of file operations, if it was not killed.
        output: the end of its output.
    """

    code: int
    operations: int
    output: str


def run_child(root: Path, work: Callable[[], None], kill_at: int = 0, *, full: bool = False) -> ChildResult:
    """Run ``work`` in a forked child that counts the operations below ``root`` and stops at ``kill_at``."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as counted:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            counter = Counter(root, kill_at, full=full)
            code = 1
            try:
                counter.install()
                work()
                code = 0
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 1
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(counted.fileno(), str(counter.count).encode())
                os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        counted.seek(0)
        text = output.read().decode("utf-8", "replace")
        return ChildResult(os.waitstatus_to_exitcode(status), int(counted.read() or 0), text[-1500:])


def command(*arguments: object) -> Callable[[], None]:
    """Return a function that runs the command line with these arguments, as ``python -m padim`` does."""

    def work() -> None:
        from padim.cli import main

        sys.argv = ["padim", *map(str, arguments)]
        main()

    return work


# --- scenarios ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """A command to be killed, and the follow-up command; all callables take the scenario's folder.

    Attributes:
        name: its name on the command line.
        prepare: creates files that exist before the command.
        first: returns the command to be killed.
        then: returns the follow-up command.
        result: returns the result, which must equal that of an undisturbed run.
        left: glob patterns of files that must not exist in the end.
    """

    name: str
    prepare: Callable[[Path], None]
    first: Callable[[Path], Callable[[], None]]
    then: Callable[[Path], Callable[[], None]]
    result: Callable[[Path], Any]
    left: tuple[str, ...] = ("**/.*.tmp", "*.partial", "**/*.partial.jsonl")


@dataclass
class Tally:
    """The outcomes of a scenario's kills."""

    kills: int = 0
    blocked: int = 0
    differ: int = 0
    leftovers: int = 0
    unreported: int = 0
    output: list[str] = field(default_factory=list)


class Materials:
    """Images and a model that all scenarios share."""

    def __init__(self, folder: Path) -> None:
        from tests.parts import defects, normals

        self.good, self.test, self.labeled = folder / "good", folder / "test", folder / "labelled"
        _write(self.good, normals(20))
        _write(self.test, [*normals(10, first=70), *defects(10), ("text.png", b"no image")])
        _write(self.labeled, [(f"train/good/{name}", data) for name, data in normals(8)])
        _write(self.labeled, [(f"test/good/{name}", data) for name, data in normals(4, first=50)])
        _write(self.labeled, [(f"test/chip/{name}", data) for name, data in defects(4)])
        self.model = folder / "model"
        ended = run_child(folder, command("fit", self.good, "-o", self.model, *SMALL))
        if ended.code:
            raise RuntimeError(ended.output)


def _write(folder: Path, files: Sequence[tuple[str, Any]]) -> None:
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _nothing(folder: Path) -> None:
    """Create no files."""


def _model(path: Path) -> Any:
    from padim.storage.bundle import Bundle

    bundle = Bundle(path)
    for name in bundle.manifest["files"]:
        bundle.bytes(name)
    return {key: value for key, value in bundle.manifest.items() if key not in ("created", "fitted", "seal")}


def _files(folder: Path) -> dict[str, bytes]:
    """Return the contents of files by name, without the times of the rows of results."""
    return {
        str(path.relative_to(folder)): _TIME.sub(b"", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _exported(path: Path) -> Any:
    """Return an exported model without values that change with the time: its date and its hashes."""
    import onnx

    graph = onnx.load(path)
    about = {entry.key: entry.value for entry in graph.metadata_props}
    del graph.metadata_props[:]
    changing = ("created", "sha256")
    return graph.SerializeToString(), {
        key: value for key, value in about.items() if not key.endswith(changing)
    }


def _kept(model: Path) -> Any:
    """Return a model and the features stored with it."""
    from padim.storage import feature_store

    features = (model / "work" / feature_store.FOLDER / "features.f32").read_bytes()
    return _model(model), features


def _studied(folder: Path) -> Any:
    """Return a study without measured times."""
    from padim.study.runner import load

    study = load(folder)
    return [
        (run.category, run.variant, run.why, None if run.result is None else run.result.images)
        for run in study.runs
    ]


def scenarios(materials: Materials) -> list[Scenario]:
    """Return all scenarios."""
    good, test, model = materials.good, materials.test, materials.model

    def fit(*options: str) -> Callable[[Path], Callable[[], None]]:
        return lambda folder: command("fit", good, "-o", folder / "m", *SMALL, *options)

    def another(folder: Path) -> None:
        shutil.copytree(model, folder / "m")

    def score(*options: str) -> Callable[[Path], Callable[[], None]]:
        return lambda folder: command(
            "score", model, test, "-o", folder / "out", "--panel-side", "64", *options
        )

    def earlier(folder: Path) -> None:
        ended = run_child(folder, command("score", model, good, "-o", folder / "out", "--panel-side", "64"))
        if ended.code:
            raise RuntimeError(ended.output)

    def export(folder: Path) -> Callable[[], None]:
        return command("export", model, "-o", folder / "scorer.onnx", "--force")

    def study(folder: Path) -> Callable[[], None]:
        return command("study", materials.labeled, "-o", folder / "study", *SMALL, "--method", "padim")

    return [
        Scenario("fit-resume", _nothing, fit(), fit("--resume"), lambda f: _model(f / "m")),
        Scenario(
            "fit-keep-resume",
            _nothing,
            fit("--keep-features"),
            fit("--keep-features", "--resume"),
            lambda f: _kept(f / "m"),
        ),
        Scenario(
            "fit-force",
            another,
            fit("--force", "--seed", "5"),
            fit("--force", "--seed", "5"),
            lambda f: _model(f / "m"),
        ),
        Scenario("score-force", earlier, score("--force"), score("--force"), lambda f: _files(f / "out")),
        Scenario("score-resume", _nothing, score(), score("--resume"), lambda f: _files(f / "out")),
        Scenario("export", _nothing, export, export, lambda f: _exported(f / "scorer.onnx")),
        Scenario("app", _nothing, _app_fit(good), _app_resume(good), _app_model),
        Scenario("study", _nothing, study, study, lambda f: _studied(f / "study")),
    ]


def _app_fit(good: Path) -> Callable[[Path], Callable[[], None]]:
    """Return the command of a fit as the app's worker process runs it, in a workspace."""

    def of(folder: Path) -> Callable[[], None]:
        def work() -> None:
            from padim.config import PadimConfig
            from padim.worker.images import AtPath
            from padim.worker.messages import Fit
            from padim.worker.verbs import perform
            from padim.workspace import Workspace

            config = PadimConfig(input_size=64, n_features=20, smoothing_sigma=2, min_area=8)
            entry = Workspace(folder).create("Part")
            request = Fit(
                root=folder,
                model=entry.id,
                config=config.model_dump(mode="json"),
                groups={},
                images=AtPath(path=good),
            )
            perform(request, lambda *_, **__: None, lambda: False)

        return work

    return of


def _app_resume(good: Path) -> Callable[[Path], Callable[[], None]]:
    """Return what a user does on the Home page: resume a stopped fit, or start one if there is none."""

    def of(folder: Path) -> Callable[[], None]:
        def work() -> None:
            from padim import doctor
            from padim.storage import stopped_fits
            from padim.worker.images import AtPath
            from padim.worker.messages import Fit
            from padim.worker.verbs import perform
            from padim.workspace import Workspace

            workspace = Workspace(folder)
            doctor.sweep(doctor.leftovers_of_workspace(workspace))
            for fit in stopped_fits.in_workspace(workspace):
                request = fit.request
                if not fit.can_go_on or request is None:
                    stopped_fits.discard(fit, workspace)
                    continue
                again = Fit(
                    root=folder,
                    model=str(fit.model_id),
                    config=dict(request.config or {}),
                    groups=request.parts or {},
                    images=AtPath(path=Path(str(request.images))),
                )
                perform(again, lambda *_, **__: None, lambda: False)
            if not workspace.models():
                _app_fit(good)(folder)()
            # Leftovers of the last save are swept when the app is started the next time.
            doctor.sweep(doctor.leftovers_of_workspace(workspace))

        return work

    return of


def _app_model(folder: Path) -> Any:
    from padim.storage import feature_store
    from padim.workspace import Workspace

    (entry,) = Workspace(folder).models()
    features = entry.path / "work" / feature_store.FOLDER / "features.f32"
    return _model(entry.path), features.read_bytes(), entry.name


# --- the kills ----------------------------------------------------------------------------------------------


def kill_repeatedly(scenario: Scenario, base: Path, kills: int, seed: int, *, full: bool = False) -> Tally:
    """Run a scenario with a kill, or a disk that is full from then on, at ``kills`` different operations."""
    rng = random.Random(f"{seed} {scenario.name}")
    tally = Tally()

    def fresh(name: str) -> Path:
        folder = base / f"{scenario.name}-{name}"
        folder.mkdir()
        scenario.prepare(folder)
        return folder

    folder = fresh("undisturbed")
    undisturbed = run_child(folder, scenario.first(folder))
    if undisturbed.code:
        raise RuntimeError(f"{scenario.name}: {undisturbed.output}")
    wanted = scenario.result(folder)
    shutil.rmtree(folder)
    # One operation at random in each of ``kills`` equal stretches of the run.
    stretch = undisturbed.operations / kills
    places = sorted({1 + int((index + rng.random()) * stretch) for index in range(kills)})
    for at in places:
        folder = fresh(str(at))
        ended = run_child(folder, scenario.first(folder), kill_at=at, full=full)
        if full:
            if ended.code != 0 and not _reported(ended):
                tally.unreported += 1
                tally.output.append(f"{scenario.name}, full at {at}: {ended.code} {ended.output[-400:]}")
        elif ended.code != -signal.SIGKILL:
            shutil.rmtree(folder)
            continue  # the number of operations varies with the threads: this run ended before
        elif rng.random() < 0.3:
            _cut(folder, rng)
        tally.kills += 1
        after = run_child(folder, scenario.then(folder))
        if after.code:
            tally.blocked += 1
            tally.output.append(f"{scenario.name} killed at {at}: {after.output.strip().splitlines()[-1]}")
        else:
            try:
                same = scenario.result(folder) == wanted
            except Exception as error:
                # A result that cannot be read differs, whatever the error.
                same = False
                tally.output.append(f"{scenario.name} killed at {at}: {error!r}")
            if not same:
                tally.differ += 1
                tally.output.append(f"{scenario.name} killed at {at}: another result")
            left = [str(path) for pattern in scenario.left for path in folder.glob(pattern)]
            if left:
                tally.leftovers += 1
                tally.output.append(f"{scenario.name} killed at {at}: left {', '.join(left)}")
        shutil.rmtree(folder)
    return tally


def _reported(ended: ChildResult) -> bool:
    """Whether a command ended with exit code 2 and one sentence on the full disk."""
    (*_, line) = [line for line in ended.output.splitlines() if line.startswith("error: ")] or [""]
    named = re.fullmatch(r"error: /\S+: no space left on the disk; .+", line) is not None
    return ended.code == 2 and named and "Traceback" not in ended.output


def _cut(folder: Path, rng: random.Random) -> None:
    """Cut some bytes off the end of the append-only file that was written last."""
    growing = [path for path in folder.rglob("*") if path.name in _GROWING and path.stat().st_size]
    if growing:
        last = max(growing, key=lambda path: path.stat().st_mtime_ns)
        size = last.stat().st_size
        # The first line of the journal is synced before anything else, so it cannot be lost.
        head = len(last.open("rb").readline()) if last.name == "results.partial.jsonl" else 0
        os.truncate(last, max(head, size - rng.randrange(1, 400)))


def main() -> None:
    """Run the scenarios and print their outcomes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="kills per scenario; default 50")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="run only this scenario; may be repeated")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 unless nothing is blocked or differs"
    )
    parser.add_argument("--full", action="store_true", help="a full disk instead of a kill")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    # Imported for the forked children. No session is opened here, as its threads do not survive a fork.
    import cv2  # noqa: F401
    import onnxruntime  # noqa: F401

    import padim.cli.app
    import padim.model
    import padim.output.export
    import padim.study.runner  # noqa: F401

    begun = time.monotonic()
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        base = Path(name)
        materials = Materials(base / "materials")
        for scenario in scenarios(materials):
            if options.only and scenario.name not in options.only:
                continue
            if options.full and scenario.name == "app":
                continue  # its errors are reported by the pages, see tests/pages
            tally = tallies[scenario.name] = kill_repeatedly(
                scenario, base, options.kills, options.seed, full=options.full
            )
            if not options.json:
                what = "full disks" if options.full else "kills"
                unreported = f", {tally.unreported} without a sentence" if options.full else ""
                print(
                    f"{scenario.name:16} {tally.kills:3} {what}: {tally.blocked} blocked, {tally.differ} "
                    f"with another result, {tally.leftovers} with leftovers{unreported}",
                    flush=True,
                )
                for line in tally.output[:6]:
                    print(f"    {line}", flush=True)
    if options.json:
        print(json.dumps({name: vars(tally) for name, tally in tallies.items()}, indent=1))
    else:
        print(f"{time.monotonic() - begun:.0f} s")
    bad = sum(tally.blocked + tally.differ + tally.leftovers + tally.unreported for tally in tallies.values())
    if options.check and (bad or not any(tally.kills for tally in tallies.values())):
        sys.exit(1)


if __name__ == "__main__":
    main()
