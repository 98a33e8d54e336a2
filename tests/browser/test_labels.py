"""Labels by key on Inspect, in a real browser: the same keys as on Calibrate, and the same library."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import served
from padim.records.library import ImageLibrary
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.live import Live
from tests.browser.looking import Upload
from tests.parts import defects, normals

FILES: list[Upload] = [(name, bytes(data)) for name, data in [*normals(2, first=60), *defects(2)]]


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry) -> served.Server:
    """The app."""
    return start()


def test_keys_label_on_inspect_as_on_calibrate(
    server: served.Server, visit: Visit, home: Path, small_entry: Entry
) -> None:
    store = ImageLibrary(home, small_entry.id)
    visitor = visit(server)
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop(FILES)
    visitor.see_list_of(len(FILES))
    live = Live(visitor).ready()
    keys = live.part(".keys-of-list")
    keys.locator("summary").click()
    keys.get_by_text("n, d: not a defect, is a defect").wait_for()
    assert live.part(".labels [data-label=kept]").is_hidden(), "there is no list of changes here"
    keyboard = visitor.page.keyboard

    def labels() -> dict[str, str]:
        return {one.name: one.label for one in store.images()}

    live.show(FILES[0][0])
    keyboard.press("n")
    live.show(FILES[3][0])
    keyboard.press("d")
    keyboard.press("k")
    visitor.until(lambda: labels() == {FILES[0][0]: "good", FILES[3][0]: "defect"}, "both are stored")
    visitor.settle()
    live.part('.labels [data-label=defect][aria-pressed="true"]').wait_for()
    keyboard.press("Control+z")
    live.part('.labels [data-label=defect][aria-pressed="false"]').wait_for()
    visitor.until(lambda: labels() == {FILES[0][0]: "good", FILES[3][0]: "unknown"}, "one is taken back")
