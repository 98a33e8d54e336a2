"""Notes on test images that are unlike the good parts, in Python and in saved models."""

from __future__ import annotations

import json
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from padim import Padim, PadimConfig
from padim.storage.bundle import Bundle
from padim.storage.normals import Normal
from tests.parts import defects, normals, part, png

CONFIG = PadimConfig(input_size=64, n_features=20, smoothing_sigma=2, min_area=8)
SIZE = "The image has 48 × 48 pixels; the good parts have 96 × 96."
SHAPE = "The image has another shape, 120 × 60 pixels; the good parts have 96 × 96."
GRAY = "The image is gray; the good parts are in color."
ALPHA = "The image has an alpha channel; the good parts have none."


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def unlike() -> list[tuple[str, bytes]]:
    rgb = Image.fromarray(part(900))
    opaque = rgb.copy()
    opaque.putalpha(255)
    return [
        ("alpha.png", _png(opaque)),
        ("gray.png", _png(rgb.convert("L"))),
        ("like.png", _png(rgb)),
        ("small.png", png(part(900, size=(48, 48)))),
        ("wide.png", png(part(900, size=(60, 120)))),
    ]


NOTES = {
    "alpha.png": (ALPHA,),
    "gray.png": (GRAY,),
    "like.png": (),
    "small.png": (SIZE,),
    "wide.png": (SHAPE,),
}


@pytest.fixture(scope="module")
def model() -> Padim:
    return Padim(CONFIG).fit(normals(6))


def test_a_prediction_notes_what_is_unlike_the_good_parts(model: Padim, tmp_path: Path) -> None:
    assert {one.name: one.notes for one in model.predict(unlike())} == NOTES
    assert all(one.notes == () for one in model.predict([*normals(3, first=50), *defects(3)]))
    # Decided again it keeps them; saved and opened the model knows the same.
    one = next(model.predict(unlike()[:1]))
    assert one.at(level=1).notes == model.decide(one).notes == (ALPHA,)
    opened = Padim.load(model.save(tmp_path / "model"))
    assert {one.name: one.notes for one in opened.predict(unlike())} == NOTES


def test_a_note_never_changes_a_verdict(model: Padim) -> None:
    opaque, plain = (next(model.predict([one])) for one in (unlike()[0], unlike()[2]))
    assert opaque.notes != plain.notes
    assert (opaque.score_level, opaque.verdict) == (plain.score_level, plain.verdict)


def test_models_saved_before_note_no_colors(model: Padim, tmp_path: Path) -> None:
    entries = json.loads(Bundle(model.save(tmp_path / "model")).bytes("normals.json"))
    assert {entry["color_kind"] for entry in entries} == {"color"}
    for entry in entries:
        del entry["color_kind"]
    assert {Normal.from_json(entry).color_kind for entry in entries} == {None}


def test_what_is_excluded_from_the_fit_is_no_example(tmp_path: Path) -> None:
    model = Padim(CONFIG, work_dir=tmp_path).fit([*normals(6), ("small.png", png(part(7, size=(48, 48))))])
    small = unlike()[3]
    assert next(model.predict([small])).notes == ()
    model.exclude(6, "kept_out")
    assert next(model.predict([small])).notes == (SIZE,)


def test_a_stopped_fit_keeps_what_it_knows_of_colors(tmp_path: Path) -> None:
    whole = Padim(CONFIG).fit(normals(10))
    place, seen = tmp_path / "unfinished", 0

    def cancel() -> bool:
        return seen > 7

    def progress(done: int, _: int | None, stage: str) -> None:
        nonlocal seen
        seen = done if stage == "Reading images" else seen

    from padim import Cancelled
    from padim.storage.resume import images_done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("padim.network.extractor.FeatureExtractor.batch_size", lambda *_: 2)
        with pytest.raises(Cancelled):
            Padim(CONFIG).fit(normals(10), cancel=cancel, progress=progress, unfinished=place)
        assert images_done(place)
        resumed = Padim(CONFIG).fit(normals(10), unfinished=place)
    assert resumed.normals_ == whole.normals_
    assert {normal.color_kind for normal in resumed.normals_} == {"color"}


def test_python_warns_of_mixed_shapes() -> None:
    images = [*normals(3), ("wide.png", png(part(9, size=(60, 120))))]
    with pytest.warns(
        UserWarning, match=r"differ in shape, from 96 × 96 to 120 × 60 pixels.*fit='pad'"
    ) as told:
        Padim(input_size=64, n_features=20).fit(images)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for fit in ("pad", "stretch"):
            Padim(input_size=64, n_features=20, fit=fit).fit(images)
        Padim(input_size=64, n_features=20).fit(normals(3))
