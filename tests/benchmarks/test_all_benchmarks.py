"""The benchmarks measure what they say, and ``--check`` can fail."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks import accuracy, draws, images, memory, mvtec, recall_baseline, report, speed
from padim import Padim, PadimConfig
from padim.data.preprocess import Preprocess
from padim.decision.regions import map_mask, mask_to_original
from padim.network.extractor import open_extractor

SIDE = 96
ROOT = Path(__file__).resolve().parents[2]


def save_jpeg(path: Path, rgb: images.RGB) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.jpeg(rgb))


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26 + 8 good images and two kinds of defects, one obvious and one that nobody can see."""
    folder = tmp_path_factory.mktemp("data") / "plate"
    for i in range(26):
        save_jpeg(folder / "train" / "good" / f"{i:03d}.jpg", images.image(i, side=SIDE))
    for i in range(8):
        save_jpeg(folder / "test" / "good" / f"{i:03d}.jpg", images.image(100 + i, side=SIDE))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[30:60, 20:50] = 255
        for kind in ("hole", "nothing"):
            rgb = images.image(200 + i + 50 * (kind == "hole"), side=SIDE)
            if kind == "hole":
                rgb[mask > 0] = 20 + 200 * (np.indices((SIDE, SIDE)).sum(axis=0)[mask > 0] % 2)[:, None]
            save_jpeg(folder / "test" / kind / f"{i:03d}.jpg", rgb)
            path = folder / "ground_truth" / kind / f"{i:03d}_mask.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    return folder


