"""The diagrams are what their script draws, their words fit, and each is on the page."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.diagrams import ACROSS, BOLD_LETTER, BOX_WIDTH, DIAGRAMS, FOLDER, LETTER, Diagram, drawn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "connect.md"


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda one: one.name)
def test_a_diagram_is_drawn_whole(diagram: Diagram) -> None:
    file = FOLDER / f"{diagram.name}.svg"
    assert file.read_text(encoding="utf-8") == drawn(diagram), "run: python -m scripts.diagrams"
    root = ElementTree.fromstring(drawn(diagram))
    assert root.attrib["aria-label"] == diagram.says
    # Nothing that runs or is fetched, and both schemes.
    assert {element.tag.partition("}")[2] for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "text", "path")
    }
    assert "prefers-color-scheme:dark" in drawn(diagram)
    places = [node.at for node in diagram.nodes]
    assert len(set(places)) == len(places)
    for node in diagram.nodes:
        assert len(node.title) * BOLD_LETTER < BOX_WIDTH - 8, node.title
        for line in node.lines:
            assert len(line) * LETTER < BOX_WIDTH - 8, line
    for arrow in diagram.arrows:
        assert {arrow.start, arrow.stop} <= set(places)
        (column, row), (to_column, to_row) = arrow.start, arrow.stop
        assert abs(column - to_column) + abs(row - to_row) == 1, "arrows join neighbors"
        if row == to_row:
            assert max(len(arrow.over), len(arrow.under)) * LETTER < ACROSS - 4, arrow
        elif column == max(place[0] for place in places):
            assert max(len(arrow.over), len(arrow.under)) * LETTER < BOX_WIDTH / 2, arrow


def test_each_way_to_connect_has_its_diagram_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert sorted(f"{diagram.name}.svg" for diagram in DIAGRAMS) == sorted(
        path.name for path in FOLDER.glob("connect-*.svg")
    )
    for diagram in DIAGRAMS:
        assert f"../images/{diagram.name}.svg)" in page
        assert f"![{diagram.says}]" in page
