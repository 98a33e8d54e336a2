"""The region editor in a real browser: drawn with mouse and keys, held against the engine's own mask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks import served
from padim import Padim, Workspace
from padim.decision.roi import Shape, rasterize
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Visitor
from tests.browser.wire import Wire

if TYPE_CHECKING:
    from playwright.sync_api import Locator


@pytest.fixture(scope="module")
def server(start: Start) -> served.Server:
    """The app."""
    return start()


class Editor:
    """The region page, with the pen in hand."""

    def __init__(self, visitor: Visitor, entry: Entry, home: Path) -> None:
        self.visitor, self.entry, self.home = visitor, entry, home
        self.shape = self.model().config.input_shape
        self.page = visitor.page
        visitor.open(f"/region?model={entry.id}")
        visitor.see_heading("Fit")
        self.stage = self.page.locator(".stage")
        self.stage.locator("svg[viewBox]").wait_for()
        self.see("of the map is scored")

    def see(self, text: str) -> None:
        """Wait until Python has computed the scored share, and its mask is the one drawn."""
        self.page.locator(".share").get_by_text(text).wait_for()
        self.visitor.settle()
        self.page.locator('.outside[data-by="mask"]').wait_for(state="attached")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the map on the screen, scrolled to as a hand would: a window may not hold a tall map."""
        self.stage.scroll_into_view_if_needed()
        box = self.stage.locator("svg").bounding_box()
        assert box is not None
        height, width = self.shape
        return box["x"] + x / width * box["width"], box["y"] + y / height * box["height"]

    def click(self, *places: tuple[float, float]) -> None:
        for place in places:
            self.page.mouse.click(*self.at(*place))

    def pull(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=3)
        self.page.mouse.up()

    def choose(self, name: str) -> None:
        self.page.get_by_role("radio", name=name, exact=True).click()

    def button(self, name: str) -> Locator:
        return self.page.locator(".region").get_by_role("button", name=name, exact=True)

    def shapes(self) -> list[str]:
        """The list of shapes, as it reads."""
        return self.page.locator(".region .list button").all_inner_texts()

    def dark(self) -> npt.NDArray[np.bool_]:
        """Return what is drawn as not scored, bool ``(h, w)``, read at the middle of each map pixel."""
        flat: Any = self.page.locator(".outside").evaluate(
            """(canvas, [rows, columns]) => {
                const { width, height } = canvas;
                const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
                const at = (i, of, cells) => Math.floor((i + 0.5) * of / cells);
                return Array.from({ length: rows * columns }, (_, i) => {
                    const [y, x] = [Math.floor(i / columns), i % columns];
                    return data[4 * (at(y, height, rows) * width + at(x, width, columns)) + 3] > 0;
                });
            }""",
            list(self.shape),
        )
        return np.array(flat, bool).reshape(self.shape)

    def model(self) -> Padim:
        return Workspace(self.home).open(self.entry.id)

    def save(self) -> Padim:
        from playwright.sync_api import expect

        button = self.visitor.keyed("region-save").get_by_role("button")
        button.click()
        expect(button).to_be_disabled()  # once it is saved; the words may still be those of the run before
        self.page.get_by_text("This region is in use.", exact=True).first.wait_for()
        self.visitor.settle()
        return self.model()


