"""Images of another product are noticed; defects of the model's own parts are not taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.analysis.other_product import strangers
from padim.model import Padim
from tests.parts import defects, normals

FLANGE = Path(__file__).parents[2] / "sample_data" / "flange"


def test_another_product_is_noticed_and_defects_are_not(small_model: Padim) -> None:
    own = list(small_model.predict([*normals(8, first=100), *defects(12)]))
    assert any(one.rejected for one in own)
    assert strangers(small_model, own).sentence == ""
    flanges = [str(path) for path in sorted((FLANGE / "test" / "good").iterdir())[:6]]
    other = list(small_model.predict(flanges))
    found = strangers(small_model, other)
    assert len(found.names) == found.n == 6
    assert found.sentence.startswith("None of these 6 images looks like this model's parts: another product")
    mixed = strangers(small_model, [*other, *own[:4]])
    assert set(mixed.names) == {one.name for one in other}
    assert mixed.sentence.startswith("6 of 10 images do not look like this model's parts, such as ")
    assert strangers(small_model, [*own, other[0]]).sentence == "", "one image may have a large defect"


def test_nothing_is_said_without_good_parts_to_compare_with(
    small_model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.analysis import other_product

    monkeypatch.setattr(other_product, "FEWEST_PARTS", 100)
    assert strangers(small_model, small_model.predict(normals(2, first=100))).sentence == ""
