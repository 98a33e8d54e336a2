"""The whole way in a real browser, on the sample: fit, look the normals over, calibrate, inspect, download.

What the page says is held against the engine, run here on the very model that the app saved.
"""

from __future__ import annotations

import io
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks import served
from padim import Padim, Prediction, Workspace
from tests.browser.conftest import Start, Visit
from tests.browser.live import Live
from tests.browser.looking import Upload, Visitor, results
from ui.app.text import multiple

PART = served.ROOT / "sample_data" / "flange"
# The first of each kind is the most obvious one.
# Runs of the network when a change of a model is saved: its new self-test.
SELF_TEST = 3
OBVIOUS = ("hole", "chip", "scratch")
# Good parts whose scores lie well below the threshold that the sample comes to.
GOOD = (0, 1, 2, 3)
BROKEN = ("notes.png", b"This is a text that somebody renamed.\n" * 20)


def image(kind: str, number: int) -> Upload:
    """A test image of the sample under a name of its own."""
    return f"{kind}_{number:03d}.jpg", (PART / "test" / kind / f"{number:03d}.jpg").read_bytes()


@pytest.fixture(scope="module")
def runs(home: Path) -> Path:
    """A file with one byte for every run of the network."""
    file = home.parent / "runs"
    file.touch()
    return file


@pytest.fixture(scope="module")
def server(start: Start, runs: Path) -> served.Server:
    """The app, its network's runs counted."""
    script = Path(__file__).with_name("counted.py")
    command = (sys.executable, str(script), "run", str(served.ROOT / "app.py"))
    return start(command=command, PADIM_TEST_RUNS=str(runs))


def test_the_whole_way(
    server: served.Server, start: Start, visit: Visit, home: Path, runs: Path, tmp_path: Path
) -> None:
    visitor = visit(server)
    fit_the_sample(visitor)
    model_id = visitor.model_id
    assert runs.stat().st_size == 0, "the fit ran in the server's own process"
    take_a_normal_out_and_put_it_back(visitor, home)
    assert runs.stat().st_size <= 2 * SELF_TEST, "saving ran more than the new self-test of each change"
    calibrate(visitor, home, runs)
    inspect(visitor, home, runs, tmp_path)
    assert runs.stat().st_size > 0, "the runs of scoring were not counted"
    come_back_later(visitor)

    # Another server on the same workspace: the model is there, with the threshold set above.
    server.process.terminate()
    server.process.wait(120)
    later = visit(start())
    later.open()
    later.see_heading("Models")
    row = later.keyed(f"row-{model_id}")
    row.get_by_text("Sample flange").wait_for()
    model = Workspace(home).open(model_id)
    row.get_by_text(
        f"threshold {model.state.fitted.quantizer.to_value(model.threshold_level):.2f}"
    ).wait_for()
    later.open(f"/inspect?model={model_id}")
    later.see_heading("Inspect")
    later.main.get_by_test_id("stFileUploaderDropzone").wait_for()


# -- Home and Fit ----------------------------------------------------------------------------------------


def fit_the_sample(visitor: Visitor) -> None:
    from playwright.sync_api import expect

    visitor.open()
    visitor.see_heading("Models")
    visitor.main.get_by_text("No models yet").wait_for()
    visitor.button("Try it with the sample").click()
    visitor.see_heading("Fit")
    go = visitor.button("Fit the model")
    go.wait_for()
    thumbs = visitor.main.locator(".pv-gallery img")
    expect(thumbs).to_have_count(48)
    thumbs.nth(47).scroll_into_view_if_needed()
    visitor.page.wait_for_function(
        "() => [...document.querySelectorAll('.pv-gallery img')].filter(i => i.naturalWidth > 0).length > 10"
    )
    go.click()
    # While it fits, the page shows how far it is.
    visitor.page.locator("[class*='st-key-job-fit']").wait_for()
    visitor.main.get_by_text("Most unusual good parts").wait_for()
    visitor.settle()
    visitor.until(lambda: bool(visitor.model_id), "the address names the model")


