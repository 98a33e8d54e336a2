"""The workspace: models by id, names by people, and nothing outside its folder."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from padim import BundleError, Padim, PadimConfig, PadimError, Workspace
from padim.storage.bundle import MANIFEST
from padim.storage.model_folders import held
from tests.parts import normals


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture(scope="module")
def tiny_model() -> Padim:
    return Padim(PadimConfig(input_size=64, grid_stride=16, n_features=4)).fit(normals(4))


def test_empty(workspace: Workspace) -> None:
    assert workspace.models() == []
    assert not workspace.folder.exists()  # looking makes nothing


def test_create_save_open(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("  Gehäuse   Linie 3 ")
    assert entry.name == "Gehäuse Linie 3"
    assert entry.id.startswith("gehause-linie-3-")
    assert (entry.created, entry.broken, entry.revision, entry.n_parts) == (None, None, "", 0)
    assert workspace.models() == []
    tiny_model.save(entry.path)
    (listed,) = workspace.models()
    assert (listed.id, listed.name, listed.n_parts, listed.broken) == (entry.id, entry.name, 4, None)
    assert listed.created is not None
    assert listed.revision
    model = workspace.open(entry.id)
    assert model.normals_ == tiny_model.normals_
    assert model.working_set.folder == workspace.work_dir(entry.id)


def test_a_model_is_continued_after_a_restart(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("m")
    Padim(tiny_model.config, work_dir=workspace.work_dir(entry.id)).fit(normals(4)).save(entry.path)
    model = Workspace(workspace.root).open(entry.id)
    assert model.working_set.has_features
    assert model.exclude(0, "kept_out").state.fitted.calibration == "exact"


def test_same_name_twice(workspace: Workspace) -> None:
    assert workspace.create("A").id != workspace.create("A").id


@pytest.mark.parametrize("name", ["..", "/", "部品", "🔩", "CON", "a/b\\c", ".hidden"])
def test_any_name_makes_a_plain_folder(workspace: Workspace, name: str) -> None:
    entry = workspace.create(name)
    assert entry.name == name
    assert entry.path.parent == workspace.folder
    assert entry.path.is_dir()
    assert workspace.get(entry.id) == entry


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "\n\t"])
def test_names_that_are_none(workspace: Workspace, tiny_model: Padim, name: str) -> None:
    with pytest.raises(PadimError, match="1 to 80 characters"):
        workspace.create(name)
    assert workspace.models() == []
    entry = workspace.create("m")
    with pytest.raises(PadimError, match="1 to 80 characters"):
        workspace.rename(entry.id, name)
    assert workspace.get(entry.id).name == "m"


def test_rename_keeps_the_id(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("old")
    tiny_model.save(entry.path)
    revision = workspace.get(entry.id).revision
    renamed = workspace.rename(entry.id, "new ✓")
    assert (renamed.id, renamed.name) == (entry.id, "new ✓")
    (listed,) = workspace.models()
    assert (listed.name, listed.revision) == ("new ✓", revision)


def test_delete(workspace: Workspace, tiny_model: Padim) -> None:
    gone, kept = workspace.create("a"), workspace.create("b")
    for entry in (gone, kept):
        tiny_model.save(entry.path)
        (entry.path / "work").mkdir()
    workspace.delete(gone.id)
    assert not gone.path.exists()
    assert [entry.id for entry in workspace.models()] == [kept.id]
    for verb in (workspace.get, workspace.open, workspace.delete, workspace.work_dir):
        with pytest.raises(PadimError, match="no model"):
            verb(gone.id)


@pytest.mark.parametrize(
    "model_id",
    ["../x", "..", ".", "", "/etc", "a/../b", "A", "a b", "x\0y", "a\n", "x" * 65, "-a", "C:", "models"],
)
def test_ids_that_are_no_folder_names(workspace: Workspace, model_id: str) -> None:
    workspace.create("m")
    outside = workspace.root / "x"
    outside.mkdir()
    for verb in (workspace.get, workspace.open, workspace.delete, workspace.work_dir):
        with pytest.raises(PadimError, match="no model"):
            verb(model_id)
    with pytest.raises(PadimError, match="no model"):
        workspace.rename(model_id, "new")
    assert outside.is_dir()
    assert workspace.folder.is_dir()


def test_newest_first_and_broken_ones_say_why(workspace: Workspace, tiny_model: Padim) -> None:
    good, broken, unfinished = (workspace.create(name) for name in ("good", "broken", "unfinished"))
    tiny_model.save(good.path)
    tiny_model.save(broken.path)
    (broken.path / MANIFEST).write_text("{")
    (unfinished.path / "work").mkdir()
    (workspace.folder / "stray file").write_text("")
    (workspace.folder / "Not An Id").mkdir()
    first, second = workspace.models()
    assert (first.id, first.broken) == (good.id, None)
    assert (second.id, second.name, second.created) == (broken.id, "broken", None)
    assert "manifest.json" in str(second.broken)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        workspace.open(broken.id)
    workspace.delete(broken.id)
    assert [entry.id for entry in workspace.models()] == [good.id]


def test_damage_behind_the_manifest_shows_on_opening(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("m")
    tiny_model.save(entry.path)
    next(entry.path.glob("mean-*.npy")).write_bytes(b"")
    with pytest.raises(BundleError, match=r"mean-.*\.npy"):
        workspace.open(entry.id)


def test_a_lost_or_odd_name_file(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("m")
    tiny_model.save(entry.path)
    (entry.path / "name.txt").write_bytes(b"\xff")
    assert workspace.get(entry.id).name == entry.id
    (entry.path / "name.txt").unlink()
    assert workspace.models()[0].name == entry.id


# --- who changes a model, and when ---

CHANGE = """
import sys
from padim.workspace import Workspace
with Workspace(sys.argv[1]).edit(sys.argv[2]) as model:
    print("changing", flush=True)
    sys.stdin.readline()
    model.set_decision(percentile=80)
