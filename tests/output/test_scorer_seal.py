"""The SHA-256 that an exported scorer carries over itself: no damaged file is taken for the model."""

from __future__ import annotations

import hashlib
import random
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Padim
from padim.errors import PadimError
from padim.output import export, scorer_seal
from padim.output.export import export_onnx
from padim.output.scorer_seal import digest, seal, verify

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = b"\x08\x09:\x00"


@pytest.fixture(scope="module")
def scorer(small_model: Padim, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(small_model, tmp_path_factory.mktemp("scorer") / "scorer.onnx")


@pytest.fixture(scope="module", params=["score_onnx.py", "mask_onnx.py"])
def opened(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """How a script opens a model; it ends the program with a sentence where it does not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        function: Callable[..., Any] = runpy.run_path(str(EXAMPLES / request.param))["opened"]
        return function


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def some_bits(content: bytes, count: int, seed: int) -> list[int]:
    """Bits anywhere in a file, and all those of its SHA-256 and of what names it."""
    everywhere = random.Random(seed).choices(range(8 * len(content)), k=count)
    return everywhere + list(range(8 * (len(content) - 80), 8 * len(content), 5))


@pytest.mark.slow
def test_no_flipped_bit_is_taken_for_the_model(
    scorer: Path, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    content = scorer.read_bytes()
    damaged = tmp_path / "damaged.onnx"
    for bit in some_bits(content, 200, seed=11):
        damaged.write_bytes(flipped(content, bit))
        with pytest.raises(SystemExit, match=r"damaged.onnx: (was altered|is truncated)"):
            opened(str(damaged))
        with pytest.raises(PadimError, match=r"damaged.onnx: (was altered|carries no)"):
            verify(damaged)


@pytest.mark.parametrize("length", [0, 1, 63, 76, 5000, -1, -64, -76, -77])
def test_no_file_cut_short_is_taken(
    scorer: Path, tmp_path: Path, opened: Callable[..., Any], length: int
) -> None:
    damaged = tmp_path / "short.onnx"
    damaged.write_bytes(scorer.read_bytes()[:length])
    with pytest.raises(SystemExit, match=r"short.onnx: "):
        opened(str(damaged))
    with pytest.raises(PadimError, match=r"short.onnx: "):
        verify(damaged)


def test_the_sha256_is_that_of_the_file_with_zeros_in_its_place(scorer: Path) -> None:
    content = scorer.read_bytes()
    told = ort.InferenceSession(content).get_modelmeta().custom_metadata_map["sha256"]
    assert content.count(told.encode()) == 1
    assert hashlib.sha256(content.replace(told.encode(), b"0" * 64)).hexdigest() == told
    assert digest(scorer) == told
    verify(scorer)
    onnx.checker.check_model(str(scorer), full_check=True)


def test_a_file_without_one_is_taken_on_request_alone(
    scorer: Path, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    model = onnx.load(scorer)
    del model.metadata_props[-1]
    old = tmp_path / "old.onnx"
    onnx.save(model, old)
    with pytest.raises(SystemExit, match="--unsealed"):
        opened(str(old))
    session, *_ = opened(str(old), True)
    assert session.get_inputs()[0].name == "rgb"
    with pytest.raises(PadimError, match=r"old.onnx: carries no SHA-256"):
        verify(old)
    # What has one is checked on request, too.
    old.write_bytes(flipped(scorer.read_bytes(), 40_000))
    with pytest.raises(SystemExit, match="was altered"):
        opened(str(old), True)


def test_a_file_that_onnx_runtime_does_not_take_is_told_in_a_sentence(
    tmp_path: Path, opened: Callable[..., Any]
) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(seal(SMALL))
    with pytest.raises(SystemExit, match=r"odd.onnx: cannot be opened \("):
        opened(str(path))


@given(st.binary(min_size=1, max_size=200))
def test_sealing_again_changes_nothing(content: bytes) -> None:
    once = seal(content)
    assert once.startswith(content)
    assert len(once) == len(content) + 76
    assert seal(once) == once


@pytest.mark.slow
def test_numbers_in_a_second_file_are_checked(
    small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Any]
) -> None:
    monkeypatch.setattr(export, "MOST_INLINE_BYTES", 0)
    monkeypatch.setattr(export, "_LARGE_BYTES", 2**10)
    path = export_onnx(small_model, tmp_path / "large.onnx")
    [beside] = tmp_path.glob("*.data")
    verify(path)
    opened(str(path))
    content = beside.read_bytes()
    for bit in random.Random(12).choices(range(8 * len(content)), k=20):
        beside.write_bytes(flipped(content, bit))
        with pytest.raises(SystemExit, match=r"\.data: was altered"):
            opened(str(path))
        with pytest.raises(PadimError, match=r"\.data: was altered"):
            verify(path)
    beside.unlink()
    with pytest.raises(SystemExit, match=r"large.onnx: "):
        opened(str(path))
    with pytest.raises(PadimError, match=r"\.data: .* belongs to large.onnx"):
        verify(path)


def test_checking_loads_no_runtime() -> None:
    loaded = "any(name in sys.modules for name in ('onnxruntime', 'torch'))"
    code = f"import sys, padim.output.scorer_seal; sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


@pytest.mark.parametrize("name", ["missing.onnx", ""])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(PadimError, match="cannot be read"):
        scorer_seal.verify(tmp_path / name)
