"""Two versions on a library's images: every flip is found, known defects that would pass come first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.errors import Cancelled, PadimError
from padim.records.library import ImageLibrary, NewImage
from padim.records.version_comparison import compare
from padim.records.versions import ModelVersions
from tests.parts import defects, normals


@pytest.fixture
def library(tmp_path: Path, saved_model: Path, small_model: Padim) -> ImageLibrary:
    store = Workspace(tmp_path)
    entry = store.create("Flange")
    shutil.copytree(saved_model, entry.path, dirs_exist_ok=True)
    shutil.copytree(small_model.working_set.folder, entry.path / "work")
    library = ImageLibrary(tmp_path, entry.id)
    images = [NewImage(name, data, "good") for name, data in normals(3, first=60) if isinstance(data, bytes)]
    images += [NewImage(name, data, "defect", "chip") for name, data in defects(3) if isinstance(data, bytes)]
    library.add(images, "files")
    ModelVersions(tmp_path, entry.id).catch_up()
    return library


def changed(library: ImageLibrary, tmp_path: Path, value: float | None) -> ModelVersions:
    """Change the threshold, or (with None) the fit."""
    with Workspace(tmp_path).edit(library.model_id) as model:
        if value is None:
            model.exclude(0, "not_good")
        else:
            model.set_decision(value=value)
    return ModelVersions(tmp_path, library.model_id)


def test_a_threshold_flips_what_a_brute_force_says(library: ImageLibrary, tmp_path: Path) -> None:
    versions = changed(library, tmp_path, 200.0)
    result = compare(versions, 1, 2, library)
    model = versions.open(versions.get(1))
    before = {p.name: p for p in model.predict([(one.name, library.read(one)) for one in library.images()])}
    assert result.same_scores
    assert [one.name for one in result.images] == list(before)
    for one in result.images:
        assert one.scores == (before[one.name].score, before[one.name].score)
        assert one.verdicts[0] == before[one.name].verdict
        assert one.verdicts[1] == (
            "reject" if before[one.name].score > versions.open(versions.get(2)).threshold_ else "accept"
        )
    caught = [one.name for one in result.images if one.label == "defect" and one.verdicts[0] == "reject"]
    assert caught
    assert [one.name for one in result.would_pass] == caught
    back = compare(versions, 2, 1, library)
    assert not back.would_pass
    assert {one.name for one in back.flips} == {one.name for one in result.flips}


def test_another_fit_is_scored_by_both(library: ImageLibrary, tmp_path: Path) -> None:
    versions = changed(library, tmp_path, None)
    result = compare(versions, 1, 2, library)
    assert not result.same_scores
    assert any(one.scores[0] != one.scores[1] for one in result.images)
    again = next(iter(versions.open(versions.get(2)).predict([("x", library.read(library.images()[0]))])))
    assert result.images[0].scores[1] == again.score


def test_what_cannot_be_read_is_named_and_the_rest_compared(library: ImageLibrary, tmp_path: Path) -> None:
    versions = changed(library, tmp_path, 200.0)
    library.images()[1].path.write_bytes(b"no image")
    result = compare(versions, 1, 2, library)
    assert len(result.images) == 5
    assert [error.name for error in result.unreadable] == [library.images()[1].name]


def test_an_empty_library_and_a_stop(library: ImageLibrary, tmp_path: Path) -> None:
    versions = changed(library, tmp_path, 200.0)
    with pytest.raises(Cancelled):
        compare(versions, 1, 2, library, cancel=lambda: True)
    library.remove([one.sha256 for one in library.images()])
    with pytest.raises(PadimError, match="no images"):
        compare(versions, 1, 2, library)
