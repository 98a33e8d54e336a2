"""Layers in words and shares in percent."""

from __future__ import annotations

import pytest

from padim.network.registry import REGISTRY
from ui.widgets.layers import colors, sees, where
from ui.widgets.panels import Bar, bars, legend, stack


def test_every_layer_there_is_has_plain_words() -> None:
    for backbone in REGISTRY.values():
        for layer in backbone.layers:
            assert sees(layer).endswith(f", {layer.stride} px")
            assert not sees(layer).startswith("detail,"), layer
        assert len(set(colors(len(backbone.layers)))) == len(backbone.layers) or len(backbone.layers) > 7


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0, 0, "upper left"),
        (299, 0, "upper right"),
        (150, 0, "upper middle"),
        (150, 50, "centre"),
        (0, 50, "left"),
        (299, 99, "lower right"),
    ],
)
def test_where_a_region_lies(x: float, y: float, expected: str) -> None:
    assert where(x, y, (100, 300)) == expected


def test_bars_say_what_they_draw_and_names_are_no_markup() -> None:
    rows = [Bar("<a>", "fine, 4 px", 30, "#123456"), Bar("b", "shape", 70, "#654321")]
    drawn = bars(rows)
    assert "&lt;a&gt;" in drawn
    assert "30 %" in drawn
    assert "width:70%" in drawn
    assert ">b 70 %<" in stack(rows)
    assert "<a>" not in drawn + stack(rows) + legend(rows)
