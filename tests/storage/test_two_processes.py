"""Two processes on one model: a save never undoes what another has saved meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from padim import BusyError, ChangedSinceOpenedError, Padim, PadimConfig, PadimError, Workspace, doctor
from padim.storage import bundle, holder, leftovers, model_folders, stopped_fits
from padim.storage.model_folders import ModelFolders
from padim.storage.revisions import what_changed
from tests.parts import normals

ROOT = Path(__file__).parents[2]
CONFIG = PadimConfig(input_size=64, grid_stride=16, n_features=4)

# Opens a model, reports it, changes and saves it when told, and reports how that went.
CHANGE = """
import sys
from padim import ChangedSinceOpenedError, Padim
model = Padim.load(sys.argv[1])
model.set_decision(percentile=float(sys.argv[2]))
print("opened", flush=True)
sys.stdin.readline()
try:
    model.save(sys.argv[1])
except ChangedSinceOpenedError as error:
    print("refused:", error, flush=True)
else:
    print("saved", model.revision, flush=True)
"""

# As above, but stops before the step that makes the save visible, with the lock held.
STOP_WITHIN = """
import sys
from padim import Padim
from padim.storage import bundle
model = Padim.load(sys.argv[1])
model.set_decision(percentile=80)
write = bundle.write_atomic
def stopping(path, content, **more):
    if path.name in ("manifest.json", "m.zip"):
        print("about to write", flush=True)
        sys.stdin.readline()
    write(path, content, **more)
    if path.name in ("manifest.json", "m.zip"):
        with open(sys.argv[2], "a") as log:
            log.write("written ")
bundle.write_atomic = stopping
model.save(sys.argv[1])
print("saved", flush=True)
"""

# Saves at once, and notes when it has to wait for the lock and when it compares the revisions.
COMPARE = """
import sys
from contextlib import contextmanager
from filelock import FileLock, Timeout
from padim import ChangedSinceOpenedError, Padim
from padim.storage import bundle, leftovers
model = Padim.load(sys.argv[1])
model.set_decision(percentile=60)
print("opened", flush=True)
sys.stdin.readline()
class Telling(FileLock):
    def __enter__(self):
        try:
            return self.acquire(timeout=0)
        except Timeout:
            print("waiting", flush=True)
            return self.acquire()
hold = leftovers.hold
def telling(handle, *, wait=False):
    if wait and hold(handle) == "taken":
        print("waiting", flush=True)
    return hold(handle, wait=wait)
check = bundle.check_unchanged
def noting(*given):
    with open(sys.argv[2], "a") as log:
        log.write("compared ")
    check(*given)
bundle.FileLock, leftovers.hold, bundle.check_unchanged = Telling, telling, noting
try:
    model.save(sys.argv[1])
except ChangedSinceOpenedError:
    print("refused", flush=True)
else:
    print("saved", flush=True)
