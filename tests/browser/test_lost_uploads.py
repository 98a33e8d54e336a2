"""Files that are dropped while the page begins to run again are uploaded all the same."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import served
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.parts import defects


def test_files_come_in_although_an_answer_was_dropped(start: Start, visit: Visit, small_entry: Entry) -> None:
    script = Path(__file__).with_name("forgetful.py")
    visitor = visit(start(command=(sys.executable, str(script), "run", str(served.ROOT / "app.py"))))
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop([(name, bytes(data)) for name, data in defects(3)])
    visitor.see_list_of(3)
