"""Fields from file names: every reading against all possible ones, and what is refused."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.errors import PadimError
from padim.records.name_pattern import NamePattern


@pytest.mark.parametrize(
    ("pattern", "name", "values"),
    [
        ("{lot}-{serial}_{shift}", "L7-0042_night.png", {"lot": "L7", "serial": "0042", "shift": "night"}),
        ("{lot}/{serial}", "today/L7/0042.png", {"lot": "L7", "serial": "0042"}),
        ("img_{serial}_{}", "IMG_12_front.JPG", {"serial": "12"}),
        ("{lot:letters}{serial:digits}", "AB0042.png", {"lot": "AB", "serial": "0042"}),
        ("{serial}-x-{part_number}", "1-X-2.tif", {"serial": "1", "part_number": "2"}),
    ],
)
def test_names_are_read(pattern: str, name: str, values: dict[str, str]) -> None:
    assert NamePattern.of(pattern).read(name).values == values


@pytest.mark.parametrize(
    ("pattern", "name", "said"),
    [
        ("{lot}-{serial}", "0042.png", "does not match {lot}-{serial}"),
        ("{lot}/{serial}", "0042.png", "does not match"),
        ("{lot}-{serial}", "-0042.png", "does not match"),
        ("{lot}-{serial}", "A-1-2.png", "lot “A”, serial number “1-2”, or lot “A-1”, serial number “2”"),
        ("{lot}-{serial}", f"{'x' * 101}-1.png", "more than 100 characters"),
    ],
)
def test_other_names_say_why(pattern: str, name: str, said: str) -> None:
    found = NamePattern.of(pattern).read(name)
    assert found.values == {}
    assert said in found.problem


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "is empty"),
        ("image", "has no field"),
        ("{}", "has no field"),
        ("{batch}", "there is no field {batch}; there are {part_number}, {serial}, {lot}"),
        ("{lot}{serial}", "nothing stands between"),
        ("{lot}-{lot}", "twice"),
        ("{lot", "brace"),
        ("lot}", "brace"),
        ("{lot:d}", "not known; there are {lot:digits}"),
        ("{lot!r}", "not known"),
        ("{lot.__class__}", "there is no field"),
        ("{0}", "there is no field"),
    ],
)
def test_patterns_that_are_none_say_why(pattern: str, said: str) -> None:
    with pytest.raises(PadimError) as refused:
        NamePattern.of(pattern)
    assert said in str(refused.value)


def all_readings(separators: list[str], text: str) -> set[tuple[str, ...]]:
    """Every way to cut a text at these separators into parts that are not empty."""
    found = set()
    places = range(len(text) + 1)
    for cuts in combinations(places, len(separators)):
        begin, parts = 0, []
        for cut, separator in zip(cuts, separators, strict=True):
            if cut < begin or not text.startswith(separator, cut):
                break
            parts.append(text[begin:cut])
            begin = cut + len(separator)
        else:
            parts.append(text[begin:])
            if all(parts):
                found.add(tuple(parts))
    return found


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("ab-", min_size=1, max_size=2), min_size=0, max_size=3),
    st.text("ab-", min_size=1, max_size=9),
)
def test_readings_are_those_of_brute_force(separators: list[str], text: str) -> None:
    fields = ("lot", "serial", "shift", "station")
    pattern = "{lot}" + "".join(f"{s}{{{f}}}" for s, f in zip(separators, fields[1:], strict=False))
    found = NamePattern.of(pattern).read(f"{text}.png")
    ways = all_readings(separators, text)
    if len(ways) == 1:
        assert tuple(found.values.values()) == next(iter(ways))
    else:
        assert found.values == {}
        assert ("more than one way" in found.problem) == (len(ways) > 1)


def test_a_hostile_name_takes_no_longer_than_another() -> None:
    pattern = NamePattern.of("{lot}-{serial}-{shift}-{station}-{part_number}-{}-x")
    assert "does not match" in pattern.read("-" * 5000 + ".png").problem
