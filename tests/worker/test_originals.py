"""After a fit the originals are in the library; where they cannot be kept, the model is saved anyway."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from padim.records.library import ImageLibrary
from padim.storage.model_folders import ModelFolders
from padim.storage.normals import Normal, Status
from padim.worker.images import InLibrary, open_images
from padim.worker.originals import keep_originals
from tests.refusing import refusing

FILES = [(f"{n}.png", b"%d" % n * 50) for n in range(40)]


def normal(n: int, status: Status = "fit") -> Normal:
    digest = hashlib.sha256(FILES[n][1]).hexdigest()
    return Normal(FILES[n][0], digest, FILES[n][0], status, (4, 4), (0, 1))


NORMALS = [*map(normal, range(30)), normal(30, "kept_out"), normal(31, "not_good")]


@pytest.fixture
def model_id(tmp_path: Path) -> str:
    return ModelFolders(tmp_path).create("Flange").id


def test_the_models_own_images_are_kept_and_no_others(tmp_path: Path, model_id: str) -> None:
    seen: list[tuple[int, int | None, str]] = []

    def progress(*report: object) -> None:
        seen.append(report)  # type: ignore[arg-type]

    assert keep_originals(tmp_path, model_id, FILES, NORMALS, "parts", progress, lambda: False) == ""
    images = ImageLibrary(tmp_path, model_id).images()
    assert [image.name for image in images] == [name for name, _ in FILES[:31]]
    assert {(image.label, image.origin, image.origin_name) for image in images} == {("good", "fit", "parts")}
    assert seen == [(0, 31, "Keeping the images"), (31, 31, "Keeping the images")]
    # And the next fit can read them there.
    given = InLibrary(root=tmp_path, model=model_id, images=[image.sha256 for image in images])
    assert dict(open_images(given)) == dict(FILES[:31])


def test_what_cannot_be_kept_is_said(tmp_path: Path, model_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept() -> str:
        return keep_originals(tmp_path, model_id, FILES, NORMALS, "", lambda *_: None, lambda: False)

    with refusing(tmp_path):
        assert "0 are in its image library: " in kept()
    monkeypatch.setenv("PADIM_LIBRARY_LIMIT", "0.000001")
    assert "its image library: 1" in kept()
    assert "full" in kept()
    monkeypatch.delenv("PADIM_LIBRARY_LIMIT")
    assert kept() == ""


def test_it_can_be_stopped(tmp_path: Path, model_id: str) -> None:
    note = keep_originals(tmp_path, model_id, FILES, NORMALS, "", lambda *_: None, lambda: True)
    assert note.endswith("this was stopped.")
