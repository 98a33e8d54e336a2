"""The Evaluate page in a browser: labelled images in a zip, curves, the images of each cell, files."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path

from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Upload
from tests.parts import defects, normals, part, png


def _labelled() -> Upload:
    mask = part(1) * 0
    mask[24:72, 24:72] = 255
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in normals(4, first=100):
            archive.writestr(f"set/good/{name}", bytes(data))
        for name, data in defects(3):
            archive.writestr(f"set/chip/{name}", bytes(data))
            archive.writestr(f"set/ground_truth/chip/{name}", png(mask))
    return "set.zip", packed.getvalue()


def test_the_whole_page(start: Start, visit: Visit, small_entry: Entry, tmp_path: Path) -> None:
    visitor = visit(start())
    visitor.open(f"/evaluate?model={small_entry.id}")
    visitor.see_heading("Validate")
    visitor.main.get_by_text("No labelled images yet").wait_for()
    visitor.drop([_labelled()])

    # The figures, with their intervals.
    table = visitor.main.locator(".pv-compare")
    table.locator("tbody tr").nth(9).wait_for()
    row = table.locator("tr", has_text="Pixel AUPRO").inner_text()
    assert re.search(r"0\.\d{3}\s+0\.\d{3} to 0\.\d{3}", row), row

    # A histogram of good parts and chips, and a curve behind each tab.
    visitor.main.locator(".js-plotly-plot .barlayer .trace.bars").nth(1).wait_for()
    for tab, mark in (
        ("ROC", ".scatterlayer .trace"),
        ("Precision and recall", ".scatterlayer .trace"),
        ("Kinds of defect", ".barlayer .point"),
    ):
        visitor.page.get_by_role("tab", name=tab, exact=True).click()
        visitor.main.locator(f".js-plotly-plot:visible {mark}").first.wait_for()

    # The cells: all images are in one of them, and each opens.
    cells = visitor.keyed("evaluate-cell").get_by_role("radio")
    counted = 0
    for i in range(4):
        cell = cells.nth(i)
        many = int(cell.inner_text().rpartition(":")[2])
        cell.click()
        visitor.settle()
        tiles = visitor.main.locator(".pv-gallery .pv-tile")
        if many:
            tiles.nth(many - 1).wait_for()
        else:
            visitor.main.get_by_text("No images here").wait_for()
        counted += many
    assert counted == 7

    text = visitor.download("evaluate-figures", tmp_path).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {"aupro", "zero_miss", "caught"} <= {row["figure"] for row in rows}
    visitor.check_stayed_here()
