"""What holds for every method of the catalog, as scikit-learn checks its estimators.

Held-out scores are honest, a saved model and an exported one score to the bit, a part can be taken out and
put back, a stopped fit goes on, and what cannot be done is refused with the same errors. What only one method
does is tested in its own file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import settings as h_settings
from hypothesis import strategies as st
from sklearn.base import clone

from padim import InputError, Padim, PadimConfig
from padim.data.loading import Watch
from padim.errors import BundleError, CalibrationError, Cancelled, ImageError, NotFittedError, PadimError
from padim.methods import lookup
from padim.methods.base import Task
from padim.methods.catalogue import METHODS, held_out
from padim.methods.ensemble import Ensemble
from padim.network.extractor import open_extractor
from padim.network.runtime import open_session
from padim.output.export import export_npz, export_onnx
from padim.output.scorer_graph import OutputType
from padim.scoring import ScoringState
from padim.storage.bundle import Bundle
from padim.storage.feature_store import FeatureStore
from padim.storage.image_store import ImageStore
from padim.storage.normals import Normal
from tests.methods.cases import CASES, COUNT, config, copied, fitted
from tests.parts import defects, normals, part

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
TRAINED = [name for name in CASES if any(METHODS[used].trains for used in config(name).methods_used)]
# The operators that occur here, each looked up in the support table of TensorRT's ONNX parser.
_TENSORRT = """
Add AveragePool Cast Clip Concat Constant ConstantOfShape Conv Div Exp Gather Identity IsNaN
LeakyRelu MatMul Max Mean Min Mul Pad Pow ReduceL2 ReduceMax ReduceMin ReduceSum ReduceSumSquare Relu Reshape
Round Shape Slice Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
TENSORRT_OPERATORS = frozenset(_TENSORRT.split())


# A student network, and a second way to the same code, cost most of the time: `make test-fast` does without.
SLOW = ("stfpm", "soft", "trained ensemble")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES],
    ids=list(CASES),
)
def case(request: pytest.FixtureRequest) -> str:
    """Module-scoped, so that all checks of one method follow each other and share its model."""
    return str(request.param)


