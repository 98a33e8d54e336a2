"""Measure the memory of the server and its workers: before, at its peak, and after all sessions have ended.

    python benchmarks/server_memory.py            ten sessions, each with 24 images of a megapixel to fit on
                                                  and 24 to score
    python benchmarks/server_memory.py --check    exit status 1 if more than 250 MB are not released

Every session uploads good parts, fits a model, scores images with it on the Inspect page, and is closed
without notice, as a browser tab is. Two minutes later the server is measured again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import served
from benchmarks.images import image
from benchmarks.memory import MB
from benchmarks.visitor import Visitor

# Largest tolerated increase over a server that has served one small session. Measured: 60 MB after three
# sessions, 190 MB after ten.
MOST_LEFT = 250 * MB
# Default number of seconds for which the server keeps a closed session (ui.app.sessions).
GRACE = 90.0
PATIENCE = 900.0


@dataclass(frozen=True)
class Figures:
    """Resident memory at several times, in bytes.

    Attributes:
        fresh: before the first visit.
        before: after one session with six small images, which has imported all modules.
        peak: largest sample during the sessions.
        left: when the sessions have just been closed.
        after: some minutes later.
    """

    fresh: int
    before: int
    peak: int
    left: int
    after: int


def resident(process: psutil.Process) -> int:
    """Return the resident memory of a process and its descendants, in bytes."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.Error:  # the process has ended
            continue
    return total


def jpeg_files(n: int, side: int, seed: int) -> list[tuple[str, bytes]]:
    """Return names and JPEG files of ``n`` images of ``side`` x ``side`` pixels of one kind of part."""
    found = []
    for i in range(n):
        file = BytesIO()
        Image.fromarray(image(i, side=side, seed=seed)).save(file, "JPEG", quality=92)
        found.append((f"image_{i:03d}.jpg", file.getvalue()))
    return found


def wait_for(visitor: Visitor, button: str) -> None:
    """Wait until the page has a button, unless empty, and no job is running.

    Raises:
        TimeoutError: it takes longer than ``PATIENCE``.
    """
    end = time.monotonic() + PATIENCE
    while visitor.busy or (button and visitor.button(button) is None):
        if time.monotonic() > end:
            raise TimeoutError(f"{visitor.page}: {visitor.text[-500:]}")
        time.sleep(0.5)  # about as often as a user would look
        visitor.run()


def session(url: str, number: int, n: int, side: int) -> Visitor:
    """Fit a model and score images in a new session, and return the session, which is still open."""
    visitor = Visitor(url, "fit")
    if visitor.elements.get("file_uploader") is None:  # there is a model already: its good parts are shown
        visitor.query = ""
        visitor.click("home-fit") if visitor.button("home-fit") else visitor.go("").click("home-fit")
    visitor.upload(jpeg_files(n, side, number))
    wait_for(visitor, "fit-go")
    visitor.click("fit-go")
    wait_for(visitor, "")
    visitor.go("inspect").upload(jpeg_files(n, side, 1000 + number))
    wait_for(visitor, "")
    return visitor


@contextmanager
def sampled(process: psutil.Process) -> Iterator[list[int]]:
    """Sample resident memory while the block runs; yields a list whose only item is the largest sample."""
    peak, done = [resident(process)], threading.Event()

    def sample() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], resident(process))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def measure(sessions: int, n: int, side: int, settle: float, grace: float = GRACE) -> Figures:
    """Measure the memory of a new server.

    Args:
        sessions: number of simultaneous sessions.
        n: number of images on which each session fits, and of those that it scores.
        side: side of the images, in pixels.
        settle: seconds from the end of the last session to the last measurement.
        grace: seconds for which the server keeps a closed session.
    """
    with tempfile.TemporaryDirectory(prefix="padim-memory-") as folder:
        place = Path(folder)
        environment = {"PADIM_HOME": str(place / "home"), "TMPDIR": folder, "PADIM_SESSION_GRACE": str(grace)}
        with served.serving(served.APP, log=place / "log", environment=environment) as server:
            process = psutil.Process(server.process.pid)
            fresh = resident(process)
            session(server.url, 500, 6, 256).leave()
            time.sleep(
                grace + 20
            )  # the session is kept for a while, and its memory is released a little later
            before = resident(process)
            with sampled(process) as peak, ThreadPoolExecutor(sessions) as pool:
                visitors = list(
                    pool.map(lambda number: session(server.url, number, n, side), range(sessions))
                )
            for visitor in visitors:
                visitor.leave()
            left = resident(process)
            time.sleep(settle)
            return Figures(fresh, before, peak[0], left, resident(process))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--settle", type=float, default=120.0)
    parser.add_argument("--grace", type=float, default=GRACE)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    found = measure(args.sessions, args.images, args.side, args.settle, args.grace)
    print(f"fresh                     {found.fresh / MB:7.0f} MB")
    print(f"before: used once         {found.before / MB:7.0f} MB")
    print(f"peak                      {found.peak / MB:7.0f} MB")
    print(f"all sessions just closed  {found.left / MB:7.0f} MB")
    print(f"{args.settle:4.0f} s later              {found.after / MB:7.0f} MB")
    retained = found.after - found.before
    print(f"not released              {retained / MB:7.0f} MB (limit {MOST_LEFT / MB:.0f})")
    return int(args.check and retained > MOST_LEFT)


if __name__ == "__main__":
    sys.exit(main())
