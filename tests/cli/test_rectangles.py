"""Input sizes of rectangles on the command line: chosen by the parts, typed, compared and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from padim import Padim
from padim.study.data import categories
from padim.study.input_shape import settled
from padim.study.plan import StudyPlan
from tests.cli.conftest import Run, write
from tests.parts import part, png

LITTLE = ("--n-features", "16", "--smoothing", "2", "--min-area", "8")


@pytest.fixture(scope="module")
def long_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = [(f"{i}.png", png(part(i, size=(80, 200)))) for i in range(5)]
    return write(tmp_path_factory.mktemp("long"), files)


def test_the_parts_decide_what_is_not_typed(run: Run, long_parts: Path, tmp_path: Path) -> None:
    done = run("fit", long_parts, "-o", tmp_path / "m", *LITTLE)
    assert done.code == 0, done.err
    assert Padim.load(tmp_path / "m").config.input_size == (160, 416)
    assert "416 × 160" in done.out
    # A complete fit is known again, although the command does not say the size.
    again = run("fit", long_parts, "-o", tmp_path / "m", *LITTLE, "--resume")
    assert again.code == 0, again.err
    assert "already complete" in again.err
    assert run("fit", long_parts, "-o", tmp_path / "m", *LITTLE, "--input-size", "256", "--resume").code != 0
    document = json.loads(run("info", tmp_path / "m", "--json").out)
    assert document["config"]["input_size"] == [160, 416]


@pytest.mark.parametrize(
    ("typed", "size"), [("64x96", (64, 96)), ("96×64", (96, 64)), ("64", 64), ("64x64", 64)]
)
def test_a_typed_size_is_kept(run: Run, long_parts: Path, tmp_path: Path, typed: str, size: object) -> None:
    done = run("fit", long_parts, "-o", tmp_path / "m", *LITTLE, "--input-size", typed, "--groups-by", "none")
    assert done.code == 0, done.err
    assert Padim.load(tmp_path / "m").config.input_size == size


@pytest.mark.parametrize("typed", ["64x", "100x96", "tall", "64x96x3", "32"])
def test_a_size_that_is_none_is_refused(run: Run, long_parts: Path, tmp_path: Path, typed: str) -> None:
    done = run("fit", long_parts, "-o", tmp_path / "m", "--input-size", typed)
    assert done.code == 2
    assert "input_size" in done.err
    assert not (tmp_path / "m").exists()


def test_a_study_takes_rectangles_and_settles_what_is_open(long_parts: Path, tmp_path: Path) -> None:
    plan = StudyPlan.from_yaml("{base: {n_features: 16}, input_sizes: [64, 64x96, [96, 64]]}")
    variants = plan.variants()
    assert [one.config.input_size for one in variants] == [64, (64, 96), (96, 64)]
    assert [one.name for one in variants] == ["64 px", "64x96 px", "96x64 px"]
    for name, size in (("a", (80, 200)), ("b", (80, 200)), ("c", (90, 90))):
        for i in range(3):
            for place in (f"train/good/{i}.png", f"test/good/{i + 5}.png", f"test/bad/{i + 9}.png"):
                write(tmp_path / name, [(place, png(part(i + len(place), size=size)))])
    found = categories(tmp_path, (), 0)
    assert settled(variants, found) == variants
    open_ones = StudyPlan.of({"base": {"n_features": 16}}).variants()
    assert [one.config.input_size for one in settled(open_ones, found[:2])] == [(160, 416)]
    assert [one.config.input_size for one in settled(open_ones, found)] == [256]