def take_a_normal_out_and_put_it_back(visitor: Visitor, home: Path) -> None:
    from playwright.sync_api import expect

    model = Workspace(home).open(visitor.model_id)
    bars = visitor.main.locator(".js-plotly-plot .bars path")
    bars.first.wait_for()
    assert bars.count() >= 5, "a histogram of one bar says nothing"
    ranked = visitor.main.locator(".st-key-fit-normals .pv-tile b")
    levels = model.state.image_levels(model.config.min_area)
    by_rank = [model.normals_[i].name for i in np.argsort(-levels, kind="stable")]
    assert ranked.all_inner_texts() == by_rank[: ranked.count()]
    assert ranked.count() >= 12
    promise = model.false_reject_rate_.sentence
    visitor.main.get_by_text(promise).wait_for()

    look_at_one(visitor, by_rank)
    worst = int(np.argmax(levels))
    name = by_rank[0]
    visitor.keyed(f"why-{worst}").get_by_role("button").click()
    visitor.keyed(f"not_good-{worst}").get_by_role("button").click()
    back = visitor.keyed(f"back-{worst}")
    back.wait_for()
    out = visitor.keyed("fit-taken-out")
    out.get_by_text(name, exact=True).wait_for()
    out.get_by_text("Not a good part").wait_for()
    visitor.settle()
    expect(ranked.get_by_text(name, exact=True)).to_have_count(0)
    without = Workspace(home).open(visitor.model_id)
    assert without.normals_[worst].status == "not_good"
    assert not np.array_equal(without.state.gaussians.mean, model.state.gaussians.mean)

    back.get_by_role("button").click()
    back.wait_for(state="detached")
    ranked.get_by_text(name, exact=True).wait_for()
    visitor.main.get_by_text(promise).wait_for()
    again = Workspace(home).open(visitor.model_id)
    assert again.normals_ == model.normals_
    assert np.array_equal(again.state.gaussians.mean, model.state.gaussians.mean)
    assert np.array_equal(again.state.fitted.held_out, model.state.fitted.held_out)
    for file, numbers in model.state.gaussians.factor.files().items():
        assert np.array_equal(again.state.gaussians.factor.files()[file], numbers), (
            f"{file} did not come back"
        )


def look_at_one(visitor: Visitor, by_rank: list[str]) -> None:
    """Open the second good part in the viewer by its image, go on to the third by a key, and close it."""
    visitor.keyed("fit-normals").locator("[class*='st-key-fit-open-'] button").nth(1).click()
    dialog = visitor.page.get_by_role("dialog", name="Good part")
    name = dialog.locator(".headline .name")
    name.get_by_text(by_rank[1], exact=True).wait_for()
    dialog.locator('.row[data-drawn*=":"]').first.wait_for()
    visitor.page.keyboard.press("ArrowRight")
    name.get_by_text(by_rank[2], exact=True).wait_for()
    visitor.settle()
    visitor.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    visitor.settle()


# -- Calibrate -------------------------------------------------------------------------------------------


