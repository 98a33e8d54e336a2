"""Studies: the plan, the data, runs that share features, stopping and going on, tables and files."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from padim import Padim, PadimConfig, PadimError
from padim.analysis.evaluation import evaluate_dataset
from padim.analysis.metrics import Figure
from padim.analysis.significance import delong
from padim.data.datasets import open_dataset, open_good, open_uploads
from padim.data.loading import Watch
from padim.decision.operating_points import Rate
from padim.errors import Cancelled
from padim.network.extractor import FeatureExtractor
from padim.storage.working_set import WorkingFolder
from padim.study.data import categories, category
from padim.study.features import Features, union
from padim.study.plan import StudyPlan, Variant
from padim.study.ranking import expected_share, overall, present, primary, table
from padim.study.report import csv_bytes, html_bytes, write_files
from padim.study.result import FIGURES, Result, ScoredImage, read, write
from padim.study.runner import Run, Study, load, run
from tests.parts import defects, normals, part, png

BASE = {"input_size": 64, "n_features": 20, "smoothing_sigma": 2.0, "min_area": 8}


def lay(folder: Path, *, first: int = 0, defective: bool = True) -> Path:
    """MVTec AD's layout: 12 good parts to fit on, 5 and 4 chips with masks to evaluate_dataset."""
    files: list[tuple[str, Any]] = [(f"train/good/{n}", data) for n, data in normals(12, first=first)]
    files += [(f"test/good/{n}", data) for n, data in normals(5, first=first + 200)]
    if defective:
        mask = part(1) * 0
        mask[24:72, 24:72] = 255
        for name, data in defects(4):
            files.append((f"test/chip/{name}", data))
            files.append((f"ground_truth/chip/{name.removesuffix('.png')}_mask.png", png(mask)))
    for name, data in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One category."""
    return lay(tmp_path_factory.mktemp("data") / "ring")


@pytest.fixture(scope="module")
def variants() -> tuple[Variant, ...]:
    """Two methods with two sets of layers."""
    return StudyPlan.of(
        {
            "base": BASE,
            "methods": ["padim", "shared"],
            "layers": [["blocks.2", "blocks.4", "blocks.10"], ["blocks.4", "blocks.10"]],
        }
    ).variants()


@pytest.fixture(scope="module")
def study(data: Path, variants: tuple[Variant, ...], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """All of them on that category. Shared: tests must not change its folder."""
    return run(tmp_path_factory.mktemp("study") / "one", variants, categories(data))


# --- the plan ---------------------------------------------------------------------------------------


def test_lists_are_combined_and_layers_go_with_their_networks() -> None:
    plan = StudyPlan.from_yaml(
        """
        base: {n_features: 20}
        backbones: [efficientnet_lite0, resnet18]
        layers: [[layer1, layer2], [blocks.2], [blocks.4, blocks.2]]
        input_sizes: [64, 128]
        """
    )
    found = {variant.name: variant.config for variant in plan.variants()}
    assert list(found) == [
        "efficientnet_lite0 · blocks.2 · 64 px",
        "efficientnet_lite0 · blocks.2 · 128 px",
        "efficientnet_lite0 · blocks.4+blocks.2 · 64 px",
        "efficientnet_lite0 · blocks.4+blocks.2 · 128 px",
        "resnet18 · layer1+layer2 · 64 px",
        "resnet18 · layer1+layer2 · 128 px",
    ]
    config = found["resnet18 · layer1+layer2 · 128 px"]
    assert (config.backbone, config.layers, config.input_size, config.n_features) == (
        "resnet18",
        ("layer1", "layer2"),
        128,
        20,
    )


def test_what_all_have_in_common_is_in_no_name() -> None:
    plan = StudyPlan.of({"methods": ["padim", "shared"], "backbones": ["resnet18"], "input_sizes": [128]})
    assert [variant.name for variant in plan.variants()] == ["padim", "shared"]
    assert {variant.config.backbone for variant in plan.variants()} == {"resnet18"}
    assert [variant.name for variant in StudyPlan.of({"input_sizes": [128]}).variants()] == ["128 px"]
    assert [variant.config for variant in StudyPlan.of({}).variants()] == [PadimConfig()]


def test_configurations_by_themselves_have_names_of_their_own() -> None:
    plan = StudyPlan.of(
        {
            "base": {"input_size": 64},
            "configurations": [{"name": "paper", "backbone": "resnet18"}, {"eps": 0.1}],
        }
    )
    found = {variant.name: variant.config for variant in plan.variants()}
    assert list(found) == ["paper", "eps 0.1"]
    assert found["paper"].layers == ("layer1", "layer2", "layer3")
    assert all(config.input_size == 64 for config in found.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layers: [[layer9]]", "layer9 are not the layers of any of efficientnet_lite0"),
        ("backbones: [resnet19]", "did you mean 'resnet18'"),
        ("method: [padim]", "did you mean 'methods'"),
        ("methods: [padima]", "configuration 'padima'"),
        ("input_sizes: [100]", "input_sizes.0: it must be a multiple of 32"),
        ("configurations: [{name: a}, {name: b, n_features: 3000}]", "entry 2 ('b'): n_features: 3000"),
        ("configurations: [{name: a, eps: 0.1}, {name: a, eps: 0.2}]", "another configuration called 'a'"),
        ("configurations: [{name: 3}]", "entry 1: its name must be nonempty text"),
        ("methods: padim", "methods"),
        ("- padim", "must have the keys"),
        ("a: [", "not valid YAML"),
        (f"input_sizes: {[64] * 2 + list(range(64, 64 + 32 * 60, 32))}\nmethods: [padim, shared, svdd, flow]",
         "a study has at most 200"),
    ],
)  # fmt: skip
def test_an_entry_that_makes_no_configuration_is_named(text: str, words: str) -> None:
    with pytest.raises(PadimError, match=re.escape(words)):
        StudyPlan.from_yaml(text)


def test_a_plan_file_is_named_in_errors(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    with pytest.raises(PadimError, match="cannot be read"):
        StudyPlan.load(file)
    file.write_text("methods: [nothing]", encoding="utf-8")
    with pytest.raises(PadimError, match=re.escape(str(file))):
        StudyPlan.load(file)


# --- the data ---------------------------------------------------------------------------------------


def test_mvtecs_own_good_parts_are_fitted_on(data: Path) -> None:
    (found,) = categories(data)
    assert (found.name, len(found.normals), len(found.tests), found.defects) == ("ring", 12, 9, 4)
    assert not found.drawn
    assert {name for name, _ in found.normals} == {f"train/good/{name}" for name, _ in normals(12)}
    assert not set(found.normals.samples) & set(found.tests.samples)


def test_elsewhere_they_are_drawn_and_never_judged(tmp_path: Path) -> None:
    for name, content in normals(9):
        (tmp_path / "set" / "good").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "good" / name).write_bytes(bytes(content))
    (tmp_path / "set" / "dent").mkdir()
    (tmp_path / "set" / "dent" / "bad.png").write_bytes(bytes(defects(1)[0][1]))
    first, again, other = (categories(tmp_path / "set", seed=seed)[0] for seed in (0, 0, 1))
    assert first.drawn
    assert (len(first.normals), len(first.tests), first.defects) == (4, 6, 1)
    assert not set(first.normals.samples) & set(first.tests.samples)
    assert list(first.normals.samples) == list(again.normals.samples)
    assert list(first.normals.samples) != list(other.normals.samples)


def test_visas_training_parts_are_fitted_on(tmp_path: Path) -> None:
    rows, split = ["image,label,mask"], ["object,split,label,image,mask"]
    for i, (name, content) in enumerate(normals(6)):
        path = f"pcb/Data/Images/Normal/{name}"
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(bytes(content))
        rows.append(f"{path},normal,")
        split.append(f"pcb,{'train' if i < 4 else 'test'},normal,{path},")
    path = "pcb/Data/Images/Anomaly/bad.png"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(bytes(defects(1)[0][1]))
    (tmp_path / "pcb" / "image_anno.csv").write_text("\n".join([*rows, f"{path},dent,"]), encoding="utf-8")
    (tmp_path / "split_csv").mkdir()
    split.append(f"pcb,test,anomaly,{path},")
    (tmp_path / "split_csv" / "1cls.csv").write_text("\n".join(split), encoding="utf-8")
    found = category("pcb", open_dataset(tmp_path))
    assert (len(found.normals), len(found.tests), found.defects, found.drawn) == (4, 3, 1, False)


def test_a_folder_of_categories_and_some_of_them(data: Path, tmp_path: Path) -> None:
    for name in ("b", "a"):
        lay(tmp_path / name)
    assert [found.name for found in categories(tmp_path)] == ["a", "b"]
    assert [found.name for found in categories(tmp_path, ["b"])] == ["b"]
    with pytest.raises(PadimError, match="no category 'c'; it has a, b"):
        categories(tmp_path, ["c"])
    with pytest.raises(PadimError, match="has none called 'b'"):
        categories(data, ["b"])


def test_images_without_labels_are_good_parts(tmp_path: Path) -> None:
    for name, content in normals(10):
        (tmp_path / name).write_bytes(bytes(content))
    (found,) = categories(tmp_path)
    assert (len(found.normals), len(found.tests), found.defects) == (8, 2, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PadimError, match="no images"):
        open_good(tmp_path / "empty")
    with pytest.raises(PadimError, match="not a folder"):
        categories(tmp_path / "nowhere")


def test_too_few_good_parts_are_told(tmp_path: Path) -> None:
    for name, content in normals(4):
        (tmp_path / "good").mkdir(exist_ok=True)
        (tmp_path / "good" / name).write_bytes(bytes(content))
    (tmp_path / "dent").mkdir()
    (tmp_path / "dent" / "bad.png").write_bytes(bytes(defects(1)[0][1]))
    with pytest.raises(PadimError, match="2 good parts to fit on"):
        categories(tmp_path)


# --- runs -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fit", "methods"), [("stretch", ["padim", "shared", "patchcore"]), ("pad", ["padim"])]
)
def test_shared_features_give_the_scores_of_an_ordinary_fit(
    data: Path, tmp_path: Path, fit: str, methods: list[str]
) -> None:
    """Levels within a thousandth of the largest: the shared network was cut at other layers."""
    (found,) = categories(data)
    choices = {"base": {**BASE, "fit": fit, "grid_stride": 16}, "methods": methods}
    wanted = StudyPlan.of(
        {**choices, "layers": [["blocks.2", "blocks.4"], ["blocks.4", "blocks.10"]]}
    ).variants()
    done = run(tmp_path / "study", wanted, [found])
    for variant in wanted:
        result = done.run("ring", variant.name).result
        assert result is not None
        assert result.shared
        model = Padim(variant.config, work_dir=tmp_path / "model").fit(found.normals)
        judged = evaluate_dataset(model, found.tests)
        assert [p.name for p in judged.images] == [p.name for p in result.images]
        expected = np.array([p.score for p in judged.images])
        scores = np.array([p.score for p in result.images])
        np.testing.assert_allclose(scores, expected, atol=max(2.0, 1e-3 * expected.max()))
        report = judged.report(model, model.threshold_level)
        assert result.figures["image_auroc"].value == pytest.approx(report.image_auroc.value, abs=1e-9)
        for name in ("pixel_auroc", "pixel_ap", "aupro", "pixel_f1"):
            assert result.figures[name].value == pytest.approx(getattr(report, name).value, abs=2e-3)
        assert result.false_rejects == report.false_rejects
        assert result.caught.count == report.misses.of - report.misses.count
        assert result.promised == pytest.approx(model.false_reject_rate_.expected)


def test_one_network_sees_every_image_once(
    data: Path, variants: tuple[Variant, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    real = FeatureExtractor.__call__

    def counted(self: FeatureExtractor, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        nonlocal seen
        seen += len(rgb)
        return real(self, rgb)

    monkeypatch.setattr(FeatureExtractor, "__call__", counted)
    done = run(tmp_path / "study", variants, categories(data))
    assert done.done == len(variants) == 4
    assert seen == 12 + 9
    assert not list((tmp_path / "study").glob("work/*")), "features are gone when nothing needs them"


def test_a_method_that_learns_from_images_is_fitted_by_itself(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PadimConfig, "needs_images", property(lambda self: self.method == "shared"))
    wanted = StudyPlan.of({"base": BASE, "methods": ["padim", "shared"]}).variants()
    monkeypatch.setattr(WorkingFolder, "working_files", _without_images(WorkingFolder.working_files))
    done = run(tmp_path / "study", wanted, categories(data))
    results = {one.variant: one.result for one in done.runs}
    assert results["padim"] is not None
    assert results["shared"] is not None
    assert (results["padim"].shared, results["shared"].shared) == (True, False)
    assert done.done == 2


def _without_images(real: Any) -> Any:
    def working_files(self: WorkingFolder, folder: Path | None = None) -> Any:
        without = replace(self.layout, image_shape=None)
        return real(WorkingFolder(self.folder, without), folder)

    return working_files


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_stopped(
    data: Path, variants: tuple[Variant, ...], study: Study, tmp_path: Path
) -> None:
    ended: list[str] = []
    with pytest.raises(Cancelled):
        run(
            tmp_path / "study",
            variants,
            categories(data),
            cancel=lambda: len(ended) == 2,
            on_run=lambda one, done, of: ended.append(one.variant),
        )
    half = load(tmp_path / "study")
    assert [one.result is not None for one in half.runs] == [True, True, False, False]
    assert half.variants == tuple(variants)
    fitted: list[str] = []
    whole = run(
        tmp_path / "study",
        variants,
        categories(data),
        progress=lambda done, total, stage: fitted.append(stage),
    )
    assert (whole.done, whole.again) == (4, 2)
    learnt = {stage for stage in fitted if "Learning" in stage}
    assert len(learnt) == 2, "only what was not done"
    assert not [stage for stage in fitted if "Reading" in stage], "the features were still there"
    assert not (tmp_path / "study" / "work").exists()
    for one, same in zip(whole.runs, study.runs, strict=True):
        assert one.result is not None
        assert same.result is not None
        assert one.result.figures == same.result.figures
        np.testing.assert_array_equal(one.draws, same.draws)
    third = run(tmp_path / "study", variants[:1], categories(data))
    assert (third.done, third.again) == (1, 1)


@pytest.mark.slow
def test_other_images_or_settings_are_other_runs(
    data: Path, variants: tuple[Variant, ...], tmp_path: Path
) -> None:
    own = lay(tmp_path / "ring")
    first = run(tmp_path / "study", variants[:1], categories(own))
    assert run(tmp_path / "study", variants[:1], categories(own)).again == 1
    other = Variant("eps", PadimConfig.model_validate({**variants[0].config.model_dump(), "eps": 0.02}))
    assert run(tmp_path / "study", [other], categories(own)).again == 0
    renamed = Variant("another name", variants[0].config)
    again = run(tmp_path / "study", [renamed], categories(own))
    assert again.again == 1
    assert again.runs[0].variant == "another name"
    (own / "test" / "good" / "good_200.png").write_bytes(png(part(999)))
    assert run(tmp_path / "study", variants[:1], categories(own)).again == 0
    mask = part(1) * 0
    mask[:20] = 255
    (own / "ground_truth" / "chip" / "bad_000_mask.png").write_bytes(png(mask))
    assert run(tmp_path / "study", variants[:1], categories(own)).again == 0
    assert first.done == 1


def test_a_damaged_result_is_made_anew(data: Path, variants: tuple[Variant, ...], tmp_path: Path) -> None:
    run(tmp_path / "study", variants[:2], categories(data))
    damaged, cut = sorted((tmp_path / "study" / "results").glob("*.json"))
    damaged.write_text("{}", encoding="utf-8")
    cut.with_suffix(".npy").write_bytes(b"\x93NUMPY")
    assert load(tmp_path / "study").done == 0
    again = run(tmp_path / "study", variants[:2], categories(data))
    assert (again.done, again.again) == (2, 0)


def test_a_run_that_fails_is_told_and_the_others_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.study import runner as engine

    real = engine.StudyModel.fit_features

    def failing_fit(self: Any, *arguments: Any) -> None:
        if self.config.eps == 0.5:
            raise PadimError("something is missing")
        real(self, *arguments)

    monkeypatch.setattr(engine.StudyModel, "fit_features", failing_fit)
    plan = {"base": BASE, "configurations": [{"name": "odd", "eps": 0.5}, {"name": "even", "eps": 0.01}]}
    done = run(tmp_path / "study", StudyPlan.of(plan).variants(), categories(data))
    assert [(one.variant, one.why) for one in done.runs] == [("odd", "something is missing"), ("even", "")]
    assert load(tmp_path / "study").run("ring", "odd").why == "something is missing"
    assert "something is missing" in html_bytes(done).decode()
    monkeypatch.undo()
    assert run(tmp_path / "study", StudyPlan.of(plan).variants(), categories(data)).done == 2


def test_a_network_without_weights_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import padim.study.features as features

    def missing(config: PadimConfig) -> FeatureExtractor:
        raise PadimError("its weights are not here")

    monkeypatch.setattr(features, "open_extractor", missing)
    done = run(tmp_path / "study", StudyPlan.of({"base": BASE}).variants(), categories(data))
    assert [one.why for one in done.runs] == ["its weights are not here"]


def test_broken_images_are_named_and_left_out(variants: tuple[Variant, ...], tmp_path: Path) -> None:
    own = lay(tmp_path / "ring")
    (own / "test" / "good" / "good_200.png").write_bytes(b"no image")
    (own / "train" / "good" / "good_003.png").write_bytes(b"no image")
    (own / "ground_truth" / "chip" / "bad_000_mask.png").write_bytes(b"no image")
    (one,) = run(tmp_path / "study", variants[:1], categories(own)).runs
    assert one.result is not None
    assert {name for name, _ in one.result.failed} == {
        "good/good_200.png",
        "train/good/good_003.png",
        "ground_truth/chip/bad_000_mask.png",
    }
    assert len(one.result.images) == 8
    assert one.result.figures["pixel_auroc"].value is not None


def test_images_of_the_fit_among_the_others_are_counted(
    variants: tuple[Variant, ...], tmp_path: Path
) -> None:
    own = lay(tmp_path / "ring")
    (own / "test" / "good" / "again.png").write_bytes(bytes(normals(1)[0][1]))
    (one,) = run(tmp_path / "study", variants[:1], categories(own)).runs
    assert one.result is not None
    assert one.result.known == 1


@pytest.mark.slow
def test_without_defects_painted_ones_rank(tmp_path: Path) -> None:
    own = lay(tmp_path / "ring", defective=False)
    plan = StudyPlan.of({"base": BASE, "layers": [["blocks.2", "blocks.4"], ["blocks.10"]]})
    done = run(tmp_path / "study", plan.variants(), categories(own), painted_images_per_run=3)
    assert primary(done).name == "painted_recall"
    assert done.painted == ("ring",)
    for one in done.runs:
        assert one.result is not None
        figure = one.result.figures["painted_recall"]
        assert figure.value is not None
        assert 0 < figure.value < 1
        assert one.result.painted_on == 3
        assert figure.low is not None
        assert figure.low <= figure.value <= (figure.high or 0)
        assert one.result.figures["image_auroc"].why == "there are no defects to compare with"
    ranked = [one.standings["painted_recall"].figure.value or 0 for one in overall(done)]
    assert ranked == sorted(ranked, reverse=True)
    assert "painted" in html_bytes(done).decode()
    from padim.analysis import sensitivity

    model = Padim(plan.variants()[0].config, work_dir=tmp_path / "model").fit(categories(own)[0].normals)
    same = sensitivity.measure(model, categories(own)[0].tests, places=2, most_images=3)
    assert done.runs[0].result is not None
    assert done.runs[0].result.figures["painted_recall"].value == pytest.approx(same.share, abs=0.02)


def test_what_cannot_be_a_study(data: Path, variants: tuple[Variant, ...], tmp_path: Path) -> None:
    found = categories(data)
    with pytest.raises(PadimError, match="at least one configuration"):
        run(tmp_path / "a", [], found)
    with pytest.raises(PadimError, match="a name of its own"):
        run(tmp_path / "a", [variants[0], Variant(variants[0].name, PadimConfig())], found)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(PadimError, match="holds no study"):
        run(tmp_path / "b", variants, found)
    with pytest.raises(PadimError, match="holds no study"):
        load(tmp_path / "b")
    (tmp_path / "b" / "study.json").write_text('{"variants": [{}]}', encoding="utf-8")
    with pytest.raises(PadimError, match="cannot be read"):
        load(tmp_path / "b")


def test_two_at_once_in_one_folder_are_refused(
    data: Path, variants: tuple[Variant, ...], tmp_path: Path
) -> None:
    refused: list[str] = []

    def second(one: Run, done: int, of: int) -> None:
        with pytest.raises(PadimError) as told:
            run(tmp_path / "study", variants[:1], categories(data))
        refused.append(str(told.value))

    run(tmp_path / "study", variants[:1], categories(data), on_run=second)
    assert "another study is at work" in refused[0]


def test_an_upload_has_its_training_parts_too(data: Path) -> None:
    files = [(path.relative_to(data.parent).as_posix(), path.read_bytes()) for path in data.rglob("*.png")]
    found = category("ring", open_uploads(files))
    assert (len(found.normals), len(found.tests), found.drawn) == (12, 9, False)


# --- tables -----------------------------------------------------------------------------------------


def made(category: str, scores: dict[str, list[int]], draws: npt.NDArray[np.float32]) -> Result:
    """A result of given scores."""
    good, defect = scores["good"], scores["bad"]
    truth = [0] * len(good) + [1] * len(defect)
    auroc = float(roc_auc_score(truth, good + defect))
    figures = {about.name: Figure(None, "not counted") for about in FIGURES}
    figures["image_auroc"] = Figure(auroc, "", 0.0, 1.0)
    figures["pixel_auroc"] = Figure(float(draws[:, 3].mean()), "", 0.0, 1.0)
    images = [ScoredImage(name=f"g{i}", kind="good", score=s) for i, s in enumerate(good)]
    images += [ScoredImage(name=f"d{i}", kind="bad", score=s) for i, s in enumerate(defect)]
    return Result(
        category=category,
        config=PadimConfig(),
        figures=figures,
        promised=0.05,
        promised_upper=0.2,
        false_rejects=Rate.counted(1, len(good)),
        caught=Rate.counted(2, len(defect)),
        fit_seconds=2.0,
        method_seconds=1.0,
        shared=True,
        milliseconds=10.0,
        model_bytes=1000,
        known=0,
        images=tuple(images),
    )


def handmade(rng: np.random.Generator, names: tuple[str, ...], places: tuple[str, ...]) -> Study:
    """A study of drawn scores: the further behind a configuration, the worse."""
    runs = []
    for place in places:
        shared = rng.normal(size=60)
        for worse, name in enumerate(names):
            scores = 100 + 20 * (shared + 0.4 * (1 + 2 * worse) * rng.normal(size=60))
            scores[30:] += 30
            draws = np.full((1000, len(FIGURES)), np.nan, np.float32)
            draws[:, 3] = 0.9 - 0.05 * worse + 0.01 * rng.normal(size=1000)
            levels = np.clip(scores, 0, None).astype(int).tolist()
            result = made(place, {"good": levels[:30], "bad": levels[30:]}, draws)
            runs.append(Run(place, name, result, draws))
    variants = tuple(Variant(name, PadimConfig()) for name in names)
    return Study(Path("nowhere"), variants, tuple((place, "") for place in places), tuple(runs))


def test_what_to_expect_is_said_with_its_bound() -> None:
    study = handmade(np.random.default_rng(1), ("a", "b"), ("x", "y"))
    (one, _) = overall(study)
    assert (one.promised, one.promised_upper) == pytest.approx((0.05, 0.2))
    assert expected_share(one) == "5 %, at most 20 %"
    assert b"expected 5 %, at most 20 %" in html_bytes(study)


def test_a_row_is_tested_by_delong() -> None:
    found = handmade(np.random.default_rng(1), ("a", "b", "c"), ("x",))
    ((_, row),) = table(found, "image_auroc").rows
    assert table(found, "image_auroc").mean is None
    scores = [one.result.scores() for one in found.runs if one.result]
    paired = delong([good for good, _ in scores], [bad for _, bad in scores])
    assert [one.figure.value for one in row] == pytest.approx(paired.auroc.tolist())
    assert row[0].best
    assert row[0].difference is not None
    assert row[0].difference.p == 1.0
    from scipy.stats import norm

    raw = []
    for other in (1, 2):
        c = paired.covariance
        error = np.sqrt(c[0, 0] + c[other, other] - 2 * c[0, other])
        raw.append(2 * norm.sf(abs(paired.auroc[other] - paired.auroc[0]) / error))
    low, high = sorted(raw)
    wanted = {low: min(1.0, 2 * low), high: max(high, min(1.0, 2 * low))}
    for other, p in zip((1, 2), raw, strict=True):
        difference = row[other].difference
        assert difference is not None
        assert difference.p == pytest.approx(wanted[p])
        assert row[other].close == (wanted[p] >= 0.05)


def test_the_mean_is_over_the_categories_and_tested_as_such() -> None:
    found = handmade(np.random.default_rng(2), ("a", "b"), ("x", "y", "z"))
    whole = table(found, "image_auroc")
    assert whole.mean is not None
    for place in range(2):
        values = [row[place].figure.value or 0 for _, row in whole.rows]
        assert whole.mean[place].figure.value == pytest.approx(np.mean(values))
    variance = 0.0
    for category_name in ("x", "y", "z"):
        scores = [found.run(category_name, name).result for name in "ab"]
        pairs = [one.scores() for one in scores if one]
        c = delong([good for good, _ in pairs], [bad for _, bad in pairs]).covariance
        variance += (c[0, 0] + c[1, 1] - 2 * c[0, 1]) / 9
    difference = whole.mean[1].difference
    assert difference is not None
    assert difference.low is not None
    assert difference.value is not None
    assert difference.value - difference.low == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)
    assert present(found) == tuple(about for about in FIGURES if about.name in ("image_auroc", "pixel_auroc"))
    pixel = table(found, "pixel_auroc").mean
    assert pixel is not None
    assert pixel[1].difference is not None
    assert pixel[1].difference.p == pytest.approx(2 / 1001)


def test_draws_of_several_categories_are_not_mistaken_for_one_anothers() -> None:
    """Equal draws in all categories would add up instead of averaging out."""
    found = handmade(np.random.default_rng(3), ("a",), ("x", "y", "z", "u"))
    first = found.runs[0].draws
    alike = [Run(one.category, one.variant, one.result, first) for one in found.runs]
    same = Study(found.folder, found.variants, found.categories, tuple(alike))
    mean = table(same, "pixel_auroc").mean
    assert mean is not None
    figure = mean[0].figure
    assert first is not None
    alone = np.subtract(*np.percentile(first[:, 3], (97.5, 2.5)))
    assert figure.high is not None
    assert figure.low is not None
    assert figure.high - figure.low == pytest.approx(alone / 2, rel=0.15)


def test_what_is_not_done_has_no_mean_and_other_images_are_not_compared() -> None:
    found = handmade(np.random.default_rng(4), ("a", "b"), ("x", "y"))
    runs = list(found.runs)
    runs[3] = Run("y", "b", why="too few")
    partial = Study(found.folder, found.variants, found.categories, tuple(runs))
    mean = table(partial, "image_auroc").mean
    assert mean is not None
    assert mean[1].figure.value is None
    assert mean[1].figure.why == "is missing in 1 of 2 categories"
    assert mean[0].difference is None, "nothing to compare with"
    (ranked, last) = overall(partial)
    assert (ranked.variant, last.done, last.why) == ("a", (1, 2), "y: too few")
    runs = list(found.runs)
    result = runs[1].result
    assert result is not None
    other = result.model_copy(update={"images": result.images[::-1]})
    runs[1] = Run("x", "b", other, runs[1].draws)
    row = dict(table(Study(found.folder, found.variants, found.categories, tuple(runs)), "image_auroc").rows)
    difference = row["x"][1].difference
    assert difference is not None
    assert difference.why == "they were not evaluated on the same images"
    assert not row["x"][1].close


def test_results_on_disk_are_checked(tmp_path: Path) -> None:
    draws = np.zeros((5, len(FIGURES)), np.float32)
    result = made("x", {"good": [1, 2], "bad": [2, 3]}, draws)
    write(tmp_path, "key", result, draws)
    found = read(tmp_path, "key")
    assert found is not None
    assert found[0] == result
    text = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
    for change in ({"images": [{"name": "a", "kind": "good", "score": -1}]}, {"config": {"input_size": 7}}):
        (tmp_path / "key.json").write_text(json.dumps({**text, **change}), encoding="utf-8")
        assert read(tmp_path, "key") is None
    assert read(tmp_path, "nothing") is None
    write(tmp_path, "key", result, draws[:, :3])
    assert read(tmp_path, "key") is None


# --- files ------------------------------------------------------------------------------------------


class _Seen(HTMLParser):
    """Tags with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else(study: Study) -> None:
    seen = _Seen()
    page = html_bytes(study).decode()
    seen.feed(page)
    assert not [tag for tag, about in seen.tags if "src" in about or "href" in about or tag == "link"]
    assert "http" not in page
    assert "@import" not in page
    for variant in study.variants:
        assert variant.name in seen.text
    value = table(study, "pixel_auroc").rows[0][1][0].figure.value
    assert f"{value:.3f}" in seen.text


