"""Requests, outcomes and errors on their way between the processes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import errors
from padim.config import PadimConfig
from padim.errors import BackboneError, DamagedError, ImageError, PadimError, StorageError
from padim.worker import messages
from padim.worker.images import AtPath, Files, Labeled

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def through_json(error: BaseException) -> Exception:
    return messages.error_from_json(json.loads(json.dumps(messages.error_to_json(error))))


@given(name=NAMES, reason=NAMES)
def test_an_image_error_keeps_its_file_and_reason(name: str, reason: str) -> None:
    back = through_json(ImageError(name, reason))
    assert type(back) is ImageError
    assert (back.name, back.reason, str(back)) == (name, reason, f"{name}: {reason}")


def test_every_error_of_the_engine_keeps_its_type_and_words() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, PadimError) and kind not in (ImageError, DamagedError)
    ]
    assert BackboneError in kinds
    for kind in kinds:
        back = through_json(kind("what is wrong"))
        assert type(back) is kind
        assert str(back) == "what is wrong"


def test_attributes_come_along_paths_as_paths() -> None:
    damaged = through_json(DamagedError(Path("a/b"), "is short", "copy it again", row=3))
    assert isinstance(damaged, DamagedError)
    assert (damaged.path, damaged.what, damaged.row) == (Path("a/b"), "is short", 3)
    full = through_json(StorageError("full", Path("x"), read_only=True))
    assert isinstance(full, StorageError)
    assert full.read_only
    assert full.path == Path("x")


def test_the_systems_refusals_and_lack_of_memory_become_sentences() -> None:
    full = through_json(OSError(28, "No space left on device", "some/file"))
    assert isinstance(full, StorageError)
    assert "no space left" in str(full)
    assert "not enough memory" in str(through_json(MemoryError()))


def test_a_fault_of_the_program_tells_no_more_than_its_type() -> None:
    back = through_json(KeyError("secret"))
    assert isinstance(back, messages.WorkerFault)
    assert str(back) == "KeyError"


@given(
    names=st.dictionaries(NAMES, NAMES, max_size=4), files=st.lists(NAMES, max_size=4), index=st.integers(0)
)
def test_a_request_arrives_as_it_was(names: dict[str, str], files: list[str], index: int) -> None:
    images = Files(files=[(name, Path("jobs") / str(i)) for i, name in enumerate(files)])
    labeled = Labeled(at=AtPath(path=Path("p")), label="x", good_of="plate")
    config = PadimConfig(input_size=64).model_dump(mode="json")
    about = {"root": Path("home"), "model": "m"}
    requests: list[messages.Request] = [
        messages.Fit(**about, config=config, groups=names, images=images),
        messages.Fit(**about, config=config, groups=names, images=labeled),
        messages.Rebuild(**about, images=AtPath(path=Path("p"))),
        messages.Add(**about, images=images, shots=names),
        messages.SetLayers(**about, active=files),
        messages.Exclude(**about, index=index, reason="kept_out"),
        messages.Include(**about, index=index),
        messages.StudyRequest(folder=Path("s"), variants=[("a", config)], images=labeled),
    ]
    for request in requests:
        line = messages.request_to_json(request)
        assert "\n" not in line
        assert messages.request_from_json(line) == request


def test_what_is_no_request_is_refused() -> None:
    for line in ('{"verb": "delete"}', "[]", "{", '{"verb": "include", "root": "x"}'):
        with pytest.raises(ValueError):  # noqa: PT011  # pydantic's, with a long text
            messages.request_from_json(line)