@pytest.fixture(scope="module")
def model(case: str, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Shared: tests must not change it (``own`` is for that)."""
    return fitted(case, tmp_path_factory.mktemp("work"))


@pytest.fixture
def own(model: Padim, tmp_path: Path) -> Padim:
    """A copy with the features at hand, to be changed."""
    return copied(model, tmp_path / "own")


def grids(model: Padim, images: Any) -> npt.NDArray[np.float32]:
    return np.stack([one.grid for one in model.predict(images)])


def levels(model: Padim, count: int = 3) -> npt.NDArray[np.uint16]:
    return np.stack([one.levels for one in model.predict(defects(count))])


def assert_same(first: Padim, second: Padim) -> None:
    """The same model to the last bit: what scores, the good parts' own scores, and the threshold."""
    one, other = first.state.fitted, second.state.fitted
    assert one.detector.fingerprint() == other.detector.fingerprint()
    np.testing.assert_array_equal(one.held_out, other.held_out)
    assert one.losses == other.losses
    assert first.normals_ == second.normals_
    assert first.threshold_level == second.threshold_level
    assert first.state.identity == second.state.identity
    np.testing.assert_array_equal(levels(first), levels(second))


def test_every_method_of_the_catalog_has_a_case() -> None:
    assert {settings["method"] for settings in CASES.values()} == set(METHODS)


def test_defects_stand_out_from_good_parts(model: Padim) -> None:
    good = model.state.part_scores(model.config.min_area)
    assert len(good) == COUNT
    assert model.state.fitted.calibration == "exact"
    bad = [one.score_level for one in model.predict(defects(6))]
    assert np.median(bad) > np.median(good)


# --- honest held-out scores ---------------------------------------------------------------------------------


def exact(case: str) -> bool:
    """Whether held-out scores are exactly those of a refit; a coreset is, while it keeps every patch."""
    chosen = config(case)
    kind = held_out(chosen.method, neighborhood=chosen.neighborhood)
    return kind == "exact" or chosen.method == "patchcore"


@pytest.mark.parametrize("row", [0, COUNT - 2])
def test_a_good_parts_own_score_is_that_of_a_model_without_it(model: Padim, case: str, row: int) -> None:
    """To rounding where leaving out is exact; elsewhere within the bound that is documented.

    Cross-fitting leaves out more than the one part, so its scores are not those of a refit; that they are
    of models that have not seen the part is the next test. An ensemble's scales contain the part's own
    pixels, one in n.
    """
    own = model.state.fitted.held_out[row]
    seen = grids(model, normals(1, first=row))[0]
    # Never the score of the model that contains the part.
    assert np.abs(own - seen).max() > 1e-3 * own.max()
    if case in TRAINED:
        return
    without = Padim(config(case)).fit([one for index, one in enumerate(normals(COUNT)) if index != row])
    refitted = grids(without, normals(1, first=row))[0]
    if exact(case):
        np.testing.assert_allclose(own, refitted, rtol=2e-3, atol=1e-4 * refitted.max())
    else:
        assert np.corrcoef(own.ravel(), refitted.ravel())[0, 1] > 0.97
        assert np.median(own) == pytest.approx(np.median(refitted), rel=0.25)


def image_task(folder: Path, config: PadimConfig, images: Sequence[npt.NDArray[np.uint8]]) -> Task:
    """A task of these images, two of each part, whose keys do not follow from what they show."""
    extractor = open_extractor(config)
    store = FeatureStore(
        folder / "features", extractor.identity, extractor.channels, extractor.positions
    ).start()
    kept = ImageStore(folder / "images", config.input_shape).start()
    rgb, keys = np.stack(images), [f"{row:064d}" for row in range(len(images))]
    store.append(extractor(rgb), keys)
    kept.append(rgb, keys)
    known = tuple(
        Normal(f"{row}.png", key, f"#{row // 2}", "fit", (64, 64), (0, 0)) for row, key in enumerate(keys)
    )
    channels = np.arange(min(config.n_features or extractor.channels, extractor.channels))
    return Task(store, known, channels, config, Watch(), None, kept, extractor.backbone_onnx)


def held_out_of(folder: Path, case: str, first: int) -> npt.NDArray[np.float32]:
    """Held-out distances of four parts in two images each; image number 0 is that of part ``first``."""
    seeds = [first, 0, 1, 1, 2, 2, 3, 3]
    images = [part(seed, size=(64, 64), shot=row, defect=seed > 50) for row, seed in enumerate(seeds)]
    chosen = config(case, folds=4)  # a model for every part
    found = lookup.fitter(chosen.method)(image_task(folder, chosen, images)).held_out
    assert found.shape == (8, chosen.positions)
    return found


def test_what_a_part_shows_has_no_share_in_how_it_is_scored(case: str, tmp_path: Path) -> None:
    """One image of a part is replaced by quite another; the part's other image is scored as before.

    Whatever scores a part has therefore seen none of its images: neither as examples, nor to say when a
    training ends, nor for any mean or scale. Only an ensemble's scales may move, by one part in n.
    """
    before, after = (held_out_of(tmp_path / str(first), case, first) for first in (0, 99))
    # It is quite another: its own scores have changed, and those of parts scored by what has seen it.
    assert np.abs(after[0] - before[0]).max() > 0.1 * before[0].max()
    assert np.abs(after[2:] - before[2:]).max() > 1e-3 * before[2:].max()
    if config(case).method == "ensemble":
        assert np.corrcoef(after[1], before[1])[0, 1] > 0.97
    elif METHODS[config(case).method].trains:
        np.testing.assert_array_equal(after[1], before[1])
    else:
        np.testing.assert_allclose(after[1], before[1], rtol=2e-3, atol=1e-4 * before[1].max())


# --- the same again: by seed, in batches, saved, exported ---------------------------------------------------


def test_settings_alone_determine_the_model(model: Padim, case: str, tmp_path: Path) -> None:
    """A clone is unfitted, and fitted on the same images it is the same model; another seed is another."""
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert not hasattr(again, "threshold_")
    assert_same(again.fit(normals(COUNT)), model)
    other = clone(model).set_params(seed=model.config.seed + 1)
    assert other.get_params()["seed"] == model.config.seed + 1
    other.fit(normals(4))
    one = clone(model).fit(normals(4))
    assert one.state.identity != other.state.identity
    assert not np.array_equal(levels(one, 1), levels(other, 1))


def test_parameters_are_read_set_and_refused_once_fitted(model: Padim) -> None:
    params = model.get_params()
    assert Padim(**params).config == model.config
    assert Padim().set_params(**params).config == model.config
    with pytest.raises(PadimError, match="fitted model cannot be changed"):
        model.set_params(input_size=128)
    with pytest.raises(ValueError, match="no setting 'inputsize'"):
        Padim(**params).set_params(inputsize=64)
    assert model.get_params() == params


def test_an_image_alone_scores_as_in_a_batch(model: Padim) -> None:
    together = levels(model)
    for index, one in enumerate(defects(3)):
        np.testing.assert_array_equal(next(model.predict([one])).levels, together[index])


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_saved_model_is_the_same_to_the_bit(model: Padim, tmp_path: Path, name: str) -> None:
    path = model.save(tmp_path / name)
    assert Bundle(path).manifest["method"] == model.config.method
    assert_same(Padim.load(path), model)


def test_the_exported_scorer_computes_what_predict_does(model: Padim, tmp_path: Path) -> None:
    # Of the size that the network takes, so that nothing is resized on the way.
    rgb = np.stack([part(500 + seed, size=(64, 64), defect=seed > 0) for seed in range(3)])
    session = open_session(export_onnx(model, tmp_path / "scorer.onnx").read_bytes())
    maps, scores = session.run(["map", "score"], {"rgb": rgb})
    predicted = list(model.predict(rgb))
    np.testing.assert_array_equal(maps, [one.levels for one in predicted])
    np.testing.assert_array_equal(scores, [one.levels.max() for one in predicted])


def test_the_float32_scorer_gives_the_same_numbers_in_types_that_tensorrt_knows(
    model: Padim, tmp_path: Path
) -> None:
    """TensorRT has no uint16 and no int16, and takes uint8 only as an input that is cast at once."""
    rgb = np.stack([part(510 + seed, size=(64, 64), defect=seed > 0) for seed in range(3)])
    (maps, scores), (plain, plain_scores) = (
        open_session(export_onnx(model, tmp_path / f"{kind}.onnx", output_type=kind).read_bytes()).run(
            ["map", "score"], {"rgb": rgb}
        )
        for kind in get_args(OutputType)
    )
    assert (maps.dtype, plain.dtype) == (np.uint16, np.float32)
    assert maps.any()
    np.testing.assert_array_equal(plain, maps)
    np.testing.assert_array_equal(plain_scores, scores)
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "float32.onnx"), strict_mode=True).graph
    known = {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL}
    values = [*graph.input, *graph.value_info, *graph.output]
    odd = {value.name for value in values if value.type.tensor_type.elem_type not in known}
    odd |= {tensor.name for tensor in graph.initializer if tensor.data_type not in known}
    assert odd == {"rgb"}
    assert [node.op_type for node in graph.node if "rgb" in node.input] == ["Cast"]
    # Every tensor's type was looked at.
    named = {value.name for value in values}
    assert {name for node in graph.node for name in node.output} <= named
    assert not {"DequantizeLinear", "QuantizeLinear"} & {node.op_type for node in graph.node}
    assert {node.op_type for node in graph.node} <= TENSORRT_OPERATORS


