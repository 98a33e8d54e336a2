"""Adapting a network: who is used for what, what counts as a gain, and a model on an adapted network."""

from __future__ import annotations

import gc
import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Cancelled, ImageError, Padim, PadimConfig, PadimError
from padim.adaptation import adapt as adapting
from padim.adaptation.adapt import AdaptationResult, NetworkResult, adapt
from padim.adaptation.finetune import fine_tune, paste
from padim.analysis import sensitivity
from padim.analysis.evaluation import evaluate_dataset
from padim.analysis.significance import Difference
from padim.data.datasets import open_dataset
from padim.methods.base import Losses
from padim.methods.training import Turn
from padim.network import backbone
from padim.network.model_network import ModelNetwork
from padim.output.export import export_onnx
from padim.storage.image_store import ImageStore
from tests.parts import defects, normals, part, png
from tests.reading import rows_read

CONFIG = PadimConfig(
    input_size=64, n_features=20, smoothing_sigma=2, min_area=8, layers=("blocks.2",), grid_stride=8
)
pytestmark = pytest.mark.usefixtures("one_thread")

COUNT = 18
GAIN = Difference(0.2, 0.1, 0.3, 0.001)


def sha(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()


def results(difference: Difference, *, rejected: int = 0, of: int = 10) -> Callable[..., Any]:
    """In place of a real one."""
    published, adapted = NetworkResult(0.4, 0, of, 0.05), NetworkResult(0.6, rejected, of, 0.05)
    return lambda *_: ((published, adapted), difference, 4)


# --- teaching ---------------------------------------------------------------------------------------


@given(st.integers(8, 96), st.integers(0, 2**32 - 1))
def test_only_what_is_marked_is_pasted(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    square, other = rng.integers(0, 256, (2, 3, side, side), np.uint8)
    before = square.copy()
    result, share = paste(square, other, rng)
    np.testing.assert_array_equal(square, before)
    assert set(np.unique(share)) == {0, 1}
    np.testing.assert_array_equal(result[:, share == 0], square[:, share == 0])
    assert share.sum() < side**2


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    images = ImageStore(tmp_path / "images", (64, 64)).start()
    images.append(np.stack([part(seed, size=(64, 64)) for seed in range(5)]), [f"{i}" for i in range(5)])
    return images


def answers(content: bytes) -> np.ndarray:
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    return np.asarray(ort.InferenceSession(content).run(None, {"image": image})[0])


@pytest.mark.slow
def test_teaching_changes_the_layers_a_little_and_can_be_repeated(store: ImageStore) -> None:
    turn = Turn("3 images", [0, 1, 3], [4])
    one, losses = fine_tune(CONFIG, store, turn, 2)
    again, _ = fine_tune(CONFIG, store, turn, 2)
    other, _ = fine_tune(CONFIG, store, replace(turn, seed=1), 2)
    assert one == again
    assert len(losses.train) == len(losses.held_out) == 2
    assert losses.train[1] < losses.train[0]
    published = backbone.onnx_bytes(CONFIG.backbone, CONFIG.layers)
    before, after, differently = map(answers, (published, one, other))
    assert before.shape == after.shape
    change = np.abs(after - before).mean() / before.std()
    assert 1e-4 < change < 0.5
    assert not np.array_equal(after, differently)


@pytest.mark.slow
def test_an_adapted_network_is_exported_like_any_other(store: ImageStore) -> None:
    content, _ = fine_tune(CONFIG, store, Turn("3 images", [0, 1, 3], [4]), 1)
    ours, theirs = (
        onnx.load_model_from_string(each).graph
        for each in (content, backbone.onnx_bytes(CONFIG.backbone, CONFIG.layers))
    )
    assert [value.name for value in ours.output] == [value.name for value in theirs.output]
    assert [node.op_type for node in ours.node] == [node.op_type for node in theirs.node]


@pytest.mark.slow
def test_only_the_rows_of_the_turn_are_read(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = rows_read(monkeypatch)
    fine_tune(CONFIG, store, Turn("2 images", [0, 3], [4]), 1)
    assert read == {0, 3, 4}


# --- who is used for what ---------------------------------------------------------------------------


class Used:
    """Which images reach the teaching, the fits and the probe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: set[str] = set()
        self.fitted: list[set[str]] = []
        self.probed: set[str] = set()
        self.network = backbone.onnx_bytes(CONFIG.backbone, CONFIG.layers)
        fit = Padim.fit

        def training(_config: Any, images: ImageStore, turn: Turn, _epochs: int) -> tuple[bytes, Losses]:
            self.trained = set(images.keys())
            assert sorted([*turn.rows, *turn.stop_rows]) == list(range(len(images)))
            assert not set(turn.rows) & set(turn.stop_rows)
            return self.network, Losses(turn.name, (1.0,), (1.0,), 0)

        def fitting(model: Padim, images: Any, **options: Any) -> Padim:
            fit(model, images, **options)
            self.fitted.append({normal.sha256 for normal in model.normals_})
            return model

        def probing(models: Any, images: Any, _callbacks: Any) -> Any:
            self.probed = {sha(content) for _, content in images}
            return results(Difference(0.0, -0.1, 0.1, 0.9))()

        monkeypatch.setattr(adapting, "fine_tune", training)
        monkeypatch.setattr(Padim, "fit", fitting)
        monkeypatch.setattr(adapting, "_by_painted_defects", probing)


def test_who_teaches_is_not_fitted_on_and_who_examines_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Used(monkeypatch)
    images = normals(COUNT)
    everyone = {sha(content) for _, content in images}
    model, outcome = adapt(CONFIG, images)
    published, adapted = used.fitted
    assert len(used.trained) == 4
    assert len(used.probed) == 4
    assert not used.trained & used.probed
    assert not adapted & (used.trained | used.probed)
    assert published == adapted | used.trained
    assert published | used.probed == everyone
    assert (outcome.trained, outcome.evaluated, outcome.passed_over) == (4, 4, 0)
    # The published network was kept, and nothing is lost with it.
    assert {normal.sha256 for normal in model.normals_} == everyone
    assert model.state.fitted.calibration == "exact"


def test_the_order_of_the_images_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Used(monkeypatch)
    adapt(CONFIG, normals(COUNT))
    trained, probed = used.trained, used.probed
    adapt(CONFIG, normals(COUNT)[::-1])
    assert (used.trained, used.probed) == (trained, probed)
    adapt(CONFIG.model_copy(update={"seed": 1}), normals(COUNT))
    assert used.trained != trained


def test_shots_of_one_part_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    used = Used(monkeypatch)
    shots = [(f"{seed}_{shot}.png", png(part(seed, shot=shot))) for seed in range(16) for shot in (0, 1)]
    part_of = {sha(content): name.split("_")[0] for name, content in shots}
    adapt(CONFIG, shots, groups=lambda name: name.split("_")[0])
    sets = [{part_of[key] for key in keys} for keys in (used.trained, used.probed, used.fitted[1])]
    assert [len(parts) for parts in sets] == [4, 4, 8]
    assert len(set().union(*sets)) == 16
    assert len(used.trained) == 8


def dataset(folder: Path, good: list[Any], bad: list[Any]) -> Any:
    for kind, files in (("good", good), ("scratch", bad)):
        (folder / "test" / kind).mkdir(parents=True)
        for name, content in files:
            (folder / "test" / kind / name).write_bytes(content)
    return open_dataset(folder)


def test_labelled_images_never_teach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good and bad alike: a defect among the good parts by mistake, and another shot of a labelled part."""
    used = Used(monkeypatch)
    bad = defects(3)
    images = [*normals(COUNT), *bad[:1], ("again.png", png(part(2, shot=1)))]
    labeled = dataset(tmp_path, [*normals(2, first=2), *normals(4, first=70)], bad)
    groups = {"good_002.png": "two", "again.png": "two"}
    _, outcome = adapt(CONFIG, images, labeled=labeled, groups=groups)
    known = {sha(content) for _, content in [*images[2:4], *bad, images[-1]]}
    assert outcome.compared_by == "labeled_defects"
    assert outcome.passed_over == 4
    assert not known & (used.trained | used.fitted[0] | used.fitted[1])
    assert used.fitted[0] == used.fitted[1] | used.trained
    assert outcome.evaluated == 9


# --- what counts as a gain --------------------------------------------------------------------------


def counts(caught: list[int]) -> np.ndarray:
    return np.array([caught, [20] * len(caught)], np.int64)


def test_a_gain_on_every_image_is_one_and_luck_on_a_few_is_none() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(4, 12, 12)
    better = adapting._shares_apart([counts(list(base)), counts(list(base + 3))], 0)
    assert better.real
    assert better.value == pytest.approx(3 / 20)
    worse = adapting._shares_apart([counts(list(base + 3)), counts(list(base))], 0)
    assert worse.value == pytest.approx(-3 / 20)
    assert worse.low is not None
    assert worse.low <= -3 / 20 <= (worse.high or 0) < 0
    lucky = base.copy()
    lucky[0] += 6
    assert not adapting._shares_apart([counts(list(base)), counts(list(lucky))], 0).real
    same = adapting._shares_apart([counts(list(base))] * 2, 0)
    assert same.value == 0
    assert not same.real
    assert not adapting._shares_apart([counts([3]), counts([9])], 0).real


def test_the_share_of_a_probe_is_counted_by_image(small_model: Padim) -> None:
    found = sensitivity.measure(
        small_model, normals(3, first=60), places=2, sizes=(4, 16), contrasts=(0.1, 0.4)
    )
    caught, tried = adapting._by_image(found)
    for image in range(3):
        on_it = found.image_of == image
        assert caught[image] == found.caught[on_it].sum()
        assert tried[image] == (~found.void[on_it]).sum()
    assert caught.sum() / tried.sum() == found.share


@pytest.mark.parametrize(
    ("difference", "rejected", "kept", "words"),
    [
        (GAIN, 0, True, "adapted network is kept"),
        (GAIN, 5, False, "5 of 10 unseen good images are rejected, more than the promised 5.0%"),
        (Difference(0.2, -0.1, 0.5, 0.2), 0, False, "Chance explains that as well"),
        (Difference(-0.2, -0.3, -0.1, 0.001), 0, False, "That is no gain"),
        (Difference(None, why="there is too little to compare"), 0, False, "too little to compare"),
    ],
)
def test_it_is_kept_only_for_a_gain(
    difference: Difference, rejected: int, kept: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Used(monkeypatch)
    monkeypatch.setattr(adapting, "_by_painted_defects", results(difference, rejected=rejected))
    model, outcome = adapt(CONFIG, normals(COUNT))
    assert outcome.kept is kept
    assert words in outcome.words
    assert (model.network.provenance["weights"] == "adapted") is kept
    assert "60.0% " in outcome.words
    assert "40.0% " in outcome.words


def test_labelled_defects_are_compared_by_delong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network twice: the same scores but for the parts that taught, and no gain out of nothing."""
    from sklearn.metrics import roc_auc_score

    used = Used(monkeypatch)
    labeled = dataset(tmp_path, normals(6, first=70), defects(6))
    model, outcome = adapt(CONFIG, normals(COUNT), labeled=labeled)
    assert len(used.fitted) == 2
    assert not outcome.kept
    scored = evaluate_dataset(model, labeled).images
    expected = roc_auc_score([not one.good for one in scored], [one.score for one in scored])
    assert outcome.published.value == pytest.approx(expected)
    assert outcome.published.good == 6
    assert outcome.published.rejected == sum(s.good and s.score > model.threshold_level for s in scored)


def test_labelled_images_of_one_class_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Used(monkeypatch)
    labeled = dataset(tmp_path, normals(6, first=70), defects(1))
    with pytest.raises(PadimError, match="at least two good ones and two defects; there are 6 and 1"):
        adapt(CONFIG, normals(COUNT), labeled=labeled)


# --- a model on an adapted network ------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted() -> tuple[Padim, AdaptationResult]:
    """Really taught; only the verdict is forced. Shared: tests must not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting, "_by_painted_defects", results(GAIN))
        return adapt(CONFIG, normals(COUNT), epochs=1)


@pytest.mark.slow
def test_its_origin_is_told(adapted: tuple[Padim, AdaptationResult]) -> None:
    model, outcome = adapted
    published = backbone.provenance(CONFIG.backbone, CONFIG.weights)
    assert model.network.provenance["weights"] == "adapted"
    assert model.network.provenance["sha256"] == published["sha256"]
    assert (
        model.network.provenance["source"] == f"{published['source']}, adapted with 4 images, seed 0, 1 epoch"
    )
    assert len(model.network.adapted_with) == outcome.trained == 4
    assert not model.network.adapted_with & {normal.sha256 for normal in model.normals_}
    assert len(model.normals_) == COUNT - 4


def test_it_is_saved_opened_and_exported_like_any_other(
    adapted: tuple[Padim, AdaptationResult], tmp_path: Path
) -> None:
    model, _ = adapted
    opened = Padim.load(model.save(tmp_path / "model.zip"))
    assert opened.network.provenance == model.network.provenance
    assert opened.network.extractor.identity == model.network.extractor.identity
    assert opened.network.extractor.identity != Padim(CONFIG).network.extractor.identity
    images = [*normals(2, first=60), *defects(2)]
    for ours, theirs in zip(model.predict(images), opened.predict(images), strict=True):
        np.testing.assert_array_equal(ours.levels, theirs.levels)
    path = export_onnx(opened, tmp_path / "scorer.onnx")
    session = ort.InferenceSession(path)
    assert "adapted with 4 images" in session.get_modelmeta().custom_metadata_map["weights_source"]
    rgb = np.stack([part(70, size=(64, 64)), part(71, size=(64, 64), defect=True)])
    levels, expected = (
        session.run(["map"], {"rgb": rgb})[0],
        opened.state.score_arrays(rgb, opened.config.min_area)[0],
    )
    assert np.abs(levels.astype(int) - expected.astype(int)).max() <= 1


def test_it_can_be_fitted_further(adapted: tuple[Padim, AdaptationResult], tmp_path: Path) -> None:
    """On the adapted network's features: as if all had been fitted at once on that network."""
    model, _ = adapted
    known = {normal.sha256 for normal in model.normals_}
    saved = model.save(tmp_path / "model")
    opened = Padim.load(saved, work_dir=tmp_path / "work")
    images = [(name, content) for name, content in normals(COUNT) if sha(content) in known]
    by_hash = {sha(content): (name, content) for name, content in images}
    opened.working_set.rebuild(images)
    opened.partial_fit(normals(2, first=50))
    fresh = Padim(CONFIG)
    fresh.network = ModelNetwork(CONFIG, model.network.extractor.backbone_onnx, model.network.provenance)
    fresh.fit([*(by_hash[normal.sha256] for normal in model.normals_), *normals(2, first=50)])
    np.testing.assert_array_equal(opened.state.gaussians.mean, fresh.state.gaussians.mean)
    np.testing.assert_array_equal(opened.state.fitted.held_out, fresh.state.fitted.held_out)


def test_what_taught_it_is_not_new_to_it(adapted: tuple[Padim, AdaptationResult], tmp_path: Path) -> None:
    model, _ = adapted
    trained = [
        (name, content) for name, content in normals(COUNT) if sha(content) in model.network.adapted_with
    ]
    with pytest.raises(PadimError, match="fitted on 4 of them"):
        sensitivity.measure(model, trained)
    labeled = dataset(tmp_path, trained, defects(2))
    assert evaluate_dataset(model, labeled).known == 4
    again = Padim(CONFIG, work_dir=tmp_path / "work")
    again.network = ModelNetwork(CONFIG, model.network.extractor.backbone_onnx, model.network.provenance)
    refused: list[ImageError] = []
    again.fit([*normals(4, first=60), *trained], on_error=refused.append)
    assert [error.name for error in refused] == [name for name, _ in trained]
    assert len(again.normals_) == 4
    with pytest.raises(ImageError, match="taught with it"):
        again.partial_fit(trained[:1])
    assert len(again.normals_) == 4


def test_a_fitted_model_takes_no_other_network(small_model: Padim) -> None:
    with pytest.raises(PadimError, match="begin a new one"):
        small_model.network = ModelNetwork(CONFIG, b"", {})


# --- stops and refusals -----------------------------------------------------------------------------


class Stops:
    """Stops a call as soon as its progress says a word."""

    def __init__(self, word: str) -> None:
        self.word, self.said = word, ""

    def progress(self, _done: int, _total: int | None, stage: str) -> None:
        self.said = stage

    def cancel(self) -> bool:
        return self.said.startswith(self.word)


@pytest.mark.slow
def test_it_can_be_stopped_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for word in (
        "Looking at the files",
        "Adapting the network",
        "Adapted network: learning",
        "Adapted network: measuring sensitivity",
    ):
        stops = Stops(word)
        with pytest.raises(Cancelled):
            adapt(CONFIG, normals(COUNT), epochs=1, progress=stops.progress, cancel=stops.cancel)
        assert stops.cancel()
    gc.collect()  # a model's own folder goes with it
    # torch leaves a folder of its own.
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("padim-")] == []


def test_too_few_parts_and_generators_are_refused() -> None:
    with pytest.raises(PadimError, match="at least 16 good parts, and there are 15"):
        adapt(CONFIG, [*normals(15), *normals(3)])
    with pytest.raises(ValueError, match="not a generator"):
        adapt(CONFIG, iter(normals(COUNT)))


def test_a_broken_image_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Used(monkeypatch)
    failed: list[str] = []
    images = [*normals(COUNT), *((f"broken_{i}.png", bytes([i]) * 9) for i in range(12))]
    model, _ = adapt(CONFIG, images, on_error=lambda error: failed.append(error.name))
    assert sorted(failed) == sorted(f"broken_{i}.png" for i in range(12))
    assert len(model.normals_) == COUNT


@pytest.mark.slow
def test_importing_it_loads_no_torch() -> None:
    import subprocess
    import sys

    modules = "padim.adaptation.adapt, padim.adaptation.finetune, padim.methods.stfpm"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_a_random_network_can_be_taught_for_a_trial(store: ImageStore) -> None:
    config = CONFIG.model_copy(update={"weights": "random"})
    content, losses = fine_tune(config, store, Turn("3 images", [0, 1, 3], [4]), 1)
    assert np.isfinite(answers(content)).all()
    assert len(losses.train) == 1
    assert io.BytesIO(content).read(1)
