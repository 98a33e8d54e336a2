"""The spool: what goes in comes out, and what does not belong is not mixed in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim.storage.feature_store import FeatureStore

# Of a record of nine positions: one for eight of them, and one for the last.
CHECKSUMS = 2 * 8


def records(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6, 3, 3)).astype(np.float32)


def keys(n: int) -> list[str]:
    return [f"key{i}" for i in range(n)]


def test_rows_and_channels_come_back(tmp_path: Path) -> None:
    feature_store = FeatureStore(tmp_path / "s", "id", 6, 9).start()
    x = records(5)
    feature_store.append(x[:2], keys(2))
    feature_store.append(x[2:], ["c", "d", "e"])
    channels = np.array([0, 3, 5])
    expected = x.reshape(5, 6, 9)[[4, 1]][:, channels].transpose(0, 2, 1)
    assert np.array_equal(feature_store.read([4, 1], channels), expected)
    assert len(feature_store) == 5
    assert feature_store.keys() == ["key0", "key1", "c", "d", "e"]
    assert feature_store.nbytes == x.nbytes + 5 * CHECKSUMS


def test_it_survives_reopening_and_drops_a_torn_record(tmp_path: Path) -> None:
    FeatureStore(tmp_path / "s", "id", 6, 9).start().append(records(3), keys(3))
    file = tmp_path / "s" / "features.f32"
    file.write_bytes(file.read_bytes()[:-7])
    feature_store = FeatureStore(tmp_path / "s", "id", 6, 9).start()
    assert len(feature_store) == 2
    assert feature_store.keys() == keys(2)
    assert feature_store.nbytes == 2 * (6 * 9 * 4 + CHECKSUMS)
    feature_store.append(records(1, seed=9), ["new"])
    assert np.array_equal(feature_store.read([2], np.arange(6))[0].T.reshape(6, 3, 3), records(1, seed=9)[0])


@pytest.mark.parametrize("other", [("else", 6, 9), ("id", 5, 9), ("id", 6, 16)])
def test_another_extractor_starts_afresh(tmp_path: Path, other: tuple[str, int, int]) -> None:
    FeatureStore(tmp_path / "s", "id", 6, 9).start().append(records(3), keys(3))
    assert len(FeatureStore(tmp_path / "s", *other).start()) == 0


def test_a_damaged_header_starts_afresh(tmp_path: Path) -> None:
    FeatureStore(tmp_path / "s", "id", 6, 9).start().append(records(3), keys(3))
    (tmp_path / "s" / "spool.json").write_text("{")
    assert len(FeatureStore(tmp_path / "s", "id", 6, 9).start()) == 0


def test_truncate_and_delete(tmp_path: Path) -> None:
    feature_store = FeatureStore(tmp_path / "s", "id", 6, 9).start()
    feature_store.append(records(4), keys(4))
    feature_store.truncate(1)
    assert len(feature_store) == 1
    with pytest.raises(IndexError, match="1 records"):
        feature_store.read([1], np.arange(6))
    feature_store.delete()
    assert not (tmp_path / "s").exists()
    assert feature_store.nbytes == 0


def test_wrong_records_are_refused(tmp_path: Path) -> None:
    feature_store = FeatureStore(tmp_path / "s", "id", 6, 9).start()
    with pytest.raises(ValueError, match="float32"):
        feature_store.append(records(1).astype(np.float64), keys(1))
    with pytest.raises(ValueError, match="float32"):
        feature_store.append(np.zeros((1, 6, 4, 4), np.float32), keys(1))


def test_a_record_without_its_key_is_dropped(tmp_path: Path) -> None:
    FeatureStore(tmp_path / "s", "id", 6, 9).start().append(records(3), keys(3))
    lines = (tmp_path / "s" / "records.txt").read_bytes().splitlines(keepends=True)
    (tmp_path / "s" / "records.txt").write_bytes(b"".join(lines[:2]))
    feature_store = FeatureStore(tmp_path / "s", "id", 6, 9).start()
    assert len(feature_store) == 2
    assert feature_store.nbytes == 2 * (6 * 9 * 4 + CHECKSUMS)
    with pytest.raises(ValueError, match="as many keys"):
        feature_store.append(records(2), keys(1))


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """A page asks what is there while a job writes, or with a model of another version."""
    feature_store = FeatureStore(tmp_path / "s", "id", 6, 9).start()
    feature_store.append(records(3), keys(3))
    torn = tmp_path / "s" / "features.f32"
    torn.write_bytes(torn.read_bytes() + b"half a rec")  # the other one is in the midst of it
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    for other in (FeatureStore(tmp_path / "s", "id", 6, 9), FeatureStore(tmp_path / "s", "else", 6, 9)):
        assert len(other) == len(other.keys()) == (3 if other.identity == "id" else 0)
        assert other.matches == (other.identity == "id")
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before
    assert not FeatureStore(tmp_path / "nothing", "id", 6, 9).matches
    assert not (tmp_path / "nothing").exists()
