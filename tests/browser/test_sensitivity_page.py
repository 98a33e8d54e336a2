"""The Sensitivity page in a browser: good parts dropped in, defects painted, curves, map, examples, files."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.parts import normals


def test_the_whole_page(start: Start, visit: Visit, small_entry: Entry, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    visitor = visit(start())
    visitor.open(f"/sensitivity?model={small_entry.id}")
    visitor.see_heading("Validate")
    visitor.main.get_by_text("No good parts to paint on yet").wait_for()
    visitor.drop([(name, bytes(data)) for name, data in normals(3, first=100)])

    # Fewer settings: a click takes one away.
    visitor.main.get_by_text("600 painted images to score").wait_for()
    for name in ("Stain", "Missing patch"):
        visitor.keyed("sensitivity-kinds").get_by_role("button", name=name).click()
    visitor.main.get_by_text("360 painted images to score: 60 settings at 6 places").wait_for()
    visitor.keyed("sensitivity-start").get_by_role("button").click()

    # A row a kind, a column a contrast, each with a size.
    table = visitor.main.locator(".pv-compare")
    table.locator("tbody tr").nth(2).wait_for()
    expect(table.locator("tbody tr")).to_have_count(3)
    for cell in table.locator("tbody b").all():
        assert re.fullmatch(r"[≤>]? ?[\d.]+ px", cell.inner_text()), cell.inner_text()

    # Curves, and the map on an image of the part.
    # A curve may be flat, and so of no height to be visible by.
    curves = visitor.main.locator(".js-plotly-plot .scatterlayer .trace .lines path")
    curves.nth(3).wait_for(state="attached")
    expect(visitor.main.locator(".js-plotly-plot .imagelayer image")).to_have_count(1)
    places = visitor.main.locator(".js-plotly-plot:has(.imagelayer image) .scatterlayer .point")
    expect(places).to_have_count(6)

    # Examples: every size of the kind chosen, as the browser has really loaded them.
    visitor.keyed("sensitivity-kind-scratch-spot-dent").get_by_role("radio", name="Dent").click()
    visitor.main.get_by_role("heading", name="Examples: dent").wait_for()
    visitor.settle()
    tiles = visitor.main.locator(".pv-gallery .pv-tile")
    tiles.nth(4).wait_for()
    for image in visitor.main.locator(".pv-gallery img").all():
        image.scroll_into_view_if_needed()
        width = image.evaluate("async image => { await image.decode(); return image.naturalWidth; }")
        assert width == 288
    notes = {note.inner_text() for note in visitor.main.locator(".pv-gallery .pv-note").all()}
    assert notes <= {"Caught", "Missed"}

    text = visitor.download("sensitivity-csv", tmp_path).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 60
    assert {row["tried"] for row in rows} == {"6"}
    whole = json.loads(visitor.download("sensitivity-json", tmp_path).read_bytes())
    assert len(whole["places"]) == 6
    visitor.check_stayed_here()
