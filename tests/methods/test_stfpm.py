"""STFPM: the student compared with NumPy, and a training that is interrupted and resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from padim import BundleError, Cancelled, Padim, PadimConfig, PadimError
from padim.data.loading import Watch
from padim.decision.anomaly_map import Quantizer, tail_inputs
from padim.errors import NotFittedError
from padim.methods import lookup
from padim.methods.base import Task
from padim.methods.stfpm import STUDENT, StudentTeacher, TeacherFeatures, fit_detector
from padim.methods.student import build, export
from padim.methods.training import Turn, initialize
from padim.network import backbone as backbones
from padim.network.detector import EmbeddingDetector
from padim.network.extractor import open_extractor
from padim.storage.feature_store import FeatureStore
from padim.storage.image_store import ImageStore
from padim.storage.normals import Normal
from tests.parts import defects, normals, part
from tests.reading import rows_read

pytestmark = pytest.mark.usefixtures("one_thread")

# Two trainings for the held-out scores and one for all parts, of a few steps each.
CONFIG = PadimConfig(
    method="stfpm", input_size=64, folds=2, max_epochs=2, smoothing_sigma=2, min_area=8, layers=("blocks.2",)
)
COUNT = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a shared model, which tests must not change."""
    return Padim(CONFIG, work_dir=tmp_path_factory.mktemp("work")).fit(normals(COUNT))


def untrained(config: PadimConfig, seed: int = 0) -> StudentTeacher:
    layers = backbones.get(config.backbone).select(config.active_layers)
    student = build(layers)
    initialize(student, seed)
    content = export(student, layers)
    return StudentTeacher(content, layers, config.input_shape, config.grid_stride, config.n_features or 1)


def by_the_graph(config: PadimConfig, detector: StudentTeacher, rgb: np.ndarray) -> np.ndarray:
    extractor = open_extractor(config)
    kept = np.arange(extractor.channels)
    tail = tail_inputs(config.grid_shape, config.input_shape, 0.0, Quantizer(0.0, 1.0))
    feed = {**tail, "inside": np.ones((1, 1, 1), np.float32), "rgb": rgb}
    return np.asarray(extractor.scoring_session(detector, kept).run(["distance"], feed)[0])


def by_numpy(config: PadimConfig, student: bytes, rgb: np.ndarray) -> np.ndarray:
    """Compute the paper's equations independently: float64, loops, without the project's graph."""
    backbone = backbones.get(config.backbone)
    image = (rgb.astype(np.float64) * backbone.scale + backbone.offset).transpose(0, 3, 1, 2)
    names = list(config.active_layers)
    network = open_extractor(config).backbone_onnx
    feed = {"image": image.astype(np.float32)}
    answers = [
        dict(zip(names, ort.InferenceSession(net).run(names, feed), strict=True))
        for net in (network, student)
    ]
    product = np.ones((len(rgb), *config.grid_shape))
    for name in names:
        teacher, own = (answer[name].astype(np.float64) for answer in answers)
        apart = [map_ / np.linalg.norm(map_, axis=1, keepdims=True) for map_ in (teacher, own)]
        half = 0.5 * ((apart[0] - apart[1]) ** 2).sum(axis=1)
        product *= np.stack([on_grid(one, config.grid_shape[0]) for one in half])
    return product ** (1 / len(names))


def on_grid(fine: np.ndarray, grid: int) -> np.ndarray:
    """Resize by area means, or bilinearly with half-pixel centers and clamped edges."""
    side = len(fine)
    if side >= grid:
        return fine.reshape(grid, side // grid, grid, side // grid).mean(axis=(1, 3))
    result = np.zeros((grid, grid))
    for row in range(grid):
        for column in range(grid):
            y, x = (min(max((i + 0.5) * side / grid - 0.5, 0), side - 1) for i in (row, column))
            top, left = math.floor(y), math.floor(x)
            below, right = min(top + 1, side - 1), min(left + 1, side - 1)
            upper = fine[top, left] * (1 - x + left) + fine[top, right] * (x - left)
            lower = fine[below, left] * (1 - x + left) + fine[below, right] * (x - left)
            result[row, column] = upper * (1 - y + top) + lower * (y - top)
    return result


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("inactive", [(), ("blocks.4",), ("blocks.2", "blocks.10")])
def test_the_graph_computes_what_the_paper_says(stride: int, inactive: tuple[str, ...]) -> None:
    config = PadimConfig(method="stfpm", input_size=64, grid_stride=stride, inactive_layers=inactive)
    detector = untrained(config)
    rgb = np.stack([part(seed, size=(64, 64)) for seed in range(3)])
    found = by_the_graph(config, detector, rgb)
    expected = by_numpy(config, detector.student, rgb)
    assert found.shape == (3, config.positions)
    assert 0.1 < found.min() < found.max() <= 2
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=2e-4)


