"""``--bit-depth``: asked for where only values would tell the range, and used by every command."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from padim import Padim
from tests import hostile
from tests.cli.conftest import SMALL, Run, write
from tests.parts import part, png
from tests.test_bit_depth_of_models import deep, files, sbit


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """12-bit images in 16-bit files without metadata."""
    write(folder := tmp_path / "raw", files(6))
    return folder


@pytest.mark.parametrize("grouping", ["likeness", "none"])
def test_fit_asks_and_fits_nothing(run: Run, raw: Path, tmp_path: Path, grouping: str) -> None:
    done = run("fit", raw, "-o", tmp_path / "m", *SMALL, "--groups-by", grouping, "-q")
    assert "--bit-depth 12" in done.sentence
    assert "--bit-depth 16" in done.sentence
    largest = max(int(deep(i).max()) for i in range(6))
    assert f"{largest:,}" in done.sentence
    assert [place.name for place in tmp_path.iterdir()] == ["raw"]


def test_the_answer_is_kept_and_shown(run: Run, raw: Path, tmp_path: Path) -> None:
    done = run("fit", raw, "-o", tmp_path / "m", *SMALL, "--bit-depth", 12)
    assert done.code == 0, done.err
    assert "12 bits: values up to 4,095" in done.out
    assert Padim.load(tmp_path / "m").config.bit_depth == 12
    assert run("info", tmp_path / "m", "--json").json["config"]["bit_depth"] == 12
    # Complete already, with or without the answer: the model's range is the one that it was fitted with.
    for option in ((), ("--bit-depth", 12)):
        again = run("fit", raw, "-o", tmp_path / "m", *SMALL, "--resume", *option)
        assert again.code == 0, again.err
    other = run("fit", raw, "-o", tmp_path / "m", *SMALL, "--resume", "--bit-depth", 14, "-q")
    assert "other images or settings" in other.sentence


def test_metadata_need_no_option(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "raw", files(4, extra=sbit(12)))
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL, "-q")
    assert done.code == 0, done.err
    assert Padim.load(tmp_path / "m").config.bit_depth == 12


def test_scored_files_have_the_models_range(run: Run, raw: Path, tmp_path: Path) -> None:
    assert run("fit", raw, "-o", tmp_path / "m", *SMALL, "--bit-depth", 12, "-q").code == 0
    inside = [("bad.png", hostile.png(deep(7, defect=True))), ("eight.png", png(part(9)))]
    above = [("high.png", hostile.png(deep(8, depth=14)))]
    write(folder := tmp_path / "in", [*inside, *above])
    done = run("score", tmp_path / "m", folder, "-o", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert "high.png: has values up to" in done.err
    (path,) = (tmp_path / "out" / "panels").glob("*bad*")
    panel = np.asarray(Image.open(path).convert("L"))
    original = panel[panel.shape[0] // 2 :, : panel.shape[1] // 4]
    assert original.mean() > 60  # as bright as the network sees it, not black


def test_a_wrong_number_is_refused(run: Run, raw: Path, tmp_path: Path) -> None:
    assert "bit_depth" in run("fit", raw, "-o", tmp_path / "m", "--bit-depth", 40, "-q").sentence


def test_pixels_of_a_file_and_an_array_score_alike(tmp_path: Path) -> None:
    model = Padim(input_size=64, n_features=20, bit_depth=12).fit([deep(i) for i in range(4)])
    buffer = BytesIO()
    Image.fromarray(deep(9)).save(buffer, "PNG")
    one, other, third = model.predict([deep(9), buffer.getvalue(), Image.fromarray(deep(9))])
    assert one.score_level == other.score_level == third.score_level
