"""What the live viewer costs, in a real browser: redraws while the line is dragged, bytes, requests.

    python benchmarks/viewer.py [--check] [--json] [--only four_images,gallery,payload,adding,runs]

The models are fitted by the engine beforehand; everything measured happens on the app's own pages. The
length of a redraw is the viewer's own measure of a frame's work, ``padim-viewer-step``: script, not what the
browser then does to bring the canvases to the screen. For that the interval between animation frames stands
beside it.
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
# What is dragged, by the name it has in the report.
HANDLES = {
    "threshold": "threshold line",
    "area": "smallest region, slider",
    "opacity": "strength of the heat, slider",
}
_PATIENCE_MS = 180_000
# Seconds without a request after which a page is taken to have all it wants.
_QUIET = 1.5

_MANY_ENTRIES = "performance.setResourceTimingBufferSize(20000)"
# Notes the work of every frame, as the viewer measures it, and when frames come at all.
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
# What there is of the viewer, and how much of it lies within the window.
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
# How many images each viewer on the page has.
_IMAGES_LISTED = """
viewers => viewers.map(viewer => {
    const tile = viewer.querySelector('.gallery .tile');
    return tile ? Number(tile.getAttribute('aria-setsize')) : 0;
})
"""
# Every file of the app's media store that the page has asked for since a moment: URL and sizes.
_MEDIA = """
since => performance.getEntriesByType('resource')
    .filter(entry => new URL(entry.name).pathname.startsWith('/media/'))
    .filter(entry => entry.startTime >= since && entry.responseEnd > 0)
    .map(entry => [entry.name, entry.transferSize, entry.encodedBodySize, entry.decodedBodySize])