@pytest.fixture(scope="module")
def small(small_config: PadimConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_config`` as a file."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(small_config.to_yaml(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, category: Path, small: Path) -> Path:
    """Recall of an honest run on the small category."""
    path = tmp_path_factory.mktemp("baseline") / "baseline.json"
    assert accuracy.main([*arguments(category, small, path), "--write-baseline"]) == 0
    return path


def arguments(category: Path, small: Path, baseline: Path) -> list[str]:
    data = ["--data", str(category.parent), "--config", str(small), "--baseline", str(baseline)]
    return [*data, "--sizes", "20", "--draws", "3", "--json"]


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


# What a handful of images cannot decide: how near the promise a rate comes.
LOOSE = ["--target", "n20.off_points=60", "--target", "n20.share_above_bound=1"]
LOOSE += ["--target", "all.rejected_outside_interval=8"]


# --- accuracy -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_accuracy_passes_on_sound_data(
    category: Path, small: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accuracy.main([*arguments(category, small, baseline), "--check", *LOOSE]) == 0
    document = last_line(capsys)
    values = document["values"]
    assert document["missed"] == []
    assert {"plate.n20.recall", "plate.n20.recall_low", "plate.all.recall"} <= set(document["targets"])
    assert values["plate.n20.promised"] == pytest.approx(1 / 21)  # rank 20 of 20
    assert values["plate.all.promised"] == pytest.approx(1 / 27)
    assert document["details"]["image_auroc_by_kind"]["plate"]["hole"] == 1
    assert 0.1 < document["details"]["image_auroc_by_kind"]["plate"]["nothing"] < 0.9
    assert 0.5 < values["plate.pixel_auroc"] < 1
    made = document["details"]["draws"]
    assert [draw["by_kind"]["hole"] for draw in (*made["plate.n20"], *made["plate.all"])] == [1] * 4
    assert len({draw["recall"] + 10 * draw["realized"] for draw in made["plate.n20"]}) > 1, "same draw thrice"


@pytest.mark.parametrize(("threshold", "rate", "recall"), [("inf", 0, 0), ("0", 1, 1)])
def test_accuracy_check_fails_at_a_senseless_threshold(
    category: Path,
    small: Path,
    baseline: Path,
    capsys: pytest.CaptureFixture[str],
    threshold: str,
    rate: float,
    recall: float,
) -> None:
    command = [*arguments(category, small, baseline), "--threshold-override", threshold]
    assert accuracy.main([*command, "--check"]) == 1
    output = capsys.readouterr().out
    document = json.loads(output.splitlines()[-1])
    assert "plate.n20.off_points" in document["missed"]
    assert "MISSED plate.n20.off_points" in output
    assert ("plate.n20.recall" in document["missed"]) == (threshold == "inf")
    assert ("plate.all.rejected_outside_interval" in document["missed"]) == (threshold == "0")
    assert document["values"]["plate.n20.realized"] == rate
    assert document["values"]["plate.all.recall"] == recall


def test_accuracy_holds_recall_against_the_baseline(
    category: Path, small: Path, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = json.loads(baseline.read_text())
    known["plate"]["recall"]["n20"]["mean"] += 0.01
    better = tmp_path / "better.json"
    better.write_text(json.dumps(known))
    assert accuracy.main([*arguments(category, small, better), "--check", *LOOSE]) == 1
    assert last_line(capsys)["missed"] == ["plate.n20.recall"]
    # Recall with other draws is another quantity: the baseline says nothing about it.
    other = [*arguments(category, small, better), "--draws", "2", "--check", *LOOSE]
    assert accuracy.main(other) == 0
    assert "recall is not checked" in capsys.readouterr().out


def test_changed_defaults_do_not_switch_the_baseline_off(
    category: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        accuracy.main(["--data", str(category), "--baseline", str(baseline)])
    assert "was written with other defaults" in capsys.readouterr().err


def test_committed_baseline_is_of_the_defaults() -> None:
    options = draws.Options(PadimConfig(), 950, (20, 50), 30, "image", None)
    committed = recall_baseline.Baseline(recall_baseline.BASELINE, options)
    assert set(committed.known) == set(accuracy.AUROC_TARGETS)
    for category in committed.known:
        assert all(committed.of(category, size) for size in ("n20", "n50", "all"))


def test_remembered_embeddings_give_the_very_scores_of_the_engine(
    category: Path, small_config: PadimConfig, tmp_path: Path
) -> None:
    """Calibration included; and the network sees every image once, however many fits there are."""
    read = mvtec.read(category, small_config)
    good, defects = read.rows(good=True), read.rows(good=False)
    files = [(read.images[row].name, (category / read.images[row].name).read_bytes()) for row in good]
    bad = [(read.images[row].name, (category / read.images[row].name).read_bytes()) for row in defects]
    plain = Padim(small_config, work_dir=tmp_path / "plain").fit(files[:20])
    extractor = mvtec.CachingExtractor(small_config)
    for turn in range(2):
        model = mvtec.CachingPadim(small_config, extractor, tmp_path / f"work{turn}")
        model.fit(read.named_arrays(good[:20]))
        assert np.array_equal(
            model.state.part_scores(model.config.min_area), plain.state.part_scores(plain.config.min_area)
        )
        remembered = list(model.predict(read.named_arrays([*good[20:], *defects]), batch_size=5))
        for one, other in zip(remembered, plain.predict([*files[20:], *bad]), strict=True):
            assert one.score_level == other.score_level
            assert np.array_equal(one.levels, other.levels)
        if turn == 0:
            runs = extractor.runs
    assert extractor.runs == runs
    assert extractor is not open_extractor(small_config)


def test_by_likeness_all_shots_of_a_part_stay_together(small_config: PadimConfig) -> None:
    rng = np.random.default_rng(0)
    shots = []
    for i in range(40):
        rgb = images.image(i // 2, side=SIDE)
        texture = (
            np.random.default_rng(i // 2).normal(0, 25, (SIDE // 4, SIDE // 4, 1)).repeat(4, 0).repeat(4, 1)
        )
        noisy = np.clip(rgb + texture + rng.normal(0, 1, rgb.shape), 0, 255).astype(np.uint8)
        shots.append(mvtec.LabeledImage(f"{i}.png", str(i), noisy, True, "good", None))
    prints = np.array([mvtec.fingerprint(shot.rgb) for shot in shots])
    pairs = [[i, i + 1] for i in range(0, 40, 2)]
    assert draws.parts_of(mvtec.Category("shots", tuple(shots), prints), "likeness") == pairs
    assert len(draws.parts_of(mvtec.Category("shots", tuple(shots), prints), "image")) == 40


@pytest.mark.parametrize("levels", [5, 60000])
def test_pixel_auroc_is_that_of_all_pixels_sorted(levels: int) -> None:
    rng = np.random.default_rng(levels)
    maps = rng.integers(0, levels, (4, 50, 60)).astype(np.uint16)
    masks = rng.random(maps.shape) < 0.1
    maps[masks] = np.minimum(maps[masks] + levels // 5, 65535)
    masks[0] = False
    histograms = draws.PixelHistograms()
    for number, (q, mask) in enumerate(zip(maps, masks, strict=True)):
        histograms.add(q, mask if number else None)
    assert histograms.auroc() == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)


def test_pixel_auroc_without_a_faulty_pixel_is_no_number() -> None:
    histograms = draws.PixelHistograms()
    histograms.add(np.ones((3, 3), np.uint16), None)
    assert np.isnan(histograms.auroc())


def test_a_mask_lies_on_the_map_where_the_engine_would_lay_it() -> None:
    """There and back: what the engine enlarges to the image comes back as it was."""
    rng = np.random.default_rng(3)
    levels = rng.integers(0, 3, (64, 64)).astype(np.uint16)
    for fit, size in (("stretch", (150, 97)), ("pad", (96, 180))):
        preprocess = Preprocess((64, 64), fit=fit)  # type: ignore[arg-type]
        box = preprocess.content_box(size)
        inside = np.zeros((64, 64), np.uint16)
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        inside[rows, columns] = levels[rows, columns]
        mask = map_mask(inside, 1, 1)
        assert np.array_equal(mvtec.at_map_resolution(mask_to_original(mask, size, box), preprocess), mask)


def test_interval_is_that_of_a_simulated_calibration() -> None:
    """Rejected parts when threshold and test parts are drawn anew each time, against the interval's law."""
    rng = np.random.default_rng(5)
    n, r, unseen = 50, 49, 40
    draw = draws.Draw(n, (n + 1 - r) / (n + 1), 1.0, unseen, 0, 0.0, {})
    low, high = accuracy.rejected_interval(draw)
    thresholds = np.sort(rng.random((20000, n)), axis=1)[:, r - 1]
    rejected = (rng.random((20000, unseen)) > thresholds[:, None]).sum(axis=1)
    assert np.mean((rejected >= low) & (rejected <= high)) >= 0.95
    assert np.mean(rejected > high) <= 0.025
    assert np.mean(rejected >= high) > 0.025, "a smaller interval would do"


def test_data_must_be_in_the_layout(tmp_path: Path, category: Path) -> None:
    assert mvtec.find(category, []) == [category]
    assert mvtec.find(category.parent, ["plate"]) == [category]
    with pytest.raises(ValueError, match="holds no category"):
        mvtec.find(tmp_path, [])
    with pytest.raises(ValueError, match="no category bolt; it has plate"):
        mvtec.find(category.parent, ["bolt"])


@pytest.mark.slow
def test_script_runs_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "accuracy.py"), "--data", str(tmp_path)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "holds no category" in finished.stderr


# --- speed --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_speed_passes_with_room_and_fails_without(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--json", "--check", "--config", str(small)]
    room = [f"--target={name}=1e6" for name in ("ratio_batch_1", "ratio_batch_16", "fit_memory_growth_mb")]
    assert speed.main([*command, *room]) == 0
    output = capsys.readouterr().out
    document = json.loads(output.splitlines()[-1])
    values = document["values"]
    assert "not the real check" in output
    assert document["missed"] == []
    assert values["ratio_batch_1"] > 1, "the whole path runs the backbone and more"
    assert values["fit_16_anonymous_mb"] > 10
    assert values["fit_16_resident_mb"] > values["fit_16_anonymous_mb"]
    assert 0 < document["details"]["rejected_share"] < 1, "maps of good and of bad images"

    assert speed.main([*command, *room, "--skip-memory", "--target", "ratio_batch_1=0.001"]) == 1
    document = last_line(capsys)
    assert document["missed"] == ["ratio_batch_1", "fit_memory_growth_mb"], "what is not measured is not met"


def test_a_pair_shares_the_noise_of_its_moment() -> None:
    """Each pair's ratio is of two neighbours, on the same images, and the first place alternates."""
    order: list[tuple[str, int]] = []
    turns = [np.full((1, 2, 2, 3), i, np.uint8) for i in range(3)]
    ratios, one, other = speed.paired(
        lambda images: order.append(("one", int(images[0, 0, 0, 0]))),
        lambda images: order.append(("other", int(images[0, 0, 0, 0]))),
        turns,
        4,
    )
    after_warm_up = order[-8:]
    who = ["one", "other", "other", "one", "one", "other", "other", "one"]
    assert after_warm_up == list(zip(who, [0, 0, 1, 1, 2, 2, 0, 0], strict=True))
    assert ratios == [b / a for a, b in zip(one, other, strict=True)]


def test_memory_is_seen_from_outside() -> None:
    program = "import time; x = bytearray(b'1') * 150_000_000; time.sleep(0.2); print(7)"
    peaks, output = memory.watch([sys.executable, "-c", program])
    assert output.strip() == "7"
    assert 150 < peaks.anonymous / memory.MB < 250
    assert peaks.resident >= peaks.anonymous
    with pytest.raises(RuntimeError, match="failed with 3"):
        memory.watch([sys.executable, "-c", "raise SystemExit(3)"])


def test_images_are_seeded_and_made_when_asked_for() -> None:
    source = images.Generated(10**9)
    assert len(source) == 10**9
    first = next(iter(source))
    assert first == next(iter(images.Generated(3)))
    assert first != next(iter(images.Generated(3, seed=1)))
    sides = {images.image(i).shape[0] for i in range(30)}
    assert min(sides) >= 256
    assert max(sides) <= 512
    assert len(sides) > 1
    changed = images.image(4, side=256) != images.image(4, side=256, defect=True)
    assert changed.any()


# --- report -------------------------------------------------------------------------------------


def test_only_check_turns_a_miss_into_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    result = report.Report("any", values={"speed": 3.0})
    result.target("speed", ">=", 4)
    assert result.finish(parser.parse_args([])) == 0
    assert "MISSED speed: wanted >= 4, got 3.0" in capsys.readouterr().out
    assert result.finish(parser.parse_args(["--check"])) == 1
    result.target("speed", ">=", 3)
    assert result.finish(parser.parse_args(["--check"])) == 0


@pytest.mark.parametrize(
    ("relation", "value", "met"),
    [
        ("<=", 2.0, True),
        ("<", 2.0, False),
        (">=", 2.0, True),
        (">=", 1.9, False),
        ("<=", float("nan"), False),
    ],
)
def test_target(relation: report.Relation, value: float, met: bool) -> None:
    assert report.Target(relation, 2.0).met(value) == met
    assert not report.Target(relation, 2.0).met(None)


def test_override_names_the_targets_there_are() -> None:
    result = report.Report("any")
    result.target("bottle.image_auroc", ">=", 0.99)
    result.target("tile.image_auroc", ">=", 0.9)
    result.override(["image_auroc=0.5", "tile.image_auroc=0.6"])
    assert [target.bound for target in result.targets.values()] == [0.5, 0.6]
    for wrong in ("image_auroc", "auroc=1", "image_auroc=high"):
        with pytest.raises(ValueError, match=r"image_auroc|high"):
            result.override([wrong])
