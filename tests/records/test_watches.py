"""Watched folders on record: one watch a folder, and one for each folder of results."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.errors import PadimError
from padim.records.watches import Watches, WatchOptions

ON_EACH_DATABASE = True


def test_a_watch_is_entered_stopped_removed_and_restored(tmp_path: Path) -> None:
    watches = Watches(tmp_path / "workspace")
    assert watches.all() == []
    assert watches.get("0" * 32) is None
    options = WatchOptions(station="Press 4", panels=False, settle=2.5)
    made = watches.add(" flange-1 ", tmp_path / "in", tmp_path / "out", "Anna", options=options)
    assert watches.all() == [made]
    assert (made.target, made.who, made.wanted, made.starter, made.options) == (
        "flange-1",
        "Anna",
        True,
        "app",
        options,
    )
    watches.set_wanted(made.uid, False)
    assert watches.all()[0].wanted is False
    watches.remove(made.uid)
    assert watches.all() == []
    (gone,) = watches.all(removed=True)
    assert gone.removed is not None
    assert not gone.wanted
    watches.set_wanted(made.uid, True)
    assert watches.get(made.uid) == gone, "a removed one is not started"
    watches.restore(made.uid)
    (back,) = watches.all()
    assert back.removed is None
    assert not back.wanted


def test_the_same_folder_for_results_is_the_same_watch(tmp_path: Path) -> None:
    watches = Watches(tmp_path / "workspace")
    first = watches.add("a", tmp_path / "in", tmp_path / "out", "Anna")
    again = watches.add("b", tmp_path / "in", tmp_path / "out", "Ben", starter="shell", wanted=False)
    assert again.uid == first.uid
    assert again.target == "b"
    assert again.starter == "shell"
    assert len(watches.all()) == 1
    with pytest.raises(PadimError, match="has the results of the watched folder"):
        watches.add("b", tmp_path / "other", tmp_path / "out", "Ben")


def test_two_watches_never_share_images(tmp_path: Path) -> None:
    watches = Watches(tmp_path / "workspace")
    first = watches.add("a", tmp_path / "in" / "line", tmp_path / "out", "Anna")
    (tmp_path / "in" / "line").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in" / "line")
    for folder, why in (
        ("in/line", "is watched already"),
        ("link", "is watched already"),
        ("in", "contains"),
    ):
        with pytest.raises(PadimError, match=why):
            watches.add("a", tmp_path / folder, tmp_path / "out 2", "Anna")
    with pytest.raises(PadimError, match="is inside"):
        watches.add("a", tmp_path / "in" / "line" / "left", tmp_path / "out 2", "Anna")
    flat = WatchOptions(sub_folders=False)
    watches.add("a", tmp_path / "in", tmp_path / "out 2", "Anna", options=flat)
    watches.remove(first.uid)
    watches.add("a", tmp_path / "in" / "line", tmp_path / "out 3", "Anna")
    with pytest.raises(PadimError, match="is watched already"):
        watches.restore(first.uid)


@pytest.mark.parametrize(
    ("folder", "output", "move_to", "why"),
    [
        ("in", "in", "", "inside the watched one"),
        ("in", "in/out", "", "inside the watched one"),
        ("out/in", "out", "", "is inside the folder for results"),
        ("in", "out", "in/done", "moved files is inside"),
        ("done/in", "out", "done", "is inside the folder for moved files"),
    ],
)
def test_results_are_not_mixed_with_images(
    tmp_path: Path, folder: str, output: str, move_to: str, why: str
) -> None:
    options = WatchOptions(move_to=str(tmp_path / move_to) if move_to else "")
    with pytest.raises(PadimError, match=why):
        Watches(tmp_path / "w").add("a", tmp_path / folder, tmp_path / output, "Anna", options=options)


@given(
    st.builds(
        WatchOptions,
        sub_folders=st.booleans(),
        panels=st.booleans(),
        panel_side=st.integers(32, 8192),
        settle=st.floats(0, 100),
        station=st.sampled_from(["", "-x", "Press 4", "--no"]),
    )
)
def test_options_survive_the_command_line(options: WatchOptions) -> None:
    words = options.arguments()
    read = {}
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        flag = name.removeprefix("no-").replace("-", "_")
        read[flag] = value if "=" in word else not name.startswith("no-")
    kinds = {name: type(getattr(options, name)) for name in read}
    assert WatchOptions(**{name: kinds[name](value) for name, value in read.items()}) == options


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(PadimError, match="panel"):
        WatchOptions(panel_side=8)
    with pytest.raises(PadimError, match="settle"):
        WatchOptions(settle=-1)
    with pytest.raises(PadimError, match="patience"):
        WatchOptions(patience=float("nan"))
