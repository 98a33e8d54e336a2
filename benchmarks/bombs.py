"""Measure time and memory of hostile image files, which try to exhaust a server, under a memory limit.

    python benchmarks/bombs.py [--check] [--json] [--quick] [--only files,crowd,server]

Each file is decoded alone in a new process; forty copies of the worst are decoded at once in one process; and
all files are dropped on the Inspect page of a running server, which must continue to answer others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report, served
from tests import bombs

if TYPE_CHECKING:
    from benchmarks.app import Bench

MB = 1_000_000
PARTS = ("files", "crowd", "server")
TARGETS = {
    # The default deadline, plus the start of a helper process on a busy machine.
    "files.longest_seconds": 25.0,
    "files.peak_mb": 1000.0,
    # The largest default memory budget for decoding, plus the memory of the processes without an image.
    "crowd.peak_mb": 2500.0,
    "server.growth_mb": 2500.0,
    "server.health_seconds": 2.0,
    "server.page_seconds": 15.0,
    "server.unanswered": 0.0,
    # Files that are neither scored nor named as unusable.
    "server.lost": 0.0,
}
# Limit (RLIMIT_DATA, in bytes) of the server and each of its helpers, which none of them may reach.
SERVER_LIMIT = 4000 * MB
FORTY = 40
_SAMPLE_S = 0.01
_PATIENCE_MS = 600_000
_QUICK = (
    "uniform 34 bytes.webp",
    "run length 4.bmp",
    "5000 scans.jpg",
    "claims 25 megapixels.png",
    "lzw.tif",
)
# Returns [images listed, files refused] by the page so far.
_HANDLED = """
() => {
    const number = (text, pattern) => Number((pattern.exec(text || '') || [0, 0])[1]);
    const choice = document.querySelector('.st-key-inspect-show');
    return [
        number(choice && choice.textContent, /All (\\d+)/),
        number(document.body.innerText, /(\\d+) files? cannot be used/),
    ];
}
"""
# Runs a command with the limit, which also applies to all processes that it starts.
_LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="a few files, for tests: not the real check")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help="some of the parts, separated by commas"
    )
    parser.add_argument("--decode", type=Path, nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.decode:
        decode_files(args.decode)
        return 0
    chosen = args.only.split(",")
    if not set(chosen) <= set(PARTS):
        parser.error(f"--only {args.only}: expected some of {', '.join(PARTS)}")
    if "server" in chosen and served.chromium() is None:
        parser.error("no Chromium found; install it, or set PADIM_CHROMIUM to an executable")

    result = report.Report("bombs")
    for name, bound in TARGETS.items():
        if name.partition(".")[0] in chosen:
            result.target(name, "<=", bound)
    report.run(parser, result, args)
    if args.quick:
        result.note("--quick: only some of the files. This is not the real check.")
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder) / "bombs", quick=args.quick)
        if "files" in chosen:
            one_by_one(files, result)
        if "crowd" in chosen:
            crowd(files[0], 4 if args.quick else FORTY, result)
        if "server" in chosen:
            on_a_server(files, 4 if args.quick else FORTY, Path(folder), result)
    return result.finish(args)


def write_files(folder: Path, *, quick: bool) -> list[Path]:
    """Write the hostile files, or with ``quick`` a few of them, into a new folder; return their paths."""
    folder.mkdir()
    files = []
    for name, build in bombs.FULL_SET.items():
        if not quick or name in _QUICK:
            files.append(folder / name)
            files[-1].write_bytes(build())
    return files


# -- memory of a process and its helpers -----------------------------------------------------------------


@dataclass
class Watched:
    """The total memory of a process and its descendants, sampled from outside.

    Attributes:
        pid: the process.
        peak: largest sample of anonymous memory, in bytes.
        first: the first sample, in bytes.
    """

    pid: int
    peak: int = 0
    first: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.is_set():
            now = anonymous(self.pid)
            self.first = self.first or now
            self.peak = max(self.peak, now)
            self._stop.wait(_SAMPLE_S)

    def reset(self) -> None:
        """Discard all samples and take a first one."""
        self.peak = self.first = anonymous(self.pid)


@contextmanager
def watching(pid: int) -> Iterator[Watched]:
    """Sample the memory of a process while the block runs."""
    watched = Watched(pid)
    thread = threading.Thread(target=watched.run)
    thread.start()
    try:
        yield watched
    finally:
        watched._stop.set()
        thread.join()


def anonymous(pid: int) -> int:
    """Return the anonymous memory (heap and stacks) of a process and its descendants, in bytes."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        total += int(line.split()[1]) * 1024
            except OSError:
                continue  # the process has ended
    except psutil.Error:
        pass
    return total