@pytest.mark.slow
def test_a_fitted_model_scores_so_too(model: Padim) -> None:
    images = [part(70, size=(64, 64)), part(71, size=(64, 64), defect=True)]
    grids = np.stack([s.grid for s in model.predict([(str(i), rgb) for i, rgb in enumerate(images)])])
    detector = model.state.fitted.detector
    assert isinstance(detector, StudentTeacher)
    expected = by_numpy(model.config, detector.student, np.stack(images))
    np.testing.assert_allclose(grids, expected, rtol=1e-3, atol=1e-6)


def test_it_learns(model: Padim) -> None:
    """After little training, the student's error on good parts is below its first one and that on defects."""
    for losses in model.state.fitted.losses:
        assert losses.train[-1] < 0.5 * losses.train[0]
    good = [float(s.grid.max()) for s in model.predict(normals(6, first=60))]
    bad = [float(s.grid.max()) for s in model.predict(defects(6))]
    assert np.median(bad) > np.median(good)


def stopping(words: str, after: int = 1) -> tuple[Callable[..., None], Callable[[], bool]]:
    """Stop once the progress has reported a stage a number of times."""
    stages: list[str] = []

    def progress(_done: int, _total: int | None, stage: str) -> None:
        if words in stage:
            stages.append(stage)

    return progress, lambda: len(stages) >= after


