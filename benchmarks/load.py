"""Measure the server under twenty sessions: page switches while fits run, uploads, mixing, and memory.

    python benchmarks/load.py [--check] [--json] [--sessions 20] [--seconds 60] [--uploads 300]

Sessions exchange a browser's messages with one server, timers included, without a browser each
(``load_tab.py``): what a browser itself takes to draw is not in these figures.

1. One session drops images of a megapixel on the Inspect page of the otherwise idle server.
2. Every session scores a few images of its own, uploads good parts and starts a fit. The server fits one
   model at a time, so one fit runs and the others wait. Meanwhile every session switches to a page drawn at
   random, looks at it for one to seven seconds, and goes on. Whatever any page sends is searched for the
   names of the other sessions' images.
3. The fits are cancelled and all sessions close without notice. Two minutes later the server's memory is
   compared with what it was after one session had used every page.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report, served
from benchmarks.load_tab import Tab
from benchmarks.memory import MB
from benchmarks.server_memory import sampled

TARGETS = {
    "load.switch_p95_seconds": 1.5,
    "load.uploads_listed_seconds": 25.0,
    "load.names_of_others": 0,
    "load.faults": 0,
    "load.memory_ratio": 1.2,
}
# Page and tab. Records, and the tab Review of Inspect, show everybody's inspections: that is their purpose.
PAGES = (
    ("", "models"),
    ("fit", "images"),
    ("fit", "result"),
    ("calibrate", "threshold"),
    ("validate", "test-set"),
    ("validate", "smallest-defect"),
    ("inspect", "run"),
    ("inspect", "review"),
    ("records", "records"),
    ("records", "figures"),
    ("compare", ""),
)
COMMON = {("inspect", "review"), ("records", "records"), ("records", "figures")}
SAMPLE = served.ROOT / "sample_data" / "flange"
# Good parts that each session fits on, and images that each scores.
GOOD, SCORED = 48, 6
PATIENCE_S = 600.0
# Seconds until a list must have all of a session's images.
LISTED_S = 20.0
# Seconds for which a page is looked at.
LOOK_S = (1.0, 7.0)


@dataclass
class Session:
    """One session of the load.

    Attributes:
        number: from 0; its images' names have it.
        tab: its page.
        others: names of other sessions' images that it was sent, with the page.
        switches: seconds of each page switch, with its page.
        faults: what its pages have shown as faults of the app.
    """

    number: int
    tab: Tab | None = None
    others: set[str] = field(default_factory=set)
    switches: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    here: tuple[str, str] = ("", "models")
    # The model whose list has the session's images, as in the address: a fit that ends brings another one.
    model: str = ""

    def heard(self, raw: bytes) -> None:
        """Search a message of the server for names of images of other sessions."""
        if self.here in COMMON:
            return
        for found in re.findall(rb"mark-(\d\d)-", raw):
            if int(found) != self.number:
                self.others.add(f"{found.decode()} on {'/'.join(self.here)}")

    def go(self, page: str, tab: str) -> float:
        """Switch to a page with the model in use; return the seconds until it is drawn."""
        assert self.tab is not None
        model = [one for one in self.tab.query.split("&") if one.startswith("model=")]
        self.tab.query = "&".join([*model, *([f"tab={tab}"] if tab else [])])
        self.here = (page, tab)
        begin = time.perf_counter()
        self.tab.go(page)
        seconds = time.perf_counter() - begin
        if self.tab.elements.get("exception") or "fault of the app" in self.tab.text:
            self.faults.append("/".join(self.here))
        return seconds


def megapixel(count: int, prefix: str, side: int = 1000, seed: int = 0) -> list[tuple[str, bytes]]:
    """Return names and JPEG files of the sample's test images, enlarged, with other noise in each."""
    paths = sorted((SAMPLE / "test").glob("*/*.jpg"), key=lambda path: (path.stem, path.parent.name))
    rng = np.random.default_rng(seed)
    field_of_noise = rng.normal(scale=4.0, size=(side + 64, side + 64, 3)).astype(np.float32)
    found, large = [], {}
    for number in range(count):
        path = paths[number % len(paths)]
        if path not in large:
            with Image.open(path) as image:
                resized = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            large[path] = np.asarray(resized, np.float32)
        top, left = rng.integers(0, 64, 2)
        noise = field_of_noise[top : top + side, left : left + side]
        file = BytesIO()
        pixels = np.clip(large[path] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        found.append((f"{prefix}{number:03d}.jpg", file.getvalue()))
    return found


def good_parts(number: int) -> list[tuple[str, bytes]]:
    """Return the sample's good parts under a session's own names."""
    paths = sorted((SAMPLE / "train" / "good").iterdir())[:GOOD]
    return [(f"mark-{number:02d}-good-{i:02d}.jpg", path.read_bytes()) for i, path in enumerate(paths)]


def fitted_workspace(root: Path, environment: dict[str, str]) -> None:
    """Save a model of the sample in a new workspace, in a process of its own."""
    program = (
        "import sys; from padim import Padim; from padim.workspace import Workspace; "
        "from padim.storage.model_folders import ModelFolders; "
        "model = Padim().fit('sample_data/flange/train/good'); "
        "entry = ModelFolders(sys.argv[1]).create('Flange'); Workspace(sys.argv[1]).save(entry.id, model)"
    )
    command = [sys.executable, "-c", program, str(root)]
    subprocess.run(command, cwd=served.ROOT, env={**os.environ, **environment}, check=True)


def in_parallel(work: Sequence[Session], do: object) -> None:
    """Call a function with every session, each in a thread; the first exception is raised."""
    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(do, work))  # type: ignore[arg-type]


