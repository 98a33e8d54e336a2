"""Inspect for a long time in one process: does it keep memory, files, threads; how does the database grow.

    python benchmarks/soak.py [--check] [--json] [--real 50000] [--recorded 1000000]

1. Images are scored, decided and recorded in groups, as the service and a watched folder do, each with an
   identifier of its own. A few dozen images take turns, every fifth with a defect.
2. Many more inspections with made-up scores are recorded in the same workspace, without a network.

A tenth of each part is done first; from there on, memory, open files and threads may not grow by more than
the targets say. The database's bytes are given for each inspection, and the time of the newest page at the
end. Both parts together take an hour or two; ``--real 400 --recorded 5000`` shows in a minute what grows with
every image.
"""

from __future__ import annotations

import argparse
import gc
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report
from benchmarks.images import image, jpeg
from benchmarks.memory import MB
from padim import Padim, PadimConfig
from padim.network.allocation import keep_freed_memory, return_freed_memory
from padim.records.inspection import InspectionContext, NewInspection
from padim.records.inspections import InspectionRecords
from padim.service.inspecting_models import InspectingModels
from padim.service.inspector import InspectionRequest, Inspector
from padim.storage.model_folders import ModelFolders
from padim.workspace import Workspace

TARGETS = {
    "real.memory_growth_mb": 40.0,
    "real.handles_growth": 2,
    "real.threads_growth": 0,
    "real.not_recorded": 0,
    "recorded.memory_growth_mb": 40.0,
    "recorded.handles_growth": 2,
    "recorded.not_recorded": 0,
    "recorded.bytes_each": 2500,
    "recorded.newest_page_ms": 250,
}
# Images in one group; made-up inspections in one transaction.
GROUP, TRANSACTION = 16, 500
KINDS = 40
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sample:
    """What the process holds at one moment.

    Attributes:
        done: inspections until then.
        memory: resident bytes.
        handles: open files and sockets.
        threads: number of threads.
        database: bytes of the database's files.
        each_ms: mean time of an inspection since the sample before.
    """

    done: int
    memory: int
    handles: int
    threads: int
    database: int
    each_ms: float


def sample(root: Path, done: int, each_ms: float) -> Sample:
    """Take a sample of this process; what is only waiting to be collected is collected first."""
    gc.collect()
    return_freed_memory()
    process = psutil.Process()
    handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    memory = process.memory_info().rss
    return Sample(done, memory, handles, process.num_threads(), database_bytes(root), each_ms)


def database_bytes(root: Path) -> int:
    """Return the size of the database's files in a workspace, what waits in its log moved to its place."""
    path = root / "records.sqlite"
    if path.is_file():
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(path.stat().st_size for path in root.glob("records.sqlite*") if path.is_file())


