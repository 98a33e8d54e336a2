"""The server answers late: what the hand did last is what is shown, marked, labelled, saved and downloaded.

The answers are held back on the web socket, and the scoring is held at a gate, so that nothing here depends
on how fast a machine is.
"""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import served
from padim import Padim, Workspace
from padim.analysis.good_parts import ranked
from padim.data.decode import decode
from padim.records.library import ImageLibrary, NewImage
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit, sound
from tests.browser.live import Live
from tests.browser.looking import Upload, Visitor
from tests.browser.wire import Wire
from tests.parts import defects, normals, part, png
from ui.widgets import labels

FILES: list[Upload] = [(name, bytes(data)) for name, data in [*normals(8, first=60), *defects(4)]]
# Notes every name that is shown from now on.
_NOTE_NAMES = """viewer => {
    const name = viewer.querySelector('.headline .name');
    viewer.noted = [name.textContent];
    new MutationObserver(() => {
        if (viewer.noted.at(-1) !== name.textContent) viewer.noted.push(name.textContent);
    }).observe(name, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def gate(home: Path) -> Path:
    """While this file exists, only as many images get through a scoring as it says."""
    return home.parent / "gate"


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry, gate: Path) -> served.Server:
    """The app, its scoring at a gate."""
    script = Path(__file__).with_name("gated.py")
    return start(
        command=(sys.executable, str(script), "run", str(served.ROOT / "app.py")),
        PADIM_TEST_GATE=str(gate),
    )


@pytest.fixture(autouse=True)
def opened_gate(gate: Path) -> Iterator[None]:
    """Whatever a test did, the next one finds the gate open."""
    yield
    gate.unlink(missing_ok=True)


@pytest.fixture
def model(home: Path, small_entry: Entry) -> Padim:
    return Workspace(home).open(small_entry.id)


def inspecting(visitor: Visitor, entry: Entry, files: list[Upload]) -> Live:
    visitor.open(f"/inspect?model={entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop(files)
    visitor.see_list_of(len(files))
    return Live(visitor).ready()


def calibrating(visitor: Visitor, entry: Entry, files: list[Upload]) -> Live:
    visitor.open(f"/calibrate?model={entry.id}")
    visitor.see_heading("Calibrate")
    live = Live(visitor).ready()
    visitor.button("Add test images").click()
    visitor.page.get_by_role("radio", name="I do not know yet").click()
    visitor.settle()
    visitor.drop(files)
    live.part('.counts tr[data-kind="unknown"]').wait_for()
    visitor.page.locator("[class*='st-key-job-known']").wait_for(state="detached")
    visitor.page.keyboard.press("Escape")
    live.part(".kinds").select_option("unknown")
    return live.ready()


def in_order(files: list[Upload]) -> Upload:
    """Return a ZIP of the images, named so that they are scored in this order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for i, (name, data) in enumerate(files):
            archive.writestr(f"{i:02d}_{name}", data)
    return "parts.zip", packed.getvalue()


def marked(live: Live) -> tuple[list[str], list[str]]:
    """The tiles and the lines of the list that are marked as shown."""
    found: list[list[str]] = live.root.evaluate(
        """viewer => ['.tile.active b', 'tr.active td.file'].map(
            marked => [...viewer.querySelectorAll(marked)].map(one => one.textContent))"""
    )
    return found[0], found[1]


def test_the_hand_is_ahead_of_the_server_while_scoring_goes_on(
    server: served.Server, visit: Visit, small_entry: Entry, model: Padim, gate: Path, tmp_path: Path
) -> None:
    visitor = visit(server)
    wire = Wire(visitor.page)
    live = inspecting(visitor, small_entry, FILES)
    gate.touch()
    visitor.button("Add images").click()
    visitor.drop([("one_more.png", png(part(900)))])
    visitor.page.locator("[class*='st-key-job-inspect']").wait_for()
    visitor.page.keyboard.press("Escape")
    names = live.names()
    live.part(f'tr:has(td[title="{names[4]}"])').click()
    live.part(".headline .name").get_by_text(names[4], exact=True).wait_for()
    visitor.keyed("inspect-layers").get_by_text("Which layer saw it").click()
    told = visitor.main.locator("[class*='st-key-inspect-of-']")
    told.get_by_text(names[4]).first.wait_for()

    live.root.evaluate(_NOTE_NAMES)
    live.part(".next").focus()
    wire.hold()
    for at in (5, 6):
        visitor.page.keyboard.press("ArrowRight")
        live.part(".headline .name").get_by_text(names[at], exact=True).wait_for()
        # The choice is told, and the page asks again and again how far the scoring is, all of it unanswered:
        # whatever those messages repeat of former choices is not a choice.
        wire.wait_answered(wire.sent + 6)
    assert marked(live) == ([names[6]], [names[6]])
    assert told.is_hidden(), "what is said about another image must not stand below this one"
    file = visitor.download_mask(tmp_path)
    assert file.name.startswith(names[6].removesuffix(".png"))
    (scored,) = model.predict([one for one in FILES if one[0] == names[6]])
    assert np.array_equal(decode(file.read_bytes(), file.name)[..., 0] > 0, model.decide(scored).mask)

    wire.release()
    told.get_by_text(names[6]).first.wait_for()
    assert told.is_visible()
    gate.unlink()
    visitor.see_list_of(len(FILES) + 1)
    assert live.root.evaluate("viewer => viewer.noted") == [names[4], names[5], names[6]]
    assert marked(live) == ([names[6]], [names[6]])