# -- each file, and forty at once --------------------------------------------------------------------------


def decode_files(files: Sequence[Path]) -> None:
    """Decode files at once and print a line of JSON for each; run in a separate process."""
    from padim.data.decode import decode
    from padim.errors import ImageError

    def one(file: Path) -> None:
        data = file.read_bytes()
        begin = time.perf_counter()
        try:
            height, width, _ = decode(data, file.name).shape
            outcome = f"{width} x {height}"
        except ImageError as error:
            outcome = error.reason
        print(json.dumps({"seconds": time.perf_counter() - begin, "outcome": outcome}), flush=True)

    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(one, files))


def decoded_elsewhere(files: Sequence[Path]) -> tuple[list[dict[str, object]], int]:
    """Run :func:`decode_files` in a process; return its lines and its peak memory, helpers included."""
    command = [sys.executable, str(Path(__file__).resolve()), "--decode", *map(str, files)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        watching(process.pid) as watched,
    ):
        lines, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"decoding {files[0].name} failed with {process.returncode}")
    return [json.loads(line) for line in lines.splitlines()], watched.peak


def one_by_one(files: Sequence[Path], result: report.Report) -> None:
    """Decode each file in a separate process. Targets: time and memory of the worst."""
    rows = []
    longest = most = 0.0
    for file in files:
        (found,), peak = decoded_elsewhere([file])
        seconds = float(str(found["seconds"]))
        longest, most = max(longest, seconds), max(most, peak / MB)
        result.details[file.name] = {**found, "peak_mb": peak / MB, "bytes": file.stat().st_size}
        rows.append(
            (
                file.name,
                f"{file.stat().st_size:,}",
                f"{seconds:.2f}",
                f"{peak / MB:.0f}",
                str(found["outcome"])[:60],
            )
        )
    result.values["files.longest_seconds"] = longest
    result.values["files.peak_mb"] = most
    result.show("Each file alone", ("file", "bytes", "seconds", "peak MB", "outcome"), rows)


def crowd(file: Path, count: int, result: report.Report) -> None:
    """Decode copies of the file with the largest image at once in one process. Target: peak memory."""
    begin = time.perf_counter()
    found, peak = decoded_elsewhere([file] * count)
    result.values["crowd.peak_mb"] = peak / MB
    result.values["crowd.seconds"] = time.perf_counter() - begin
    result.show(
        f"{count} times {file.name} at once",
        ("decoded", "peak MB", "seconds"),
        [(len(found), f"{peak / MB:.0f}", f"{time.perf_counter() - begin:.1f}")],
    )


# -- a running server ---------------------------------------------------------------------------------------


@dataclass
class ResponseTimes:
    """Response times of a server's health check under load.

    Attributes:
        seconds: duration of each answered request.
        failed: number of requests without an answer within a minute.
    """

    seconds: list[float] = field(default_factory=list)
    failed: int = 0