def test_only_a_gaussian_at_every_position_is_exported_as_such(
    model: Padim, case: str, tmp_path: Path
) -> None:
    if model.config.method == "padim":
        assert export_npz(model, tmp_path / "x.npz").stat().st_size > 0
        return
    with pytest.raises(PadimError, match="only PaDiM"):
        export_npz(model, tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


# --- which model scored -------------------------------------------------------------------------------------


def arrays_in(thing: Any) -> Iterator[npt.NDArray[Any]]:
    """All arrays of a detector, its members' too."""
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, tuple):
        for one in thing:
            yield from arrays_in(one)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from arrays_in(getattr(thing, field.name))


def changeable(model: Padim) -> Any:
    """A copy of the detector without what was computed of it."""
    changed = deepcopy(model.state.fitted.detector)
    changed.__dict__.pop("file_hashes", None)
    return changed


@h_settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_other_number_in_any_array_is_another_scoring_identity(model: Padim, data: st.DataObject) -> None:
    changed = changeable(model)
    assert changed.fingerprint() == model.state.fitted.detector.fingerprint()
    changed.__dict__.pop("file_hashes")
    found = list(arrays_in(changed))
    if not found:
        return  # a trained student is a file, not arrays
    array = found[data.draw(st.integers(0, len(found) - 1))]
    # The least bit of a number. Of a triangular matrix the zeros are kept, too.
    number = array.reshape(-1).view(np.uint8)
    number[data.draw(st.integers(0, array.size - 1)) * array.itemsize] ^= 1
    assert changed.fingerprint() != model.state.fitted.detector.fingerprint()
    if array.dtype == np.int64 and isinstance(changed, Ensemble):
        return  # a member's channels follow from the model's and its settings, which the identity covers
    judge = ScoringState(
        replace(model.state.fitted, detector=changed),
        model.config,
        None,
        model.network.extractor,
        model.state.channels,
    )
    assert judge.identity != model.state.identity


