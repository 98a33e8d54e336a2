"""One model's damaged or invented manifest hides no other model, and is told in a sentence."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from padim import Padim, PadimConfig, PadimError, Workspace
from padim.storage.bundle import MANIFEST, _seal
from tests.parts import normals
from ui import exports
from ui.app import workspace


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two models: a good one, and one whose manifest the tests replace."""
    store = Workspace(tmp_path_factory.mktemp("home"))
    model = Padim(PadimConfig(input_size=64, grid_stride=16, n_features=4)).fit(normals(4))
    good = store.create("good")
    model.save(good.path)
    shutil.copytree(good.path, store.folder / "odd")
    (store.folder / "odd" / "name.txt").write_text("odd")
    return store


@pytest.fixture(scope="module")
def manifest(home: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home.folder / "odd" / MANIFEST).read_bytes())
    return found


def replace(home: Workspace, content: dict[str, Any]) -> None:
    """Put a manifest in place, sealed as anyone can."""
    content = {key: value for key, value in content.items() if key != "seal"}
    try:
        content["seal"] = _seal(content)
    except (ValueError, UnicodeError):
        content["seal"] = "0" * 64
    text = json.dumps(content)  # in ASCII: a lone surrogate is an escape
    (home.folder / "odd" / MANIFEST).write_text(text, encoding="utf-8")


def check_listed(home: Workspace) -> str | None:
    """Both models are there and the lists' own questions are answered; why the odd one is broken."""
    entries = {entry.name: entry for entry in home.models()}
    assert entries.keys() == {"good", "odd"}
    assert entries["good"].broken is None
    odd = entries["odd"]
    for entry in entries.values():
        # What the home page and the sidebar ask.
        workspace.threshold_value(entry), workspace.calibration(entry), workspace.random_weights(entry)
        assert entry.n_parts >= 0
        assert isinstance(entry.revision, str)
        exports.scorer_hindrance(entry)
        if entry.broken is None:
            assert entry.created is not None
            assert f"{entry.created:%d %b %Y, %H:%M}"
            workspace.scoring_identity(entry)
    if odd.broken is not None:
        assert len(odd.broken) < 1000
        assert "\n" not in odd.broken
        odd.broken.encode()
    return odd.broken


DATES: list[object] = [
    "2026-11-28T22:18:32",
    "2026-11-28",
    "",
    "yesterday",
    None,
    5,
    [],
    "0001-01-01T00:00:00+14:00",
    "9" * 10**5,
]


@pytest.mark.parametrize("date", DATES, ids=lambda date: str(date)[:20])
def test_a_date_that_is_none(date: object, home: Workspace, manifest: dict[str, Any]) -> None:
    replace(home, {**manifest, "created": date})
    told = check_listed(home)
    assert told is not None
    assert "date" in told


def test_a_date_of_another_zone_is_shown_in_utc(home: Workspace, manifest: dict[str, Any]) -> None:
    replace(home, {**manifest, "created": "2026-11-28T22:18:32+05:30"})
    assert check_listed(home) is None
    assert home.get("odd").created == datetime(2026, 11, 28, 16, 48, 32, tzinfo=UTC)


def why_not_opened(folder: Path) -> str:
    """The sentence that refuses a model; nothing where it opens."""
    try:
        Padim.load(folder)
    except PadimError as error:
        return str(error)
    return ""


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**4000), 2**64])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "x" * 5000, "\n\r\0", "padim-bundle", "pretrained"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=6), inside, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_manifest_leaves_the_others_listed(
    data: st.DataObject, home: Workspace, manifest: dict[str, Any]
) -> None:
    content = json.loads(json.dumps(manifest))
    for _ in range(data.draw(st.integers(1, 2))):
        place = content
        key = data.draw(st.sampled_from(sorted(place)))
        if isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
            place, key = place[key], data.draw(st.sampled_from(sorted(place[key])))
        if data.draw(st.booleans()):
            place[key] = data.draw(ANY)
        else:
            del place[key]
    replace(home, content)
    check_listed(home)
    assert len(why_not_opened(home.folder / "odd")) < 2000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 10**5,
        b'{"a":' * 10**5,
        b"9" * 10**4,
        b'{"format": "padim-bundle", "version": [1]}',
        b'{"format": "padim-bundle", "version": ' + b"9" * 4000 + b"}",
    ],
    ids=lambda content: str(content[:20]),
)
def test_a_manifest_that_is_none(content: bytes, home: Workspace) -> None:
    (home.folder / "odd" / MANIFEST).write_bytes(content)
    assert check_listed(home) is not None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "odd"),
        (b" \n ", "odd"),
        (b"A\nB\0\x1b[31mC", None),
        (b"\xff\xfeA", "A"),
        (b"x" * 10**6, None),
        ("ö".encode() * 400, None),
    ],
    ids=lambda content: str(content)[:20],
)
def test_a_name_that_is_none(
    content: bytes, name: str | None, home: Workspace, manifest: dict[str, Any]
) -> None:
    replace(home, manifest)
    (home.folder / "odd" / "name.txt").write_bytes(content)
    try:
        listed = home.get("odd")
        assert len(home.models()) == 2
        assert 0 < len(listed.name) <= 80
        assert listed.name.isprintable()
        if name is not None:
            assert listed.name == name
    finally:
        (home.folder / "odd" / "name.txt").write_text("odd")


def test_folders_in_place_of_files(home: Workspace, manifest: dict[str, Any], tmp_path: Path) -> None:
    broken = home.folder / "folders"
    (broken / MANIFEST).mkdir(parents=True)
    (broken / "name.txt").mkdir()
    try:
        entries = {entry.id: entry for entry in home.models()}
        assert len(entries) == 3
        assert entries["folders"].broken is not None
    finally:
        shutil.rmtree(broken)