def calibrate(visitor: Visitor, home: Path, runs: Path) -> None:
    from playwright.sync_api import expect

    model = Workspace(home).open(visitor.model_id)
    before = model.threshold_level
    visitor.go("Calibrate")
    live = Live(visitor).ready()
    expect(live.part(".percentile")).to_have_value("95.0")
    live.part(".promise").get_by_text(promise(model, before)).wait_for()
    use = visitor.keyed("calibrate-use").get_by_role("button")
    expect(use, "nothing has changed yet").to_be_disabled()

    # The sample's defects are offered; a share of them is caught at the threshold in use.
    visitor.button("Add test images").click()
    visitor.keyed("known-sample").get_by_role("button").click()
    defects = sorted(path for path in (PART / "test").glob("*/*.jpg") if path.parent.name != "good")
    scored = list(model.predict((path.name, path.read_bytes()) for path in defects))
    see_caught(live, scored, before)

    live.ready()
    ran = runs.stat().st_size
    live.type(".percentile", "99")
    draft = model.set_decision(percentile=99.0).threshold_level
    assert draft > before
    assert model.state.false_rejects(draft, model.config.min_area) != model.state.false_rejects(
        before, model.config.min_area
    )
    live.part(".promise").get_by_text(promise(model, draft)).wait_for()
    # 48 parts cannot carry this percentile, and the page says what could.
    live.part(".warning").get_by_text("99 % asks for at least 99 good parts; there are 48.").wait_for()
    see_caught(live, scored, draft)
    live.type(".area-type", "40")
    larger = model.set_decision(min_area=40)
    assert larger.threshold_level != draft
    value = larger.state.fitted.quantizer.to_value(larger.threshold_level)
    expect(live.part(".threshold")).to_have_value(f"{value:.2f}")
    live.see_decided(larger.threshold_level, 40)
    assert runs.stat().st_size == ran, "a control ran the network"

    # A draft is nobody's threshold until it is put to use.
    assert Workspace(home).open(visitor.model_id).threshold_level == before
    # What a page shows is still there after a look at another one.
    visitor.go("Inspect")
    visitor.go("Calibrate")
    live.ready()
    expect(live.part(".percentile")).to_have_value("99.0")
    expect(live.part(".area-type")).to_have_value("40")
    live.part('.counts tr[data-kind="defect"]').wait_for()

    visitor.put_to_use()
    visitor.page.get_by_test_id("stSidebar").get_by_text(f"threshold {value:.2f}").wait_for()
    used = Workspace(home).open(visitor.model_id)
    assert (used.threshold_level, used.config.min_area) == (larger.threshold_level, 40)
    assert runs.stat().st_size == ran, "setting the threshold ran the network"


def promise(model: Padim, level: int) -> str:
    return model.state.false_rejects(level, model.config.min_area).sentence


def see_caught(live: Live, scored: list[Prediction], level: int) -> None:
    caught = sum(item.score_level > level for item in scored)
    assert 0 < caught < len(scored), "the sample has obvious defects and faint ones"
    live.part('.counts tr[data-kind="defect"] .above').get_by_text(f"{caught}", exact=True).wait_for()


# -- Inspect ---------------------------------------------------------------------------------------------


def inspect(visitor: Visitor, home: Path, runs: Path, folder: Path) -> None:
    uploads = [image("good", n) for n in GOOD] + [image(kind, 0) for kind in OBVIOUS]
    model = Workspace(home).open(visitor.model_id)
    scored = {item.name: item for item in model.predict(uploads)}
    worst_first = sorted(scored, key=lambda name: -scored[name].score_level)
    rejected = [name for name in worst_first if model.decide(scored[name]).rejected]
    assert set(rejected) == {f"{kind}_000.jpg" for kind in OBVIOUS}

    visitor.go("Inspect")
    visitor.drop([*uploads[:3], BROKEN, *uploads[3:]])
    visitor.see_list_of(len(uploads))
    assert visitor.problems() == {
        BROKEN[0]: " is text, not an image; save it as PNG, JPEG, BMP, TIFF or WebP"
    }
    visitor.see_shown(worst_first[0])
    see_table(visitor, model, scored, worst_first)
    see_panels(visitor, model, scored[worst_first[0]], dict(uploads)[worst_first[0]], folder)

    # Worst first, and on to the next by the arrow key; the panels follow.
    for name, following in pairwise(worst_first[:3]):
        visitor.see_shown(name)
        source, _, _ = visitor.full_image()
        visitor.page.keyboard.press("ArrowRight")
        visitor.see_shown(following)
        visitor.page.wait_for_function(
            "([image, source]) => image.src !== source",
            arg=[visitor.main.locator(".original img.full").first.element_handle(), source],
        )
    visitor.page.keyboard.press("ArrowLeft")
    visitor.see_shown(worst_first[1])
    ran = runs.stat().st_size

    check_csv(visitor.download("inspect-csv", folder), visitor, model, scored, worst_first)
    check_zip(visitor.download("inspect-zip", folder), scored, rejected)

    visitor.keyed("inspect-show").get_by_role("radio", name=f"Reject {len(rejected)}").click()
    visitor.main.get_by_text(f"of {len(rejected)}").wait_for()
    visitor.settle()
    see_table(visitor, model, scored, rejected)
    listed = results(visitor.download("inspect-csv", folder))
    used = [row["name"] for row in listed if row["file"] == "used"]
    assert used == rejected, "the file holds what is listed"
    assert [row["name"] for row in listed if row["file"] == "refused"] == [BROKEN[0]]
    assert runs.stat().st_size == ran, "looking at results ran the network"