"""
# The small images of all tiles, also of those that exist only once the gallery is scrolled to them.
_SMALL_IMAGES = """
async viewer => {
    const gallery = viewer.querySelector('.gallery');
    const found = new Set();
    const frame = () => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    for (let top = 0; ; top += gallery.clientHeight) {
        gallery.scrollTop = top;
        await frame();
        for (const image of gallery.querySelectorAll('.tile img')) {
            // The viewer shows a copy of its own of what it has fetched from data-source.
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
    """How much is fitted, shown and dragged.

    Attributes:
        large: input size of the model whose images are shown four at a time.
        small: input size of the gallery's and the list's model.
        goods: good parts in the large model.
        gallery_goods: good parts in the small one.
        defects: test images added on Calibrate; with ``gallery_goods`` they are the gallery.
        listed: images on Inspect before one more is added.
        moves: of the mouse from one end of the axis to the other.
        sweeps: how often it goes from end to end.
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
        """Thumbnails in sight in the gallery."""
        return self.gallery_goods + self.defects


FULL = Effort(large=512, small=256, goods=48, gallery_goods=30, defects=30, listed=200, moves=120, sweeps=3)
QUICK = Effort(large=64, small=64, goods=5, gallery_goods=5, defects=3, listed=6, moves=8, sweeps=1)


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="tiny models, for tests: not the real check")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help="some of the parts, by commas"
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
    """A browser, and the models that its visits look at, each fitted once, when it is first asked for."""

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
        """The model of the gallery and of the list."""
        return self._entry(self.effort.small, self.effort.gallery_goods)

    def _entry(self, input_size: int, goods: int) -> Entry:
        """A model of the sample's first ``goods`` good parts, all else at the default settings."""
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
        """A page of the app: new server, new browser session; ``counted`` counts the network's runs."""
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
    """One page of the app, and what it asked the media store for.

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
        """The viewer, within its shadow root."""
        return self.page.locator(".viewer")

    def settle(self) -> None:
        """Wait until the server's script has come to its end."""
        self.page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition that is looked up anew each time: the page may replace its elements.

        Raises:
            RuntimeError: it did not come true in time.
        """
        begin = time.perf_counter()
        while not condition():
            if 1000 * (time.perf_counter() - begin) > _PATIENCE_MS:
                raise RuntimeError(f"waited in vain for {what}")
            self.page.wait_for_timeout(50)

    def quiet(self) -> None:
        """Wait until nothing more is asked for."""
        while self._open > 0 or time.perf_counter() - self._last < _QUIET:
            self.page.wait_for_timeout(100)  # lets events in, until there have been none for a while

    def wait_for_images(self, count: int) -> None:
        """Wait until the viewer has that many images and the maps of all of them."""
        # While the page changes there can be two viewers, the former one about to go, or none.
        self.until(
            lambda: self.viewer.evaluate_all(_IMAGES_LISTED) == [count], f"{count} images in the viewer"
        )
        self.page.locator('.viewer[data-left="0"]').wait_for(timeout=_PATIENCE_MS)
        self.quiet()
        self.settle()

    def add_defects(self, files: Sequence[Path], total: int) -> None:
        """On Calibrate: bring defect images, and wait until all ``total`` images are there."""
        self.until(lambda: self.viewer.count() == 1, "the viewer")
        self.page.get_by_role("button", name=re.compile("Add test images")).click()
        self.page.locator("input[type=file]").set_input_files(files)
        self.wait_for_images(total)

    def drag(self, name: str, moves: int, sweeps: int) -> Drag:
        """Drag one of ``HANDLES`` with the mouse from end to end, and let go.

        What lies between press and release is measured; the server's answer to the release is waited for.
        """
        mouse = self.page.mouse
        (start, *way), y = self._way(name, moves, sweeps)
        mouse.move(start, y)
        mouse.down()
        self.page.evaluate(_WATCH)
        for x in way:
            mouse.move(x, y)
        steps, frames = self.page.evaluate("() => window.watched.end()")
        mouse.up()
        self.settle()
        return Drag(steps, np.diff(frames).tolist())

    def back(self) -> None:
        """Back to the threshold in use, so that every drag begins with the same masks."""
        button = self.viewer.locator(".back")
        if button.is_enabled():
            button.click()
            self.until(lambda: not button.is_enabled(), "the threshold in use")
            self.settle()

    def _way(self, name: str, moves: int, sweeps: int) -> tuple[list[float], float]:
        handle = {"threshold": ".hist", "area": ".area-slide", "opacity": ".opacity-slide"}[name]
        found = self.viewer.locator(handle)
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        if box is None:
            raise RuntimeError(f"the {HANDLES[name]} is not on the page")
        margin = 9.0  # the axis begins, and the knob's middle goes, no further
        ends = [box["x"] + margin, box["x"] + box["width"] - margin]
        shares = np.concatenate(
            [np.linspace(0, 1, moves + 1)[:: -1 if sweep % 2 else 1] for sweep in range(sweeps)]
        )
        way = [float(ends[0] + share * (ends[1] - ends[0])) for share in shares]
        if name == "threshold":  # taken hold of where it is
            knob = self.viewer.locator(".hist .line circle").bounding_box()
            if knob is not None:
                way.insert(0, knob["x"] + knob["width"] / 2)
        return way, box["y"] + box["height"] / 2


@dataclass(frozen=True)
class Drag:
    """One drag.

    Attributes:
        steps: ms of script of every redraw.
        intervals: ms between animation frames.
    """

    steps: list[float]
    intervals: list[float]


def defects(count: int) -> list[Path]:
    """The sample's first ``count`` defect images, of all kinds in turn."""
    found = sorted(
        (path for path in (SAMPLE / "test").glob("*/*.jpg") if path.parent.name != "good"),
        key=lambda path: (path.name, path.parent.name),
    )
    if count > len(found):
        raise ValueError(f"the sample has {len(found)} defect images, {count} were asked for")
    return found[:count]


def different(folder: Path, count: int) -> list[Path]:
    """``count`` different images: the sample's test images again and again, with other noise."""
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
    """Four images at a time at the large input size, the four nearest the threshold.

    The window is so tall that the line and all sixteen panes are in it. The gallery below has the tiles that
    the page gives it, and they are redrawn too, as for any user. Target for the line: a median of 8 ms.
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
    """Good parts and defects as thumbnails, all in sight, one image large.

    The app's pages are no wider than 1,500 px, where that many thumbnails are never in sight at once: here
    that limit is lifted, in a window of 3,300 px. Target for the line: a median of 16 ms.
    """
    entry = bench.small
    with bench.visit(entry, "calibrate", width=3300, height=2300) as visit:
        visit.page.add_style_tag(content=".stMainBlockContainer { max-width: none !important; }")
        visit.add_defects(defects(effort.defects), effort.tiles)
        sight = visit.viewer.evaluate(_SIGHT)
        result.values["gallery.tiles"] = sight["tilesSeen"]
        if sight["tilesSeen"] < effort.tiles:
            result.note(
                f"{sight['tilesSeen']} thumbnails are in sight, not {effort.tiles}: nothing was measured"
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
    """What one image at the large input size takes: its small image and its judged map.

    The larger of what is told twice, the body's size by the browser's protocol or by the page's resource
    timing, and what went over the wire with its headers. Target: 700 kB for the largest.
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
    # One more than images: the good parts' scores for every smallest region come packed as maps do.
    maps = [url for url in bodies if urlsplit(url).path.endswith(".gz")]
    others = [url for url in bodies if url not in {*maps, *small}]
    result.details["payload"] = {"bodies": bodies, "wires": wires}
    if len(maps) < total + 1 or not set(small) <= set(bodies):
        result.note(
            f"{len(maps)} files of maps and scores and {len(small)} images came: nothing was measured"
        )
        return
    rows = []
    for name, sizes in (("body", bodies), ("transfer", wires)):
        image, judged = (max(sizes.get(url, 0) for url in urls) for urls in (small, maps))
        result.values[f"payload.{name}_kb"] = (image + judged) / 1000
        rest = sum(sizes.get(url, 0) for url in others)
        rows.append((name, *(f"{n / 1000:.1f}" for n in (image, judged, image + judged, rest))))
    result.values["payload.image_kb"] = max(
        result.values[f"payload.{name}_kb"] or 0.0 for name in ("body", "transfer")
    )
    result.show(
        f"Bytes of one image at {effort.large} px, in kB, the largest of {total}",
        ("", "small image", "judged map", "together", "all other files of the page"),
        rows,
    )


def adding(bench: Bench, effort: Effort, result: report.Report) -> None:
    """One more image on Inspect, after ``effort.listed``: what is asked for then.

    Counted are requests that reached the server, by the page's resource timing; what the browser's own cache
    answered is not one. Targets: at most three, the image's small copy, its map and its original; and none
    for a file that was there before.
    """
    entry = bench.small
    *files, last = different(bench.folder / "listed", effort.listed + 1)
    with bench.visit(entry, "inspect") as visit:
        visit.page.locator("input[type=file]").set_input_files(files)
        _listed(visit, len(files))
        before = {request.url for request in visit.media}
        asked = len(visit.media)
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
        "told_by_protocol": [request.url for request in visit.media[asked:]],
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
    """Wait until that many images are listed, none is on its way, and the viewer has them all."""
    visit.page.locator(".st-key-inspect-show").get_by_text(f"All {count}", exact=True).wait_for()
    visit.page.locator("[class*='st-key-job-inspect']").wait_for(state="detached")
    visit.settle()
    visit.wait_for_images(count)


# -- runs of the network ---------------------------------------------------------------------------------


def runs(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Dragging, letting go, typing, colours: none may run the network.

    The server's runs are counted as the browser tests count them. Target: none, from the last test image's
    score to the new threshold's being in use.
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
        for colours in names:
            field(".colormap").select_option(colours)
            visit.settle()
        done.append(f"colours: {', '.join(names)}")
        field(".next").click()
        done.append("next image")
        # The server takes one message after another: once it has done this, it has done all before it.
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
        [(f"scoring {effort.defects} test images", scored), (f"{len(done)} things done by hand", count)],
    )


if __name__ == "__main__":
    sys.exit(main())
