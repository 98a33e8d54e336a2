"""Repeat shots and the guard band on the Checks page: which shots count, and which guard band is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from padim import Guard, Padim, PadimError, Workspace
from ui import repeatability
from ui.files.media import ServedImage
from ui.scoring import ScoredUpload


def scored(*names: str, scores: dict[str, int] | None = None, area: int = 8) -> list[ScoredUpload]:
    """Images of these names as if scored, each with a content of its own."""
    return [
        ScoredUpload(
            name,
            hashlib.sha256(name.encode()).hexdigest(),
            (96, 96),
            None,
            np.zeros((8, 8), np.float32),
            _scores={area: (scores or {}).get(name, 0)},
            number=number,
            file=Path(name),
            thumb=ServedImage(b""),
        )
        for number, name in enumerate(names, 1)
    ]


def test_a_copy_is_no_second_shot() -> None:
    items = scored("a.png", "b.png", "a.png")
    assert repeatability.distinct(items) == items[:2]


def test_a_band_of_another_model_is_refused(
    small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    store = Workspace(tmp_path)
    entry = store.create("Parts")
    small_model.save(entry.path)
    guard = Guard(2.0, 1.0, 9, 10, 1)
    repeatability.use_guard(entry, small_model, guard)
    assert store.open(entry.id).decision.guard == guard
    changed = store.open(entry.id)
    changed.set_decision(min_area=20).save(entry.path)
    with pytest.raises(PadimError, match="changed meanwhile"):
        repeatability.use_guard(entry, small_model, Guard(3.0, 1.0, 9, 10, 1))
    assert store.open(entry.id).decision.guard == guard
    repeatability.use_guard(entry, small_model, None)  # removing one asks for no measurement
    assert store.open(entry.id).decision.guard is None


@pytest.mark.parametrize(
    ("width", "text"),
    [(50.0, "0.50 ×"), (9.5, "0.095 ×"), (0.34, "0.0034 ×"), (250, "2.50 ×"), (0, "0.00 ×")],
)
def test_a_width_in_thresholds(width: float, text: str) -> None:
    assert repeatability.in_thresholds(width, 100.0) == text
    assert repeatability.in_thresholds(width, 0.0) == "–"


def test_small_widths_keep_their_digits() -> None:
    assert [repeatability.amount(value) for value in (1234.5, 7, 0.1, 0.01234, 0)] == [
        "1,234.50",
        "7.00",
        "0.10",
        "0.012",
        "0.00",
    ]
