"""The Line page: folders are watched, stopped, removed and put back; what their processes say is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from padim.records.recipes import Recipes
from padim.records.watches import WatchedFolder, Watches
from padim.service.watch_status import WatchPhase, WatchStatus, write_status
from tests.pages.session import AddModel, Session


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the server that is open to the app, with images of a line in it."""
    (tmp_path / "data" / "line-3").mkdir(parents=True)
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path / "data"))
    return tmp_path / "data"


def fill(page: Session, **fields: str) -> Session:
    """Type into the form and send it."""
    for name, value in fields.items():
        page.app.text_input(key=f"new-watch-{name}").set_value(value)
    page.app.button(key="new-watch-add").click()
    return page.run()


def says(watch: WatchedFolder, phase: WatchPhase, error: str = "") -> None:
    """Write what a process of this watch would say."""
    watch.output.mkdir(exist_ok=True)
    (watch.output / "2026").mkdir(exist_ok=True)
    counts = {"inspected": 1204, "accept": 1190, "review": 4, "reject": 10, "refused": 0, "waiting": 7}
    last = {
        "name": "L7-0042.png",
        "verdict": "reject",
        "severity": 1.814,
        "inspected": datetime.now(UTC).isoformat(),
        "id": "0" * 32,
        "files": "2026/L7-0042.png",
    }
    write_status(
        WatchStatus(
            watch.uid,
            watch.target,
            str(watch.folder),
            str(watch.output),
            phase,
            error,
            counts={**counts, "unfinished": 2},
            rate=12,
            last=[last],
        )
    )


def test_a_folder_is_watched_stopped_removed_and_put_back(
    add_model: AddModel, home: Path, data: Path
) -> None:
    entry = add_model("Plate")
    page = Session("watches", model=entry.id)
    fill(page, folder=" line-3 ", lot="A7")
    (watch,) = Watches(home).all()
    assert (watch.target, watch.folder) == (entry.id, data / "line-3")
    assert watch.output == data / "line-3-results"
    assert (watch.options.lot, watch.options.sub_folders, watch.wanted, watch.starter) == (
        *("A7", True, True),
        "app",
    )
    assert "line-3** · Plate" in page.text
    assert page.app.text_input(key="new-watch-folder").value == ""
    says(watch, "inspecting")
    page.run()
    for figure in ("1,204", "1,190", "Waiting", "Still being written", "12 images", "Inspecting"):
        assert figure in page.text
    page.click(f"watch-stop-{watch.uid}")
    assert "Stopping" in page.text
    assert not Watches(home).all()[0].wanted
    says(watch, "stopped")
    page.run()
    page.click(f"watch-start-{watch.uid}")
    page.click(f"watch-remove-{watch.uid}")
    assert Watches(home).all() == []
    assert "is no longer watched" in page.text
    page.click("watch-undo")
    (again,) = Watches(home).all()
    assert again.wanted, "it ran when it was removed"
    assert "no longer watched" not in page.text


def test_a_part_number_inspects_too(add_model: AddModel, home: Path, data: Path) -> None:
    entry = add_model("Plate")
    Recipes(home).set("4711", entry.id, "Anna")
    page = Session("watches", model=entry.id)
    page.app.selectbox(key="new-watch-target").set_value("4711")
    fill(page, folder="line-3", output="results")
    (watch,) = Watches(home).all()
    assert (watch.target, watch.output) == ("4711", data / "results")
    assert "Part number 4711 → Plate" in page.text


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"folder": ""}, "Name a folder"),
        ({"folder": "/etc"}, "outside the folders that are open"),
        ({"folder": "line-9"}, "no folder, zip file or image"),
        ({"folder": "line-3/a.png"}, "is a file"),
        ({"folder": "."}, "Name a folder for the results"),
        ({"folder": "line-3", "output": "../elsewhere"}, "outside the folders that are open"),
        ({"folder": "line-3", "output": "line-3/results"}, "inside the watched one"),
        ({"folder": "line-3", "move_to": "/tmp"}, "outside the folders that are open"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_reason(
    fields: dict[str, str], why: str, add_model: AddModel, home: Path, data: Path
) -> None:
    (data / "line-3" / "a.png").touch()
    page = Session("watches", model=add_model("Plate").id)
    fill(page, **fields)
    assert why in page.text
    assert len(page.app.error) == 1
    assert Watches(home).all() == []
    assert page.app.text_input(key="new-watch-folder").value == fields["folder"], "it can be mended"


def test_what_stands_in_the_way_is_shown(add_model: AddModel, home: Path, data: Path) -> None:
    entry = add_model("Plate")
    watches = Watches(home)
    away = watches.add(entry.id, data / "line-3", data / "out", "Anna")
    shell = watches.add(entry.id, data / "line-4", data / "out-4", "Ben", starter="shell")
    says(away, "no folder", "the share does not answer; it is looked for again every second")
    page = Session("watches", model=entry.id)
    assert "Folder is away" in page.text
    assert "The share does not answer; it is looked for again every second." in page.text
    assert "It was started from a shell, and has ended there." in page.text
    page.click(f"watch-start-{shell.uid}")
    assert [one.starter for one in Watches(home).all()] == ["app", "app"], "the app starts it from now on"


def test_the_latest_images_are_listed(add_model: AddModel, home: Path, data: Path) -> None:
    entry = add_model("Plate")
    watch = Watches(home).add(entry.id, data / "line-3", data / "out", "Anna")
    says(watch, "watching")
    page = Session("watches", model=entry.id)
    assert "L7-0042.png" not in page.text, "nothing is read while it is closed"
    page.app.session_state[f"watch-latest-{watch.uid}"] = True
    page.run()
    assert "L7-0042.png" in page.text
    assert "1.82 × threshold" in page.text


def test_without_folders_or_models_the_page_says_what_to_do(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no model yet" in Session("watches").text
    monkeypatch.delenv("PADIM_FOLDERS", raising=False)
    page = Session("watches", model=add_model("Plate").id)
    assert "No folder of this server is open to the app yet" in page.text
    assert any("padim watch" in code.value for code in page.app.code)
