"""The Checks page in a browser: a guard band from a zip of folders, a second session that joins the fit."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING

from padim import Workspace
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Upload
from tests.parts import normals, part, png

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Locator


def _zip_of_folders() -> Upload:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(2):
            for shot in range(4):
                archive.writestr(f"part {number}/{shot}.png", png(part(400 + number, shot=shot)))
    return "shots.zip", packed.getvalue()


def _drop(place: Locator, files: list[Upload]) -> None:
    payloads: list[FilePayload] = [
        {"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files
    ]
    place.set_input_files(payloads)


def test_the_whole_page(start: Start, visit: Visit, small_entry: Entry) -> None:
    visitor = visit(start())
    visitor.open(f"/fit?model={small_entry.id}&tab=result")
    visitor.see_heading("Fit")

    # Alignment: as many points as images, inside the plot, and the cell as a square.
    plot = visitor.keyed("checks-shifts").locator(".js-plotly-plot")
    plot.locator(".scatterlayer .point").nth(21).wait_for()
    assert plot.locator(".scatterlayer .point").count() == 22
    square = plot.locator(".shapelayer path").first.bounding_box()
    assert square is not None
    assert abs(square["width"] - square["height"]) < 1.5

    # Repeatability: two folders are two parts. Its former address leads there.
    visitor.open(f"/checks?model={small_entry.id}")
    visitor.see_heading("Calibrate")
    places = visitor.page.locator("input[type=file]")
    _drop(places.first, [_zip_of_folders()])
    visitor.main.get_by_text("8 shots of 2 parts").first.wait_for()
    visitor.main.get_by_text("A part for each folder: 2 parts").wait_for()
    visitor.keyed("checks-guard-use").get_by_role("button").click()
    visitor.keyed("checks-guard-remove").wait_for()
    store = Workspace(small_entry.path.parents[1])
    guard = store.open(small_entry.id).decision.guard
    assert guard is not None
    assert (guard.shots, guard.parts) == (8, 2)
    visitor.keyed("checks-guard-remove").get_by_role("button").click()
    visitor.main.get_by_text("No guard band is in use").wait_for()
    assert store.open(small_entry.id).decision.guard is None

    visitor.go("Validate").open_tab("Second session")
    # Second session: rejected parts are shown, and one click adds all of them.
    unseen = [(name, data) for name, data in normals(6, first=300) if isinstance(data, bytes)]
    _drop(places.last, unseen)
    visitor.main.get_by_text("False rejects in this session (95 % interval)").wait_for()
    visitor.settle()
    shown = visitor.main.locator(".pv-tile.pv-is-reject").count()
    assert visitor.main.get_by_text(re.compile(rf"^{shown} of 6 \(")).count() == 1
    visitor.button("Add these 6 parts to the fit").click()
    visitor.main.get_by_text("the list was cleared").wait_for()
    visitor.settle()
    assert len(store.open(small_entry.id).normals_) == 28
    visitor.main.get_by_text("False rejects in this session").wait_for(state="detached")
    # The parts that were added lie in the measurement too.
    visitor.go("Fit").open_tab("Result")
    visitor.main.get_by_text("Measured on 28 images").wait_for()
