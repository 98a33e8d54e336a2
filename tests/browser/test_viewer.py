"""The live viewer in a real browser: what it draws under the hand is what the engine judges, to the pixel."""

from __future__ import annotations

import re
import sys
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from benchmarks import served
from padim import Padim, PadimConfig, Prediction, Workspace
from padim.decision.guard_band import Guard
from padim.decision.regions import map_mask, region_score
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit, sound
from tests.browser.live import Live
from tests.browser.looking import Upload, Visitor
from tests.parts import defects, normals, part, png
from tests.posed import posed
from ui.app.text import multiple

EVIL = "<img src=x onerror=alert(1)>.png"
WIDE, TALL = (60, 150), (150, 60)
# Twenty-four images of three shapes, half of them defective.
TESTS: list[Upload] = [
    *(
        (f"{name}_{i}.png", png(part(seed + i, size=size, defect=defect)))
        for name, seed, size, defect in (
            ("square_good", 60, (96, 96), False),
            ("square_bad", 500, (96, 96), True),
            ("wide_good", 70, WIDE, False),
            ("wide_bad", 600, WIDE, True),
            ("tall_good", 80, TALL, False),
            ("tall_bad", 700, TALL, True),
        )
        for i in range(4)
    )
]


@pytest.fixture(scope="module")
def runs(home: Path) -> Path:
    """A file with one byte for every run of the network."""
    file = home.parent / "runs"
    file.touch()
    return file


@pytest.fixture(scope="module")
def padded(home: Path, padim_cache: Path) -> Entry:
    """A model of oblong maps that pads its images, so that maps have margins that are nobody's."""
    store = Workspace(home)
    entry = store.create("Padded")
    config = PadimConfig(
        input_size=(160, 96), grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8, fit="pad"
    )
    model = Padim(config, work_dir=store.work_dir(entry.id))
    model.fit([*normals(12), *normals(6, first=12, size=WIDE), *normals(6, first=18, size=TALL)])
    model.save(entry.path)
    return sound(store.get(entry.id))


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry, padded: Entry, runs: Path) -> served.Server:
    """The app, its network's runs counted."""
    script = Path(__file__).with_name("counted.py")
    return start(
        command=(sys.executable, str(script), "run", str(served.ROOT / "app.py")), PADIM_TEST_RUNS=str(runs)
    )


def calibrating(visitor: Visitor, entry: Entry, files: list[Upload], kind: str = "I do not know yet") -> Live:
    """The Calibrate page with test images."""
    visitor.open(f"/calibrate?model={entry.id}")
    visitor.see_heading("Calibrate")
    live = Live(visitor).ready()
    if files:
        visitor.button("Add test images").click()
        visitor.page.get_by_role("radio", name=kind).click()
        visitor.settle()
        visitor.drop(files)
        live.part(".counts tr[data-kind]").nth(1).wait_for()
        visitor.page.locator("[class*='st-key-job-known']").wait_for(state="detached")
        live.ready()
    return live


def opened(home: Path, entry: Entry) -> Padim:
    return Workspace(home).open(entry.id)