def until_scored(tab: Tab, patience: float = PATIENCE_S) -> None:
    """Wait until the page shows no running scoring job; checks of models may go on.

    Raises:
        TimeoutError: it takes longer than ``patience``.
    """

    def running() -> bool:
        return any("-cancel-inspect" in one.id for one in tab.elements.get("button", []))

    tab.stay(patience, until=lambda: not running())
    if running():
        raise TimeoutError(f"{tab.page}: {tab.text[-500:]}")


def until_button(tab: Tab, key: str) -> None:
    """Wait until the page has a button that can be pressed; now and then the page is run again.

    Raises:
        TimeoutError: it takes longer than ``PATIENCE_S``.
    """
    end = time.monotonic() + PATIENCE_S
    while tab.stay(5, until=lambda: tab.button(key) is not None).button(key) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{tab.page}: no button {key}; {tab.text[-500:]}")
        tab.run()


def listed(url: str, count: int, side: int) -> tuple[float, float]:
    """Drop images on the Inspect page; return the seconds until they are uploaded, and listed."""
    files = megapixel(count, "drop-", side)
    session = Session(99)
    with Tab(url) as tab:
        session.tab = tab
        session.go("inspect", "run")
        begin = time.perf_counter()
        tab.upload(files)
        uploaded = time.perf_counter() - begin
        until_scored(tab)
        seconds = time.perf_counter() - begin
        if f"All {count:,}" not in str(tab.elements.get("button_group")):
            raise RuntimeError(f"not all images are listed: {tab.text[-500:]}")
    return uploaded, seconds


def begin_fit(session: Session, url: str, start: threading.Barrier) -> None:
    """Score a session's images, upload its good parts, and start its fit together with all others."""
    session.tab = tab = Tab(url, heard=session.heard)
    session.go("inspect", "run")
    tab.upload(megapixel(SCORED, f"mark-{session.number:02d}-", 256, session.number))
    until_scored(tab)
    session.model = next((one for one in tab.query.split("&") if one.startswith("model=")), "")
    session.go("", "models")
    session.here = ("fit", "images")
    tab.click("home-fit").upload(good_parts(session.number))
    until_button(tab, "fit-go")
    start.wait(PATIENCE_S)
    tab.click("fit-go")


def switch_pages(session: Session, seconds: float) -> None:
    """Switch pages for so long, looking at each for some seconds."""
    assert session.tab is not None
    rng = random.Random(session.number)
    end = time.monotonic() + seconds
    session.tab.stay(rng.uniform(0, LOOK_S[1]))
    while time.monotonic() < end:
        page, tab = rng.choice(PAGES)
        session.switches.append((f"{page or 'home'}/{tab}", session.go(page, tab)))
        session.tab.stay(rng.uniform(*LOOK_S))


def own_images(session: Session) -> bool:
    """Whether the list of Inspect has exactly the images that this session has dropped there."""
    assert session.tab is not None
    found: set[bytes] = set()
    wanted = {f"mark-{session.number:02d}-{i:03d}".encode() for i in range(SCORED)}
    session.tab.heard = lambda raw: found.update(re.findall(rb"mark-\d\d-\d\d\d", raw))
    session.tab.query = session.model
    session.go("inspect", "run")
    # A page that is drawn anew because a fit has just ended sends its list a moment later.
    session.tab.stay(LISTED_S, until=lambda: found >= wanted)
    session.tab.heard = session.heard
    return found == wanted


def cancel_fit(session: Session) -> bool:
    """Cancel the session's fit; return whether it was still waiting or running."""
    assert session.tab is not None
    session.go("fit", "images")
    cancel = [one.id for one in session.tab.elements.get("button", []) if "-cancel-fit" in one.id]
    for found in cancel:
        session.tab.run(trigger=found)
    return bool(cancel)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so many of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


