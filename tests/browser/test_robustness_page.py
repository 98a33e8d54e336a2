"""The Robustness page in a browser: labelled images in a zip, changes, charts, examples, files."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Upload
from tests.parts import defects, normals


def _labelled() -> Upload:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in normals(3, first=100):
            archive.writestr(f"set/good/{name}", bytes(data))
        for name, data in defects(2):
            archive.writestr(f"set/chip/{name}", bytes(data))
    return "set.zip", packed.getvalue()


def test_the_whole_page(start: Start, visit: Visit, small_entry: Entry, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    visitor = visit(start())
    visitor.open(f"/robustness?model={small_entry.id}")
    visitor.see_heading("Validate")
    visitor.main.get_by_text("No images yet").wait_for()
    visitor.drop([_labelled()])

    # Five images, as they are and under each change.
    visitor.main.get_by_text("195 images to score").wait_for()
    for name in ("Gamma", "Noise"):
        visitor.keyed("robustness-kinds").get_by_role("button", name=name).click()
    visitor.main.get_by_text("155 images to score").wait_for()
    visitor.keyed("robustness-start").get_by_role("button").click()

    # A row a change with what is borne, and a chart a change with its counts.
    table = visitor.main.locator(".pv-compare")
    table.locator("tbody tr").nth(6).wait_for()
    expect(table.locator("tbody tr")).to_have_count(7)
    visitor.main.get_by_text("Tolerated means").wait_for()
    for kind in ("brighter", "rotation"):
        chart = visitor.keyed(f"robustness-chart-{kind}")
        chart.scroll_into_view_if_needed()
        chart.locator(".scatterlayer .trace").nth(1).wait_for()
        expect(chart.locator(".scatterlayer .trace")).to_have_count(2)

    # Examples: as it is and every severity, each with a verdict.
    visitor.keyed("robustness-change-brighter-darker-flatter-blur-jpeg-shift-rotation").get_by_role(
        "radio", name="JPEG"
    ).click()
    visitor.main.get_by_text("Quality 30").wait_for()
    visitor.settle()
    expect(visitor.main.locator(".pv-gallery .pv-tile")).to_have_count(5)
    expect(visitor.main.locator(".pv-gallery .pv-verdict")).to_have_count(5)
    width = visitor.main.locator(".pv-gallery img").first.evaluate(
        "async image => { await image.decode(); return image.naturalWidth; }"
    )
    assert width == 96

    text = visitor.download("robustness-csv", tmp_path).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["of"] for row in rows if row["figure"] == "false_rejects"} == {"3"}
    assert {row["of"] for row in rows if row["kind"] == "chip"} == {"2"}
    whole = json.loads(visitor.download("robustness-json", tmp_path).read_bytes())
    assert len(whole["changes"]) == 7
    visitor.check_stayed_here()
