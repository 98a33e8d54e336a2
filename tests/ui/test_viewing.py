"""The viewer's data: good parts counted by part, maps up to the memory limit, invalid messages ignored."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from padim import Padim, PadimConfig, Workspace
from padim.data.sources import UploadSource
from padim.decision.regions import region_scores
from padim.storage.model_folders import Entry
from tests.parts import defects, normals
from ui import viewing
from ui.files.media import Numbers
from ui.jobs.jobs import Job
from ui.scoring import Pile, areas_for


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory, small_config: PadimConfig) -> Entry:
    """Return a model of 12 images of ten parts: one part has three shots, one is kept out, one not good."""
    store = Workspace(tmp_path_factory.mktemp("home"))
    made = store.create("Groups")
    model = Padim(small_config, work_dir=store.work_dir(made.id))
    model.fit(normals(12), groups={f"good_{i:03d}.png": "thrice" for i in (2, 5, 7)})
    model.exclude(0, "kept_out").exclude(11, "not_good").save(made.path)
    return store.get(made.id)


@pytest.fixture(scope="module")
def model(entry: Entry) -> Padim:
    return Workspace(entry.path.parents[1]).open(entry.id)


def unpacked(
    numbers: Numbers, areas: int, size: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Unpack scores and map, with NumPy's cumulative sums."""
    raw = np.frombuffer(gzip.decompress(numbers.data), np.uint8)
    tables = []
    for rows, columns in ((1, areas), (size, size)):
        count = rows * columns
        signed = (raw[:count].astype(np.uint16) | raw[count : 2 * count].astype(np.uint16) << 8).reshape(
            rows, columns
        )
        raw = raw[2 * count :]
        rest = (signed >> 1) ^ (-(signed & 1).astype(np.int16)).view(np.uint16)
        tables.append(np.cumsum(np.cumsum(rest, axis=0, dtype=np.uint16), axis=1, dtype=np.uint16))
    assert not raw.size
    return tables[0], tables[1]


def test_the_good_parts_are_counted_as_parts(entry: Entry, model: Padim) -> None:
    held = viewing.held_out(entry, model)
    assert held is not None
    assert [model.normals_[i].status for i in held.scores.indices].count("not_good") == 0
    assert len(held.scores.indices) == 11
    areas = areas_for(model)
    assert held.scores.curves.shape == (11, areas)
    for area in (1, 8, 40, areas):
        best = np.zeros(held.scores.parts, np.int64)
        np.maximum.at(best, np.array(held.scores.part), held.scores.curves[:, area - 1])
        assert sorted(best) == sorted(model.state.part_scores(area))
        in_fit = model.state.part_scores(area, include_kept_out=False)
        assert sorted(best[: held.scores.in_fit]) == sorted(in_fit), "parts in the fit come first"
    assert (held.scores.parts, held.scores.in_fit) == (9, 8)
    scores = model.state.part_scores(8)
    for level in (*scores, 0):
        rate = model.state.false_rejects(int(level), 8)
        assert held.scores.upper[rate.above] == rate.upper, "rounded, the page would promise another bound"
    for row, index in enumerate(held.scores.indices):
        numbers = held.maps[row]
        assert numbers is not None
        curve, q = unpacked(numbers, areas, model.config.input_shape[0])
        assert np.array_equal(q, model.state.held_out_map(index))
        assert np.array_equal(curve[0], region_scores(q, areas))


def test_another_set_of_parts_in_the_fit_is_not_served_from_the_cache(entry: Entry, model: Padim) -> None:
    before = viewing.held_out(entry, model)
    assert before is not None
    changed = Workspace(entry.path.parents[1]).open(entry.id)
    changed.include(0)
    after = viewing.held_out(entry, changed)
    assert after is not None
    assert after.scores.in_fit == before.scores.in_fit + 1


def test_without_held_out_scores_there_is_nothing_to_give(tmp_path: Path, small_config: PadimConfig) -> None:
    store = Workspace(tmp_path)
    made = store.create("Two")
    two = Padim(small_config, work_dir=store.work_dir(made.id)).fit(normals(2))
    two.save(made.path)
    assert viewing.held_out(store.get(made.id), two) is None