print("changed", flush=True)
"""
DELETE = """
import sys
from padim.errors import PadimError
from padim.workspace import Workspace
try:
    Workspace(sys.argv[1]).delete(sys.argv[2], patience=float(sys.argv[3]))
except PadimError as error:
    print(error)
else:
    print("deleted")
"""
OPEN = """
import sys
from padim.workspace import Workspace
model = Workspace(sys.argv[1]).open(sys.argv[2])
print(model.decision.choice.permille, model.working_set.thumbnail(2)[:2] == bytes([255, 216]))
"""


def process(script: str, workspace: Workspace, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(workspace.root), *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.slow
def test_three_processes_change_delete_and_open(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("Shared")
    workspace.save(entry.id, tiny_model)
    changing = process(CHANGE, workspace, entry.id)
    assert changing.stdin is not None
    assert changing.stdout is not None
    assert changing.stdout.readline() == "changing\n"
    # Nobody else can delete it now, and everybody can open it.
    assert "being changed" in process(DELETE, workspace, entry.id, "0.1").communicate()[0]
    assert process(OPEN, workspace, entry.id).communicate()[0] == "950 True\n"
    waiting = process(DELETE, workspace, entry.id, "60")
    changing.communicate("\n")
    assert waiting.communicate()[0] == "deleted\n"
    assert not entry.path.exists()
    assert workspace.models() == []


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("Killed")
    workspace.save(entry.id, tiny_model)
    changing = process(CHANGE, workspace, entry.id)
    assert changing.stdout is not None
    assert changing.stdout.readline() == "changing\n"
    changing.kill()
    changing.communicate()
    workspace.delete(entry.id, patience=10)
    assert not entry.path.exists()


def test_a_deleted_model_does_not_come_back(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("Gone")
    workspace.save(entry.id, tiny_model)
    model = workspace.open(entry.id)
    workspace.delete(entry.id)
    for change in (
        lambda: workspace.save(entry.id, model),
        lambda: workspace.rename(entry.id, "Back"),
        lambda: workspace.edit(entry.id).__enter__(),
        lambda: workspace.delete(entry.id),
    ):
        with pytest.raises(PadimError, match="there is no model"):
            change()
        assert not entry.path.exists()
    assert [path.name for path in workspace.folder.iterdir()] == []
    assert model.working_set.thumbnail(0)[:2] == b"\xff\xd8"  # who has it open still sees it


def test_a_change_that_fails_is_not_saved_and_frees_the_lock(workspace: Workspace, tiny_model: Padim) -> None:
    entry = workspace.create("Failing")
    workspace.save(entry.id, tiny_model)
    with suppress(RuntimeError), workspace.edit(entry.id) as model:
        model.set_decision(percentile=80)
        raise RuntimeError("half way")
    assert workspace.open(entry.id).decision.choice.permille == 950
    with workspace.locked(entry.id, 0.1), workspace.locked(entry.id, 0.1):  # the same thread may
        refused: list[PadimError] = []

        def other() -> None:
            try:
                workspace.delete(entry.id, 0.01)
            except PadimError as error:
                refused.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "being changed" in str(refused[0])
    with pytest.raises(PadimError, match="there is no model"), workspace.locked("../out"):
        pass


def test_the_shell_waits_for_a_change_in_a_workspace(
    workspace: Workspace, tiny_model: Padim, tmp_path: Path
) -> None:
    entry = workspace.create("Held")
    workspace.save(entry.id, tiny_model)
    refused: list[str] = []

    def other(path: Path) -> None:
        try:
            with held(path, 0.01):
                refused.append("")
        except PadimError as error:
            refused.append(str(error))

    for path in (entry.path, tiny_model.save(tmp_path / "models" / "elsewhere")):
        with workspace.locked(entry.id):
            thread = threading.Thread(target=other, args=(path,))
            thread.start()
            thread.join()
    assert "being changed" in refused[0]
    assert refused[1] == ""
    assert not (tmp_path / "locks").exists()
