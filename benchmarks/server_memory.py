"""Memory of the server and its worker processes: before, at its peak, and after all sessions have left.

    python benchmarks/server_memory.py            ten sessions, each with 24 images of a megapixel to fit on
                                                  and 24 to score; the figures
    python benchmarks/server_memory.py --check    exit status 1 where more than 250 MB stay

Every session uploads good parts, fits a model, scores images with it on the Inspect page, and is closed as a
tab is, without a word. Two minutes later the server is measured again.
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

# What may stay above a server that one small session has used before. Measured: 60 MB after three sessions,
# 190 MB after ten.
MOST_LEFT = 250 * MB
# Seconds for which the server keeps a session that has left, where nothing else is set (ui.app.sessions).
GRACE = 90.0
PATIENCE = 900.0


@dataclass(frozen=True)
class Figures:
    """In bytes.

    Attributes:
        fresh: nobody has visited the server yet.
        before: one session has gone the same way with six small images, and left: all is imported.
        peak: the most, sampled.
        left: the sessions have just left.
        after: some minutes later.
    """

    fresh: int
    before: int
    peak: int
    left: int
    after: int


def resident(process: psutil.Process) -> int:
    """Resident memory of a process and all it has started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def photographs(n: int, side: int, seed: int) -> list[tuple[str, bytes]]:
    """Images of ``side`` x ``side`` pixels of one kind of part, as JPEG."""
    found = []
    for i in range(n):
        file = BytesIO()
        Image.fromarray(image(i, side=side, seed=seed)).save(file, "JPEG", quality=92)
        found.append((f"image_{i:03d}.jpg", file.getvalue()))
    return found


def wait_for(visitor: Visitor, button: str) -> None:
    """Until the page has a button and no job is at work."""
    end = time.monotonic() + PATIENCE
    while visitor.busy or (button and visitor.button(button) is None):
        if time.monotonic() > end:
            raise TimeoutError(f"{visitor.page}: {visitor.text[-500:]}")
        time.sleep(0.5)  # a person looks no more often
        visitor.run()


def session(url: str, number: int, n: int, side: int) -> Visitor:
    """A session from the first image to scored ones; still open."""
    visitor = Visitor(url, "fit")
    if visitor.elements.get("file_uploader") is None:  # a model is there already: its normals are shown
        visitor.query = ""
        visitor.click("home-fit") if visitor.button("home-fit") else visitor.go("").click("home-fit")
    visitor.upload(photographs(n, side, number))
    wait_for(visitor, "fit-go")
    visitor.click("fit-go")
    wait_for(visitor, "")
    visitor.go("inspect").upload(photographs(n, side, 1000 + number))
    wait_for(visitor, "")
    return visitor


@contextmanager
def sampled(process: psutil.Process) -> Iterator[list[int]]:
    """The largest sample so far, as the one item of a list."""
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
    """The figures of a server of its own.

    Args:
        sessions: how many visit it at once.
        n: images each fits on, and scores.
        side: of an image, in pixels.
        settle: seconds from the end of the last session to the last look.
        grace: seconds for which the server keeps a session that has left.
    """
    with tempfile.TemporaryDirectory(prefix="padim-memory-") as folder:
        place = Path(folder)
        environment = {"PADIM_HOME": str(place / "home"), "TMPDIR": folder, "PADIM_SESSION_GRACE": str(grace)}
        with served.serving(served.APP, log=place / "log", environment=environment) as server:
            process = psutil.Process(server.process.pid)
            fresh = resident(process)
            session(server.url, 500, 6, 256).leave()
            time.sleep(grace + 20)  # a session is kept for a while, and its memory given back a little later
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
    print(f"all sessions just left    {found.left / MB:7.0f} MB")
    print(f"{args.settle:4.0f} s later              {found.after / MB:7.0f} MB")
    stays = found.after - found.before
    print(f"stays                     {stays / MB:7.0f} MB (limit {MOST_LEFT / MB:.0f})")
    return int(args.check and stays > MOST_LEFT)


if __name__ == "__main__":
    sys.exit(main())