"""


class Process:
    """A Python process that is told when to go on, by lines on its standard input."""

    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> str:
        return self.process.communicate(timeout=240)[0].strip()


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    with ExitStack() as ends:
        for one in processes:
            ends.callback(one.process.wait)
            ends.callback(one.process.kill)
        yield


@pytest.fixture(scope="module")
def fitted() -> Padim:
    return Padim(CONFIG).fit(normals(4))


@pytest.fixture(params=["m.padim", "m.zip", "in a workspace"])
def place(request: pytest.FixtureRequest, fitted: Padim, tmp_path: Path) -> Path:
    """A saved model: in a folder, as a zip, in a workspace."""
    if request.param == "in a workspace":
        store = Workspace(tmp_path / "home")
        entry = store.create("Housing")
        store.save(entry.id, fitted)
        return entry.path
    return fitted.save(tmp_path / request.param)


@pytest.mark.slow
def test_the_second_of_two_saves_is_refused(place: Path) -> None:
    first, second = Process(CHANGE, place, 80), Process(CHANGE, place, 60)
    with running(first, second):
        assert first.says() == second.says() == "opened"
        first.go_on()
        assert first.end().startswith("saved ")
        second.go_on()
        answer = second.end()
    assert answer.startswith(f"refused: {place}: was changed by someone else since it was opened (threshold ")
    revision = bundle.Bundle(place).revision
    assert f"revision {revision[:12]}" in answer
    assert bundle.Bundle(place).manifest["created"] in answer
    assert "open it again, save it elsewhere, or replace it" in answer
    assert Padim.load(place).decision.choice.permille == 800  # what the first has saved


@pytest.mark.slow
def test_of_two_saves_at_once_one_is_saved_and_one_refused(place: Path) -> None:
    both = Process(CHANGE, place, 80), Process(CHANGE, place, 60)
    with running(*both):
        assert [one.says() for one in both] == ["opened", "opened"]
        for one in both:
            one.go_on()
        answers = [one.end() for one in both]
    saved = [answer for answer in answers if answer.startswith("saved ")]
    assert len(saved) == 1
    assert saved[0] == f"saved {bundle.Bundle(place).revision}"
    assert sum(answer.startswith("refused: ") for answer in answers) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.padim", "m.zip"])
def test_revisions_are_compared_under_the_lock(fitted: Padim, tmp_path: Path, name: str) -> None:
    place, log = fitted.save(tmp_path / name), tmp_path / "log"
    first, second = Process(STOP_WITHIN, place, log), Process(COMPARE, place, log)
    with running(first, second):
        assert second.says() == "opened"
        assert first.says() == "about to write"  # it has compared, and holds the lock
        second.go_on()
        assert second.says() == "waiting"
        first.go_on()
        assert first.says() == "saved"
        assert second.says() == "refused"
    assert log.read_text().split() == ["written", "compared"]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".lock")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.padim", "m.zip"])
def test_a_save_that_was_killed_neither_blocks_nor_counts(fitted: Padim, tmp_path: Path, name: str) -> None:
    place = fitted.save(tmp_path / name)
    model = Padim.load(place)
    killed = Process(STOP_WITHIN, place, tmp_path / "log")
    with running(killed):
        assert killed.says() == "about to write"
        killed.process.kill()
        killed.process.wait()
    model.set_decision(percentile=70)
    model.save(place)
    assert Padim.load(place).decision.choice.permille == 700
    assert not (tmp_path / ".m.zip.lock").exists()


# --- one process: what counts as opened, and what may be replaced ---


def test_a_model_goes_on_from_its_own_saves(fitted: Padim, tmp_path: Path) -> None:
    place = fitted.save(tmp_path / "m")
    model = Padim.load(place)
    assert model.revision == bundle.Bundle(place).revision
    for percentile in (80, 70, 60):
        model.set_decision(percentile=percentile)
        before = model.revision
        model.save(place)
        assert model.revision == bundle.Bundle(place).revision != before
    assert Padim(CONFIG).revision == ""


def test_every_place_is_remembered_by_itself(
    fitted: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = fitted.save(tmp_path / "one"), tmp_path / "other.zip"
    mine, theirs = Padim.load(one), Padim.load(one)
    mine.save(other)  # elsewhere, and both places are known from now on
    theirs.set_decision(percentile=80).save(one)
    mine.set_decision(percentile=70)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChangedSinceOpenedError, match="threshold"):
        mine.save("one")  # the same place by another spelling
    mine.save(other)
    assert Padim.load(one).decision.choice.permille == 800
    mine.save(one, force=True)
    assert Padim.load(one).decision.choice.permille == 700
    with pytest.raises(ChangedSinceOpenedError):
        theirs.save(one)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_link_to_a_model_is_that_model(fitted: Padim, tmp_path: Path, suffix: str) -> None:
    one, other = (fitted.save(tmp_path / f"{name}{suffix}") for name in ("one", "other"))
    link = tmp_path / f"current{suffix}"
    link.symlink_to(one)
    mine = Padim.load(link).set_decision(percentile=80)
    mine.save(link)
    mine.set_decision(percentile=70).save(one)
    mine.save(link)
    assert link.is_symlink()
    assert Padim.load(one).decision.choice.permille == 700
    # Led elsewhere meanwhile, as by a deployment: what it leads to now was never opened.
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(ChangedSinceOpenedError, match="threshold"):
        mine.save(link)
    assert Padim.load(other).decision.choice.permille == 950
    mine.save(link, force=True)
    mine.set_decision(percentile=60).save(link)
    assert Padim.load(other).decision.choice.permille == 600


def test_a_model_from_elsewhere_replaces_as_before_unless_told_otherwise(
    fitted: Padim, tmp_path: Path
) -> None:
    place = fitted.save(tmp_path / "m")
    another = Padim.load(fitted.save(tmp_path / "another")).set_decision(percentile=80)
    for replaces in ("", "0" * 64):
        with pytest.raises(ChangedSinceOpenedError):
            another.save(place, replaces=replaces)
    assert Padim.load(place).decision.choice.permille == 950
    another.save(place, replaces=bundle.Bundle(place).revision)
    Padim.load(tmp_path / "another").save(place)
    assert Padim.load(place).decision.choice.permille == 950
    another.save(tmp_path / "new", replaces="")


def test_what_is_gone_or_damaged_can_be_saved_again(fitted: Padim, tmp_path: Path) -> None:
    place = fitted.save(tmp_path / "m")
    model = Padim.load(place)
    (place / bundle.MANIFEST).write_text("{")
    model.save(place)
    shutil.rmtree(place)
    model.save(place)
    assert Padim.load(place).threshold_ == model.threshold_


def test_what_a_newer_version_saved_is_not_replaced(fitted: Padim, tmp_path: Path) -> None:
    place = fitted.save(tmp_path / "m")
    model = Padim.load(place)
    manifest = {**bundle.Bundle(place).manifest, "version": 99, "seal": "f" * 64}
    (place / bundle.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ChangedSinceOpenedError, match="revision ffffffffffff"):
        model.save(place)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.set_decision(min_area=30), "smallest region 16 → 30"),
        (lambda m: m.set_decision(smoothing_sigma=3.0), "smoothing 4.0 → 3.0"),
        (lambda m: m.exclude(0, "not_good"), "parts in the fit 4 → 3"),
        (lambda m: m.set_roi(np.arange(64 * 64).reshape(64, 64) > 900), "region of interest set"),
        (lambda m: m.set_layers(["blocks.2"]), "other layers in use"),
        (lambda m: m.regroup({"good_000.png": "a", "good_001.png": "a"}), "parts in the fit 4 → 3"),
    ],
)
def test_what_has_changed_is_said(
    change: Callable[[Padim], object], text: str, fitted: Padim, tmp_path: Path
) -> None:
    model = Padim(CONFIG, work_dir=tmp_path / "work").fit(normals(4))
    before = bundle.Bundle(model.save(tmp_path / "m")).manifest
    change(model)
    now = bundle.Bundle(model.save(tmp_path / "m")).manifest
    assert text in what_changed(before, now)
    assert what_changed(now, now) == "saved again with the same content"
    assert what_changed({}, now) == ""


# --- who works on a model ---


def test_the_lock_of_a_workspace_is_one_however_the_model_is_named(
    fitted: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Workspace(tmp_path / "home")
    entry = store.create("Housing")
    store.save(entry.id, fitted)
    (tmp_path / "link").symlink_to(entry.path)
    (tmp_path / "linked").symlink_to(store.root)
    monkeypatch.chdir(entry.path)
    names = [Path(), Path("../", entry.id), tmp_path / "link", tmp_path / "linked" / "models" / entry.id]
    refused: list[Path] = []

    def ask() -> None:
        for name in names:
            with pytest.raises(BusyError), model_folders.held(name, patience=0):
                pass
            refused.append(name)

    with store.locked(entry.id):
        other = threading.Thread(target=ask)
        other.start()
        other.join()
        assert refused == names
        # The thread that holds it goes on, by any of the names.
        for name in names:
            with model_folders.held(name, patience=0):
                pass
    with Workspace(tmp_path / "linked").edit(entry.id, 0) as model:
        model.set_decision(percentile=80)
    assert Padim.load(entry.path).decision.choice.permille == 800


WORK = """
import sys
from padim.storage.holder import acting
from padim.workspace import Workspace
with acting("a shell command", "padim calibrate"), Workspace(sys.argv[1]).edit(sys.argv[2]) as model:
    print("working", flush=True)
    sys.stdin.readline()
    model.set_decision(percentile=80)
