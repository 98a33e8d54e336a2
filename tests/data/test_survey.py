"""A first look at images: sizes, thumbnails, and which of them are shots of one part."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from padim import Cancelled
from padim.data.grouping import fingerprint
from padim.data.sources import UploadSource
from padim.data.survey import alike, survey
from tests.parts import part, png

SHOTS = {f"part{i:02d}_{k}.png": png(part(i, shot=k)) for i in range(4) for k in range(2)}
FILES = [
    *((f"{i}.png", png(part(100 + i))) for i in range(8)),
    *SHOTS.items(),
    ("copy.png", SHOTS["part00_0.png"]),
    ("wide.png", png(part(50, size=(48, 96)))),
    ("broken.png", b"no image"),
    ("notes.txt", b"passed over"),
]


def test_what_is_there_is_told() -> None:
    told: list[tuple[int, int | None, str]] = []
    found = survey(UploadSource(FILES), thumbnail_side=40, progress=lambda *step: told.append(step))
    assert {item.name for item in found.seen} == {name for name, _ in FILES[:-2]}
    assert found.sizes == {(96, 96): 17, (48, 96): 1}
    assert found.mixed_shapes
    assert [error.name for error in found.failed] == ["broken.png", "notes.txt"]
    assert len(found.passed_over) == 0
    for item in found.seen:
        assert item.thumbnail is not None
        assert max(Image.open(BytesIO(item.thumbnail)).size) == 40
    assert told[-1] == (18, 18, "Looking for repeat shots")
    assert all(item.thumbnail is None for item in survey(UploadSource(FILES)).seen)


def test_shots_of_one_part_by_the_rules_taken_for_true() -> None:
    found = survey(UploadSource(FILES))
    assert found.shots("identical") == {"copy.png": "copy.png", "part00_0.png": "copy.png"}
    expected = {name: f"{name[:6]}_0.png" for name in SHOTS}
    expected |= {"part00_0.png": "copy.png", "part00_1.png": "copy.png", "copy.png": "copy.png"}
    assert found.shots("near_identical") == expected
    # By the user's word, on top of what is certain.
    positions = [i for i, item in enumerate(found.seen) if item.name in ("1.png", "2.png")]
    parts = found.parts([tuple(positions)])
    assert parts["1.png"] == parts["2.png"] == "1.png"
    assert parts["copy.png"] == parts["part00_0.png"]
    assert len(set(parts.values())) == 18 - 2


def test_names_alone_join_nothing() -> None:
    images = {"a_1": part(1), "a_2": part(2), "b_1": part(3), "b_2": part(3, shot=1)}
    images |= {f"c_{i}": part(10 + i) for i in range(6)}
    prints: Any = np.stack([fingerprint(rgb) for rgb in images.values()])
    assert alike(list(images), list(images), prints) == [0, 1, 2, 2, 3, 4, 5, 6, 7, 8]


def test_a_look_can_be_stopped() -> None:
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        survey(UploadSource(FILES[:3]), cancel=lambda: next(asked, True))


def test_nothing_is_nothing() -> None:
    found = survey(UploadSource([]))
    assert (found.seen, found.proposals, found.mixed_shapes) == ((), (), False)