def test_one_is_chosen_while_the_first_come_in(
    server: served.Server, visit: Visit, small_entry: Entry, gate: Path
) -> None:
    visitor = visit(server)
    gate.write_text("3")
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    # In one file, so that they come in this order: the first look like another product's, all of them do not.
    # What is said of that must not move the viewer.
    visitor.drop([in_order([*FILES[-2:], *FILES[:-2]])])
    live = Live(visitor)
    lines = live.part("tr[data-verdict]")
    lines.nth(2).wait_for()
    assert live.part(".detail").is_hidden(), "which is the worst is not known yet"
    assert live.part(".gallery").is_hidden()
    name = lines.nth(1).locator(".file").inner_text()
    lines.nth(1).click()
    live.part(".headline .name").get_by_text(name, exact=True).wait_for()
    live.root.evaluate(_NOTE_NAMES)
    gate.unlink()
    visitor.see_list_of(len(FILES))
    live.ready()
    assert live.root.evaluate("viewer => viewer.noted") == [name]
    assert marked(live) == ([name], [name])


def test_a_lost_run_at_the_end_of_a_job_is_made_up_for(
    server: served.Server, visit: Visit, small_entry: Entry, gate: Path
) -> None:
    visitor = visit(server)
    wire = Wire(visitor.page)
    gate.write_text("0")
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop(FILES)
    visitor.page.locator("[class*='st-key-job-inspect']").wait_for()
    visitor.settle()
    wire.lose_a_run()
    gate.unlink()
    visitor.see_list_of(len(FILES))
    assert wire.lost == 1
    visitor.page.locator("[class*='st-key-job-inspect']").wait_for(state="detached")


def test_calibrate_shows_an_excluded_part_as_a_defect_once_it_is_scored(
    server: served.Server, visit: Visit, home: Path, small_model: Padim, gate: Path
) -> None:
    store = Workspace(home)
    entry = store.create("Excluded part")
    shutil.copytree(small_model.working_set.folder, store.work_dir(entry.id))
    small_model.save(entry.path)
    sound(store.get(entry.id))
    oddest = ranked(small_model)[0].index
    name, data = normals(22)[oddest]
    ImageLibrary(home, entry.id).add([NewImage(name, bytes(data))], "fit")
    visitor = visit(server)
    visitor.open(f"/fit?model={entry.id}&tab=result")
    visitor.see_heading("Fit")
    gate.write_text("0")
    visitor.keyed(f"why-{oddest}").get_by_role("button").click()
    visitor.keyed(f"not_good-{oddest}").get_by_role("button").click()
    visitor.keyed("fit-first-defect").get_by_role("button").click()
    visitor.see_heading("Calibrate")
    # While it is scored the viewer shows good parts, of which the server is told nothing.
    live = Live(visitor)
    live.part(".headline .name").wait_for()
    visitor.page.keyboard.press("ArrowRight")
    assert live.part(".headline .name").inner_text() != name
    gate.unlink()
    live.part(".headline .name").get_by_text(name, exact=True).wait_for()
    live.ready()
    (shown,) = live.masks()
    assert shown.id.startswith("t"), "it is a test image now"