@contextmanager
def under_load(url: str, sessions: list[Session], seconds: float) -> Iterator[None]:
    """Start the sessions' fits and have them switch pages for so long, before the block runs."""
    start = threading.Barrier(len(sessions))
    in_parallel(sessions, lambda session: begin_fit(session, url, start))
    print(f"{len(sessions)} fits are started; pages are switched for {seconds:.0f} s\n", flush=True)
    in_parallel(sessions, lambda session: switch_pages(session, seconds))
    yield


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    report.add_arguments(parser)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which pages are switched")
    parser.add_argument("--uploads", type=int, default=300, help="images that one session drops; 0: none")
    parser.add_argument("--side", type=int, default=1000, help="of these images, in pixels")
    parser.add_argument("--settle", type=float, default=120.0, help="seconds from the end to the memory")
    parser.add_argument("--grace", type=float, default=90.0, help="for which the server keeps a session")
    parser.add_argument("--rest", type=float, default=20.0, help="seconds until its memory is released")
    args = parser.parse_args(arguments)
    result = report.Report("load")
    for name, bound in TARGETS.items():
        result.target(name, "<" if name.endswith("seconds") else "<=", bound)
    report.run(parser, result, args)

    with tempfile.TemporaryDirectory(prefix="padim-load-") as folder:
        environment = {
            "PADIM_HOME": str(Path(folder) / "home"),
            "PADIM_SESSION_GRACE": str(args.grace),
            "TMPDIR": folder,
        }
        fitted_workspace(Path(folder) / "home", environment)
        log = Path(folder) / "log"
        with served.serving(served.APP, log=log, environment=environment) as server:
            measure(server, args, result)
        text = log.read_text(encoding="utf-8", errors="replace")
        result.values["load.tracebacks"] = text.count("Traceback (most recent call last)")
        if "Traceback" in text:
            result.note(f"the server's log has tracebacks: {text[text.index('Traceback') :][:2000]}")
    return result.finish(args)


def measure(server: served.Server, args: argparse.Namespace, result: report.Report) -> None:
    """Measure all of it on a running server."""
    process = psutil.Process(server.process.pid)
    with Tab(server.url) as first:  # imports all modules, as the first user of a day does
        one = Session(98, first)
        for page, tab in PAGES:
            one.go(page, tab)
        one.go("inspect", "run")
        first.upload(megapixel(6, "first-", 256))
        until_scored(first)
    time.sleep(args.grace + args.rest)  # a session is kept for a while
    before = process.memory_info().rss

    if args.uploads:
        uploaded, seconds = listed(server.url, args.uploads, args.side)
        result.values["load.uploaded_seconds"] = uploaded
        result.values["load.uploads_listed_seconds"] = seconds
        rows = [(args.uploads, f"{uploaded:.1f}", f"{seconds:.1f}", f"{1000 * seconds / args.uploads:.0f}")]
        result.show("Uploads, one session", ("images", "uploaded in s", "listed in s", "ms each"), rows)

    sessions = [Session(number) for number in range(args.sessions)]
    busy = process.cpu_times()
    with sampled(process) as peak, under_load(server.url, sessions, args.seconds):
        done = process.cpu_times()
        mixed = [one.number for one in sessions if not own_images(one)]
        waiting = sum([cancel_fit(one) for one in sessions])
    for one in sessions:
        assert one.tab is not None
        one.tab.leave()
    left = process.memory_info().rss
    time.sleep(args.settle)
    after = process.memory_info().rss

    switches = [pair for one in sessions for pair in one.switches]
    times = [seconds for _, seconds in switches]
    others = {name for one in sessions for name in one.others}
    faults = [fault for one in sessions for fault in one.faults]
    result.values |= {
        "load.switches": len(times),
        "load.switch_median_seconds": statistics.median(times),
        "load.switch_p95_seconds": percentile(times, 0.95),
        "load.switch_most_seconds": max(times),
        "load.polls": sum(one.tab.polls for one in sessions if one.tab is not None),
        "load.server_cpu_seconds": done.user + done.system - busy.user - busy.system,
        "load.fits_left": waiting,
        "load.names_of_others": len(others) + len(mixed),
        "load.faults": len(faults),
        "load.memory_ratio": after / before,
    }
    result.details |= {"others": sorted(others), "mixed": mixed, "faults": faults}
    table: list[tuple[object, ...]] = []
    for page in sorted({page for page, _ in switches}):
        own = [seconds for name, seconds in switches if name == page]
        shown = (f"{statistics.median(own):.2f}", f"{percentile(own, 0.95):.2f}", f"{max(own):.2f}")
        table.append((page, len(own), *shown))
    table.append(("all", len(times), *(f"{percentile(times, share):.2f}" for share in (0.5, 0.95, 1.0))))
    title = f"Page switches of {len(sessions)} sessions, {waiting} of their fits left at the end, seconds"
    result.show(title, ("page", "switches", "median", "95 %", "most"), table)
    memory = (before, peak[0], left, after)
    result.show(
        "Memory of the server, MB; a worker's returns with its end",
        ("before", "peak with workers", "sessions closed", f"{args.settle:.0f} s later"),
        [tuple(f"{size / MB:.0f}" for size in memory)],
    )
    if not waiting:
        result.note("All fits had ended before the last page was drawn: the load was lighter than meant.")


if __name__ == "__main__":
    sys.exit(main())
