"""Bad and hostile files through the app: each is named with a reason, the others go on, the server lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import served
from padim import Workspace
from padim.storage.model_folders import Entry
from tests import bombs, hostile
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Upload, Visitor, results
from tests.parts import defects, normals, part, png

# A name that no file of this machine has: wherever it turns up, a member of the archive below was written.
ESCAPED = f"escaped-{os.getpid()}.png"
# No quotation marks, slashes or backslashes: no file name has them once a browser has sent it. Markdown reads
# entities in an address all the same, so this one could have the page load something from elsewhere.
SCRIPT = "<img src=x onerror=alert(1)>.png"
MARKDOWN = "![seen](&#47;&#47;192.0.2.1&#47;seen) **bold** [link](y).png"
GOOD: list[Upload] = [(name, bytes(data)) for name, data in normals(4, first=900)]
GOOD_IN_ZIP = "belt 3/part 1.png"

# Each file with the names that the page must blame.
BAD: list[tuple[Upload, str]] = [
    (("empty.png", b""), "empty.png"),
    (("renamed.png", b"this is not an image\n" * 50), "renamed.png"),
    (("page.jpg", b"<html><script>alert('run')</script></html>"), "page.jpg"),
    (("cut short.jpg", hostile.encode(part(3, size=(300, 300)), "JPEG")[:1500]), "cut short.jpg"),
    (("claims 400 megapixels.png", hostile.png_header_bomb()), "claims 400 megapixels.png"),
    (("holds 400 megapixels.png", hostile.png_bomb()), "holds 400 megapixels.png"),
    (("claims 25 megapixels.png", hostile.png_header_bomb(5000, 5000)), "claims 25 megapixels.png"),
    (("run length.bmp", bombs.bmp_run_length(50, 40)), "run length.bmp"),
    (("many scans.jpg", bombs.jpeg_of_scans(60, 64, 64)), "many scans.jpg"),
    (("not a zip.zip", b"PK, or so it says" * 20), "not a zip.zip"),
    (("bomb.zip", hostile.zip_bomb("unpacks.png")), "unpacks.png"),
    (
        (
            "escape.zip",
            hostile.zip_of(
                [(f"{'../' * depth}{ESCAPED}", png(part(20 + depth))) for depth in (1, 2, 3, 6)]
                + [(f"/tmp/{ESCAPED}", png(part(30))), (GOOD_IN_ZIP, png(part(31)))]
            ),
        ),
        ESCAPED,
    ),
]
NAMED = [(SCRIPT, png(part(910))), (MARKDOWN, png(part(911)))]


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry) -> served.Server:
    """The app on a workspace with one small model."""
    return start()


def uploads(good: list[Upload]) -> list[Upload]:
    """The bad files between good ones."""
    bad = [file for file, _ in BAD]
    return [good[0], *bad[:5], good[1], *bad[5:], *good[2:], *NAMED]


def see_all_blamed(visitor: Visitor) -> None:
    """Every bad file is named, with a reason; no good one is."""
    expander = visitor.main.get_by_text("cannot be used")
    expander.wait_for()
    visitor.settle()  # it may open by itself
    if not visitor.main.locator(".pv-problems").is_visible():
        expander.click()
    blamed = visitor.problems()
    for _, name in BAD:
        (reason, *_more) = [why for shown, why in blamed.items() if name in shown] or [""]
        assert len(reason.split()) >= 3, f"{name}: no reason in {blamed}"
    for name, _ in [*GOOD, *NAMED]:
        assert name not in blamed
    # Reasons, not stack traces or the server's paths.
    text = visitor.main.locator(".pv-problems").inner_text()
    assert "Traceback" not in text
    assert str(served.ROOT) not in text


def see_nothing_was_run(visitor: Visitor) -> None:
    """File names are text: nothing of them became an element of the page."""
    assert (
        visitor.page.locator(
            ".stApp :is(img[src$='x'], img[onerror], img[src*='192.0.2.1'], a[href$='y'])"
        ).count()
        == 0
    )
    assert visitor.dialogs == []
    assert visitor.strangers() == []
    assert visitor.main.get_by_test_id("stException").count() == 0


def see_nothing_escaped(home: Path, before: set[Path]) -> None:
    """Members named ``../`` lie nowhere; outside workspace and temporary folder nothing is new."""
    for start in (home, home.parent / "tmp", served.ROOT, Path.cwd(), Path("/tmp")):
        for folder in (start, *start.parents):
            assert not (folder / ESCAPED).exists()
    assert written(home) == before
    inside = [path.name for path in home.parent.rglob("*") if "escaped" in path.name]
    assert inside == []


def written(home: Path) -> set[Path]:
    """Files beside the workspace and the temporary folder."""
    apart = {home, home.parent / "tmp"}
    return {path for path in home.parent.rglob("*") if not apart & {path, *path.parents}}


def test_hostile_files_on_the_inspect_page(
    server: served.Server, visit: Visit, home: Path, small_entry: Entry, tmp_path: Path
) -> None:
    before = written(home)
    files = {path: path.read_bytes() for path in small_entry.path.rglob("*") if path.is_file()}
    visitor = visit(server)
    visitor.open("/inspect")
    visitor.see_heading("Inspect")
    bad = defects(1)[0]
    good = [*GOOD, (bad[0], bytes(bad[1]))]
    visitor.drop(uploads(good))
    visitor.see_list_of(len(good) + len(NAMED) + 1)
    see_all_blamed(visitor)
    listed = {row["name"]: row["verdict"] for row in results(visitor.download("inspect-csv", tmp_path))}
    assert listed[bad[0]] == "reject"
    assert {name for name, _ in [*good, *NAMED]} < set(listed)
    assert any(name.endswith(GOOD_IN_ZIP) for name in listed), "the archive's good image is scored"
    # Each name in full view: headline, alternative texts, list.
    for name, _ in NAMED:
        visitor.page.get_by_placeholder("Search by name").fill(name.split()[0])
        visitor.page.keyboard.press("Enter")
        visitor.see_shown(name)
        assert min(visitor.full_image()[1:]) > 0, "the original was not loaded"
        see_nothing_was_run(visitor)
    see_nothing_escaped(home, before)
    kept = {path: path.read_bytes() for path in small_entry.path.rglob("*") if path.is_file()}
    # That images were inspected is noted beside the model, which gets its first version.
    new = {path.relative_to(small_entry.path).parts[0] for path in set(kept) - set(files)}
    assert new <= {"progress.json", "versions"}
    assert {path for path in files if kept.get(path) != files[path]} == set()
    assert server.alive


def test_hostile_files_on_the_fit_page(server: served.Server, visit: Visit, home: Path) -> None:
    before = written(home)
    others = {entry.id for entry in Workspace(home).models()}
    visitor = visit(server)
    visitor.open("/")
    visitor.see_heading("Models")
    visitor.button("Fit a model").click()
    visitor.see_heading("Fit")
    visitor.drop(uploads(GOOD))
    go = visitor.button("Fit the model")
    go.wait_for()
    visitor.settle()
    see_all_blamed(visitor)
    see_nothing_was_run(visitor)
    names = visitor.main.locator(".pv-tile b").all_inner_texts()
    assert {name for name, _ in [*GOOD, *NAMED]} < set(names)
    visitor.page.get_by_role("textbox", name="Name of the model").fill(f"Fit among {SCRIPT}")
    visitor.page.keyboard.press("Enter")
    go.click()
    visitor.main.get_by_text("Most unusual good parts").wait_for()
    visitor.settle()
    visitor.until(lambda: visitor.model_id not in {"", *others}, "the address names the new model")
    see_nothing_was_run(visitor)
    model = Workspace(home).open(visitor.model_id)
    assert len(model.normals_) == len(GOOD) + len(NAMED) + 1
    assert {name for name, _ in [*GOOD, *NAMED]} < {normal.name for normal in model.normals_}
    see_nothing_escaped(home, before)
    assert server.alive
    # The page after the fit names what it passed over, and the next visitor is served.
    next_one = visit(server)
    next_one.open(f"/inspect?model={visitor.model_id}")
    next_one.see_heading("Inspect")
    next_one.drop(GOOD[:1])
    next_one.see_list_of(1)
    see_nothing_was_run(next_one)


@pytest.mark.parametrize("name", [SCRIPT, MARKDOWN], ids=["html", "markdown"])
def test_a_single_files_name_stands_for_the_lot(server: served.Server, visit: Visit, name: str) -> None:
    """Above the thumbnails, above the progress bar: as it is spelt, not as markup."""
    from playwright.sync_api import expect

    visitor = visit(server)
    visitor.open("/fit")
    visitor.see_heading("Fit")
    visitor.open_tab("Images")
    visitor.page.get_by_test_id("stFileUploaderDropzone").wait_for()
    visitor.drop([(name, GOOD[0][1])])
    visitor.button("Fit the model").wait_for()
    visitor.settle()
    see_nothing_was_run(visitor)
    # Once as the heading of the lot, once below its thumbnail.
    expect(visitor.main.get_by_text(name, exact=True)).to_have_count(2)


def test_nothing_but_broken_files(server: served.Server, visit: Visit) -> None:
    """The page says so, names them, and takes good ones afterwards."""
    bad = [file for file, _ in BAD[:4]]
    visitor = visit(server)
    visitor.open("/inspect")
    visitor.see_heading("Inspect")
    visitor.drop(bad)
    visitor.main.get_by_text("4 files cannot be used").wait_for()
    assert visitor.server.alive
    visitor.settle()
    visitor.button("Clear the list").click()
    visitor.main.get_by_text("No images yet").wait_for()
    visitor.drop(GOOD[:1])
    visitor.see_list_of(1)

    visitor.go("Fit")
    visitor.open_tab("Images")
    visitor.page.get_by_test_id("stFileUploaderDropzone").wait_for()
    visitor.drop(bad)
    visitor.main.get_by_text("No image can be used").wait_for()
    assert set(visitor.problems()) == {name for name, _ in bad}
    visitor.button("Fit the model").wait_for(state="detached")
    visitor.button("Choose other images").click()
    visitor.page.get_by_test_id("stFileUploaderDropzone").wait_for()
