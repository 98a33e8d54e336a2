"""Measure a user's waiting times in a browser: first paint, fitting the sample, and scoring 50 images.

    python benchmarks/app.py [--check] [--json] [--only cold_start,sample_fit,fifty_images]

Every measurement starts a new server process and a new browser session. Times within the page are taken from
the page's own clock, so that the overhead of controlling the browser is not included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PARTS = ("cold_start", "sample_fit", "fifty_images")
SAMPLE = served.ROOT / "sample_data" / "flange"
HELLO = (sys.executable, "-m", "streamlit", "hello")
TARGETS = {
    "cold_start.paint_ratio": 1.5,
    "cold_start.heading_ratio": 1.5,
    "cold_start.page_ratio": 1.5,
    "sample_fit.seconds": 10.0,
    "fifty_images.seconds": 5.0,
}
_PATIENCE_MS = 180_000

# Records when the first heading of the page's content is in the document, and when the page's script has then
# ended.
_WATCH_PAGE = """
new MutationObserver((_, observer) => {
    if (!document.querySelector('[data-testid="stMain"] h1')) return;
    window.headingAt ??= performance.now();
    if (!document.querySelector('.stApp[data-test-script-state="notRunning"]')) return;
    window.pageAt = performance.now();
    observer.disconnect();
}).observe(document, {childList: true, subtree: true, attributeFilter: ['data-test-script-state']});
"""
_FIRST_PAINT = """
() => new Promise(resolve => new PerformanceObserver(list => {
    const paint = list.getEntriesByName('first-contentful-paint')[0];
    if (paint) resolve(paint.startTime);
}).observe({type: 'paint', buffered: true}))
"""
# Resolves when the list shows this many images, all with verdicts, and scoring has ended.
_ALL_LISTED = """
count => new Promise(resolve => {
    const look = () => {
        const choice = document.querySelector('.st-key-inspect-show');
        // The list is drawn by the viewer, in its own shadow root.
        const viewer = '[data-testid^="stBidiComponent"]';
        const table = [...document.querySelectorAll(`${viewer}, ${viewer} *`)]
            .map(host => host.shadowRoot?.querySelector('table.results'))
            .find(Boolean);
        const all = new RegExp(`All ${count}(?![0-9])`).test(choice ? choice.textContent : '');
        const rows = table && Number(table.getAttribute('aria-rowcount')) === count + 1;
        const verdict = table && /Reject|Accept/.test(table.textContent);
        if (all && rows && verdict && !document.querySelector('[class*="st-key-job-inspect"]')) {
            resolve(performance.now());
        } else {
            requestAnimationFrame(look);
        }
    };
    look();
})
"""
_LAST_UPLOAD = """
() => Math.max(...performance.getEntriesByType('resource')
    .filter(entry => entry.name.includes('/upload_file/')).map(entry => entry.responseEnd))
"""


@dataclass(frozen=True)
class Effort:
    """The number of repetitions of each measurement, and of the images dropped."""

    starts: int
    fits: int
    drops: int
    images: int


FULL = Effort(starts=7, fits=3, drops=3, images=50)
QUICK = Effort(starts=1, fits=1, drops=1, images=5)


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="measure once, for tests: not the real check")
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

    result = report.Report("app")
    for name, bound in TARGETS.items():
        result.target(name, "<=" if name.endswith("ratio") else "<", bound)
    report.run(parser, result, args)
    result.details["effort"] = vars(effort)
    if args.quick:
        result.note("--quick: everything is measured once. This is not the real check.")

    with tempfile.TemporaryDirectory() as folder, served.launched() as browser:
        bench = Bench(browser, Path(folder))
        result.details["browser"] = browser.version
        if "cold_start" in chosen:
            cold_start(bench, effort, result)
        if {"sample_fit", "fifty_images"} & set(chosen):
            bench.prepare_network()
        if "sample_fit" in chosen:
            sample_fit(bench, effort, result)
        if "fifty_images" in chosen:
            fifty_images(bench, effort, result)
    return result.finish(args)


class Bench:
    """A browser and servers for measurements; the servers share a cache, and a workspace if requested."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.cache = folder / "cache"
        self._homes = 0

    def new_home(self) -> Path:
        """Return the path of a new, empty workspace."""
        self._homes += 1
        return self.folder / f"home{self._homes}"

    @contextmanager
    def server(
        self, command: tuple[str, ...], home: Path, *, cache: Path | None = None
    ) -> Iterator[served.Server]:
        """Run a new server process; Streamlit's example runs in another folder, without our settings."""
        environment = {"PADIM_HOME": str(home), "PADIM_CACHE": str(cache or self.cache)}
        folder = served.ROOT if command == served.APP else self.folder
        with served.serving(
            command, log=self.folder / "server.log", environment=environment, folder=folder
        ) as found:
            yield found

    @contextmanager
    def page(self) -> Iterator[Page]:
        """Open a page in a new browser session with an empty cache."""
        context = self.browser.new_context(viewport={"width": 1440, "height": 1000})
        try:
            page = context.new_page()
            page.set_default_timeout(_PATIENCE_MS)
            yield page
        finally:
            context.close()

    def prepare_network(self) -> None:
        """Export the backbone once, as ``make run`` does before it starts the app."""
        program = (
            "from padim.network import backbone as b;"
            "b.onnx_bytes(b.EFFICIENTNET_LITE0.name, b.EFFICIENTNET_LITE0.default_layers)"
        )
        with_cache = {**os.environ, "PADIM_CACHE": str(self.cache)}
        subprocess.run([sys.executable, "-c", program], cwd=served.ROOT, env=with_cache, check=True)