def see_table(visitor: Visitor, model: Padim, scored: dict[str, Prediction], names: list[str]) -> None:
    """The list shows these images in this order, each with the engine's verdict."""
    lines = visitor.main.locator(f'table.results[aria-rowcount="{len(names) + 1}"] tr[data-verdict]')
    lines.first.wait_for()
    rows = visitor.table()
    assert [row["Name"] for row in rows] == names[: len(rows)]
    assert len(rows) >= min(6, len(names))
    threshold = model.state.fitted.quantizer.to_value(model.threshold_level)
    for row in rows:
        decision = model.decide(scored[row["Name"]])
        assert row["Verdict"] == ("Reject" if decision.rejected else "Accept")
        assert row["Regions"] == str(len(decision.regions))
        score = multiple(model.state.fitted.quantizer.to_value(decision.score_level), threshold)
        assert row["Score / threshold"] == score


def see_panels(visitor: Visitor, model: Padim, item: Prediction, data: bytes, folder: Path) -> None:
    """The original as it came, at full resolution; the mask to download is the engine's to the pixel."""
    height, width = item.original_size
    source, *size = visitor.full_image()
    assert size == [width, height]
    assert visitor.page.request.get(source).body() == data, "the original is shown as it came"
    visitor.main.locator(".pane:visible").nth(3).wait_for()
    mask = read(visitor.download_mask(folder).read_bytes())
    decision = model.decide(item)
    assert mask.shape == item.original_size
    assert np.array_equal(mask > 0, decision.mask)
    assert decision.mask.any()
    assert not decision.mask.all()


def check_csv(
    file: Path, visitor: Visitor, model: Padim, scored: dict[str, Prediction], names: list[str]
) -> None:
    everything = results(file)
    assert [row["name"] for row in everything if row["file"] == "refused"] == [BROKEN[0]]
    listed = [row for row in everything if row["file"] == "used"]
    assert [row["name"] for row in listed] == names
    for row in listed:
        item = scored[row["name"]]
        decision = model.decide(item)
        assert row["verdict"] == ("reject" if decision.rejected else "accept")
        assert float(row["score"]) == pytest.approx(
            model.state.fitted.quantizer.to_value(item.score_level), rel=1e-5
        )
        threshold = model.state.fitted.quantizer.to_value(model.threshold_level)
        assert float(row["threshold"]) == pytest.approx(threshold, rel=1e-5)
        # As written, too: a reject must not read like an accept after rounding.
        assert (float(row["score"]) > float(row["threshold"])) == decision.rejected
        assert int(row["regions"]) == len(decision.regions)
        assert (int(row["height"]), int(row["width"])) == item.original_size
        assert row["sha256"] == item.sha256
        assert (row["model_id"], row["min_area"]) == (visitor.model_id, "40")
        if decision.regions:
            largest = max(decision.regions, key=lambda region: region.area)
            for side in ("x", "y", "width", "height", "area"):
                assert int(row[f"largest_region_{side}"]) == getattr(largest, side)


def check_zip(file: Path, scored: dict[str, Prediction], rejected: list[str]) -> None:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        expected = {f"{'reject' if name in rejected else 'accept'}/{name}" for name in scored}
        assert set(names) == expected
        assert len(names) == len(expected)
        for name in names:
            strip = read(archive.read(name))
            assert strip.shape[1] > 3.5 * 512, "four panels side by side, none of them shrunk"
            assert strip.shape[0] >= 512


def come_back_later(visitor: Visitor) -> None:
    """After other pages the list, its filter and the image shown are as they were left."""
    from playwright.sync_api import expect

    shown = visitor.shown_name()
    visitor.go("Fit")
    visitor.go("Inspect")
    visitor.see_shown(shown)
    expect(visitor.keyed("inspect-show").get_by_role("radio", name="Reject")).to_be_checked()
    assert visitor.full_image()[1:] == (512, 512)


def read(data: bytes) -> npt.NDArray[np.uint8]:
    """An image's pixels."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)
