"""Images of the fit among those that a model is tested with: found by content, left out of every figure."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from padim import Padim, PadimConfig, PadimError
from padim.analysis import robustness, sensitivity
from padim.analysis.defect_sets import LabeledDefects
from padim.analysis.evaluation import evaluate_dataset
from padim.analysis.fit_overlap import (
    ContentHashes,
    KnownImages,
    LabelConflicts,
    all_known,
    left_out,
    marked,
    two_labels,
)
from padim.analysis.second_session import not_in_model
from padim.analysis.stored_score import StoredScore
from padim.data.datasets import Dataset, open_dataset
from padim.data.loading import Watch
from padim.storage.normals import Normal, Status
from tests.parts import defects, normals, part, png


def bmp(png_file: bytes) -> bytes:
    """The same pixels as another file."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png_file)).save(out, "BMP")
    return out.getvalue()


def jpeg(png_file: bytes) -> bytes:
    """Nearly the same pixels."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png_file)).save(out, "JPEG", quality=95)
    return out.getvalue()


FIT = [(name, bytes(data)) for name, data in normals(22)]
NEW = [(name, bytes(data)) for name, data in normals(6, first=100)]
BAD = [(name, bytes(data)) for name, data in defects(4)]


def dataset(root: Path, **kinds: list[tuple[str, bytes]]) -> Dataset:
    for kind, files in kinds.items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for name, data in files:
            (root / kind / name).write_bytes(data)
    return open_dataset(root)


# --- the rule -------------------------------------------------------------------------------------------


def test_copies_are_found_by_bytes_and_by_pixels(small_model: Padim, saved_model: Path) -> None:
    known = KnownImages.of(small_model)
    files = [
        ("renamed.png", FIT[3][1]),
        ("saved_again.bmp", bmp(FIT[4][1])),
        ("with_loss.jpg", jpeg(FIT[5][1])),
        ("new.png", NEW[0][1]),
    ]
    found = {one.name: known.status(one) for one in small_model.predict(files)}
    # With loss it is another image to this rule: a limit that the documents state.
    assert found == {"renamed.png": "fit", "saved_again.bmp": "fit", "with_loss.jpg": None, "new.png": None}
    # The pixels are known after saving, and forgotten where a former version saved without them.
    again = Padim.load(saved_model)
    assert [n.input_sha256 for n in again.normals_] == [n.input_sha256 for n in small_model.normals_]
    assert all(len(normal.input_sha256) == 64 for normal in again.normals_)
    record = again.normals_[0].to_json()
    del record["input_sha256"]
    former = Normal.from_json(record)
    assert former.input_sha256 == ""
    assert KnownImages([former]).in_fit(ContentHashes(former.sha256))
    assert not KnownImages([former]).in_fit(ContentHashes("other"))


def test_two_images_of_unknown_pixels_are_not_the_same() -> None:
    one = Normal("a", "1" * 64, "a", "fit", (1, 1), (0, 0))
    assert KnownImages([one]).status(ContentHashes("2" * 64, "")) is None


STATUSES: list[Status] = ["fit", "kept_out", "not_good"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz"), st.sampled_from(STATUSES)), max_size=8
    ),
    st.sampled_from("abcde"),
    st.sampled_from(["w", "x", "y", "z", "v", ""]),
)
def test_a_status_is_that_of_any_image_with_the_same_content(
    images: list[tuple[str, str, Status]], file: str, pixels: str
) -> None:
    known = KnownImages(
        [
            Normal(f"{i}", file, f"{i}", status, (1, 1), (0, 0), input_sha256=of)
            for i, (file, of, status) in enumerate(images)
        ]
    )
    same = {status for other, of, status in images if other == file or (pixels and of == pixels)}
    expected = next((status for status in STATUSES if status in same), None)
    assert known.status(ContentHashes(file, pixels)) == expected
    assert known.in_fit(ContentHashes(file, pixels)) == ("fit" in same)


def test_images_under_two_labels_are_named() -> None:
    found = LabelConflicts()
    for name, key, good in [("a", "1", True), ("b", "2", False), ("c", "1", False), ("d", "1", True)]:
        found.add(name, ContentHashes(key), good=good)
    assert found.pairs == (("a", "c"), ("d", "c"))
    assert two_labels(found.pairs) == (
        "2 images are labeled both good and as a defect, of which one is wrong: a and c, d and c"
    )
    assert "and 2 more" in two_labels([("a", "b")] * 7)
    assert LabelConflicts().pairs == ()


def test_sentences_count() -> None:
    assert left_out(1, 1) == (
        "1 of 1 image was in the fit and is left out: figures that count them are too optimistic"
    )
    assert left_out(2, 5).startswith("2 of 5 images were in the fit and are left out")
    assert marked(3, 1000).startswith("3 of 1,000 images were in the fit and are marked")
    assert "all 4 images were in the fit" in all_known(4)
    assert "the only image was in the fit" in all_known(1)


# --- every figure ---------------------------------------------------------------------------------------


def test_an_evaluation_is_that_of_the_new_images_alone(small_model: Padim, tmp_path: Path) -> None:
    copies = [("copy.png", FIT[0][1]), ("copy.bmp", bmp(FIT[1][1]))]
    mixed = evaluate_dataset(small_model, dataset(tmp_path / "mixed", good=[*NEW, *copies], dent=BAD))
    alone = evaluate_dataset(small_model, dataset(tmp_path / "alone", good=NEW, dent=BAD))
    assert (mixed.known, alone.known) == (2, 0)
    assert mixed.images == alone.images
    level = small_model.threshold_level
    assert mixed.report(small_model, level) == alone.report(small_model, level)
    assert {(one.name, one.reason) for one in mixed.account.passed_over} == {
        ("good/copy.png", "in the fit, so not counted"),
        ("good/copy.bmp", "in the fit, so not counted"),
    }
    assert mixed.account.used == 10
    assert mixed.overlap_notes == [f"{left_out(2, 12)}."]
    assert alone.overlap_notes == []


def test_where_everything_was_in_the_fit_it_is_said(small_model: Padim, tmp_path: Path) -> None:
    known = dataset(tmp_path, good=FIT[:3], dent=[("a.png", FIT[4][1])])
    with pytest.raises(PadimError, match=r"all 4 images were in the fit"):
        evaluate_dataset(small_model, known)


def test_a_good_part_kept_out_is_counted_and_said_to_be_in_the_calibration(
    small_config: PadimConfig, tmp_path: Path
) -> None:
    model = Padim(small_config, work_dir=tmp_path / "work").fit(FIT[:8])
    model.exclude(2, "kept_out")
    model.exclude(3, "not_good")
    known = KnownImages.of(model)
    assert [known.status(normal) for normal in model.normals_[1:5]] == ["fit", "kept_out", "not_good", "fit"]
    found = evaluate_dataset(model, dataset(tmp_path / "set", good=[*NEW, *FIT[1:4]], dent=BAD))
    assert (found.known, found.calibrated, len(found.images)) == (1, 1, len(NEW) + 2 + len(BAD))
    assert found.overlap_notes[1].startswith("1 good part excluded from the fit took part in the calibration")


def test_a_part_of_the_fit_labeled_as_a_defect_is_named(small_model: Padim, tmp_path: Path) -> None:
    found = evaluate_dataset(
        small_model, dataset(tmp_path, good=NEW, dent=[*BAD, ("odd.png", FIT[2][1]), ("new.png", NEW[1][1])])
    )
    assert found.known == 1
    assert set(found.conflicts) == {
        (f"{FIT[2][0]} of the model's good parts", "dent/odd.png"),
        (f"good/{NEW[1][0]}", "dent/new.png"),
    }
    assert "2 images are labeled both good and as a defect" in found.overlap_notes[-1]


def test_measurements_leave_them_out(small_model: Padim, tmp_path: Path) -> None:
    copies = [("copy.png", FIT[0][1]), ("copy.bmp", bmp(FIT[1][1]))]
    painted = sensitivity.measure(
        small_model, [*copies, *NEW[:2]], sizes=(8.0,), contrasts=(0.3,), places=1, kinds=("spot",)
    )
    assert (painted.in_fit, painted.images) == (2, tuple(name for name, _ in NEW[:2]))
    # Of the defects too: an image of the fit is in the fit, whatever it is called.
    kinds = {name: "dent" if name == "copy.bmp" else "good" for name, _ in [*copies, *NEW]}
    changed = robustness.measure(
        small_model, [*copies, *NEW[:2]], kinds.__getitem__, severities={"brighter": (1.0,)}
    )
    assert (changed.in_fit, changed.good, changed.defects) == (2, 2, 0)
    with pytest.raises(PadimError, match="fitted on 2 of them"):
        robustness.measure(small_model, copies, severities={"brighter": (1.0,)})
    with pytest.raises(PadimError, match="fitted on 2 of them"):
        sensitivity.measure(small_model, copies)
    labeled = LabeledDefects.read(small_model, [*copies, *BAD], tmp_path / "defects", Watch())
    assert (labeled.passed_over, labeled.names) == (2, tuple(name for name, _ in BAD))


def test_a_second_session_takes_new_parts_alone(small_model: Padim) -> None:
    def scored() -> Iterator[StoredScore]:
        files = [("copy.png", FIT[0][1]), ("copy.bmp", bmp(FIT[1][1])), ("new.png", png(part(400)))]
        for one in small_model.predict(files):
            yield StoredScore(
                one.name,
                one.sha256,
                one.original_size,
                one.content_box,
                one.grid,
                input_sha256=one.input_sha256,
            )

    assert [image.name for image in not_in_model(small_model, scored())] == ["new.png"]
