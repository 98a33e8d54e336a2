"""The Compare page in a browser: choices, progress, the sortable table, the chart, files that stand alone."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

from tests.browser.conftest import Start, Visit
from tests.browser.looking import PATIENCE, Upload
from tests.parts import defects, normals, part, png


def _labelled() -> Upload:
    mask = part(1) * 0
    mask[24:72, 24:72] = 255
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in normals(8):
            archive.writestr(f"ring/train/good/{name}", bytes(data))
        for name, data in normals(4, first=100):
            archive.writestr(f"ring/test/good/{name}", bytes(data))
        for name, data in defects(3):
            archive.writestr(f"ring/test/chip/{name}", bytes(data))
            archive.writestr(f"ring/ground_truth/chip/{name.removesuffix('.png')}_mask.png", png(mask))
    return "ring.zip", packed.getvalue()


def test_the_whole_page(start: Start, visit: Visit, tmp_path: Path) -> None:
    visitor = visit(start())
    visitor.open("/compare")
    visitor.see_heading("Compare")
    visitor.main.get_by_text("Nothing to compare on yet").wait_for()
    visitor.drop([_labelled()])
    visitor.main.get_by_text("fitted on 8 good parts, evaluated on 4 good parts and 3 defects").wait_for()
    visitor.settle()

    # Two methods at the smallest size.
    methods = visitor.keyed("compare-methods").get_by_role("button")
    methods.filter(has_text="Shared Gaussian").click()
    visitor.main.get_by_text("3 configurations on 1 data set: 3 runs").wait_for()
    methods.filter(has_text="PatchCore").click()
    visitor.main.get_by_text("2 configurations on 1 data set: 2 runs").wait_for()
    sizes = visitor.keyed("compare-sizes").get_by_role("button")
    sizes.filter(has_text="128 px").click()
    visitor.main.get_by_text("4 configurations on 1 data set").wait_for()
    sizes.filter(has_text="256 px").click()
    visitor.main.get_by_text("2 configurations on 1 data set").wait_for()
    visitor.button("Compare").first.click()

    # The table, the chart, and a figure chosen for it.
    # Exporting a network and two fits: longer than other things take.
    visitor.main.get_by_text("Side by side").wait_for(timeout=2 * PATIENCE)
    visitor.main.get_by_test_id("stDataFrame").wait_for()
    visitor.main.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
    visitor.main.get_by_role("radio", name="Pixel AUPRO").click()
    visitor.main.get_by_text("The share of each defect found").wait_for()
    visitor.settle()

    text = visitor.download("compare-csv", tmp_path).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["configuration"] for row in rows} == {"PaDiM", "Shared Gaussian"}
    assert all(float(row["pixel_auroc"]) > 0.5 for row in rows)

    # The report by itself, from a file: sorting works, and it asks nobody for anything.
    report = visitor.download("compare-html", tmp_path)
    browser = visitor.page.context.browser
    assert browser is not None
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    names = page.locator("table.sortable tbody td:first-child")
    heading = page.get_by_role("button", name="Configuration")
    heading.click()
    first = names.all_inner_texts()
    assert first == sorted(first)
    heading.click()
    assert names.all_inner_texts() == first[::-1]
    assert asked == [report.as_uri()]
    page.close()
    visitor.check_stayed_here()
