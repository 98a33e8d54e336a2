"""Measure the live viewer in a browser: redraws while the threshold is dragged, transferred bytes, requests.

    python benchmarks/viewer.py [--check] [--json] [--only four_images,gallery,payload,adding,runs]

The models are fitted by the engine beforehand; all measurements are taken on the app's pages. The time of a
redraw is the viewer's own measure of a frame's work, ``padim-viewer-step``, which covers the script but not
the browser's compositing of the canvases. The interval between animation frames, which covers both, is
reported in addition.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request, ViewportSize

    from padim.storage.model_folders import Entry

PARTS = ("four_images", "gallery", "payload", "adding", "runs")
SAMPLE = served.ROOT / "sample_data" / "flange"
COUNTED = (
    sys.executable,
    str(served.ROOT / "tests" / "browser" / "counted.py"),
    "run",
    str(served.ROOT / "app.py"),
)
TARGETS = {
    "four_images.threshold_ms": 8.0,
    "gallery.threshold_ms": 16.0,
    "payload.image_kb": 700.0,
    "adding.requests": 3.0,
    "adding.of_others": 0.0,
    "runs.count": 0.0,
}
# Controls that are dragged, by their names in the report.
HANDLES = {
    "threshold": "threshold line",
    "area": "smallest region, slider",
    "opacity": "strength of the heat, slider",
}
_PATIENCE_MS = 180_000
# Seconds without a request after which loading is considered complete.
_QUIET = 1.5

_MANY_ENTRIES = "performance.setResourceTimingBufferSize(20000)"
# Records the viewer's measure of every frame's work, and the times of the animation frames.
_WATCH = """
() => {
    const watched = window.watched = {steps: [], frames: [], on: true};
    const take = entries => watched.steps.push(
        ...entries.filter(entry => entry.name === 'padim-viewer-step').map(entry => entry.duration));
    const observer = new PerformanceObserver(list => take(list.getEntries()));
    observer.observe({type: 'measure'});
    const tick = at => { watched.frames.push(at); if (watched.on) requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
    watched.end = () => {
        watched.on = false;
        take(observer.takeRecords());
        observer.disconnect();
        return [watched.steps, watched.frames];
    };
}
"""
# Counts the viewer's tiles and panes, and how many of them are inside the window.
_SIGHT = """
viewer => {
    const inside = (element, box) => {
        const {left, right, top, bottom, width} = element.getBoundingClientRect();
        return width > 0 && left >= box.left - 1 && right <= box.right + 1
            && top >= box.top - 1 && bottom <= box.bottom + 1;
    };
    const screen = {left: 0, top: 0, right: innerWidth, bottom: innerHeight};
    const gallery = viewer.querySelector('.gallery');
    const tiles = [...gallery.querySelectorAll('.tile')];
    const panes = [...viewer.querySelectorAll('.row:not([hidden]) .frame')];
    const clip = gallery.getBoundingClientRect();
    return {
        tiles: tiles.length,
        tilesSeen: tiles.filter(tile => inside(tile, screen) && inside(tile, clip)).length,
        panes: panes.length,
        panesSeen: panes.filter(pane => inside(pane, screen)).length,
        line: inside(viewer.querySelector('.hist'), screen),
    };
}
"""
# Returns the number of images in each viewer on the page.
_IMAGES_LISTED = """
viewers => viewers.map(viewer => {
    const tile = viewer.querySelector('.gallery .tile');
    return tile ? Number(tile.getAttribute('aria-setsize')) : 0;
})
"""
# Returns URL and sizes of every file of the app's media store requested since a given time.
_MEDIA = """
since => performance.getEntriesByType('resource')
    .filter(entry => new URL(entry.name).pathname.startsWith('/media/'))
    .filter(entry => entry.startTime >= since && entry.responseEnd > 0)
    .map(entry => [entry.name, entry.transferSize, entry.encodedBodySize, entry.decodedBodySize])
"""
# Returns the thumbnails' URLs, including those of tiles created only when the gallery is scrolled to them.
_SMALL_IMAGES = """
async viewer => {
    const gallery = viewer.querySelector('.gallery');
    const found = new Set();
    const frame = () => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    for (let top = 0; ; top += gallery.clientHeight) {
        gallery.scrollTop = top;
        await frame();
        for (const image of gallery.querySelectorAll('.tile img')) {
            // The viewer shows a local copy of the image that it has fetched from data-source.
            while (!image.naturalWidth) await frame();
            found.add(new URL(image.dataset.source, document.baseURI).href);
        }
        if (top + gallery.clientHeight >= gallery.scrollHeight) break;
    }
    gallery.scrollTop = 0;
    return [...found];
}
"""


@dataclass(frozen=True)
class Effort:
    """The extent of the measurements.

    Attributes:
        large: input size of the model whose images are shown four at a time.
        small: input size of the model for the gallery and the list.
        goods: number of good parts in the large model.
        gallery_goods: number of good parts in the small model.
        defects: number of test images added on Calibrate; with ``gallery_goods`` they make up the gallery.
        listed: number of images on Inspect before one more is added.
        moves: number of mouse moves from one end of the axis to the other.
        sweeps: number of sweeps from end to end.
    """

    large: int
    small: int
    goods: int
    gallery_goods: int
    defects: int
    listed: int
    moves: int
    sweeps: int

    @property
    def tiles(self) -> int:
        """The number of thumbnails in the gallery."""
        return self.gallery_goods + self.defects


FULL = Effort(large=512, small=256, goods=48, gallery_goods=30, defects=30, listed=200, moves=120, sweeps=3)
QUICK = Effort(large=64, small=64, goods=5, gallery_goods=5, defects=3, listed=6, moves=8, sweeps=1)


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="tiny models, for tests: not the real check")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help="some of the parts, separated by commas"
    )
    args = parser.parse_args(arguments)
    chosen = args.only.split(",")
    if not set(chosen) <= set(PARTS):
        parser.error(f"--only {args.only}: expected some of {', '.join(PARTS)}")
    if served.chromium() is None:
        parser.error("no Chromium found; install it, or set PADIM_CHROMIUM to an executable")
    effort = QUICK if args.quick else FULL

    result = report.Report("viewer")
    for name, bound in TARGETS.items():
        result.target(name, "<=", bound)
    report.run(parser, result, args)
    result.details["effort"] = vars(effort)
    if args.quick:
        result.note("--quick: tiny models and few images. This is not the real check.")

    with tempfile.TemporaryDirectory() as folder, served.launched() as browser:
        bench = Bench(browser, Path(folder), effort)
        result.details["browser"] = browser.version
        for name, measure in (
            ("four_images", four_images),
            ("gallery", gallery),
            ("payload", payload),
            ("adding", adding),
            ("runs", runs),
        ):
            if name in chosen:
                measure(bench, effort, result)
    return result.finish(args)


class Bench:
    """A browser and the models for the measurements, each fitted once when it is first used."""

    def __init__(self, browser: Browser, folder: Path, effort: Effort) -> None:
        self.browser = browser
        self.folder = folder
        self.home = folder / "home"
        self.runs = folder / "runs"
        self.effort = effort
        self._entries: dict[tuple[int, int], Entry] = {}

    @property
    def large(self) -> Entry:
        """The model whose images are shown four at a time."""
        return self._entry(self.effort.large, self.effort.goods)

    @property
    def small(self) -> Entry:
        """The model for the gallery and the list."""
        return self._entry(self.effort.small, self.effort.gallery_goods)

    def _entry(self, input_size: int, goods: int) -> Entry:
        """Return a model of the sample's first ``goods`` good parts, fitted with default settings."""
        from padim import Padim, PadimConfig, Workspace

        key = (input_size, goods)
        if key not in self._entries:
            store = Workspace(self.home)
            entry = store.create(f"Flange at {input_size} px")
            files = sorted((SAMPLE / "train" / "good").iterdir())[:goods]
            model = Padim(PadimConfig(input_size=input_size), work_dir=store.work_dir(entry.id))
            model.fit((file.name, file.read_bytes()) for file in files)
            model.save(entry.path)
            self._entries[key] = store.get(entry.id)
        return self._entries[key]

    @contextmanager
    def visit(
        self, entry: Entry, path: str, *, width: int = 1440, height: int = 1000, counted: bool = False
    ) -> Iterator[Visit]:
        """Open a page of the app on a new server, in a new browser session.

        Args:
            entry: the model to show.
            path: the page.
            width, height: size of the window, in pixels.
            counted: count the runs of the network.
        """
        environment = {"PADIM_HOME": str(self.home), "PADIM_TEST_RUNS": str(self.runs)}
        self.runs.write_bytes(b"")
        window: ViewportSize = {"width": width, "height": height}
        with served.serving(
            COUNTED if counted else served.APP, log=self.folder / "server.log", environment=environment
        ) as server:
            context = self.browser.new_context(viewport=window)
            try:
                page = context.new_page()
                page.set_default_timeout(_PATIENCE_MS)
                page.add_init_script(_MANY_ENTRIES)
                visit = Visit(page)
                page.goto(f"{server.url}/{path}?model={entry.id}")
                page.get_by_role("heading", level=1).wait_for()
                visit.settle()
                yield visit
            finally:
                context.close()


class Visit:
    """An open page of the app, with a record of its requests to the media store.

    Attributes:
        page: Playwright's page.
        media: requests for images and maps, in order.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.media: list[Request] = []
        self._open = 0
        self._last = time.perf_counter()
        page.on("request", lambda request: self._count(request, 1))
        page.on("requestfinished", lambda request: self._count(request, -1))
        page.on("requestfailed", lambda request: self._count(request, -1))

    def _count(self, request: Request, by: int) -> None:
        if not urlsplit(request.url).path.startswith("/media/"):
            return
        if by > 0:
            self.media.append(request)
        self._open += by
        self._last = time.perf_counter()

    @property
    def viewer(self) -> Locator:
        """The viewer's element, inside its shadow root."""
        return self.page.locator(".viewer")

    def settle(self) -> None:
        """Wait until the server's script has ended."""
        self.page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, which is evaluated again each time, as the page may replace its elements.

        Raises:
            RuntimeError: the condition was not met in time.
        """
        begin = time.perf_counter()
        while not condition():
            if 1000 * (time.perf_counter() - begin) > _PATIENCE_MS:
                raise RuntimeError(f"timeout while waiting for {what}")
            self.page.wait_for_timeout(50)

    def quiet(self) -> None:
        """Wait until there are no more requests."""
        while self._open > 0 or time.perf_counter() - self._last < _QUIET:
            self.page.wait_for_timeout(100)  # handles events, until there are none for a while

    def wait_for_images(self, count: int) -> None:
        """Wait until the viewer has that many images and all of their maps."""
        # While the page changes, there can be two viewers, of which one is about to be removed, or none.
        self.until(
            lambda: self.viewer.evaluate_all(_IMAGES_LISTED) == [count], f"{count} images in the viewer"
        )
        self.page.locator('.viewer[data-left="0"]').wait_for(timeout=_PATIENCE_MS)
        self.quiet()
        self.settle()

    def add_defects(self, files: Sequence[Path], total: int) -> None:
        """Add defect images on Calibrate, and wait until all ``total`` images are loaded."""
        self.until(lambda: self.viewer.count() == 1, "the viewer")
        self.page.get_by_role("button", name=re.compile("Add test images")).click()
        self.page.locator("input[type=file]").set_input_files(files)
        self.wait_for_images(total)

    def drag(self, name: str, moves: int, sweeps: int) -> Drag:
        """Drag one of ``HANDLES`` with the mouse from end to end, and release it.

        The time between press and release is measured; then the server's response is awaited.
        """
        mouse = self.page.mouse
        (start, *positions), y = self._positions(name, moves, sweeps)
        mouse.move(start, y)
        mouse.down()
        self.page.evaluate(_WATCH)
        for x in positions:
            mouse.move(x, y)
        steps, frames = self.page.evaluate("() => window.watched.end()")
        mouse.up()
        self.settle()
        return Drag(steps, np.diff(frames).tolist())

    def back(self) -> None:
        """Restore the threshold in use, so that every drag starts with the same masks."""
        button = self.viewer.locator(".back")
        if button.is_enabled():
            button.click()
            self.until(lambda: not button.is_enabled(), "the threshold in use")
            self.settle()

    def _positions(self, name: str, moves: int, sweeps: int) -> tuple[list[float], float]:
        handle = {"threshold": ".hist", "area": ".area-slide", "opacity": ".opacity-slide"}[name]
        found = self.viewer.locator(handle)
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        if box is None:
            raise RuntimeError(f"the {HANDLES[name]} is not on the page")
        margin = 9.0  # the axis starts, and the knob's center stops, at this distance from the edges
        ends = [box["x"] + margin, box["x"] + box["width"] - margin]
        shares = np.concatenate(
            [np.linspace(0, 1, moves + 1)[:: -1 if sweep % 2 else 1] for sweep in range(sweeps)]
        )
        positions = [float(ends[0] + share * (ends[1] - ends[0])) for share in shares]
        if name == "threshold":  # the drag starts at the knob's current position
            knob = self.viewer.locator(".hist .line circle").bounding_box()
            if knob is not None:
                positions.insert(0, knob["x"] + knob["width"] / 2)
        return positions, box["y"] + box["height"] / 2


@dataclass(frozen=True)
class Drag:
    """The measurements of one drag.

    Attributes:
        steps: script time of every redraw, in ms.
        intervals: times between animation frames, in ms.
    """

    steps: list[float]
    intervals: list[float]


def defects(count: int) -> list[Path]:
    """Return the sample's first ``count`` defect images, of all kinds in turn."""
    found = sorted(
        (path for path in (SAMPLE / "test").glob("*/*.jpg") if path.parent.name != "good"),
        key=lambda path: (path.name, path.parent.name),
    )
    if count > len(found):
        raise ValueError(f"the sample has {len(found)} defect images, {count} were requested")
    return found[:count]


def distinct_images(folder: Path, count: int) -> list[Path]:
    """Write ``count`` different images, repeating the sample's test images with different noise."""
    rng = np.random.default_rng(0)
    found = sorted((SAMPLE / "test").glob("*/*.jpg"), key=lambda path: (path.name, path.parent.name))
    folder.mkdir(parents=True)
    files = []
    for number in range(count):
        path = found[number % len(found)]
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32)
        noisy = np.clip(pixels + rng.normal(scale=2.0, size=pixels.shape), 0, 255).astype(np.uint8)
        files.append(folder / f"{number:03d}_{path.parent.name}_{path.name}")
        Image.fromarray(noisy).save(files[-1], "JPEG", quality=90)
    return files


