"""``evaluate``: the metrics are those of scikit-learn on the engine's own scores and maps."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from padim import Padim
from padim.data.datasets import at_map_resolution, open_dataset
from tests.cli.conftest import Run, write
from tests.parts import defects, normals, part, png


def test_figures_are_those_of_all_scores_and_pixels(
    run: Run, labeled: Path, saved_model: Path, small_model: Padim
) -> None:
    done = run("evaluate", saved_model, labeled, "--json")
    assert done.code == 0, done.err
    report = done.json
    dataset = open_dataset(labeled)
    truth, scores, pixels, inside = [], [], [], []
    for scored in small_model.predict(dataset):
        sample = dataset.samples[scored.name]
        truth.append(not sample.good)
        scores.append(scored.score_level)
        if sample.good:
            pixels.append(scored.levels.ravel())
            inside.append(np.zeros(scored.levels.size, bool))
        elif sample.mask is not None:
            pixels.append(scored.levels.ravel())
            mask = dataset.mask(sample, scored.original_size)
            assert mask is not None
            inside.append(at_map_resolution(mask, small_model.network.preprocess).ravel())
    assert len(pixels) == 11, "one defect has no mask"
    assert report["image_auroc"]["value"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert report["image_ap"]["value"] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    every = np.concatenate(inside), np.concatenate(pixels)
    assert report["pixel_auroc"]["value"] == pytest.approx(roc_auc_score(*every), abs=1e-9)
    assert report["pixel_ap"]["value"] == pytest.approx(average_precision_score(*every), abs=1e-9)
    level = small_model.threshold_level
    above = [score > level for score in scores]
    wrong = sum(a and not t for a, t in zip(above, truth, strict=True))
    missed = sum(t and not a for a, t in zip(above, truth, strict=True))
    assert (report["counted_false_rejects"]["count"], report["counted_false_rejects"]["of"]) == (wrong, 6)
    assert (report["misses"]["count"], report["misses"]["of"]) == (missed, 6)
    assert [(kind["kind"], kind["caught"]["of"]) for kind in report["kinds"]] == [("chip", 4), ("scratch", 2)]
    assert report["images_of"] == {"good": 6, "chip": 4, "scratch": 2}
    assert report["masks"] == 5
    assert report["fitted_on"] == 0


@pytest.mark.slow
def test_the_new_figures_come_with_their_intervals(run: Run, labeled: Path, saved_model: Path) -> None:
    report = run("evaluate", saved_model, labeled, "--json").json
    for name in (
        "image_auroc",
        "image_ap",
        "image_f1",
        "zero_miss",
        "pixel_auroc",
        "pixel_ap",
        "aupro",
        "pixel_f1",
    ):
        figure = report[name]
        assert 0 <= figure["low_95"] <= figure["value"] <= figure["high_95"] <= 1, name
    assert report["milliseconds_per_image"] > 0
    assert all(kind["aupro"]["value"] is not None for kind in report["kinds"])
    assert run("evaluate", saved_model, labeled, "--json").json["aupro"] == report["aupro"], "seeded"


@pytest.mark.slow
def test_a_zip_and_a_table_give_the_same_figures(
    run: Run, labeled: Path, saved_model: Path, tmp_path: Path
) -> None:
    expected = run("evaluate", saved_model, labeled, "--json").json
    file = shutil.make_archive(str(tmp_path / "set"), "zip", labeled)
    rows = ["path,label,mask"]
    for sample in open_dataset(labeled).samples.values():
        rows.append(f"{sample.file},{sample.kind},{sample.mask or ''}")
    shutil.copytree(labeled, tmp_path / "copy")
    table = tmp_path / "copy" / "labels.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    for place, layout in ((file, "MVTec AD"), (table, "CSV")):
        reported = run("evaluate", saved_model, place, "--json").json
        assert reported["layout"] == layout
        for name in ("image_auroc", "pixel_auroc", "aupro", "misses", "kinds"):
            assert reported[name] == expected[name]


@pytest.mark.slow
def test_people_get_a_table(run: Run, labeled: Path, saved_model: Path) -> None:
    done = run("evaluate", saved_model, labeled)
    assert done.code == 0
    for words in (
        "image AUROC",
        "pixel AUROC",
        "AUPRO",
        "no missed defect",
        "ms per image",
        "missed defects",
        "chip",
        "scratch",
        "promise",
    ):
        assert words in done.out


def test_plain_folders_without_masks_say_what_is_missing(run: Run, tmp_path: Path, saved_model: Path) -> None:
    write(tmp_path / "set" / "OK", normals(3, first=90))
    write(tmp_path / "set" / "dent", defects(2))
    report = run("evaluate", saved_model, tmp_path / "set", "--json").json
    assert report["images_of"] == {"good": 3, "dent": 2}
    assert report["image_auroc"]["value"] is not None
    for name in ("pixel_auroc", "aupro", "pixel_f1"):
        assert report[name] == {
            "value": None,
            "why": report["pixel_ap"]["why"],
            "low_95": None,
            "high_95": None,
        }
    assert "masks" in report["pixel_auroc"]["why"]


def test_one_class_alone_says_so(run: Run, tmp_path: Path, saved_model: Path) -> None:
    write(tmp_path / "good" / "good", normals(3, first=90))
    report = run("evaluate", saved_model, tmp_path / "good", "--json").json
    assert report["image_auroc"]["value"] is None
    for name in ("image_auroc", "image_ap", "image_f1", "zero_miss"):
        assert report[name]["why"] == "there are no defects to compare with"
    assert report["best_f1"] is None
    assert report["misses"] == {"count": 0, "of": 0, "share": None, "low_95": 0, "high_95": 1}
    write(tmp_path / "bad" / "dent", defects(2))
    report = run("evaluate", saved_model, tmp_path / "bad", "--json").json
    assert "no good images" in report["image_auroc"]["why"]
    assert run("evaluate", saved_model, tmp_path / "bad").code == 0


def test_images_of_the_fit_are_reported(run: Run, tmp_path: Path, saved_model: Path) -> None:
    write(tmp_path / "set" / "good", normals(2, first=21))
    done = run("evaluate", saved_model, tmp_path / "set", "--json")
    assert (done.json["fitted_on"], done.json["counted_false_rejects"]["of"]) == (1, 1)
    assert "too optimistic" in done.err


def test_broken_images_and_masks_are_named_and_left_out(run: Run, tmp_path: Path, saved_model: Path) -> None:
    folder = tmp_path / "set"
    write(folder / "test" / "good", [*normals(2, first=90), ("broken.png", b"no image")])
    write(folder / "test" / "dent", defects(2))
    write(
        folder / "ground_truth" / "dent",
        [("bad_000_mask.png", png(part(1, size=(50, 50)))), ("bad_001_mask.png", b"no image")],
    )
    done = run("evaluate", saved_model, folder, "--json")
    assert done.code == 0, done.err
    assert {entry["name"] for entry in done.json["skipped"]} == {
        "good/broken.png",
        "ground_truth/dent/bad_000_mask.png",
        "ground_truth/dent/bad_001_mask.png",
    }
    assert done.json["pixel_auroc"]["value"] is None


def test_an_unlabelled_folder_is_reported_in_one_sentence(
    run: Run, tmp_path: Path, saved_model: Path, good: Path
) -> None:
    (tmp_path / "empty" / "test").mkdir(parents=True)
    assert "not a folder, a zip or a CSV" in run("evaluate", saved_model, tmp_path / "none").sentence
    assert "no labelled images" in run("evaluate", saved_model, tmp_path / "empty").sentence
    assert "no labelled images" in run("evaluate", saved_model, good).sentence


def test_what_each_folder_was_taken_for_and_the_masks_are_listed(
    run: Run, tmp_path: Path, saved_model: Path
) -> None:
    root = tmp_path / "set"
    write(root / "train" / "good", normals(2, first=95))
    write(root / "test" / "good", normals(2, first=90))
    write(root / "test" / "dent", defects(3))
    mask = np.zeros((96, 96), np.uint8)
    mask[20:40, 20:40] = 1
    names = [name.rpartition(".")[0] for name, _ in defects(3)]
    files = {f"{names[0]}_mask.png": mask, f"{names[1]}_GT.png": mask * 0, "gone_mask.png": mask}
    write(root / "Ground_Truth" / "dent", [(name, png(pixels)) for name, pixels in files.items()])
    report = run("evaluate", saved_model, root, "--json").json
    assert [tuple(use.values()) for use in report["folders"]] == [
        ("Ground_Truth/dent", "masks", 2),
        ("Ground_Truth/dent", "not used: mask without its image", 1),
        ("test/dent", "defects: dent", 3),
        ("test/good", "good parts", 2),
        ("train/good", "training good parts", 2),
    ]
    assert report["masks"] == 1
    assert report["mask_files"] == {
        "used": 1,
        "without_image": ["Ground_Truth/dent/gone_mask.png"],
        "empty": [f"Ground_Truth/dent/{names[1]}_GT.png"],
        "defects_without_mask": [f"dent/{names[2]}.png"],
    }
    shown = run("evaluate", saved_model, root)
    assert "training good parts" in shown.out
    for note in ("1 mask without an image", "1 mask without a defect pixel", "1 defect without a mask"):
        assert note in shown.err


def test_images_of_another_product_are_noticed(run: Run, tmp_path: Path, saved_model: Path) -> None:
    rng = np.random.default_rng(1)
    noise = [png(rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)) for _ in range(6)]
    other, own = tmp_path / "other" / "test", tmp_path / "own" / "test"
    write(other / "good", [(f"a{i}.png", data) for i, data in enumerate(noise[:3])])
    write(other / "dent", [(f"b{i}.png", data) for i, data in enumerate(noise[3:])])
    write(own / "good", normals(3, first=90))
    write(own / "dent", defects(3))
    done = run("evaluate", saved_model, other.parent, "--json")
    found = done.json["unlike_the_parts"]
    assert (len(found["images"]), found["of"]) == (6, 6)
    assert found["sentence"].startswith("None of these 6 images looks like this model's parts")
    assert found["sentence"] in " ".join(done.err.split())
    done = run("evaluate", saved_model, own.parent, "--json")
    assert done.json["unlike_the_parts"]["sentence"] == "", "a large defect alone says nothing of the batch"
    assert "looks like" not in done.err