def test_drawing_undoing_and_saving(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    editor = Editor(visitor, small_entry, home)
    page = visitor.page
    editor.see("100 % of the map is scored")
    assert not editor.dark().any()

    # A polygon, given up once and then closed by a double click.
    editor.click((8, 8), (28, 8))
    page.keyboard.press("Escape")
    assert editor.shapes() == []
    editor.click((8, 8), (28, 8), (28, 28))
    page.mouse.dblclick(*editor.at(8, 28))
    page.get_by_text("A draft: it decides nothing").wait_for()
    assert editor.shapes() == ["1 Exclude, polygon"]
    square = rasterize((Shape("polygon", "exclude", ((8, 8), (28, 8), (28, 28), (8, 28))),), (64, 64))
    assert square is not None
    editor.see("90.2 % of the map is scored")
    # What the screen rounds to the nearest eighth may cost a border pixel, no more.
    assert np.count_nonzero(editor.dark() != ~square) <= 4

    # One of its corners, moved afterwards.
    editor.pull((28, 28), (48, 28))
    editor.see("85.")  # 100 % less a trapezium of 600 of the 4096 pixels

    # A stroke that puts a part of it back.
    editor.choose("Brush")
    editor.choose("Include")
    editor.pull((10, 12), (26, 12))
    page.locator(".region .list button").nth(1).wait_for()
    assert editor.shapes() == ["1 Exclude, polygon", "2 Include, brush"]

    # Undone and done again, by key and by button.
    page.keyboard.press("Control+z")
    editor.see("85.")
    assert editor.shapes() == ["1 Exclude, polygon"]
    page.keyboard.press("Control+Shift+Z")
    page.locator(".region .list button").nth(1).wait_for()
    editor.button("Undo").click()
    editor.button("Undo").click()
    editor.see("90.2 % of the map is scored")
    editor.button("Redo").click()
    editor.button("Redo").click()
    page.locator(".region .list button").nth(1).wait_for()
    page.get_by_text("False rejects after saving").wait_for()

    model = editor.save()
    assert [(shape.kind, shape.mode) for shape in model.decision.roi_shapes] == [
        ("polygon", "exclude"),
        ("brush", "include"),
    ]
    roi = model.decision.roi
    assert roi is not None
    np.testing.assert_array_equal(roi, rasterize(model.decision.roi_shapes, (64, 64)))
    assert not roi[20, 30]  # where only the moved corner reaches
    assert roi[12, 18]  # where the brush has been
    # What is drawn is what is scored, pixel by pixel.
    editor.see("of the map is scored")
    np.testing.assert_array_equal(editor.dark(), ~roi)

    # It is there again on the next visit; a shape is taken away, and everything is scored again.
    visitor = visit(server)
    wire = Wire(visitor.page)
    editor = Editor(visitor, small_entry, home)
    page = editor.page
    assert editor.shapes() == ["1 Exclude, polygon", "2 Include, brush"]
    np.testing.assert_array_equal(editor.dark(), ~roi)
    editor.choose("Select")
    editor.click((18, 24))
    page.keyboard.press("Delete")
    page.get_by_text("A draft: it decides nothing").wait_for()
    assert editor.shapes() == ["1 Include, brush"]
    # A question asked while the page still runs stays open: the answer to "Discard" comes late.
    editor.visitor.settle()
    wire.hold()
    sent = wire.sent
    editor.visitor.button("Discard the draft").click()
    wire.wait_answered(sent + 1)
    editor.visitor.button("Inspect the whole image").click()
    question = editor.visitor.keyed("region-remove").get_by_role("button")
    question.wait_for()
    asked = question.element_handle()
    wire.release()
    page.locator(".region .list button").nth(1).wait_for()
    editor.visitor.button("Discard the draft").wait_for(state="detached")
    editor.visitor.settle()
    assert asked.evaluate("button => button.isConnected && button.checkVisibility()")
    question.click()
    editor.see("100 % of the map is scored")
    assert editor.shapes() == []
    expect(question).to_have_count(0)  # answered, so it is closed
    editor.visitor.until(lambda: editor.model().decision.roi is None, "no region is saved")
    # Not lost for good.
    editor.button("Undo").click()
    page.locator(".region .list button").nth(1).wait_for()
    editor.see("of the map is scored")
    np.testing.assert_array_equal(editor.dark(), ~roi)


def test_with_keys_alone_and_nothing_left(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path
) -> None:
    from playwright.sync_api import expect

    editor = Editor(visit(server), small_entry, home)
    page = editor.page
    editor.stage.focus()
    page.keyboard.press("p")
    page.keyboard.press("x")
    page.get_by_role("radio", name="Include", exact=True, checked=True).wait_for()
    # From the middle of the map: a square of ten pixels.
    for key in ("Space", "Shift+ArrowRight", "Space", "Shift+ArrowDown", "Space", "Shift+ArrowLeft", "Space"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    wanted = np.zeros((64, 64), bool)
    wanted[32:42, 32:42] = True
    editor.see("2.4 % of the map is scored")
    np.testing.assert_array_equal(editor.dark(), ~wanted)

    # Corners beside the image are taken to its edge: its upper half, which is scored too.
    editor.choose("Polygon")
    editor.click((-0.5, -0.5), (64.5, -0.5), (64.5, 32), (-0.5, 32))
    page.keyboard.press("Enter")
    wanted[:32] = True
    page.locator(".region .list button").nth(1).wait_for()
    editor.see("52.4 % of the map is scored")
    np.testing.assert_array_equal(editor.dark(), ~wanted)
    page.keyboard.press("Delete")
    editor.see("2.4 % of the map is scored")

    # The same square taken out again leaves nothing, which is refused.
    editor.choose("Select")
    editor.click((37, 37))
    editor.choose("Exclude")
    editor.see("97.6 % of the map is scored")
    editor.choose("Brush")
    editor.stage.focus()
    for _ in range(20):
        page.keyboard.press("+")
    editor.pull((0, 5), (64, 5), (64, 24), (0, 24), (0, 42), (64, 42), (64, 60), (0, 60))
    page.get_by_text("Nothing would be scored").wait_for()
    expect(editor.visitor.keyed("region-save").get_by_role("button")).to_be_disabled()
    editor.button("Clear all").click()
    editor.see("100 % of the map is scored")
    assert editor.model().decision.roi is None


def test_a_late_answer_does_not_take_a_drawing_away(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path
) -> None:
    visitor = visit(server)
    wire = Wire(visitor.page)
    editor = Editor(visitor, small_entry, home)
    before = editor.shapes()
    editor.choose("Brush")
    editor.choose("Exclude")
    editor.pull((40, 50), (50, 50))
    discard = visitor.page.get_by_role("button", name="Discard the draft")
    discard.wait_for()
    visitor.settle()
    # Given up, which the server answers late, and on with another stroke at once.
    wire.hold()
    discard.click()
    wire.wait_answered(wire.sent)
    editor.pull((10, 55), (20, 55))
    mine = editor.shapes()
    assert len(mine) == len(before) + 2
    wire.release()
    editor.see("of the map is scored")
    assert editor.shapes() == mine, "what was drawn last is what is there"
    model = editor.save()
    assert len(model.decision.roi_shapes) == len(mine), "saved is what was shown"
    assert model.decision.roi is not None
    np.testing.assert_array_equal(editor.dark(), ~model.decision.roi)
    # One step at a time, also after the answers.
    for left in (1, 0):
        editor.button("Undo").click()
        editor.see("of the map is scored")
        assert len(editor.shapes()) == len(before) + left


def test_a_tall_map_is_drawn_on_in_its_own_shape(
    server: served.Server, visit: Visit, tall_entry: Entry, home: Path
) -> None:
    visitor = visit(server)
    editor = Editor(visitor, tall_entry, home)
    svg = editor.stage.locator("svg").bounding_box()
    assert svg is not None
    assert abs(svg["height"] / svg["width"] - 160 / 64) < 0.01, "a map pixel is square on the screen"
    # A corner beyond the image is taken to its edge, which lies elsewhere along either axis.
    editor.click((10, 130), (64.5, 130), (64.5, 160.5), (10, 160.5))
    visitor.page.keyboard.press("Enter")
    visitor.page.locator(".region .list button").first.wait_for()
    editor.choose("Brush")
    editor.pull((5, 20), (60, 20), (60, 70))
    visitor.page.locator(".region .list button").nth(1).wait_for()
    editor.see("of the map is scored")
    roi = editor.save().decision.roi
    assert roi is not None
    assert roi.shape == (160, 64)
    assert not roi[145, 30]
    assert not roi[60, 60]
    assert roi[100, 30]
    editor.see("of the map is scored")
    np.testing.assert_array_equal(editor.dark(), ~roi)
