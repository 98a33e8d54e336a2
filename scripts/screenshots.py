"""Make the screenshots of the documentation anew: the application on the sample, in a real browser.

    python scripts/screenshots.py [NAME ...]

Needs the extras ``all`` and ``dev``, and Chromium (on the path, or named by ``PADIM_CHROMIUM``). All of them
are made where no name is given, into ``docs/images``. To be run when a page has changed its looks.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import served  # noqa: E402
from padim import Padim, Workspace  # noqa: E402
from padim.analysis.health import FILE, check_health  # noqa: E402
from padim.storage.model_folders import Entry  # noqa: E402
from tests.browser.looking import Visitor  # noqa: E402
from ui import health  # noqa: E402

FOLDER = ROOT / "docs" / "images"
SAMPLE = ROOT / "sample_data" / "flange"
WIDTH, HEIGHT, TALL = 1180, 860, 1120
# Sharp on screens of today, and still a hundred kilobytes.
SCALE, QUALITY = 1.5, 80
# Milliseconds.
WHILE_IT_SCORES = 300_000


def models(visitor: Visitor) -> None:
    """The first stop of the tour, on the Models page."""
    visitor.keyed("tour-start").get_by_role("button").click()
    visitor.main.get_by_text("Tour, 1 of").wait_for()


def fit(visitor: Visitor) -> None:
    """The sample's good parts and the settings, on the second stop of the tour."""
    models(visitor)
    visitor.button("Begin with the sample").click()
    visitor.button("Fit the model").wait_for()


def inspect(visitor: Visitor) -> None:
    """All test images of the sample, the worst one large."""
    visitor.go("Inspect")
    tests = sorted((SAMPLE / "test").glob("*/*.jpg"))
    visitor.drop([(f"{path.parent.name} {path.name}", path.read_bytes()) for path in tests])
    visitor.see_list_of(len(tests))
    visitor.see_shown(visitor.shown_name())


def calibrate(visitor: Visitor) -> None:
    """The good parts' scores, the sample's defects beside them, the image nearest to the threshold."""
    visitor.page.set_viewport_size({"width": WIDTH, "height": TALL})
    visitor.go("Calibrate")
    visitor.button("Add test images").click()
    visitor.keyed("known-sample").get_by_role("button").click()
    visitor.main.locator('.counts tr[data-kind="defect"]').wait_for()
    visitor.page.locator("[class*='st-key-job-']").wait_for(state="detached")
    visitor.page.keyboard.press("Escape")
    # Of a good part the server has a small image only.
    visitor.main.locator('.row[data-drawn*=":"]').first.wait_for()


def good_parts(visitor: Visitor) -> None:
    """The good parts after a fit, the most unusual first."""
    visitor.go("Fit")
    visitor.open_tab("Result")
    visitor.main.locator(".js-plotly-plot .bars path").first.wait_for()
    visitor.page.set_viewport_size({"width": WIDTH, "height": TALL})
    visitor.settle()
    visitor.main.get_by_text("Scores of good parts").first.evaluate("heading => heading.scrollIntoView()")


def region(visitor: Visitor) -> None:
    """The editor with a strip of the background left out, and what that would change."""
    visitor.go("Fit")
    visitor.open_tab("Region")
    shapes = visitor.main.locator(".stage svg[viewBox]")
    shapes.wait_for()
    visitor.settle()
    shapes.scroll_into_view_if_needed()
    box = shapes.bounding_box()
    assert box is not None
    for x, y in ((0.0, 0.9), (1.0, 0.9), (1.0, 1.0), (0.0, 1.0)):
        inset = min(box["width"] * x, box["width"] - 1), min(box["height"] * y, box["height"] - 1)
        visitor.page.mouse.click(box["x"] + inset[0], box["y"] + inset[1])
    visitor.page.keyboard.press("Enter")
    visitor.main.get_by_text("This draft", exact=True).first.wait_for()


def evaluate(visitor: Visitor) -> None:
    """The figures on the sample's labeled images."""
    visitor.go("Validate")
    visitor.keyed("evaluate-sample").get_by_role("button").click()
    visitor.main.get_by_text("At the threshold").first.wait_for(timeout=WHILE_IT_SCORES)
    visitor.main.locator(".js-plotly-plot").first.wait_for()


SHOTS: dict[str, Callable[[Visitor], None]] = {
    "tour-models": models,
    "tour-fit": fit,
    "inspect": inspect,
    "calibrate": calibrate,
    "good-parts": good_parts,
    "region": region,
    "evaluate": evaluate,
}


def settled(entry: Entry, model: Padim) -> None:
    """Check a model beforehand and confirm what was found, so that the pages show their own work."""
    found = check_health(model)
    found.write(entry.path / FILE)
    health.confirm(entry, found, "A generated part, to try the pages on.")


def taken(visitor: Visitor) -> bytes:
    """What is in the window, as WebP, once every image in it is there."""
    visitor.settle()
    visitor.page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    visitor.page.wait_for_function(
        """() => [...document.images].every(image => {
            const { top, bottom, width } = image.getBoundingClientRect();
            const seen = width > 0 && bottom > 0 && top < innerHeight;
            return !seen || (image.complete && (image.naturalWidth > 0 || !image.getAttribute("src")));
        })"""
    )
    shot = Image.open(io.BytesIO(visitor.page.screenshot(animations="disabled")))
    out = io.BytesIO()
    shot.convert("RGB").save(out, "WEBP", quality=QUALITY, method=6)
    return out.getvalue()


def main() -> None:
    """Fit a model of the sample, serve the application on it, and take the shots that were asked for."""
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("names", nargs="*", choices=[*SHOTS, []], metavar="NAME", help=", ".join(SHOTS))
    names = parser.parse_args().names or list(SHOTS)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        store = Workspace(home)
        entry = store.create("Flange")
        model = Padim(work_dir=store.work_dir(entry.id)).fit(SAMPLE / "train" / "good")
        model.save(entry.path)
        settled(store.get(entry.id), model)
        log = Path(temporary) / "server.log"
        environment = {"PADIM_HOME": str(home), "TMPDIR": temporary}
        with (
            served.serving(served.APP, log=log, environment=environment) as server,
            served.launched() as browser,
        ):
            for name in names:
                context = browser.new_context(
                    viewport={"width": WIDTH, "height": HEIGHT},
                    device_scale_factor=SCALE,
                    color_scheme="light",
                    reduced_motion="reduce",
                )
                visitor = Visitor(context.new_page(), server)
                visitor.open(f"/?model={entry.id}")
                visitor.see_heading("Models")
                SHOTS[name](visitor)
                content = taken(visitor)
                (FOLDER / f"{name}.webp").write_bytes(content)
                print(f"{name}.webp: {len(content) / 1e3:.0f} kB")
                context.close()


if __name__ == "__main__":
    main()