def test_a_map_of_another_detector_is_refused(own: Padim, model: Padim) -> None:
    (scored,) = own.predict(defects(1))
    assert model.decide(scored).rejected == own.decide(scored).rejected
    own.exclude(0, "not_good")
    with pytest.raises(PadimError, match="scored before the model changed, or by another model"):
        own.decide(scored)


def test_a_bundle_with_arrays_of_another_model_is_refused(model: Padim, case: str, tmp_path: Path) -> None:
    saved = Bundle(model.save(tmp_path / "model"))
    changes = {"layers": ["blocks.4"]} if "layers" in CASES[case] else {"n_features": 12}
    strange = Bundle(Padim(config(case, **changes)).fit(normals(3)).save(tmp_path / "other"))
    from padim.storage import bundle

    manifest = {
        key: value
        for key, value in saved.manifest.items()
        if key not in ("format", "version", "files", "seal")
    }
    kept = ("backbone.onnx", "channels.npy", "held_out.npy", "normals.json", "thumbnails.bin")
    files = {
        name: (saved if name in kept else strange).bytes(name)
        for name in saved.manifest["files"]
        if name in kept or name in strange.manifest["files"]
    }
    bundle.write(tmp_path / "mixed", manifest, files)
    with pytest.raises(BundleError):
        Padim.load(tmp_path / "mixed")


# --- parts taken out, put back and added --------------------------------------------------------------------


