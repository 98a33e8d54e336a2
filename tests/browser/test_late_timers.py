"""Timers that still ask for the page before lead nowhere: another page that was opened stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import served
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.wire import Wire
from tests.parts import defects


@pytest.fixture(scope="module")
def gate(home: Path) -> Path:
    return home.parent / "gate"


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry, gate: Path) -> served.Server:
    """The app, its scoring at a gate."""
    script = Path(__file__).with_name("gated.py")
    return start(
        command=(sys.executable, str(script), "run", str(served.ROOT / "app.py")),
        PADIM_TEST_GATE=str(gate),
    )


def test_the_page_that_was_opened_stays(
    server: served.Server, visit: Visit, small_entry: Entry, gate: Path
) -> None:
    visitor = visit(server)
    wire = Wire(visitor.page)
    gate.write_text("0")
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop([(name, bytes(data)) for name, data in defects(3)])
    visitor.page.locator("[class*='st-key-job-inspect']").wait_for()
    visitor.settle()
    # The browser does not learn of the new page at first, so that its timers go on for the former one.
    wire.hold()
    former = wire.drawn[-1]
    del wire.drawn[:], wire.timed[:]
    visitor.button("Next: take the model to the line").click()
    visitor.until(lambda: wire.drawn[-1:] not in ([], [former]), "the server draws the new page")
    new = wire.drawn[-1]
    del wire.drawn[:]
    # With the end of the job, an answer to a timer would be a run of the whole page.
    gate.unlink()
    wire.timed.clear()
    visitor.until(lambda: len(wire.timed) >= 9, "the timers have asked")
    assert set(wire.timed) == {former}
    wire.release()
    visitor.see_heading("Line")
    assert set(wire.drawn) <= {new}
    assert "/inspect" not in visitor.page.url
