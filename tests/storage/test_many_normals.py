"""Ten thousand good parts: what a batch costs on disk does not depend on how many there are already."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim.storage import record_file, thumbnails
from padim.storage.feature_store import FeatureStore
from padim.storage.normals import Normal, join_duplicates
from padim.storage.thumbnails import Thumbnails


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many lines and headers were parsed, by kind."""
    seen: Counter[str] = Counter()

    def counting(name: str, of: Any) -> Any:
        def call(*arguments: Any) -> Any:
            seen[name] += 1
            return of(*arguments)

        return staticmethod(call)

    monkeypatch.setattr(record_file.RecordLine, "parse", counting("record", record_file.RecordLine.parse))
    monkeypatch.setattr(thumbnails._Line, "parse", counting("thumbnail", thumbnails._Line.parse))
    real = record_file.json.loads
    monkeypatch.setattr(record_file.json, "loads", counting("header", real).__func__)
    return seen


def filled(folder: Path, count: int) -> tuple[FeatureStore, Thumbnails]:
    feature_store = FeatureStore(folder / "spool", "one", 3, 4).start()
    small = Thumbnails(folder / "thumbnails.bin")
    for batch in range(count // 10):
        feature_store.append(
            np.full((10, 3, 4), batch, np.float32), [f"{10 * batch + i:064d}" for i in range(10)]
        )
        small.append([bytes([i]) * (1 + i) for i in range(10)])
    return feature_store, small


@pytest.mark.parametrize("count", [100, 400])
def test_appending_reads_nothing_again(tmp_path: Path, parsed: Counter[str], count: int) -> None:
    feature_store, small = filled(tmp_path, count)
    assert parsed["record"] == parsed["thumbnail"] == 0
    assert parsed["header"] <= 2
    # What is remembered is what is there.
    again, others = FeatureStore(tmp_path / "spool", "one", 3, 4), Thumbnails(tmp_path / "thumbnails.bin")
    assert again.keys() == feature_store.keys() == [f"{i:064d}" for i in range(count)]
    assert (others.nbytes, others._lines()) == (small.nbytes, small._lines())
    assert feature_store.problem() is None
    assert list(small.damages()) == []


@pytest.mark.parametrize("count", [100, 400])
def test_reading_every_record_parses_each_line_once(tmp_path: Path, parsed: Counter[str], count: int) -> None:
    filled(tmp_path, count)
    parsed.clear()
    feature_store = FeatureStore(tmp_path / "spool", "one", 3, 4)
    for row in range(count):
        assert len(feature_store) == count
        assert feature_store.read([row], np.array([0]))[0, 0, 0] == row // 10
    small = Thumbnails(tmp_path / "thumbnails.bin")
    for place in list(small._lines()):
        assert small.holds(place)
    assert parsed == {"record": count, "thumbnail": count, "header": 1}


def test_what_another_has_written_is_seen(tmp_path: Path) -> None:
    feature_store, small = filled(tmp_path, 20)
    other = FeatureStore(tmp_path / "spool", "one", 3, 4)
    other.append(np.zeros((1, 3, 4), np.float32), ["f" * 64])
    assert len(feature_store) == 21
    feature_store.append(np.zeros((1, 3, 4), np.float32), ["e" * 64])
    assert len(other) == 22
    assert other.keys() == feature_store.keys()
    Thumbnails(small.path).append([b"more"])
    assert len(small._lines()) == 21


def test_behind_a_damaged_line_nothing_is_remembered(tmp_path: Path) -> None:
    feature_store, small = filled(tmp_path, 20)
    for path in (tmp_path / "spool" / record_file.KEYS, small.path.with_suffix(".txt")):
        path.write_bytes(path.read_bytes() + b"damaged\n")
    feature_store.append(np.zeros((1, 3, 4), np.float32), ["f" * 64])
    small.append([b"more"])
    assert len(feature_store.keys()) == len(FeatureStore(tmp_path / "spool", "one", 3, 4).keys()) == 20
    assert len(small._lines()) == len(Thumbnails(small.path)._lines()) == 20


def test_a_long_chain_of_shots_is_one_part() -> None:
    """Each is a copy of the one before, in a part that is linked to the next."""
    normals = []
    for i in range(3000):
        normals.append(Normal(f"a{i}", f"{i}", f"part {i}", "fit", (4, 4), (0, 1)))
        normals.append(Normal(f"b{i}", f"{i + 1}", f"part {i}", "fit", (4, 4), (0, 1)))
    assert len({normal.group for normal in join_duplicates(normals)}) == 1