@pytest.mark.slow
def test_a_stopped_training_goes_on_where_it_was(
    model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("padim.methods.training.SECONDS_BETWEEN_SAVES", 0.0)
    progress, cancel = stopping("without fold 2 of 2: epoch 2")
    stopped = Padim(CONFIG)
    with pytest.raises(Cancelled):
        stopped.fit(normals(COUNT), progress=progress, cancel=cancel, unfinished=tmp_path)
    with pytest.raises(NotFittedError):
        _ = stopped.state
    phrase: list[str] = []
    stopped.fit(normals(COUNT), progress=lambda _d, _t, stage: phrase.append(stage), unfinished=tmp_path)
    assert not any("without fold 1" in stage for stage in phrase)
    assert not any("without fold 2 of 2: epoch 1" in stage for stage in phrase)
    assert stopped.state.fitted.detector.form == model.state.fitted.detector.form
    assert stopped.state.fitted.losses == model.state.fitted.losses
    np.testing.assert_array_equal(stopped.state.fitted.held_out, model.state.fitted.held_out)


class Saved:
    """A bundle that contains one file."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def bytes(self, name: str) -> bytes:
        assert name == STUDENT
        return self.content

    def array(self, *_: Any) -> Any:
        raise AssertionError

    arrays = array


def test_a_student_of_another_model_is_refused(model: Padim) -> None:
    p, d = CONFIG.positions, len(model.state.channels)
    with pytest.raises(ValueError, match=r"student\.onnx is not a network .* it is not an ONNX file"):
        StudentTeacher.load(Saved(b"no network"), CONFIG, (p, d))
    other = untrained(PadimConfig(method="stfpm", input_size=64))
    with pytest.raises(ValueError, match=r"do not fit|does not give the layer"):
        StudentTeacher.load(Saved(other.student), CONFIG, (p, d))


def test_a_student_that_answers_in_another_shape_is_refused(model: Padim, tmp_path: Path) -> None:
    """Its names are right, but no graph can be built from it, which is reported like any damaged file."""
    layers = backbones.get(CONFIG.backbone).select(CONFIG.active_layers)
    wrong = untrained(CONFIG)
    student = export(build([replace(layers[0], channels=layers[0].channels + 1)]), layers)
    extractor = open_extractor(CONFIG)
    with pytest.raises(BundleError):
        extractor.scoring_session(replace(wrong, student=student), np.arange(extractor.channels))


def test_distances_do_not_follow_from_embeddings(model: Padim) -> None:
    detector = model.state.fitted.detector
    assert detector.needs_image
    assert not lookup.detector("padim").needs_image
    assert not isinstance(detector, EmbeddingDetector)
    assert detector.strange() == 2
    assert detector.shape == (CONFIG.positions, len(model.state.channels))
    assert untrained(CONFIG, 1).fingerprint() != untrained(CONFIG, 2).fingerprint()


def test_one_part_is_one_training() -> None:
    single = Padim(CONFIG.model_copy(update={"max_epochs": 1})).fit(normals(1))
    assert [losses.name for losses in single.state.fitted.losses] == ["all parts"]


def task_of(tmp_path: Path, **changes: Any) -> Task:
    extractor = open_extractor(CONFIG)
    feature_store = FeatureStore(
        tmp_path / "spool", extractor.identity, extractor.channels, extractor.positions
    ).start()
    images = ImageStore(tmp_path / "images", CONFIG.input_shape).start()
    rgb = np.stack([part(seed, size=(64, 64)) for seed in range(3)])
    keys = [f"{seed:064d}" for seed in range(3)]
    feature_store.append(extractor(rgb), keys)
    images.append(rgb, keys)
    known = [Normal(key[-1], key, f"#{key[-1]}", "fit", (64, 64), (0, 0)) for key in keys]
    kept = np.arange(extractor.channels)
    task = Task(
        feature_store, known, kept, CONFIG, Watch(), tmp_path / "training", images, extractor.backbone_onnx
    )
    return replace(task, **changes)


def test_without_the_images_it_cannot_learn(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="images themselves"):
        fit_detector(task_of(tmp_path, images=None))


def test_another_network_is_noticed(tmp_path: Path) -> None:
    other = open_extractor(CONFIG.model_copy(update={"weights": "random"})).backbone_onnx
    with pytest.raises(PadimError, match="not the one"):
        fit_detector(task_of(tmp_path, network=other))


def test_squares_are_of_the_images_they_are_answered_for(tmp_path: Path) -> None:
    """Every crop and the teacher's features for it come from the same place in the same image."""
    task = task_of(tmp_path)
    assert task.images is not None
    (folder := tmp_path / "answers").mkdir()
    teacher_features = TeacherFeatures(task, task.images, open_extractor(CONFIG), folder)
    whole = list(teacher_features._full_images([0, 1, 2]))
    ((image, (answer,)),) = whole
    np.testing.assert_allclose(np.linalg.norm(answer.astype(float), axis=1), 1, atol=2e-3)
    seen = set()
    rng = np.random.default_rng(3)
    for squares, (answers,) in teacher_features._squares([2, 0], rng):
        side, fine = squares.shape[2], answers.shape[2]
        assert side == 4 * fine
        for square, its in zip(squares, answers, strict=True):
            places = [
                (row, y, x)
                for row in range(3)
                for y in range(0, 65 - side, 4)
                for x in range(0, 65 - side, 4)
                if np.array_equal(image[row, :, y : y + side, x : x + side], square)
            ]
            ((row, y, x),) = places
            np.testing.assert_array_equal(answer[row, :, y // 4 : y // 4 + fine, x // 4 : x // 4 + fine], its)
            seen.add(row)
    assert seen == {0, 2}


def test_only_its_own_rows_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold's training reads the images it trains on and those for early stopping, and no other."""
    task = task_of(tmp_path)
    assert task.images is not None
    (folder := tmp_path / "answers").mkdir()
    teacher_features = TeacherFeatures(task, task.images, open_extractor(CONFIG), folder)
    read = rows_read(monkeypatch)
    teacher_features.fit(Turn("all parts", [0], [2]))
    assert read == {0, 2}


def test_its_own_defaults_are_for_a_network_trained_whole() -> None:
    config = PadimConfig(method="stfpm")
    assert (config.folds, config.max_epochs) == (3, 20)
    assert PadimConfig(method="stfpm", folds=7).folds == 7
    assert PadimConfig().folds == 5