# -- redraws while dragging ------------------------------------------------------------------------------


def four_images(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Measure redraws with four images at a time, those nearest the threshold, at the large input size.

    The window is tall enough for the threshold's line and all sixteen panes. The gallery below has the tiles
    for which the page has room, and they are redrawn too, as for any user. Target: a median of 8 ms while the
    threshold is dragged.
    """
    entry = bench.large
    total = effort.goods + effort.defects
    with bench.visit(entry, "calibrate", height=2300) as visit:
        visit.add_defects(defects(effort.defects), total)
        visit.viewer.locator("[data-rows='4']").click()
        drawn = visit.viewer.locator(".row[data-drawn*=':']")
        visit.until(lambda: drawn.count() == 4, "four images drawn")
        sight = visit.viewer.evaluate(_SIGHT)
        _record("four_images", visit, effort, result, sight, f"Four images of {effort.large} px")


def gallery(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Measure redraws with good parts and defects as thumbnails, all visible, and one image large.

    The app's pages are at most 1,500 px wide, where so many thumbnails are never visible at once: here that
    limit is removed, in a window of 3,300 px. Target: a median of 16 ms while the threshold is dragged.
    """
    entry = bench.small
    with bench.visit(entry, "calibrate", width=3300, height=2300) as visit:
        visit.page.add_style_tag(content=".stMainBlockContainer { max-width: none !important; }")
        visit.add_defects(defects(effort.defects), effort.tiles)
        sight = visit.viewer.evaluate(_SIGHT)
        result.values["gallery.tiles"] = sight["tilesSeen"]
        if sight["tilesSeen"] < effort.tiles:
            result.note(
                f"{sight['tilesSeen']} thumbnails are visible, not {effort.tiles}: nothing was measured"
            )
            return
        _record(
            "gallery", visit, effort, result, sight, f"{effort.tiles} thumbnails of {effort.small} px maps"
        )


def _record(
    part: str, visit: Visit, effort: Effort, result: report.Report, sight: dict[str, Any], title: str
) -> None:
    rows = []
    result.details[part] = {"sight": sight}
    for name, words in HANDLES.items():
        drag = visit.drag(name, effort.moves, effort.sweeps)
        visit.back()
        result.details[part][name] = vars(drag)
        if not drag.steps or not drag.intervals:
            result.note(f"dragging the {words} redrew nothing")
            continue
        median, high = np.percentile(drag.steps, [50, 95])
        result.values[f"{part}.{name}_ms"] = float(median)
        result.values[f"{part}.{name}_p95_ms"] = float(high)
        interval = statistics.median(drag.intervals)
        result.values[f"{part}.{name}_frame_ms"] = interval
        rows.append((words, len(drag.steps), f"{median:.1f}", f"{high:.1f}", f"{interval:.1f}"))
    line = "the line" if sight["line"] else "not the line"
    result.show(
        f"{title}; in the window: {line}, {sight['panesSeen']} of {sight['panes']} panes, "
        f"{sight['tilesSeen']} of {sight['tiles']} thumbnails",
        ("dragged", "redraws", "median ms", "95th percentile", "between frames"),
        rows,
    )


# -- bytes and requests ----------------------------------------------------------------------------------


def payload(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Measure the bytes of one image at the large input size: its small image and its level map.

    Of the body's sizes by the browser's protocol and by the page's resource timing, and of the transferred
    size with headers, the largest counts. Target: 700 kB for the largest image.
    """
    entry = bench.large
    total = effort.goods + effort.defects
    with bench.visit(entry, "calibrate") as visit:
        visit.add_defects(defects(effort.defects), total)
        small = visit.viewer.evaluate(_SMALL_IMAGES)
        visit.quiet()
        bodies: dict[str, int] = {}
        wires: dict[str, int] = {}
        for request in visit.media:
            body = request.sizes()["responseBodySize"]
            bodies[request.url] = max(body, bodies.get(request.url, 0))
        for url, wire, _, unpacked in visit.page.evaluate(_MEDIA, 0):
            wires[url] = max(wire, wires.get(url, 0))
            bodies[url] = max(unpacked, bodies.get(url, 0))
    # One more than images, as the good parts' scores for every smallest region are packed like maps.
    maps = [url for url in bodies if urlsplit(url).path.endswith(".gz")]
    others = [url for url in bodies if url not in {*maps, *small}]
    result.details["payload"] = {"bodies": bodies, "wires": wires}
    if len(maps) < total + 1 or not set(small) <= set(bodies):
        result.note(
            f"{len(maps)} files of maps and scores and {len(small)} images were loaded: nothing was measured"
        )
        return
    rows = []
    for name, sizes in (("body", bodies), ("transfer", wires)):
        image, levels = (max(sizes.get(url, 0) for url in urls) for urls in (small, maps))
        result.values[f"payload.{name}_kb"] = (image + levels) / 1000
        rest = sum(sizes.get(url, 0) for url in others)
        rows.append((name, *(f"{n / 1000:.1f}" for n in (image, levels, image + levels, rest))))
    result.values["payload.image_kb"] = max(
        result.values[f"payload.{name}_kb"] or 0.0 for name in ("body", "transfer")
    )
    result.show(
        f"Bytes of one image at {effort.large} px, in kB, the largest of {total}",
        ("", "small image", "level map", "together", "all other files of the page"),
        rows,
    )


def adding(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Count the requests when one more image is added on Inspect, after ``effort.listed`` images.

    Requests that reached the server count, by the page's resource timing, but not those answered by the
    browser's cache. Targets: at most three, for the image's small copy, its map and its original; and none
    for files that were loaded before.
    """
    entry = bench.small
    *files, last = distinct_images(bench.folder / "listed", effort.listed + 1)
    with bench.visit(entry, "inspect") as visit:
        visit.page.locator("input[type=file]").set_input_files(files)
        _listed(visit, len(files))
        before = {request.url for request in visit.media}
        requested = len(visit.media)
        moment = visit.page.evaluate("performance.now()")
        visit.page.get_by_role("button", name=re.compile("Add images")).click()
        visit.page.locator("input[type=file]").set_input_files(last)
        _listed(visit, len(files) + 1)
        entries = visit.page.evaluate(_MEDIA, moment)
    sent = [(url, wire, body) for url, wire, _, body in entries if wire > 0]
    again = [one for one in sent if one[0] in before]
    result.values["adding.requests"] = len(sent)
    result.values["adding.of_others"] = len(again)
    result.values["adding.kb"] = sum(wire for _, wire, _ in sent) / 1000
    result.values["adding.from_cache"] = len(entries) - len(sent)
    result.details["adding"] = {
        "sent": sent,
        "again": [url for url, *_ in again],
        "told_by_protocol": [request.url for request in visit.media[requested:]],
    }
    result.show(
        f"One more image after {len(files)} on Inspect",
        ("", "requests", "of files known before", "kB", "answered by the browser's cache"),
        [
            (
                "media",
                len(sent),
                len(again),
                f"{result.values['adding.kb']:.1f}",
                len(entries) - len(sent),
            )
        ],
    )


def _listed(visit: Visit, count: int) -> None:
    """Wait until that many images are listed, scoring has ended, and the viewer has all of them."""
    visit.page.locator(".st-key-inspect-show").get_by_text(f"All {count}", exact=True).wait_for()
    visit.page.locator("[class*='st-key-job-inspect']").wait_for(state="detached")
    visit.settle()
    visit.wait_for_images(count)


# -- runs of the network ---------------------------------------------------------------------------------


def runs(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Check that dragging, typing and changing colours do not run the network.

    The network's runs on the server are counted as in the browser tests. Target: none between the score of
    the last test image and the use of the new threshold.
    """
    entry = bench.small
    done = []
    with bench.visit(entry, "calibrate", height=1400, counted=True) as visit:
        visit.add_defects(defects(effort.defects), effort.tiles)
        scored = bench.runs.stat().st_size
        if not scored:
            raise RuntimeError("the runs that scored the test images were not counted")
        for name, words in HANDLES.items():
            visit.drag(name, min(effort.moves, 30), 1)
            done.append(f"drag and release: {words}")
        field = visit.viewer.locator
        threshold = float(field(".threshold").input_value())
        typed: list[tuple[str, str]] = [
            (".percentile", "90"),
            (".share", "20"),
            (".area-type", "30"),
            (".threshold", f"{1.1 * threshold:.2f}"),
        ]
        for selector, text in typed:
            field(selector).fill(text)
            field(selector).press("Enter")
            visit.settle()
            done.append(f"type: {selector.removeprefix('.')}")
        names: list[str] = field(".colormap option").all_inner_texts()
        for colors in names:
            field(".colormap").select_option(colors)
            visit.settle()
        done.append(f"colours: {', '.join(names)}")
        field(".next").click()
        done.append("next image")
        # The server handles messages in order: once it has handled this one, it has handled all before.
        visit.page.locator(".st-key-calibrate-use button:enabled").click()
        visit.page.get_by_text("The new threshold is in use.").first.wait_for()
        visit.settle()
        done.append("put the threshold to use")
        count = bench.runs.stat().st_size - scored
    result.values["runs.count"] = count
    result.values["runs.scoring"] = scored
    result.details["runs"] = done
    result.show(
        "Runs of the network",
        ("while", "runs"),
        [(f"scoring {effort.defects} test images", scored), (f"{len(done)} actions of the user", count)],
    )


if __name__ == "__main__":
    sys.exit(main())