def test_a_part_taken_out_was_never_in_and_put_back_was_never_out(
    model: Padim, own: Padim, case: str
) -> None:
    own.exclude(2, "kept_out")
    without = Padim(config(case)).fit([one for index, one in enumerate(normals(COUNT)) if index != 2])
    np.testing.assert_allclose(grids(own, defects(2)), grids(without, defects(2)), rtol=1e-4, atol=1e-6)
    # It stays in the calibration as an image that the model has not seen.
    (unseen,) = own.predict(normals(1, first=2))
    np.testing.assert_allclose(own.state.fitted.held_out[2], unseen.grid, rtol=1e-4, atol=1e-5)
    assert len(own.state.part_scores(own.config.min_area)) == COUNT
    own.include(2)
    assert_same(own, model)
    own.exclude(2, "not_good")
    assert len(own.state.part_scores(own.config.min_area)) == COUNT - 1
    np.testing.assert_array_equal(
        own.state.fitted.held_out[[0, 1, *range(3, COUNT)]], without.state.fitted.held_out
    )
    own.include(2)
    assert_same(own, model)


def test_a_continued_fit_is_one_fit(model: Padim, case: str, tmp_path: Path) -> None:
    first = fitted(case, tmp_path / "first", COUNT - 3)
    other = copied(first, tmp_path / "other")
    first.partial_fit(normals(3, first=COUNT - 3))
    assert_same(first, model)
    # The features deleted, the checkpoint goes on as exactly.
    other.working_set.delete()
    if other.working_set.continues_exactly:
        other.partial_fit(normals(3, first=COUNT - 3))
        assert_same(other, model)
    else:  # one that needs the images themselves says so and changes nothing
        before = levels(other)
        with pytest.raises(PadimError):
            other.partial_fit(normals(3, first=COUNT - 3))
        np.testing.assert_array_equal(levels(other), before)


# --- stopped, killed, resumed -------------------------------------------------------------------------------


def stop_after(fitting: bool) -> tuple[Callable[[int, int | None, str], None], Callable[[], bool]]:
    """(progress, cancel) that stop while images are read, or as soon as something is made of them."""
    stages: list[str] = []

    def progress(_done: int, _total: int | None, stage: str) -> None:
        stages.append(stage)

    def cancel() -> bool:
        return any(stage != stages[0] for stage in stages) if fitting else bool(stages)

    return progress, cancel


@pytest.mark.parametrize("fitting", [False, True], ids=["reading", "fitting"])
def test_a_stopped_fit_goes_on_to_the_same_model(
    model: Padim, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fitting: bool
) -> None:
    monkeypatch.setattr("padim.methods.training.SECONDS_BETWEEN_SAVES", 0.0)
    progress, cancel = stop_after(fitting)
    stopped = Padim(config(case))
    with pytest.raises(Cancelled):
        stopped.fit(normals(COUNT), progress=progress, cancel=cancel, unfinished=tmp_path)
    with pytest.raises(NotFittedError):
        _ = stopped.state
    assert any(tmp_path.iterdir())
    stopped.fit(normals(COUNT), unfinished=tmp_path)
    assert_same(stopped, model)
    assert not any(tmp_path.iterdir())