@contextmanager
def polling_health(url: str) -> Iterator[ResponseTimes]:
    """Request the health check ten times a second while the block runs."""
    answers = ResponseTimes()
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.1):
            begin = time.perf_counter()
            try:
                with urllib.request.urlopen(f"{url}/_stcore/health", timeout=60) as answer:
                    answer.read()
                answers.seconds.append(time.perf_counter() - begin)
            except OSError:
                answers.failed += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def on_a_server(files: Sequence[Path], count: int, folder: Path, result: report.Report) -> None:
    """Drop all files, and copies of the worst, on Inspect while another visitor opens Home."""
    from benchmarks.app import SAMPLE, Bench

    copies = folder / "copies"
    copies.mkdir()
    for number in range(count):
        (copies / f"uniform {number}.webp").write_bytes(files[0].read_bytes())
    dropped = [*files, *sorted(copies.iterdir())]
    good = next((SAMPLE / "test" / "good").iterdir())
    command = (sys.executable, "-c", _LIMITED, str(SERVER_LIMIT), *served.APP)
    with served.launched() as browser:
        bench = Bench(browser, folder)
        bench.prepare_network()
        home = bench.new_home()
        fit(bench, home)
        with (
            bench.server(command, home) as server,
            bench.page() as page,
            watching(server.process.pid) as watched,
        ):
            page.set_default_timeout(_PATIENCE_MS)
            page.goto(f"{server.url}/inspect")
            page.get_by_test_id("stFileUploaderDropzone").wait_for()
            # While the first run of a page still imports libraries, Streamlit can miss the end of the next.
            page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
            page.locator("input[type=file]").set_input_files([good])
            page.locator(".st-key-inspect-show").get_by_text("All 1").wait_for()
            quiet = visits(bench, server.url, 3)
            watched.reset()
            page.get_by_role("button", name="Add images").click()
            more = page.locator("input[type=file]")
            more.wait_for(state="attached")
            begin = time.perf_counter()
            with polling_health(server.url) as answers:
                more.set_input_files(dropped)
                busy: list[float] = []
                listed = refused = 0
                while listed + refused < 1 + len(dropped) and server.process.poll() is None:
                    busy += visits(bench, server.url, 1)
                    listed, refused = page.evaluate(_HANDLED)
                    if time.perf_counter() - begin > _PATIENCE_MS / 1000:
                        break
            seconds = time.perf_counter() - begin
            growth = watched.peak - watched.first
            if not server.alive:
                answers.failed += 1
    result.values |= {
        "server.growth_mb": growth / MB,
        "server.peak_mb": watched.peak / MB,
        "server.health_seconds": max(answers.seconds),
        "server.page_seconds": max(busy, default=0.0),
        "server.quiet_page_seconds": max(quiet),
        "server.unanswered": float(answers.failed),
        "server.seconds": seconds,
        "server.lost": float(1 + len(dropped) - listed - refused),
    }
    result.show(
        f"{len(dropped)} files on the Inspect page: {listed - 1} scored, {refused} refused, {seconds:.0f} s",
        ("", "before", "under load"),
        [
            ("memory of server and helpers, MB", f"{watched.first / MB:.0f}", f"{watched.peak / MB:.0f}"),
            ("Home for another visitor, longest, s", f"{max(quiet):.2f}", f"{max(busy, default=0):.2f}"),
            (f"health check, longest of {len(answers.seconds)}, s", "", f"{max(answers.seconds):.3f}"),
            ("requests without an answer", "", answers.failed),
        ],
    )


def visits(bench: Bench, url: str, count: int) -> list[float]:
    """Return the seconds from navigation to the heading of Home, for ``count`` new sessions."""
    seconds = []
    for _ in range(count):
        with bench.page() as page:
            begin = time.perf_counter()
            page.goto(url, wait_until="commit")
            page.locator('[data-testid="stMain"] h1').first.wait_for()
            seconds.append(time.perf_counter() - begin)
    return seconds


def fit(bench: Bench, home: Path) -> None:
    """Fit a model of the sample in the workspace."""
    from benchmarks.app import fit_once

    fit_once(bench, home)


if __name__ == "__main__":
    sys.exit(main())