print("done", flush=True)
"""


@pytest.mark.slow
def test_who_waits_is_told_for_whom_and_a_killed_process_holds_nothing(fitted: Padim, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    entry = store.create("Housing")
    store.save(entry.id, fitted)
    assert store.holder(entry.id) is None
    for kill in (False, True):
        worker = Process(WORK, store.root, entry.id)
        with running(worker):
            assert worker.says() == "working"
            found = store.holder(entry.id)
            assert found is not None
            assert (found.who, found.what, found.pid) == (
                "a shell command",
                "padim calibrate",
                worker.process.pid,
            )
            with pytest.raises(BusyError, match=r"a shell command .padim calibrate, process [0-9]+, since "):
                store.edit(entry.id, 0.01).__enter__()
            with pytest.raises(BusyError, match="padim calibrate"):
                store.delete(entry.id, 0.01)
            if kill:
                worker.process.kill()
                worker.process.wait()
            else:
                worker.go_on()
                assert worker.says() == "done"
        assert store.holder(entry.id) is None
        left = [leftover.path for leftover in doctor.leftovers_of_workspace(store)]
        assert (store.lock_file(entry.id).with_suffix(".json") in left) == kill
        with store.edit(entry.id, 0.01):
            pass
        assert not store.lock_file(entry.id).with_suffix(".json").exists()


def test_a_note_of_an_ended_process_or_a_damaged_one_names_nobody(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note = tmp_path / "note.json"
    with holder.acting("a test", ""):
        holder.note(note)
    known = holder.read(note)
    assert known is not None
    assert known.text.startswith("a test (process ")
    content = json.loads(note.read_text())
    for text in (json.dumps({**content, "pid": ended.pid}), "{", "[]", json.dumps({**content, "since": 3})):
        note.write_text(text)
        assert holder.read(note) is None
    note.write_text(json.dumps({**content, "pid": ended.pid, "host": "elsewhere"}))
    found = holder.read(note)
    assert found is not None
    assert "on elsewhere" in found.text


def test_an_edit_is_for_one_revision_only(fitted: Padim, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    entry = store.create("Housing")
    store.save(entry.id, fitted)
    seen = store.get(entry.id)
    with store.edit(entry.id, revision=seen.revision) as model:
        model.set_decision(percentile=80)
    with (
        pytest.raises(ChangedSinceOpenedError, match=r"^Housing: was changed by someone else"),
        store.edit(entry.id, revision=seen.revision),
    ):
        pytest.fail("the change was meant for another revision")
    with pytest.raises(ChangedSinceOpenedError):
        store.delete(entry.id, revision=seen.revision)
    store.delete(entry.id, revision=store.get(entry.id).revision)


def test_two_who_rename_do_not_undo_each_other(fitted: Padim, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    entry = store.create("Housing")
    store.save(entry.id, fitted)
    store.rename(entry.id, "Housing line 3", instead_of="Housing")
    with pytest.raises(Exception, match="renamed “Housing” to “Housing line 3”"):
        store.rename(entry.id, "Housing left", instead_of="Housing")
    assert store.get(entry.id).name == "Housing line 3"
    store.rename(entry.id, "Housing line 3", instead_of="Housing")  # both meant the same


def test_two_models_of_one_name_at_the_same_time(
    fitted: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr("secrets.token_hex", lambda n: next(tokens) if n == 3 else "0" * 2 * n)
    store = Workspace(tmp_path / "home")
    ids = [store.create("Housing").id, store.create("Housing").id]
    assert ids == ["housing-aaaaaa", "housing-bbbbbb"]


def test_a_lock_beside_a_file_is_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, turns = threading.Lock(), list[int]()

    def work(number: int) -> None:
        for _ in range(50):
            with leftovers.locked_beside(tmp_path / "m.zip"):
                assert inside.acquire(blocking=False), "two at once"
                turns.append(number)
                inside.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 200
    assert list(tmp_path.iterdir()) == []


def test_a_stale_model_does_not_touch_the_features_of_the_saved_one(tmp_path: Path) -> None:
    place = tmp_path / "m"
    Padim(CONFIG, work_dir=place / "work").fit(normals(4)).save(place)
    one, other = (Padim.load(place, work_dir=place / "work") for _ in range(2))
    one.partial_fit(normals(2, first=10)).save(place)
    for change in (
        lambda: other.partial_fit(normals(1, first=20)),
        lambda: other.fit(normals(3, first=20)),
        lambda: other.working_set.rebuild(normals(4)),
        lambda: other.working_set.delete(),
    ):
        with pytest.raises(ChangedSinceOpenedError, match="images 4 → 6"):
            change()
    found = Padim.load(place, work_dir=place / "work")
    assert found.working_set.has_features
    assert found.exclude(5, "not_good").state.fitted.calibration == "exact"


def test_a_model_deleted_while_the_list_is_made_is_not_in_it(
    fitted: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Workspace(tmp_path / "home")
    kept, gone = store.create("Kept"), store.create("Gone")
    for entry in (kept, gone):
        store.save(entry.id, fitted)
    name_of = store.name_of

    def deleting(path: Path) -> str:
        """Another process deletes it once it has been found, and before it is read."""
        if path.name == gone.id and path.is_dir():
            shutil.rmtree(path)
        return name_of(path)

    monkeypatch.setattr(ModelFolders, "name_of", staticmethod(deleting))
    assert [entry.id for entry in store.models()] == [kept.id]


@pytest.mark.parametrize("outcome", ["saved", "deleted"])
def test_a_fit_that_ends_while_the_stopped_ones_are_listed_is_none_of_them(
    fitted: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    store = Workspace(tmp_path / "home")
    entry = store.create("Fit")
    assert [fit.model_id for fit in stopped_fits.in_workspace(store)] == [entry.id]
    is_held = leftovers.is_held

    def ending(path: Path) -> bool:
        found = is_held(path)
        monkeypatch.setattr(leftovers, "is_held", is_held)
        if outcome == "saved":
            store.save(entry.id, fitted)
        else:
            shutil.rmtree(entry.path)
        return found

    monkeypatch.setattr(leftovers, "is_held", ending)
    assert stopped_fits.in_workspace(store) == []


def test_a_fit_that_is_being_discarded_cannot_be_resumed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Workspace(tmp_path / "home")
    entry = store.create("Fit")
    (fit,) = stopped_fits.in_workspace(store)
    delete = ModelFolders.delete

    def deleting(self: ModelFolders, model_id: str) -> None:
        with leftovers.held_folder(entry.path) as resumed:  # as another session does to resume it
            assert not resumed
        delete(self, model_id)

    monkeypatch.setattr(ModelFolders, "delete", deleting)
    stopped_fits.discard(fit, store)
    assert not entry.path.exists()
    with pytest.raises(PadimError, match="discarded it already"):
        stopped_fits.discard(fit, store)