def expected_mask(
    item: Prediction, level: int, min_area: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = map_mask(item.levels, level, min_area)
    box = item.content_box
    return mask if box is None else mask[box.top : box.top + box.height, box.left : box.left + box.width]


def test_masks_and_verdicts_in_the_browser_are_the_engines(
    server: served.Server, visit: Visit, padded: Entry, home: Path, runs: Path
) -> None:
    """24 images x 5 thresholds x 3 smallest regions, dragged with the mouse, read back from the canvas."""
    visitor = visit(server)
    live = calibrating(visitor, padded, TESTS)
    model = opened(home, padded)
    scored = {item.name: item for item in model.predict(TESTS)}
    live.part(".kinds").select_option("unknown")
    live.part(".order").select_option("given")
    live.part('[data-rows="4"]').click()
    ran = runs.stat().st_size
    compared = empty = full = 0
    seen: set[tuple[int, int]] = set()
    for min_area in (1, 8, 60):
        live.type(".area-type", str(min_area))
        for share in (0.9, 0.15, 0.7, 0.35, 0.5):
            live.line_to(share)
            level, area = live.decided
            assert area == min_area
            seen.add((level, area))
            # Every tile is in the document at this size of the window, so all verdicts are there at once.
            verdicts = live.verdicts()
            assert set(verdicts) == set(scored)
            for name, item in scored.items():
                rejected = region_score(item.levels, area) > level
                assert verdicts[name] == ("reject" if rejected else "accept"), (name, level, area)
            live.show(TESTS[0][0])
            for first in range(0, len(TESTS), 4):
                if first:
                    live.show(TESTS[first][0])
                masks = live.masks()
                assert len(masks) == 4
                for (name, _), drawn in zip(TESTS[first : first + 4], masks, strict=True):
                    item = scored[name]
                    assert drawn.id.endswith(item.sha256[:12])
                    assert (drawn.level, drawn.min_area) == (level, area)
                    truth = expected_mask(item, level, area)
                    assert drawn.mask.shape == truth.shape
                    assert np.array_equal(drawn.mask, truth), (name, level, area)
                    compared += 1
                    empty += not truth.any()
                    full += bool(truth.any())
    assert len(seen) == 15
    assert compared == 24 * 15
    assert min(empty, full) > 40, "thresholds that reject nothing or everything show little"
    assert runs.stat().st_size == ran, "moving the threshold ran the network"


def _note(sent: list[object], frame: object) -> None:
    """Note what the page has sent, without its looks at the work of others, which it takes by a clock."""
    # Either names every widget that has a value.
    if isinstance(frame, bytes) and not BackMsg.FromString(frame).rerun_script.is_auto_rerun:
        sent.append(frame)


def test_python_hears_once_and_on_release(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path, runs: Path
) -> None:
    visitor = visit(server)
    sent: list[object] = []
    visitor.page.on("websocket", lambda socket: socket.on("framesent", partial(_note, sent)))
    live = calibrating(visitor, small_entry, [])
    ran, before = runs.stat().st_size, live.decided
    requests = len(visitor.requested)
    sent.clear()
    live.line_to(0.3, release=False, steps=40)
    during = live.decided
    assert during != before, "the images did not follow the hand"
    assert sent == [], "a drag talked to the server"
    live.release()
    visitor.put_to_use()
    model = opened(home, small_entry)
    assert model.threshold_level == during[0]
    assert model.decision.choice.basis == "manual"
    assert runs.stat().st_size == ran
    moved = [url for url in visitor.requested[requests:] if "/media/" in url]
    assert moved == [], "an image or map was fetched again"
    maps = [url for url in visitor.requested if url.endswith(".gz")]
    assert len(maps) == len(set(maps)) == 22 + 1, "each map once, and the good parts' scores"


def test_one_release_is_one_message(server: served.Server, visit: Visit, small_entry: Entry) -> None:
    visitor = visit(server)
    sent: list[object] = []
    visitor.page.on("websocket", lambda socket: socket.on("framesent", partial(_note, sent)))
    live = calibrating(visitor, small_entry, [])
    for control in (
        lambda: live.line_to(0.6),
        lambda: live.type(".percentile", "88"),
        lambda: live.part(".opacity-slide").fill("0.8"),
    ):
        sent.clear()
        control()
        visitor.until(lambda: bool(sent), "the page has sent a message")
        live.frame()
        visitor.settle()
        assert len(sent) == 1


def test_three_readings_of_one_value(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    live = calibrating(visitor, small_entry, [])
    model = opened(home, small_entry)
    value = model.state.fitted.quantizer.to_value

    def reads(percentile: str, level: int) -> None:
        rate = model.state.false_rejects(level, model.config.min_area)
        expect(live.part(".percentile")).to_have_value(percentile)
        expect(live.part(".threshold")).to_have_value(f"{value(level):.2f}")
        expect(live.part(".share")).to_have_value(f"{100 * rate.expected:.1f}")
        expect(live.part(".promise")).to_have_text(rate.sentence)

    live.part('[data-basis="image"]').click()
    for percent in (95.0, 80.0, 62.5, 91.3):
        live.type(".percentile", str(percent))
        model.set_decision(basis="image", percentile=percent)
        reads(f"{percent:.1f}", model.threshold_level)
    live.type(".share", "20")
    model.set_decision(basis="image", percentile=80.0)
    reads("80.0", model.threshold_level)
    # A smallest region changes every score, and with a percentile the threshold moves along.
    for area in (1, 20, 3):
        live.type(".area-type", str(area))
        model.set_decision(min_area=area)
        reads("80.0", model.threshold_level)
        live.see_decided(model.threshold_level, area)
    live.part('[data-basis="pixel"]').click()
    model.set_decision(basis="pixel")
    live.see_decided(model.threshold_level)
    # By hand any value; the percentile then reads what it stands for.
    by_hand = value(int(np.median(model.state.part_scores(model.config.min_area))))
    live.type(".threshold", f"{by_hand:.4f}")
    model.set_decision(value=float(f"{by_hand:.4f}"))
    level = model.threshold_level
    live.see_decided(level)
    above = model.state.false_rejects(level, model.config.min_area).above
    reads(f"{1000 * (22 - above) // 23 / 10:.1f}", level)
    # More than the parts can support is said plainly.
    live.type(".percentile", "99")
    live.part(".warning").get_by_text("99 % asks for at least 99 good parts; there are 22.").wait_for()
    # Back, step by step, and at once.
    live.part(".undo").click()
    live.see_decided(level)
    live.part(".back").click()
    saved = opened(home, small_entry)
    live.see_decided(saved.threshold_level, saved.config.min_area)


def test_counts_on_either_side_follow_the_line(
    server: served.Server, visit: Visit, own_entry: Entry, home: Path
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    bad = [file for file in defects(5) if isinstance(file[1], bytes)]
    live = calibrating(visitor, own_entry, [(name, bytes(data)) for name, data in bad], "Defects")
    model = opened(home, own_entry)
    scores = {item.name: item.score_level for item in model.predict(bad)}
    good = model.state.part_scores(model.config.min_area)
    for share in (0.1, 0.4, 0.8):
        live.line_to(share, release=False)
        level, _ = live.decided
        for kind, levels in (("normal", good), ("defect", np.array(list(scores.values())))):
            row = live.part(f'.counts tr[data-kind="{kind}"]')
            expect(row.locator(".above")).to_have_text(str((levels > level).sum()))
            expect(row.locator(".below")).to_have_text(str((levels <= level).sum()))
        live.release()
    live.part(".hist .bar.normal").nth(3).wait_for(state="attached")
    live.part(".hist .bar.defect").first.wait_for(state="attached")


def test_the_list_of_changes(server: served.Server, visit: Visit, own_entry: Entry, home: Path) -> None:
    visitor = visit(server)
    files = [(name, bytes(data)) for name, data in [*normals(8, first=60), *defects(4)]]
    model = opened(home, own_entry)
    live = calibrating(visitor, own_entry, files)
    saved = model.threshold_level
    live.part(".kinds").select_option("unknown")
    live.part('[data-filter="changes"]').click()
    live.line_to(0.02)
    level, _ = live.decided
    scores = {item.name: item.score_level for item in model.predict(files)}
    flips = sorted(
        (name for name, score in scores.items() if (score > saved) != (score > level)),
        key=lambda name: abs(scores[name] - saved),
    )
    assert len(flips) >= 4
    live.see_names(flips)
    live.show(flips[0])
    # Without the mouse, and without waiting: kept, not a defect, a defect. Each leaves the list, and the next
    # one is shown, at its full resolution.
    for key in ("k", "n", "d"):
        live.page.keyboard.press(key)
    del flips[:3]
    live.part(".headline .name").get_by_text(flips[0], exact=True).wait_for()
    visitor.settle()
    live.see_names(flips)
    live.part(".original img.full:visible").wait_for()
    visitor.main.get_by_text("1 defect image").wait_for()
    live.part('[data-filter="all"]').click()
    live.part(".tile").nth(len(flips)).wait_for()
    # A label is kept with the model: the same image, brought another day, is known.
    visitor.keyed("calibrate-forget").get_by_role("button").click()
    live = calibrating(visitor, own_entry, files)
    live.part('.counts tr[data-kind="defect"] .above, .counts tr[data-kind="defect"] .below').first.wait_for()
    live.part('.counts tr[data-kind="good"]').wait_for()


def test_an_operating_point_is_one_click(
    server: served.Server, visit: Visit, padded: Entry, home: Path
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    bad = [file for file in TESTS if "bad" in file[0]]
    live = calibrating(visitor, padded, bad, "Defects")
    before = live.decided
    point = visitor.keyed("point-zero_false_reject")
    says_threshold = re.compile(r"Threshold\s*([\d.]+)")
    expect(point).to_have_text(says_threshold)
    told = says_threshold.search(point.inner_text())
    assert told is not None
    point.get_by_role("button", name="Select").click()
    point.get_by_role("button", name="Selected").wait_for()
    expect(live.part(".threshold")).to_have_value(told[1])
    visitor.until(lambda: live.decided != before, "another threshold is drawn")
    live.part(".undo").click()
    live.see_decided(*before)


def test_by_keyboard_alone(server: served.Server, visit: Visit, small_entry: Entry, home: Path) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    live = calibrating(visitor, small_entry, [])
    keyboard = visitor.page.keyboard
    live.part(".threshold").focus()
    line = live.part(".hist .line")
    for _ in range(12):
        keyboard.press("Tab")
        if line.evaluate("line => line === line.getRootNode().activeElement"):
            break
    else:
        pytest.fail("the line cannot be reached by the Tab key")
    level, _ = live.decided
    keyboard.press("ArrowLeft")
    visitor.until(lambda: live.decided[0] < level, "the line has moved")
    step = level - live.decided[0]
    assert step > 0
    # Quicker than the frames: none gets lost.
    for _ in range(9):
        keyboard.press("ArrowLeft")
    keyboard.press("ArrowRight")
    keyboard.press("Shift+ArrowLeft")
    live.frame()
    visitor.settle()
    visitor.until(lambda: live.decided[0] <= level - 18 * step, "the line has followed all keys")
    large = level - 9 * step - live.decided[0]
    assert 9 * step <= large <= 11 * step
    value = opened(home, small_entry).state.fitted.quantizer.to_value(live.decided[0])
    expect(line).to_have_attribute("aria-valuenow", f"{value:.2f}")
    before = live.decided[0]
    keyboard.press("Control+z")
    visitor.until(lambda: live.decided[0] > before, "the last step is undone")
    live.part(".next").focus()
    name = live.part(".headline .name").inner_text()
    keyboard.press("ArrowRight")
    live.part(".headline .name").get_by_text(name, exact=True).wait_for(state="detached")
    shown = {"1": "original", "2": "heatmap", "3": "mask", "4": "overlay"}
    for key, kind in shown.items():
        keyboard.press(key)
        expect(live.part(".pane:visible")).to_have_count(1)
        expect(live.part(f".pane.{kind}")).to_be_visible()
    keyboard.press("0")
    expect(live.part(".pane:visible")).to_have_count(4)
    for key, layer in (("o", "contour"), ("h", "heatmap"), ("m", "mask")):
        box = live.part(f'[data-layer="{layer}"]')
        on = box.is_checked()
        keyboard.press(key)
        expect(box).to_be_checked(checked=not on)
    keyboard.press("+")
    live.part(".whole").get_by_text("1.5 ×").wait_for()
    stage = live.part(".stage").first
    unmoved = stage.evaluate("stage => getComputedStyle(stage).transform")
    keyboard.press("Shift+ArrowRight")
    expect(stage).not_to_have_css("transform", unmoved)
    keyboard.press("Escape")
    live.part(".whole").get_by_text("1 ×", exact=True).wait_for()


def test_zoom_and_pointer_are_the_same_in_every_pane(
    server: served.Server, visit: Visit, padded: Entry, home: Path
) -> None:
    visitor = visit(server)
    live = calibrating(visitor, padded, TESTS[8:16], "Defects")
    live.part(".kinds").select_option("defect")
    name, data = TESTS[12]  # a wide one, so that the map has margins
    live.show(name)
    model = opened(home, padded)
    (item,) = model.predict([(name, data)])
    frame = live.part(".overlay .frame")
    frame.click()
    box = frame.bounding_box()
    assert box is not None
    u, v = 0.3, 0.6
    visitor.page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
    visitor.page.mouse.wheel(0, -400)
    live.part(".panes.zoomed").wait_for()
    transforms = live.root.evaluate(
        "viewer => [...viewer.querySelectorAll('.stage')].map(stage => getComputedStyle(stage).transform)"
    )
    assert len(transforms) == 4
    # Of one image all four panes have one size: they show the same part of it.
    assert len(set(transforms)) == 1
    assert transforms[0] not in ("none", "matrix(1, 0, 0, 1, 0, 0)")
    # Zooming keeps what is under the pointer; the value there is the judged map's.
    visitor.page.mouse.move(box["x"] + u * box["width"] + 1, box["y"] + v * box["height"])
    text = live.part(".readout").inner_text()
    found = re.fullmatch(r"x (\d+), y (\d+) · ([\d.]+ ×) threshold \(([\d.]+)\)", text)
    assert found is not None, text
    x, y = int(found[1]), int(found[2])
    height, width = item.original_size
    assert abs(x - u * width) < 3
    assert abs(y - v * height) < 3
    content = item.content_box
    assert content is not None
    level = item.levels[
        content.top + (2 * y + 1) * content.height // (2 * height),
        content.left + (2 * x + 1) * content.width // (2 * width),
    ]
    value = model.state.fitted.quantizer.to_value(int(level))
    assert found[4] == f"{value:.2f}"
    threshold = model.state.fitted.quantizer.to_value(live.decided[0])
    assert found[3] == multiple(value, threshold)
    frame.dblclick()
    live.part(".panes:not(.zoomed)").first.wait_for()


def test_names_are_text_and_one_more_image_fetches_one(
    server: served.Server, visit: Visit, own_entry: Entry
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    live = calibrating(visitor, own_entry, [(EVIL, TESTS[0][1]), *TESTS[1:8]], "Defects")
    live.show(EVIL)
    assert live.part("img[src='x']").count() == 0
    maps = {url for url in visitor.requested if url.endswith(".gz")}
    assert len(maps) >= 22 + 8
    live.part('[data-rows="2"]').click()
    live.see_full()
    visitor.page.get_by_role("button", name="Add test images").click()
    seen = len(visitor.requested)
    visitor.drop([TESTS[9]])
    live.part(f'.tile b[title="{TESTS[9][0]}"]').wait_for()
    visitor.page.locator("[class*='st-key-job-known']").wait_for(state="detached")
    live.show(TESTS[9][0])
    live.ready()
    fetched = [url for url in visitor.requested[seen:] if "/media/" in url]
    assert len([url for url in fetched if url.endswith(".gz")]) == 1, "one map"
    assert len(set(fetched)) <= 3, "its map, its small image, and itself as it came"
    expect(live.part(".row:visible"), "the viewer was built anew").to_have_count(2)
    assert visitor.dialogs == []


def test_inspect_judges_by_the_threshold_in_use(
    server: served.Server, visit: Visit, padded: Entry, home: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    visitor.open(f"/inspect?model={padded.id}")
    visitor.see_heading("Inspect")
    visitor.drop(TESTS)
    visitor.see_list_of(len(TESTS))
    live = Live(visitor).ready()
    assert live.part(".decision").is_hidden(), "here the threshold is not to be moved"
    model = opened(home, padded)
    scored = {item.name: item for item in model.predict(TESTS)}
    level, area = model.threshold_level, model.config.min_area
    for name in list(live.verdicts())[:6]:
        live.show(name)
        (drawn,) = live.masks()
        assert (drawn.level, drawn.min_area) == (level, area)
        assert np.array_equal(drawn.mask, expected_mask(scored[name], level, area))
        decision = model.decide(scored[name])
        assert live.verdicts()[name] == ("reject" if decision.rejected else "accept")
        expect(live.part(".headline .verdict")).to_have_text("Reject" if decision.rejected else "Accept")
        visitor.settle()
    # Chosen, searched away and come back to: the mask to take along is that of the image shown.
    live.show("square_good_1.png")
    assert visitor.download_mask(tmp_path).name == "square_good_1_mask.png"
    search = visitor.keyed("inspect-search").get_by_role("textbox")
    for words, shown in (("wide_bad_2", "wide_bad_2.png"), ("", "square_good_1.png")):
        search.fill(words)
        search.press("Enter")
        live.part(".headline .name").get_by_text(shown, exact=True).wait_for()
        assert visitor.download_mask(tmp_path).name == shown.replace(".png", "_mask.png")
    live.show("wide_bad_2.png")
    assert visitor.download_mask(tmp_path).name == "wide_bad_2_mask.png"
    # More images: the viewer stays as it was set, and fetches what is new.
    live.part('[data-rows="2"]').click()
    live.see_full()
    seen = len(visitor.requested)
    visitor.button("Add images").click()
    visitor.drop([("one_more.png", png(part(900)))])
    visitor.see_list_of(len(TESTS) + 1)
    live.part('.tile b[title="one_more.png"]').wait_for()
    live.ready()
    fetched = [url for url in visitor.requested[seen:] if "/media/" in url]
    assert len([url for url in fetched if url.endswith(".gz")]) == 1, "one map"
    assert len(fetched) <= 3, "its map, its small image, and the large one as it came"
    expect(live.part(".row:visible"), "the viewer was built anew").to_have_count(2)


def test_a_guard_band_calls_for_review(
    server: served.Server, visit: Visit, small_model: Padim, home: Path
) -> None:
    from playwright.sync_api import expect

    store = Workspace(home)
    entry = store.create("Guarded")
    small_model.save(entry.path)
    model = store.open(entry.id)
    files = [(name, bytes(data)) for name, data in [*normals(6, first=60), *defects(3)]]
    apart = sorted(abs(item.score_level - model.threshold_level) for item in model.predict(files))
    band = apart[3]  # the border belongs to the band: four are to be reviewed
    model.set_guard(Guard((band + 0.5) * model.state.fitted.quantizer.step, 1.0, 4, 5, 1))
    model.set_roi(np.pad(np.ones((40, 40), bool), 12)).save(entry.path)
    model = store.open(entry.id)
    scored = {item.name: item for item in model.predict(files)}
    visitor = visit(server)
    live = calibrating(visitor, entry, files)
    live.part(".kinds").select_option("unknown")
    seen: set[str] = set()
    for share in (0.1, 0.25, 0.5):
        live.line_to(share)
        level, _ = live.decided
        expected = {name: model.verdict(item.score_level, level) for name, item in scored.items()}
        visitor.until(partial(live.shows_verdicts, expected), f"the tiles say {expected}")
        row = live.part('.counts tr[data-kind="unknown"]')
        said: list[str] = list(expected.values())
        for kind, verdict in (("below", "accept"), ("above", "reject"), ("review", "review")):
            expect(row.locator(f".{kind}")).to_have_text(str(said.count(verdict)))
        seen.update(said)
    assert seen >= {"accept", "review"}
    # Outside the region of interest nothing is drawn as rejected, and its border is shown: where not all of
    # it is rejected, or the outline would lie on the border.
    live.line_to(0.25)
    name = max(scored, key=lambda one: scored[one].score_level)
    live.show(name)
    (drawn,) = live.masks()
    assert drawn.mask.any()
    assert not drawn.mask[:12].any()
    dashes = live.part(".contour").first.evaluate(
        """canvas => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let white = 0;
            for (let i = 0; i < data.length; i += 4) white += data[i] > 120 && data[i + 3] > 60;
            return white;
        }"""
    )
    assert dashes > 50


def test_the_mask_of_a_located_part_is_seen_where_it_is_on_the_image(
    server: served.Server, visit: Visit, turned_entry: Entry, home: Path, tmp_path: Path
) -> None:
    from PIL import Image

    name, data = "turned.png", png(posed(970, dx=6, turn=70, defect=(20, -6)))
    (item,) = opened(home, turned_entry).predict([(name, data)])
    assert item.placement is not None
    assert item.mask.any()
    visitor = visit(server)
    visitor.open(f"/inspect?model={turned_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop([(name, data)])
    visitor.see_list_of(1)
    visitor.see_shown(name)
    live = Live(visitor).ready()
    # The pane of the mask alone, photographed: what is white on the screen is what is rejected.
    visitor.page.keyboard.press("3")
    frame = live.part(".mask .frame")
    frame.click()
    visitor.page.keyboard.press("3")
    live.part(".panes.one").wait_for()
    visitor.page.mouse.move(0, 0)
    live.frame()
    shot = np.asarray(Image.open(BytesIO(frame.screenshot())).convert("L"))[2:-2, 2:-2]
    height, width = item.original_size
    rows = ((np.arange(height) + 0.5) * shot.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * shot.shape[1] / width).astype(int)
    seen = shot[np.ix_(rows, columns)] > 127
    # By the map pixel under every pixel's center; the mask has some more, so that no map pixel is lost.
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    u, v = np.floor(np.tensordot(item.placement.inverse, [x, y, np.ones_like(x)], 1)).astype(int)
    drawn = map_mask(item.levels, item.decision_level, item.min_area)
    inside = (u >= 0) & (v >= 0) & (u < drawn.shape[1]) & (v < drawn.shape[0])
    wanted = inside & drawn[v.clip(0, drawn.shape[0] - 1), u.clip(0, drawn.shape[1] - 1)]
    both = (seen & wanted).sum() / (seen | wanted).sum()
    # The photograph begins within a pixel of the screen, so that pixels on the outline may differ.
    assert both > 0.9, f"they share {100 * both:.0f} %"
    middles = np.array([np.argwhere(one).mean(axis=0) for one in (seen, wanted)])
    assert np.abs(middles[0] - middles[1]).max() < 0.3, "shifted"
    assert (seen & ~item.mask).sum() <= 2
    # The level that the readout says is that of the map pixel under the pointer.
    box = frame.bounding_box()
    assert box is not None
    visitor.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    found = re.fullmatch(r"x (\d+), y (\d+) · .* threshold \(([\d.]+)\)", live.part(".readout").inner_text())
    assert found is not None
    at = int(found[2]), int(found[1])
    assert found[3] == f"{item.quantizer.to_value(int(item.levels[v[at], u[at]])):.2f}"
    visitor.page.mouse.move(box["x"] + 3, box["y"] + 3)
    live.part(".readout").get_by_text("outside the frame").wait_for()
    # And so is the file of the mask.
    saved = np.asarray(Image.open(visitor.download_mask(tmp_path))) > 0
    assert np.array_equal(saved, item.mask)


def test_the_histogram_never_covers_the_image_at_900_pixels(
    server: served.Server, visit: Visit, own_entry: Entry
) -> None:
    visitor = visit(server)
    live = calibrating(visitor, own_entry, TESTS[:4])
    for height in (700, 900):
        visitor.page.set_viewport_size({"width": 1440, "height": height})
        for block in ("start", "center", "end", "nearest"):
            image = live.part(".row .original").first
            image.evaluate("(element, block) => element.scrollIntoView({ block })", block)
            live.frame()
            shown, gauge = image.bounding_box(), live.part(".gauge").bounding_box()
            assert shown is not None
            assert gauge is not None
            assert gauge["y"] + gauge["height"] <= shown["y"], (height, block)
    # The line and the whole image are in sight together.
    live.part(".gauge").evaluate("element => element.scrollIntoView({ block: 'start' })")
    live.frame()
    shown, gauge = image.bounding_box(), live.part(".gauge").bounding_box()
    assert shown is not None
    assert gauge is not None
    assert gauge["y"] >= -1
    assert shown["y"] + shown["height"] <= 900


def test_a_message_is_seen_wherever_the_page_is_scrolled_to(
    server: served.Server, visit: Visit, own_entry: Entry
) -> None:
    from playwright.sync_api import expect

    visitor = visit(server)
    calibrating(visitor, own_entry, TESTS[:8], kind="Defects")
    visitor.page.set_viewport_size({"width": 1440, "height": 900})
    point = visitor.keyed("point-zero_false_reject").get_by_role("button", name="Select")
    point.scroll_into_view_if_needed()
    point.click()
    message = visitor.page.get_by_test_id("stToast").get_by_text("a draft, until you use it")
    expect(message).to_be_in_viewport()