# -- cold start ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """One cold start, in seconds.

    Attributes:
        server: from the start of the process to the first answer of its health check.
        paint: from the navigation to the first contentful paint, which the server's script need not have
            reached: Streamlit paints its frame first.
        heading: from the navigation to the app's own heading, which takes a part of the script's first run.
        page: from the navigation to the end of that run, with everything drawn.
    """

    server: float
    paint: float
    heading: float
    page: float


def cold_start(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Compare the first load of Home, in an empty workspace, with that of ``streamlit hello``, in turns.

    Ratios are taken of consecutive measurements. Targets: at most 1.5 for the first paint and also for the
    heading and the whole page, which are stricter.
    """
    commands = {"app": served.APP, "hello": HELLO}
    starts: dict[str, list[Start]] = {name: [] for name in commands}
    if effort is FULL:  # once each beforehand, so that the packages are in the disk cache
        for command in commands.values():
            start_once(bench, command)
    for turn in range(effort.starts):
        for name in sorted(commands, reverse=bool(turn % 2)):
            starts[name].append(start_once(bench, commands[name]))
    rows = []
    for kind, words in (
        ("server", "process to health check"),
        ("paint", "navigation to first contentful paint"),
        ("heading", "navigation to the app's heading"),
        ("page", "navigation to the whole page"),
    ):
        ours, hello = ([getattr(start, kind) for start in starts[name]] for name in ("app", "hello"))
        ratio = statistics.median(a / b for a, b in zip(ours, hello, strict=True))
        result.values[f"cold_start.{kind}_seconds"] = statistics.median(ours)
        result.values[f"cold_start.hello_{kind}_seconds"] = statistics.median(hello)
        result.values[f"cold_start.{kind}_ratio"] = ratio
        rows.append(
            (words, f"{statistics.median(ours):.2f}", f"{statistics.median(hello):.2f}", f"{ratio:.2f}")
        )
    result.details["starts"] = {name: [vars(start) for start in found] for name, found in starts.items()}
    result.show(
        f"Cold start, seconds (medians of {effort.starts}, new process and new browser session each)",
        ("from ... to", "app", "streamlit hello", "median ratio"),
        rows,
    )


def start_once(bench: Bench, command: tuple[str, ...]) -> Start:
    """Measure the first page in a new server process and a new browser session."""
    with bench.server(command, bench.new_home()) as server, bench.page() as page:
        page.add_init_script(_WATCH_PAGE)
        page.goto(server.url, wait_until="commit")
        page.wait_for_function("() => window.pageAt !== undefined")
        moments = [page.evaluate(_FIRST_PAINT), *page.evaluate("[window.headingAt, window.pageAt]")]
        paint, heading, whole = (milliseconds / 1000 for milliseconds in moments)
        return Start(server.seconds, paint, heading, whole)


# -- fitting the sample ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """The times of one fit of the sample, in seconds.

    Attributes:
        ready: from the click on "Try it with the sample" to the button "Fit the model".
        fitted: from the click on "Fit the model" to the ranked good parts, with the first image loaded.
    """

    ready: float
    fitted: float


def sample_fit(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Measure a fit of the sample's 48 good parts at the default settings, on a new server.

    Target: under 10 s with the backbone exported beforehand. Otherwise (with other settings, or if the app
    was not started by ``make run``) the fit exports it, which is reported separately.
    """
    warm = [fit_once(bench, bench.new_home()) for _ in range(effort.fits)]
    exports = fit_once(bench, bench.new_home(), cache=bench.folder / "cold") if effort is FULL else None
    result.values["sample_fit.seconds"] = statistics.median(fit.fitted for fit in warm)
    result.values["sample_fit.ready_seconds"] = statistics.median(fit.ready for fit in warm)
    result.details["fits"] = [vars(fit) for fit in warm]
    rows = [("exported beforehand", *_times(warm))]
    if exports is not None:
        result.values["sample_fit.with_export_seconds"] = exports.fitted
        rows.append(("exported by the fit", *_times([exports])))
    result.show(
        f"Fitting the sample, seconds (median of {effort.fits})",
        ("network", "images looked at", "fitted", "slowest"),
        rows,
    )