KILL = """
import os, signal, sys
from pathlib import Path
from padim import Padim
from padim.methods import training
from tests.methods.cases import COUNT, config
from tests.parts import normals

training.SECONDS_BETWEEN_SAVES = 0.0
first = []

def progress(done, total, stage):
    first[:] = first or [stage]
    if stage != first[0]:
        seen.append(stage)
        if len(seen) > 3:
            os.kill(os.getpid(), signal.SIGKILL)

seen = []
Padim(config(sys.argv[1])).fit(normals(COUNT), progress=progress, unfinished=Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_fit_goes_on_to_the_same_model(model: Padim, case: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILL, case, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:  # over before it could be killed in the middle of something
        assert case not in TRAINED
        return
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    again = Padim(config(case)).fit(normals(COUNT), unfinished=tmp_path)
    assert_same(again, model)


def test_cancelling_a_change_leaves_the_model_as_it_was(own: Padim, model: Padim) -> None:
    changes: list[Callable[..., object]] = [
        lambda **watch: own.fit(normals(COUNT + 1), **watch),
        lambda **watch: own.partial_fit(normals(1, first=COUNT), **watch),
        lambda **watch: own.exclude(0, "not_good", **watch),
    ]
    for change in changes:
        stages: list[str] = []

        def progress(_done: int, _total: int | None, stage: str, stages: list[str] = stages) -> None:
            stages.append(stage)

        def cancel(stages: list[str] = stages) -> bool:
            return bool(stages) and "Reading" not in stages[-1]  # once all images are read

        with pytest.raises(Cancelled):
            change(progress=progress, cancel=cancel)
        assert_same(own, model)
        assert own.working_set.has_features
    assert not list(own.working_set.folder.parent.glob("new*"))


# --- refusals -----------------------------------------------------------------------------------------------


def test_an_unfitted_model_says_so(case: str, tmp_path: Path) -> None:
    model = Padim(config(case))
    attempts: list[Callable[[], object]] = [
        lambda: next(iter(model.predict(defects(1)))),
        lambda: model.save(tmp_path / "model"),
        lambda: model.export(tmp_path / "scorer.onnx"),
        lambda: model.exclude(0, "not_good"),
        lambda: model.threshold_,
        lambda: model.false_reject_rate_,
        lambda: model.normals_,
    ]
    for attempt in attempts:
        with pytest.raises(NotFittedError):
            attempt()
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_none_are_refused_before_anything_changes(own: Padim, model: Padim) -> None:
    with pytest.raises(InputError, match="holds no images"):
        own.fit(None)
    with pytest.raises(PadimError, match="none of the"):
        own.fit([])
    with pytest.raises(ImageError, match=r"x\.png: must be \(h, w\) or \(h, w, 3\), got uint8 \(4, 5, 4\)"):
        own.fit([*normals(3), ("x.png", np.zeros((4, 5, 4), np.uint8))])
    with pytest.raises(ImageError, match="must be uint8 or uint16, got float32"):
        own.partial_fit([np.zeros((64, 64, 3), np.float32)])
    with pytest.raises(ImageError, match="broken"):
        list(own.predict([*defects(1), ("broken.png", b"nothing")]))
    assert_same(own, model)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_good_parts_make_a_model_that_cannot_decide(case: str, count: int) -> None:
    """It scores and promises nothing; where scores need a common scale, it says how many parts that takes."""
    model = Padim(config(case))
    if config(case).method == "ensemble":
        with pytest.raises(PadimError, match="at least 3 good parts"):
            model.fit(normals(count))
        assert not hasattr(model, "normals_")
        return
    model.fit(normals(count))
    assert model.state.fitted.calibration == "none"
    (scored,) = model.predict(defects(1))
    assert scored.score_level > 0
    assert scored.threshold_level is None
    with pytest.raises(CalibrationError, match="3"):
        model.decide(scored)


def test_the_last_parts_of_a_fit_cannot_be_taken_out(case: str, tmp_path: Path) -> None:
    model = fitted(case, tmp_path, 3)

    def take_out_all() -> None:
        for index in range(3):
            model.exclude(index, "not_good")

    with pytest.raises(PadimError):
        take_out_all()
    assert any(normal.status == "fit" for normal in model.normals_)
    with pytest.raises(ValueError, match="reason must be"):
        model.exclude(0, "ugly")  # type: ignore[arg-type]


def test_what_only_a_gaussian_at_every_position_has_is_refused_elsewhere(model: Padim, case: str) -> None:
    from padim.analysis.attribution import embed, explain

    if case == "padim":
        return
    with pytest.raises(PadimError, match="only for PaDiM without position tolerance"):
        explain(model, embed(model, np.zeros((64, 64, 3), np.uint8)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "ensemble", "members": ["padim"]}, "at least two different methods"),
        ({"method": "ensemble", "members": ["padim", "ensemble"]}, "cannot be a member"),
        ({"method": "magic"}, "method"),
    ],
)
def test_impossible_methods_are_refused_in_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PadimError, match=message):
        PadimConfig.of(settings)