def repeated(root: Path, count: int, step: int, do: Callable[[int, int], None]) -> list[Sample]:
    """Do ``count`` inspections, ``step`` at a time, and take a sample after each tenth of them."""
    samples: list[Sample] = []
    done, begin, since = 0, time.perf_counter(), 0
    for tenth in range(1, 11):
        while done < (until := count * tenth // 10):
            now = min(step, until - done)
            do(done, now)
            done += now
        each_ms = 1000 * (time.perf_counter() - begin) / max(1, done - since)
        samples.append(sample(root, done, each_ms))
        begin, since = time.perf_counter(), done
    return samples


def show(title: str, samples: list[Sample], name: str, result: report.Report) -> None:
    """Print the samples and store how much was kept from the first to the last."""
    rows = [
        (
            f"{one.done:,}",
            f"{one.memory / MB:.0f}",
            one.handles,
            one.threads,
            f"{one.database / MB:.1f}",
            f"{one.each_ms:.2f}",
        )
        for one in samples
    ]
    result.show(title, ("inspections", "memory MB", "handles", "threads", "database MB", "ms each"), rows)
    first, last = samples[0], samples[-1]
    # Of the first and last samples a median, because the allocator keeps now more, now less.
    early, late = ([one.memory for one in part] for part in (samples[:3], samples[-3:]))
    result.values |= {
        f"{name}.memory_growth_mb": (statistics.median(late) - statistics.median(early)) / MB,
        f"{name}.handles_growth": last.handles - first.handles,
        f"{name}.threads_growth": last.threads - first.threads,
        f"{name}.bytes_each": (last.database - first.database) / max(1, last.done - first.done),
        f"{name}.ms_each": statistics.median(one.each_ms for one in samples),
    }


def real(root: Path, count: int, config: PadimConfig, result: report.Report) -> None:
    """Fit a model in a new workspace, and inspect with it."""
    model = Padim(config).fit([image(number, side=256) for number in range(24)])
    entry = ModelFolders(root).create("Plate")
    Workspace(root).save(entry.id, model)
    del model
    files = [jpeg(image(number, side=512, defect=number % 5 == 0, seed=9)) for number in range(KINDS)]
    models, inspector = InspectingModels(root), Inspector()
    context = InspectionContext("soak", "service", part_number="4711", lot="L1")
    failed = 0

    def group(start: int, size: int) -> None:
        nonlocal failed
        requests = [
            InspectionRequest(
                f"part {number:07d}.jpg", files[number % KINDS], context, uuid.UUID(int=number + 1).hex
            )
            for number in range(start, start + size)
        ]
        # Looked up anew for each group, as in a service, which notices another version at once.
        found = inspector.inspect(requests, models.of_model(entry.id))
        failed += sum(one.record_id is None for one in found)

    show(f"{count:,} images inspected", repeated(root, count, GROUP, group), "real", result)
    records = InspectionRecords(root)
    result.values["real.not_recorded"] = failed + abs(count - records.count())


def recorded(root: Path, count: int, result: report.Report) -> None:
    """Record inspections with made-up scores."""
    records = InspectionRecords(root)
    before = records.count()
    draw = random.Random(5)

    def some(start: int, size: int) -> None:
        records.add([made_up(number, draw) for number in range(start, start + size)])

    samples = repeated(root, count, TRANSACTION, some)
    show(f"{count:,} inspections recorded", samples, "recorded", result)
    result.values["recorded.not_recorded"] = abs(count - (records.count() - before))
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        records.page()
        took.append(1000 * (time.perf_counter() - begin))
    result.values["recorded.newest_page_ms"] = statistics.median(took)


def made_up(number: int, draw: random.Random) -> NewInspection:
    """Return an accepted inspection without files, half a minute after the one before."""
    score = round(2 * draw.random(), 3)
    return NewInspection(
        uid=uuid.UUID(int=2**64 + number).hex,
        model_id="plate-000000",
        version_id=None,
        sha256=sha256(str(number).encode()).hexdigest(),
        name=f"part {number:07d}.png",
        size=(1024, 1280),
        taken=None,
        judged=BEGIN + timedelta(seconds=30 * number),
        context=InspectionContext("line 2", "service", "4711", f"S{number:07d}", f"L{number // 400:04d}"),
        threshold=2.0,
        threshold_level=2000,
        review_above=2.0,
        reject_above=2.0,
        score=score,
        score_level=round(1000 * score),
        severity=score / 2,
        verdict="accept",
        reasons=(),
        regions=(),
        brightness=120.0,
        sharpness=50.0,
        thumbnail=b"",
    )


def main(arguments: list[str] | None = None, config: PadimConfig | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    report.add_arguments(parser)
    parser.add_argument("--real", type=int, default=50_000, help="images to inspect")
    parser.add_argument("--recorded", type=int, default=1_000_000, help="made-up inspections to record")
    args = parser.parse_args(arguments)
    if min(args.real, args.recorded) < 100:
        parser.error("at least 100 of each")
    result = report.Report("soak")
    for name, bound in TARGETS.items():
        result.target(name, "<=", bound)
    report.run(parser, result, args)
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="padim-soak-") as folder:
        root = Path(folder)
        real(root, args.real, config or PadimConfig(), result)
        recorded(root, args.recorded, result)
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
