"""Compare page: choices, the engine's own figures, stopping and resuming, earlier studies, fitting one."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZipFile

import pytest

from padim import Workspace
from padim.errors import Cancelled, PadimError
from padim.study.combinations import Combinations
from padim.study.data import categories
from padim.study.plan import StudyPlan
from padim.study.ranking import overall, table
from padim.study.runner import Study, load
from tests.pages.session import Session
from tests.parts import defects, normals, part, png
from ui import compare
from ui.jobs import watch


def lay(root: Path, *, defective: bool = True) -> Path:
    """Write a data set in MVTec AD's layout: 10 good parts to fit on, 4 more and 3 chipped ones to score."""
    mask = part(1) * 0
    mask[24:72, 24:72] = 255
    files = [(f"train/good/{name}", data) for name, data in normals(10)]
    files += [(f"test/good/{name}", data) for name, data in normals(4, first=200)]
    if defective:
        files += [(f"test/chip/{name}", data) for name, data in defects(3)]
        files += [(f"ground_truth/chip/{name[:-4]}_mask.png", png(mask)) for name, _ in defects(3)]
    for name, data in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(data))
    return root


def packed(root: Path) -> bytes:
    """As one zip."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.writestr(f"{root.name}/{path.relative_to(root).as_posix()}", path.read_bytes())
    return buffer.getvalue()


@pytest.fixture
def prepared(tmp_path: Path) -> Session:
    """Return the page with images and the smallest settings."""
    page = Session("compare").upload([("ring.zip", packed(lay(tmp_path / "ring")))])
    return small(page)


def small(page: Session) -> Session:
    """Choose two methods on the smallest images."""
    page.set("pills", "compare-methods", ["padim", "shared"])
    page.set("pills", "compare-sizes", [128])
    return page.set("selectbox", "compare-stride", 16)


def shown(page: Session) -> Study:
    """Return the result of the session's job."""
    key = page.app.session_state[f"padim:{compare.__name__}.Comparing"].key
    job = watch.registry().get(key)
    assert job is not None
    found: Study = job.result
    return found


def test_an_empty_page_needs_no_model_and_says_what_to_do() -> None:
    page = Session("compare")
    assert "Nothing to compare on yet" in page.text
    assert "train/good" in page.text
    assert not page.app.error


def test_chosen_images_are_described_and_the_work_is_estimated(prepared: Session) -> None:
    assert "fitted on 10 good parts, evaluated on 4 good parts and 3 defects" in prepared.text
    assert "2 configurations on 1 data set: 2 runs. 1 pass of a network over 17 images." in prepared.text
    prepared.set("pills", "compare-sizes", [128, 192])
    assert "4 configurations on 1 data set: 4 runs. 2 passes" in prepared.text
    prepared.set("pills", "compare-methods", ["padim", "flow"])
    assert "2 of them train, which takes minutes" in prepared.text
    prepared.set("pills", "compare-methods", [])
    assert "Choose at least one of each" in prepared.app.error[0].value
    assert prepared.app.button(key="compare-start").disabled


@pytest.mark.slow
def test_the_table_has_the_engines_figures_the_best_first(prepared: Session) -> None:
    prepared.click("compare-start")
    study = shown(prepared)
    assert study.done == 2
    frame = prepared.app.dataframe[0].value
    ranked = overall(study)
    assert frame["Configuration"].tolist() == [one.variant for one in ranked]
    assert set(frame["Configuration"]) == {"PaDiM", "Shared Gaussian"}
    for title, name in (
        ("Image AUROC", "image_auroc"),
        ("Pixel AUROC", "pixel_auroc"),
        ("Pixel AUPRO", "aupro"),
    ):
        wanted = {one.variant: one.figure.value for one in table(study, name).rows[0][1]}  # type: ignore[arg-type]
        assert frame[title].tolist() == pytest.approx([wanted[one.variant] for one in ranked])
    assert frame["Against the best"][0] == "best"
    results = {run.variant: run.result for run in study.runs}
    for row, one in enumerate(ranked):
        result = results[one.variant]
        assert result is not None
        assert frame["Expected false rejects (overkill)"][row] == pytest.approx((result.promised or 0) * 100)
        assert frame["At most"][row] == pytest.approx((result.promised_upper or 0) * 100)
    assert not [title for title in frame if "romised" in title]
    assert compare.headline(ranked, study) in prepared.text
    assert len(prepared.app.get("plotly_chart")) == 1
    prepared.set("segmented_control", next(iter(_figure_keys(prepared))), "aupro")
    assert "The share of each defect found" in prepared.text


def _figure_keys(page: Session) -> list[str]:
    found = [one.key for one in page.app.get("button_group")]
    return [key for key in found if key and key.startswith("compare-figure")]


@pytest.mark.slow
def test_the_same_images_again_go_on_with_their_study(prepared: Session, tmp_path: Path, home: Path) -> None:
    prepared.click("compare-start")
    first = shown(prepared)
    again = small(Session("compare").upload([("ring.zip", packed(tmp_path / "ring"))]))
    # At once, because the results are in the workspace.
    assert again.app.dataframe[0].value["Configuration"].tolist()
    again.set("pills", "compare-methods", ["padim", "shared", "patchcore"])
    again.click("compare-start")
    found = shown(again)
    assert (found.done, found.again) == (3, 2)
    assert found.folder == first.folder
    assert home in found.folder.parents


