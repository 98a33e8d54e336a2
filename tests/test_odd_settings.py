"""Settings files of any content give one short sentence; none takes long, and none ends in a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import PadimConfig, PadimError
from padim.study.plan import StudyPlan

LONGEST = 1200
BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
)
ODD = {
    "a decimal of 5,000 digits": "seed: " + "9" * 5000,
    "a decimal of 400 digits": "seed: " + "9" * 400,
    "a hexadecimal of 8000 digits": "seed: 0x" + "f" * 20_000,
    "a number in the base of sixty": "seed: 1" + ":59" * 3000,
    "what is no number, called one": "eps: !!float x",
    "what is no whole number, called one": "seed: !!int x",
    "nothing, called a whole number": "seed: !!int",
    "what is no truth, called one": "seed: !!bool x",
    "what is no date, called one": "seed: !!timestamp x",
    "a date there is not": "seed: 2001-99-99",
    "what is no set, called one": "seed: !!set [a]",
    "what are no pairs, called so": "seed: !!pairs [a]",
    "what is no binary, called so": "seed: !!binary é",
    "a lone surrogate": 'backbone: "\\uD800"',
    "a key with a lone surrogate": '"\\uDFFF": 1',
    "not a number": "smoothing_sigma: .nan",
    "infinity": "eps: .inf",
    "400,000 keys": "\n".join(f"k{i}: 1" for i in range(400_000)),
    "2,000 keys": "\n".join(f"k{i}: 1" for i in range(2000)),
    "a key of 100,000 characters": "k" * 100_000 + ": 1",
    "a value of 100,000 characters": "backbone: " + "v" * 100_000,
    "a chain of 10,000 networks": "backbone: " + "+".join(["resnet18"] * 10_000),
    "2,000 layers": "layers: [" + ", ".join(["blocks.2"] * 2000) + "]",
    "deep nesting": "layers: " + "[" * 1000 + "]" * 1000,
    "deep mappings": "layers: " + "{a: " * 1000 + "}" * 1000,
    "a list that holds itself": "layers: &a [*a]",
    "a mapping that holds itself": "&a {padim: *a}",
    "lists within lists by reference": BOMB,
    "the same below a known key": f"{BOMB}\ndistance_metric: *a29",
    "a list as a key": "? [a, b]\n: 1",
    "several documents": "seed: 1\n---\nseed: 2",
    "no text": "\0\1\2",
    "a tab": "seed:\n\t- 1",
    "an unknown tag": "seed: !!python/object/apply:os.system [ls]",
    "an alias to nothing": "seed: *nothing",
    "keys of every kind": "{1: 2, null: 3, 1.5: 4, 2001-01-01: 5}",
}


def check_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(PadimError) as refused:
        parse(text)
    check_sentence(str(refused.value))


def check_sentence(text: str) -> None:
    assert 10 < len(text) < LONGEST, len(text)
    assert "\n" not in text
    text.encode()


@pytest.mark.parametrize("what", ODD)
def test_an_odd_configuration_gives_one_sentence(what: str) -> None:
    check_refused(PadimConfig.from_yaml, ODD[what])


@pytest.mark.parametrize("what", ODD)
def test_an_odd_plan_gives_one_sentence(what: str) -> None:
    check_refused(StudyPlan.from_yaml, ODD[what])
    text = "\n".join(f"  {line}" for line in ODD[what].splitlines())
    if what not in {"several documents", "a mapping that holds itself"}:
        check_refused(StudyPlan.from_yaml, f"base:\n{text}")


@pytest.mark.parametrize("what", ["400,000 keys", "a lone surrogate", "a decimal of 5,000 digits"])
def test_the_file_is_named(what: str, tmp_path: Path) -> None:
    path = tmp_path / "line_3.yaml"
    path.write_text(ODD[what], encoding="utf-8")
    for load in (PadimConfig.load, StudyPlan.load):
        with pytest.raises(PadimError, match=re.escape(str(path))) as refused:
            load(path)
        check_sentence(str(refused.value).removeprefix(str(path)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_editors_write_is_read(end: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(f"seed: 3{end}min_area: 9{end}".encode(encoding))
    assert PadimConfig.load(path) == PadimConfig(seed=3, min_area=9)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_said(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes("# für Linie 3\nseed: 3".encode(encoding))
    with pytest.raises(PadimError, match=r"settings\.yaml.*UTF-8"):
        PadimConfig.load(path)


def test_a_plan_of_too_many_combinations_is_refused_before_they_are_made() -> None:
    sizes = ", ".join(["64"] * 8000)
    methods = ", ".join(["padim"] * 8000)
    check_refused(StudyPlan.from_yaml, f"input_sizes: [{sizes}]\nmethods: [{methods}]")


def test_references_of_ordinary_files_are_understood() -> None:
    text = "base: &base {seed: 1}\nconfigurations: [{name: a, eps: 0.5}, {<<: *base, name: b, eps: 0.25}]"
    assert [one.config.seed for one in StudyPlan.from_yaml(text).variants()] == [1, 1]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="aseedps:-[]{}!&*?|>'\"\\ \n\t#%@,.0123456789xuUDF\ufeff\ud7ffé<=~", max_size=60))
def test_any_text_is_a_configuration_or_a_sentence(text: str) -> None:
    for parse in (PadimConfig.from_yaml, StudyPlan.from_yaml):
        try:
            parse(text)
        except PadimError as error:
            check_sentence(str(error))


# A number that could not be saved, and values that fill a screen.
VALUES: dict[str, object] = {
    "huge": 10**5000,
    "huge and negative": -(10**5000),
    "half characters": "\ud800" * 10,
    "long": "x" * 10**6,
    "many": [[[["y"] * 10**4]] * 9] * 9,
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("key", ["seed", "backbone", "layers", "eps", "nothing"])
def test_a_program_gets_a_sentence_too(key: str, value: str) -> None:
    with pytest.raises(PadimError) as refused:
        PadimConfig.of({key: VALUES[value]})
    check_sentence(str(refused.value))
