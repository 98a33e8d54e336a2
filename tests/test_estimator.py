"""``Padim`` as an estimator: settings as keywords, fitted attributes, errors, and scikit-learn's habits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import padim
from padim import InputError, NotFittedError, Padim, PadimConfig, PadimError
from tests.parts import defects, normals


def test_settings_are_keywords_or_a_config() -> None:
    config = PadimConfig(input_size=128, n_features=20)
    assert Padim(input_size=128, n_features=20).config == config == Padim(config).config
    assert Padim(config, seed=3).config == PadimConfig(input_size=128, n_features=20, seed=3)
    # What nobody chose keeps following the method.
    assert Padim(PadimConfig(), method="svdd").config.feature_norm == PadimConfig(method="svdd").feature_norm


@pytest.mark.parametrize(
    ("settings", "said"), [({"inputsize": 3}, "no setting 'inputsize'"), ({"input_size": -1}, "input_size")]
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        Padim(**settings)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match=said):
        Padim().set_params(**settings)


def test_constructing_has_no_side_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    Padim(work_dir=tmp_path / "work")
    Padim(backbone="efficientnet_lite0")
    repr(Padim())
    assert list(tmp_path.iterdir()) == []


def test_parameters_are_read_set_and_cloned() -> None:
    model = Padim(input_size=128)
    assert model.get_params()["input_size"] == 128
    assert Padim(**model.get_params()).config == model.config
    assert model.set_params(n_features=20) is model
    assert (model.config.n_features, model.config.input_size) == (20, 128)
    copy = clone(model)
    assert copy is not model
    assert copy.config == model.config


def test_a_fitted_model_keeps_its_settings(small_model: Padim) -> None:
    with pytest.raises(PadimError, match="fitted model cannot be changed"):
        small_model.set_params(input_size=128)
    assert not hasattr(clone(small_model), "threshold_")


def test_fitted_attributes(small_model: Padim) -> None:
    threshold = small_model.threshold_
    assert isinstance(threshold, float)
    assert threshold > 0
    rate = small_model.false_reject_rate_
    assert 0 < rate.expected < rate.upper <= 1
    assert rate.n == 22


def test_before_a_fit_they_are_missing() -> None:
    model = Padim()
    for name in ("threshold_", "false_reject_rate_", "normals_"):
        assert not hasattr(model, name)
        for error in (NotFittedError, ValueError, AttributeError, PadimError):
            with pytest.raises(error, match="fit"):
                getattr(model, name)
    with pytest.raises(NotFittedError):
        next(iter(model.predict(defects(1))))


def test_what_it_is_shows(small_model: Padim) -> None:
    assert repr(Padim(input_size=128)) == "Padim(input_size=128, not fitted)"
    assert "fitted on 22 parts, threshold " in repr(small_model)
    (found,) = small_model.predict(defects(1))
    assert repr(found).startswith(f"Prediction({found.name!r}, score=")


def test_any_usual_way_to_hand_over_images(small_model: Padim, tmp_path: Path) -> None:
    arrays = [np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8) for i in range(4)]
    given = {"numbered": enumerate(arrays), "paths as names": [(Path("a") / "b.png", one) for one in arrays]}
    for images in given.values():
        model = Padim(small_model.config).fit(images)
        saved = Padim.load(model.save(tmp_path / "model"))
        assert [normal.name for normal in saved.normals_] == [normal.name for normal in model.normals_]
        assert len({normal.name for normal in saved.normals_}) == 4
    levels = [one.levels for one in small_model.predict(arrays)]
    batch = np.stack(arrays).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(levels, [one.levels for one in small_model.predict(batch)])
    with pytest.raises(InputError, match="no such file or folder"):
        Padim(small_model.config).fit("parts/goood")


def test_a_folder_is_fitted_and_a_bad_file_is_told(small_model: Padim, tmp_path: Path) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    for name, content in normals(4):
        (folder / name).write_bytes(bytes(content))
    (folder / "broken.png").write_bytes(b"nothing")
    told: list[str] = []
    model = Padim(small_model.config).fit(folder, on_error=lambda error: told.append(error.name))
    assert len(model.normals_) == 4
    assert told == ["broken.png"]
    with pytest.raises(padim.ImageError, match="broken"):
        Padim(small_model.config).fit(str(folder))


def test_export_goes_by_the_name(small_model: Padim, tmp_path: Path) -> None:
    assert small_model.export(tmp_path / "scorer.onnx").stat().st_size > 0
    with pytest.raises(PadimError, match="already"):
        small_model.export(tmp_path / "scorer.onnx")
    with pytest.raises(ValueError, match="onnx"):
        small_model.export(tmp_path / "scorer.bin")
