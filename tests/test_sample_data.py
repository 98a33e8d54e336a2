"""The committed sample data is complete, well formed, and what its own script makes."""

from __future__ import annotations

import importlib.util
import io
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "sample_data"


def load_script() -> ModuleType:
    """Import the script from where it lies: `sample_data` is data, not a package."""
    spec = importlib.util.spec_from_file_location("make_sample", FOLDER / "make_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


script = load_script()
PART = FOLDER / script.PART
ENTRIES = list(script.entries())
FAULTY = [entry for entry in ENTRIES if entry.kind != "good"]


@cache
def image(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.asarray(opened)


def name(entry: Any) -> str:
    return str(entry.image)


def test_layout_and_counts() -> None:
    counts = {folder: len(list((PART / folder).glob("*.jpg"))) for folder in ("train/good", "test/good")}
    assert counts == {"train/good": 48, "test/good": 20}
    kinds = {path.name for path in (PART / "test").iterdir()} - {"good"}
    assert kinds == set(script.KINDS)
    assert len(kinds) == 5
    for kind in kinds:
        assert len(list((PART / "test" / kind).iterdir())) == 6
        assert len(list((PART / "ground_truth" / kind).iterdir())) == 6


def test_no_file_is_missing_and_none_is_left_over() -> None:
    expected = {PART / entry.image for entry in ENTRIES} | {PART / entry.mask for entry in FAULTY}
    assert {path for path in PART.rglob("*") if path.is_file()} == expected


def test_total_size_stays_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 8_000_000


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_image_decodes_at_the_stated_size(entry: Any) -> None:
    pixels = image(PART / entry.image)
    assert pixels.shape == (script.SIZE, script.SIZE, 3)
    assert 60 < pixels.mean() < 150  # neither black nor burnt out
    assert (pixels == 255).all(axis=2).mean() < 0.05


@pytest.mark.parametrize("entry", FAULTY, ids=name)
def test_mask_fits_its_image(entry: Any) -> None:
    mask = image(PART / entry.mask)
    assert mask.shape == (script.SIZE, script.SIZE)
    assert set(np.unique(mask)) == {0, 255}
    assert 20 <= np.count_nonzero(mask) < 0.30 * mask.size


def test_every_sound_part_is_another_part() -> None:
    good = [entry for entry in ENTRIES if entry.kind == "good"]
    images = np.stack([image(PART / entry.image)[::2, ::2].mean(axis=2) for entry in good])
    for i in range(1, len(good)):
        nearest = np.abs(images[:i] - images[i]).mean(axis=(1, 2)).min()
        assert nearest > 3.0, f"{good[i].image} nearly repeats an earlier image"


@pytest.mark.slow
@pytest.mark.parametrize("entry", [ENTRIES[0], FAULTY[0], FAULTY[-1]], ids=name)
def test_script_makes_the_committed_image(entry: Any) -> None:
    pixels, mask = script.make(entry)
    with Image.open(io.BytesIO(script.encode(pixels))) as opened:
        made = np.asarray(opened).astype(float)
    assert np.abs(made - image(PART / entry.image)).mean() < 2.0  # zero but for other library versions
    if entry.kind == "good":
        assert mask is None
    else:
        assert np.mean(mask != image(PART / entry.mask)) < 1e-3


@pytest.mark.slow
def test_same_seed_same_image_other_seed_other_part() -> None:
    entry = FAULTY[-1]
    first, first_mask = script.make(entry)
    again, again_mask = script.make(entry)
    other, _ = script.make(entry, seed=script.SEED + 1)
    assert np.array_equal(first, again)
    assert np.array_equal(first_mask, again_mask)
    assert np.abs(first.astype(float) - other.astype(float)).mean() > 3.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", script.KINDS)
def test_mask_covers_what_the_defect_changed(kind: str) -> None:
    """Against its sound twin, even the faintest of a kind shows inside its mask and nowhere else."""
    entry = [entry for entry in FAULTY if entry.kind == kind][-1]
    pixels, mask = script.make(entry)
    twin, _ = script.make(entry, damage=False)
    change = np.abs(pixels.astype(float) - twin.astype(float)).mean(axis=2)
    assert change[mask > 0].mean() > 5.0
    rows, cols = np.nonzero(mask)
    reach = 8  # lens blur and sharpening spread it a little
    change[
        max(rows.min() - reach, 0) : rows.max() + reach, max(cols.min() - reach, 0) : cols.max() + reach
    ] = 0
    assert change.mean() < 0.2
