"""A watched folder in a real browser: the form, images that arrive, another server, stop and removal."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from padim.records.inspections import InspectionRecords
from padim.records.watches import Watches
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Visitor
from tests.parts import defects

IMAGES = [(name, bytes(data)) for name, data in defects(5)]


def arrive(folder: Path, *images: tuple[str, bytes]) -> None:
    """Let images appear in a folder as a camera's program writes them: under another name first."""
    for name, data in images:
        (folder / f"{name}.part").write_bytes(data)
        (folder / f"{name}.part").rename(folder / name)


def figure(visitor: Visitor, label: str) -> str:
    """Return a figure of the only watch on the page; empty while it is not there."""
    found = visitor.main.locator(".pv-facts div").filter(has_text=re.compile(f"^{label}"))
    return found.locator("dd").inner_text() if found.count() == 1 else ""


def said(output: Path) -> dict[str, Any]:
    """Return what the watch's process has last said."""
    found: dict[str, Any] = json.loads((output / "watch.json").read_text())
    return found


@pytest.mark.skipif(os.name == "nt", reason="uses signals")
def test_a_folder_is_watched_from_start_to_stop(
    start: Start, visit: Visit, small_entry: Entry, home: Path, tmp_path: Path
) -> None:
    folder, output = tmp_path / "line-3", tmp_path / "line-3-results"
    folder.mkdir()
    arrive(folder, *IMAGES[:2])
    server = start(PADIM_FOLDERS=str(tmp_path))
    visitor = visit(server)
    visitor.open(f"/line?model={small_entry.id}&tab=watches")
    visitor.see_heading("Line")
    visitor.main.get_by_role("textbox", name="Folder to watch").fill("line-3")
    visitor.button("Watch this folder").click()
    visitor.until(lambda: figure(visitor, "Inspected") == "2", "what was there is inspected")
    # What arrives while the page is open appears on it.
    arrive(folder, IMAGES[2])
    (folder / "broken.png").write_bytes(b"no image at all")
    visitor.until(lambda: figure(visitor, "Inspected") == "3", "a new image is inspected")
    visitor.main.get_by_text("Latest images").click()
    visitor.main.get_by_role("cell", name=IMAGES[2][0]).wait_for()
    panel = visitor.main.locator("img.pv-wide")
    panel.wait_for()
    assert panel.evaluate("image => image.decode().then(() => image.naturalWidth > image.naturalHeight)")

    # Without a browser, and with another server, it goes on.
    visitor.leave()
    arrive(folder, IMAGES[3])
    visitor.until(lambda: said(output)["counts"]["inspected"] == 4, "it is inspected with nobody looking")
    first = int(said(output)["pid"])
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(60)
    assert said(output)["phase"] == "stopped", "its process ends with the server, in order"
    (watch,) = Watches(home).all()
    assert watch.wanted
    server = start(PADIM_FOLDERS=str(tmp_path))
    arrive(folder, IMAGES[4])
    visitor.until(lambda: said(output)["counts"]["inspected"] == 5, "the next server starts it by itself")
    assert int(said(output)["pid"]) != first

    visitor = visit(server)
    visitor.open(f"/line?model={small_entry.id}&tab=watches")
    visitor.until(lambda: figure(visitor, "Inspected") == "5", "the page of the next server shows it")
    visitor.button("Stop").click()
    visitor.main.get_by_text("Stopped", exact=True).wait_for()
    assert said(output)["phase"] == "stopped"
    visitor.button("Remove").click()
    visitor.button("Undo").click()
    visitor.button("Start").wait_for()
    assert [one.name for one in sorted(InspectionRecords(home).page().items, key=lambda one: one.id)] == [
        name for name, _ in IMAGES
    ]
    assert {one.source for one in InspectionRecords(home).page().items} == {"watch"}
    assert sorted(one.name for one in folder.iterdir()) == sorted(
        [*(name for name, _ in IMAGES), "broken.png"]
    ), "the images stay where they are"