def test_names_from_outside_are_text(study: Study) -> None:
    evil = "<script>alert(1)</script>"
    variants = tuple(Variant(f"{evil}{i}", one.config) for i, one in enumerate(study.variants))
    names = {one.name: new.name for one, new in zip(study.variants, variants, strict=True)}
    runs = tuple(Run(evil, names[one.variant], one.result, one.draws, evil) for one in study.runs)
    page = html_bytes(Study(study.folder, variants, ((evil, evil),), runs)).decode()
    assert evil not in page
    assert "&lt;script&gt;" in page
    seen = _Seen()
    seen.feed(page)
    assert [tag for tag, _ in seen.tags].count("script") == 1


def test_the_csv_has_every_run_and_figure(study: Study) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_bytes(study).decode("utf-8-sig"))))
    assert [row["configuration"] for row in rows] == [one.variant for one in study.runs]
    for row, one in zip(rows, study.runs, strict=True):
        assert one.result is not None
        for about in FIGURES:
            figure = one.result.figures[about.name]
            told = row[about.name]
            assert (told == "") == (figure.value is None)
            if figure.value is not None:
                assert float(told) == pytest.approx(figure.value, abs=1e-5)
        assert (row["good"], row["defects"]) == ("5", "4")
        assert row["method"] == one.result.config.method
    standing = table(study, "pixel_ap").rows[0][1]
    assert [row["pixel_ap_best"] == "yes" for row in rows] == [one.best for one in standing]