def raised_by_shared(monkeypatch: pytest.MonkeyPatch, error: PadimError) -> None:
    """Let one of the two methods compared end with an error."""
    from padim.study import runner as engine

    real = engine.StudyModel.fit_features

    def failing_fit(self: engine.StudyModel, *arguments: object) -> None:
        if self.config.method == "shared":
            raise error
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.StudyModel, "fit_features", failing_fit)


@pytest.mark.slow
def test_stopped_half_way_it_shows_what_is_done_and_goes_on(
    prepared: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised_by_shared(monkeypatch, Cancelled("stopped"))
    prepared.click("compare-start")
    assert "Stopped. 1 of 2 runs are done. Compare goes on from there." in prepared.text
    assert prepared.app.dataframe[0].value["Image AUROC"].notna().sum() == 1
    monkeypatch.undo()
    prepared.click("compare-start")
    assert "Stopped" not in prepared.text
    assert shown(prepared).again == 1


@pytest.mark.slow
def test_a_run_that_fails_is_named(prepared: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    raised_by_shared(monkeypatch, PadimError("it does not like these parts"))
    prepared.click("compare-start")
    assert "1 run could not be done" in " ".join(one.label for one in prepared.app.expander)
    assert "it does not like these parts" in prepared.text


@pytest.mark.slow
def test_an_earlier_one_can_be_looked_at_and_deleted(prepared: Session, home: Path) -> None:
    prepared.click("compare-start")
    folder = shown(prepared).folder
    other = Session("compare")
    assert "Nothing to compare on yet" in other.text
    other.set("selectbox", "compare-earlier", 0)
    other.click("compare-open")
    assert "bring the same images again" in other.text
    assert len(other.app.dataframe[0].value) == 2
    assert "Fit this one" not in [button.label for button in other.app.button]
    other.click("compare-delete")
    assert not folder.exists()
    assert "Nothing to compare on yet" in other.text


@pytest.mark.slow
def test_one_of_them_becomes_a_model(prepared: Session, home: Path) -> None:
    prepared.click("compare-start")
    best = overall(shown(prepared))[0].variant
    config = next(one.config for one in shown(prepared).variants if one.name == best)
    prepared.click("compare-fit")
    (entry,) = Workspace(home).models()
    assert not entry.broken
    model = Workspace(home).open(entry.id)
    assert model.config == config
    assert len(model.normals_) == 10


@pytest.mark.slow
def test_without_defects_it_ranks_by_painted_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from padim.study import runner as engine

    defaults = {**(engine.run.__kwdefaults__ or {}), "painted_images_per_run": 1}
    monkeypatch.setattr(engine.run, "__kwdefaults__", defaults)
    page = Session("compare").upload([("ring.zip", packed(lay(tmp_path / "ring", defective=False)))])
    small(page).click("compare-start")
    assert "painted on good parts" in page.text
    frame = page.app.dataframe[0].value
    assert "Painted defects found" in frame
    assert "Image AUROC" not in frame
    assert frame["Painted defects found"].is_monotonic_decreasing


def test_unusable_images_are_reported_in_one_sentence(tmp_path: Path) -> None:
    page = Session("compare").upload([("few.png", bytes(normals(1)[0][1]))])
    (error,) = page.app.error
    assert "takes at least 3" in error.value
    assert len(page.app.file_uploader) == 1


@pytest.mark.slow
def test_a_folder_of_categories_on_the_server_has_a_row_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cup", "ring"):
        lay(tmp_path / "open" / name)
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path / "open"))
    page = Session("compare")
    page.set("segmented_control", "compare-origin", "server")
    page.app.text_input(key="compare-server-path").set_value(".")
    next(button for button in page.app.button if button.label == "Use this folder").click()
    page.run()
    small(page).click("compare-start")
    study = shown(page)
    assert [name for name, _ in study.categories] == ["cup", "ring"]
    mean = table(study, "image_auroc").mean
    assert mean is not None
    for words in ("<td>cup</td>", "<td>ring</td>", "<td>Mean</td>", f"{mean[0].figure.value:.3f}"):
        assert words in page.text
    assert "Means over 2 data sets" in page.text


@pytest.mark.slow
def test_files_are_the_engines(prepared: Session) -> None:
    from padim.study.report import csv_bytes, html_bytes

    prepared.click("compare-start")
    study = shown(prepared)
    assert load(study.folder).runs == study.runs
    assert csv_bytes(load(study.folder)) == csv_bytes(study)
    assert b"Shared Gaussian" in html_bytes(study)
    assert len(prepared.app.get("download_button")) == 2


def test_the_page_and_the_shell_make_the_same_study(tmp_path: Path) -> None:
    """What one of them has computed, the other reuses."""
    from padim.study.runner import run

    wanted = Combinations(("padim",), ("efficientnet_lite0",), ("standard",), (128,), 16).variants()
    data = categories(lay(tmp_path / "ring"))
    run(tmp_path / "study", wanted, data)
    plan = StudyPlan.of({"base": {"input_size": 128, "grid_stride": 16}, "methods": ["padim"]})
    assert run(tmp_path / "study", plan.variants(), data).again == 1