def test_with_little_memory_the_highest_scores_keep_their_maps(
    entry: Entry, model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewing._held_out.clear()
    monkeypatch.setattr(viewing, "HELD_OUT_KEPT", 12_000)
    held = viewing.held_out(entry, model)
    viewing._held_out.clear()
    assert held is not None
    kept = [numbers is not None for numbers in held.maps]
    assert 0 < sum(kept) < len(kept)
    hottest = held.scores.curves[:, 0]
    assert min(hottest[kept]) >= max(hottest[np.logical_not(kept)])
    # The selected one still has its map.
    images = viewing.normals_shown(model, held, 8)
    cold = next(one for one in images if one.numbers is None)
    assert viewing._numbers_of(cold, model, held) is not None


def viewer_message(model: Padim, images: list[viewing.ViewerImage], **changes: Any) -> dict[str, Any]:
    decision = {"basis": "manual", "permille": 950, "level": 5, "min_area": 8}
    given: dict[str, Any] = {
        "mode": "inspect",
        "decision": decision,
        "selected": None,
        "handled": viewing.HandledCounts(),
        "look": {"opacity": 0.4, "colormap": "inferno"},
        "labels": {},
        "kept": set(),
        **changes,
    }
    return viewing.message(model, images, **given)


def test_the_message_is_urls_and_numbers(small_model: Padim) -> None:
    files = [(name, data) for name, data in defects(2) if isinstance(data, bytes)]
    pile = Pile("any")
    pile.add(UploadSource(files), small_model, Job("k", "t", lambda _: None), "defect")
    images = viewing.tests_shown(small_model, pile.items, 8)
    item = pile.items[0]
    message = viewer_message(small_model, images, labels={item.sha256: "good"}, kept={pile.items[1].sha256})
    first, second = message["items"]
    assert first["box"] == [0, 0, 64, 64]
    assert (first["width"], first["height"]) == (96, 96)
    assert (first["group"], first["label"], second["label"]) == ("defect", "good", None)
    assert (first["kept"], second["kept"]) == (False, True)
    assert [one["sha256"] for one in message["items"]] == [one.sha256 for one in pile.items]
    assert message["handled"] == {"decision": 0, "selected": 0, "labels": 0}
    assert first["score"] == item.score(small_model, 8)
    assert message["held"]["parts"] == 0
    numbers = item.kept_numbers(small_model)
    assert numbers is not None
    _, q = unpacked(numbers, areas_for(small_model), 64)
    assert np.array_equal(q, item.levels(small_model))


@pytest.mark.parametrize(
    ("value", "look"),
    [
        ({"opacity": 0.8, "colormap": "viridis"}, (0.8, "viridis")),
        ({"opacity": 7, "colormap": "viridis"}, (0.4, "viridis")),
        ({"opacity": float("nan"), "colormap": "none"}, (0.4, "inferno")),
        ({"opacity": "0.8"}, (0.4, "inferno")),
        ({"opacity": True, "colormap": ["inferno"]}, (0.4, "inferno")),
        (None, (0.4, "inferno")),
    ],
)
def test_a_look_from_the_browser(value: object, look: tuple[float, str]) -> None:
    mine = {"opacity": 0.4, "colormap": "inferno"}
    viewing.on_look(mine, value)
    assert (mine["opacity"], mine["colormap"]) == look


@pytest.mark.parametrize(
    "value",
    [
        None,
        "t1",
        {"id": "t1"},
        {"count": 1},
        {"id": 1, "count": 1},
        {"id": "t1", "count": -1},
        {"id": "t1", "count": "1"},
    ],
)
def test_an_invalid_selection_is_none(value: object) -> None:
    assert viewing.selection(value) is None


def test_a_selection_from_the_browser() -> None:
    found = viewing.selection({"id": "t1-0123", "count": 1_800_000_000_000})
    assert found is not None
    assert (found.id, found.count) == ("t1-0123", 1_800_000_000_000)