def test_files_are_whole_and_in_the_studys_folder(study: Study, tmp_path: Path) -> None:
    moved = Study(tmp_path, study.variants, study.categories, study.runs)
    files = write_files(moved)
    assert [file.name for file in files] == ["study.csv", "study.html"]
    assert files[1].read_bytes() == html_bytes(moved)


def test_a_study_of_nothing_done_still_has_its_files(study: Study) -> None:
    runs = tuple(Run(one.category, one.variant) for one in study.runs)
    nothing = Study(study.folder, study.variants, study.categories, runs)
    assert "0 of 4 runs done" in html_bytes(nothing).decode()
    assert len(csv_bytes(nothing).decode("utf-8-sig").splitlines()) == 5


# --- features kept on disk --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    ["normals/features.f32", "tests/features.f32", "normals/records.txt", "masks.npy", "images.json"],
)
def test_damaged_features_are_extracted_again(data: Path, tmp_path: Path, file: str) -> None:
    (only,) = categories(data)
    config = PadimConfig.of(BASE)

    def working_files() -> Features:
        features = Features(tmp_path / "features", union([config]))
        features.extract(only, Watch())
        return features

    def content(features: Features) -> list[Any]:
        channels = np.arange(features.extractor.channels)
        feature_stores = ((features.normals, len(only.normals)), (features.tests, len(only.tests)))
        arrays = [
            feature_store.read(range(count), channels).tobytes() for feature_store, count in feature_stores
        ]
        masks = [
            mask.tobytes() for seen in features.record.tests if (mask := features.mask(seen)) is not None
        ]
        return [*arrays, *masks, features.record.normals, features.record.tests]

    features = working_files()
    expected = content(features)
    runs = features.extractor.runs
    assert content(working_files()) == expected
    assert features.extractor.runs == runs, "what is whole is not extracted again"
    path = tmp_path / "features" / file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert content(working_files()) == expected
    assert features.extractor.runs > runs