def _times(fits: list[Fit]) -> tuple[str, str, str]:
    return (
        f"{statistics.median(fit.ready for fit in fits):.2f}",
        f"{statistics.median(fit.fitted for fit in fits):.2f}",
        f"{max(fit.fitted for fit in fits):.2f}",
    )


def fit_once(bench: Bench, home: Path, *, cache: Path | None = None) -> Fit:
    """Fit the sample, starting from Home; the workspace contains the model afterwards."""
    with bench.server(served.APP, home, cache=cache) as server, bench.page() as page:
        page.goto(server.url)
        page.get_by_role("button", name="Try it with the sample").click()
        begin = time.perf_counter()
        fit = page.get_by_role("button", name="Fit the model")
        fit.wait_for()
        ready = time.perf_counter() - begin
        page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()
        begin = time.perf_counter()
        fit.click()
        page.get_by_text("Most unusual good parts").wait_for()
        page.wait_for_function(
            "() => { const image = document.querySelector('.st-key-fit-normals img'); "
            "return image && image.complete && image.naturalWidth > 0; }"
        )
        return Fit(ready, time.perf_counter() - begin)


# -- fifty images --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drop:
    """The times of one drop of images, in seconds.

    Attributes:
        upload: from the selection of files to the end of the last upload.
        listed: from there until all images are listed with verdicts and the progress bar has disappeared.
    """

    upload: float
    listed: float


def fifty_images(bench: Bench, effort: Effort, result: report.Report) -> None:
    """Measure 50 different one-megapixel JPEGs dropped on the Inspect page of a new server.

    Target: less than 5 s from the end of the last upload (by the page's resource timing) until the page shows
    all 50 with verdicts and scoring has ended.
    """
    home = bench.new_home()
    fit_once(bench, home)
    files = one_megapixel(bench.folder / "images", effort.images)
    drops = [drop_once(bench, home, files) for _ in range(effort.drops)]
    listed = statistics.median(drop.listed for drop in drops)
    result.values["fifty_images.seconds"] = listed
    result.values["fifty_images.upload_seconds"] = statistics.median(drop.upload for drop in drops)
    result.details["drops"] = [vars(drop) for drop in drops]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    result.details["images_mb"] = megabytes
    result.show(
        f"{len(files)} images of 1000 x 1000, {megabytes:.1f} MB, seconds (median of {effort.drops})",
        ("uploaded in", "then listed in", "slowest", "ms per image"),
        [
            (
                f"{result.values['fifty_images.upload_seconds']:.2f}",
                f"{listed:.2f}",
                f"{max(drop.listed for drop in drops):.2f}",
                f"{1000 * listed / len(files):.0f}",
            )
        ],
    )


def drop_once(bench: Bench, home: Path, files: list[Path]) -> Drop:
    """Measure one drop of images in a new server process and a new browser session."""
    with bench.server(served.APP, home) as server, bench.page() as page:
        page.goto(f"{server.url}/inspect")
        page.get_by_test_id("stFileUploaderDropzone").wait_for()
        page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()
        page.evaluate("performance.setResourceTimingBufferSize(5000)")
        page.evaluate(
            "document.querySelector('input[type=file]')"
            ".addEventListener('change', () => { window.droppedAt = performance.now(); }, true)"
        )
        page.locator("input[type=file]").set_input_files(files)
        listed = page.evaluate(_ALL_LISTED, len(files))
        dropped, uploaded = page.evaluate("window.droppedAt"), page.evaluate(_LAST_UPLOAD)
        return Drop((uploaded - dropped) / 1000, (listed - uploaded) / 1000)


def one_megapixel(folder: Path, count: int) -> list[Path]:
    """Write the sample's first ``count`` test images, alternately good and bad, as 1000 x 1000 JPEG files.

    Enlarged images are smooth, so sensor noise is added: then they take as long to decode as real ones.
    """
    rng = np.random.default_rng(0)
    good = sorted((SAMPLE / "test" / "good").iterdir())
    bad = sorted(path for path in (SAMPLE / "test").glob("*/*.jpg") if path.parent.name != "good")
    mixed: list[Path] = [path for pair in zip(good, bad, strict=False) for path in pair]
    mixed += bad[len(good) :]
    if count > len(mixed):
        raise ValueError(f"the sample has {len(mixed)} test images, {count} were requested")
    folder.mkdir(parents=True)
    files = []
    for path in mixed[:count]:
        with Image.open(path) as image:
            large = np.asarray(
                image.convert("RGB").resize((1000, 1000), Image.Resampling.BICUBIC), np.float32
            )
        noisy = np.clip(large + rng.normal(scale=4.0, size=large.shape), 0, 255).astype(np.uint8)
        files.append(folder / f"{path.parent.name}_{path.name}")
        Image.fromarray(noisy).save(files[-1], "JPEG", quality=90)
    return files


if __name__ == "__main__":
    sys.exit(main())