def test_one_row_of_steps_for_threshold_region_and_labels(
    server: served.Server, visit: Visit, home: Path, small_model: Padim
) -> None:
    store = Workspace(home)
    entry = store.create("Steps")
    small_model.save(entry.path)
    sound(store.get(entry.id))
    visitor = visit(server)
    wire = Wire(visitor.page)
    live = calibrating(visitor, entry, FILES[-3:])
    hashes = {item.name: item.sha256 for item in small_model.predict(FILES[-3:])}
    first, second, _ = live.names()
    keyboard = visitor.page.keyboard

    def state() -> tuple[tuple[int, int], dict[str, str]]:
        live.frame()
        said: dict[str, str] = live.root.evaluate(
            """viewer => Object.fromEntries([...viewer.querySelectorAll('.tile')]
                .filter(tile => tile.dataset.label)
                .map(tile => [tile.querySelector('b').textContent, tile.dataset.label]))"""
        )
        return live.decided, said

    # The server answers nothing until all is done and undone.
    wire.hold()
    live.part(".kinds").select_option("every")
    states = [state()]

    def do(action: Any) -> None:
        action()
        states.append(state())
        assert states[-1] != states[-2], "nothing was done"

    def label(name: str, key: str) -> None:
        live.show(name)
        keyboard.press(key)

    def field(selector: str, value: str) -> None:
        live.part(selector).fill(value)
        live.part(selector).press("Enter")

    do(lambda: field(".threshold", "3.5"))
    do(lambda: label(first, "d"))
    do(lambda: field(".area-type", "20"))
    do(lambda: label(second, "n"))
    do(lambda: field(".percentile", "80"))
    do(lambda: label(first, "n"))
    do(lambda: label(second, "k"))
    live.part(".gallery").focus()
    for before in reversed(states[:-1]):
        keyboard.press("Control+z")
        assert state() == before
    assert live.part(".undo").is_disabled()
    for i, after in enumerate(states[1:]):
        keyboard.press("Control+y" if i % 2 else "Control+Shift+z")
        assert state() == after
    assert live.part(".redo").is_disabled()
    for before in reversed(states[3:-1]):
        live.part(".undo").click()
        assert state() == before
    # A label that is undone is undone in sight.
    assert live.part(".headline .name").inner_text() == second
    wire.release()
    visitor.settle()
    visitor.until(lambda: state() == states[3], "the steps are where they were left")
    # On disk as on the screen, by the image's content.
    visitor.until(lambda: labels.labels(entry) == {hashes[first]: "defect"}, "the one label is saved")
    visitor.main.get_by_text("1 defect image").wait_for()
    visitor.put_to_use()
    saved = store.open(entry.id)
    assert (saved.threshold_level, saved.config.min_area) == states[3][0]
    # In a field that is typed in, it is the field's own.
    live.part(".threshold").press_sequentially("9")
    live.part(".threshold").press("Control+z")
    assert state()[1] == states[3][1]


def test_two_sessions_label_one_image(
    server: served.Server, visit: Visit, home: Path, small_model: Padim
) -> None:
    store = Workspace(home)
    entry = store.create("Two sessions")
    small_model.save(entry.path)
    sound(store.get(entry.id))
    visitor = visit(server)
    live = calibrating(visitor, entry, FILES[-2:])
    name = live.names()[0]
    live.part(".kinds").select_option("every")
    sha256 = next(item.sha256 for item in small_model.predict(FILES[-2:]) if item.name == name)
    live.show(name)
    visitor.page.keyboard.press("d")
    visitor.main.get_by_text("1 defect image").wait_for()
    labels.put(entry, sha256, "good")  # as another session does; this one has not handled of it
    visitor.page.keyboard.press("Control+z")
    visitor.main.get_by_text("They need defects").wait_for()
    assert labels.labels(entry) == {sha256: "good"}, "another's label is not mine to undo"
    live.part(f'.tile[data-label="good"]:has(b[title="{name}"])').wait_for()


def test_a_late_answer_does_not_move_the_threshold_back(
    server: served.Server, visit: Visit, home: Path, small_model: Padim
) -> None:
    store = Workspace(home)
    entry = store.create("Late")
    small_model.save(entry.path)
    sound(store.get(entry.id))
    visitor = visit(server)
    wire = Wire(visitor.page)
    live = calibrating(visitor, entry, FILES[-2:])
    live.line_to(0.7)
    visitor.settle()
    # Back to what is in use, which the server answers late, and on by hand at once.
    for name in live.names():
        live.show(name)
        visitor.page.keyboard.press("d")
    point = visitor.keyed("point-zero_false_reject").get_by_role("button", name="Select")
    point.wait_for()
    visitor.settle()
    wire.hold()
    point.click()
    wire.wait_answered(wire.sent)
    live.line_to(0.2, release=False)
    visitor.page.mouse.up()
    live.frame()
    mine = live.decided
    wire.release()
    visitor.settle()
    live.frame()
    assert live.decided == mine
    visitor.put_to_use()
    saved = store.open(entry.id)
    assert (saved.threshold_level, saved.config.min_area) == mine == live.decided, "saved is what was shown"


def test_what_is_typed_and_given_up_decides_nothing(
    server: served.Server, visit: Visit, small_entry: Entry
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    visitor.open(f"/calibrate?model={small_entry.id}")
    visitor.see_heading("Calibrate")
    live = Live(visitor).ready()
    before = live.decided
    for selector in (".threshold", ".area-type", ".percentile"):
        live.part(selector).press("Control+a")
        live.part(selector).press_sequentially("7")
        visitor.until(lambda: live.decided != before, "what is typed is seen at once")
        live.part(selector).press("Backspace")
        live.part(selector).press("Tab")
        live.see_decided(*before)
        assert live.part(selector).input_value() != ""
    visitor.settle()
    expect(visitor.keyed("calibrate-use").get_by_role("button")).to_be_disabled()
