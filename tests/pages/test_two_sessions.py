"""Two sessions, and a shell, on one model: nothing is undone, dropped or shown to the wrong one."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from padim import Padim, PadimConfig, Workspace
from padim.storage.model_folders import Entry
from padim.worker import messages
from padim.worker.process import OnCancel
from padim.worker.verbs import ReportProgress
from tests.pages.conftest import perform_here
from tests.pages.session import AddModel, Session
from tests.pages.test_fit import small
from tests.pages.test_worker_process import worker
from tests.parts import normals
from ui import calibrate, model_changes
from ui.jobs import missed_runs, watch, work_queue

MORE = [(name, data) for name, data in normals(3, first=40) if isinstance(data, bytes)]
OTHERS = [(name, data) for name, data in normals(2, first=60) if isinstance(data, bytes)]


def normals_of(entry: Entry) -> Session:
    page = Session("fit", model=entry.id)
    page.app.query_params["tab"] = "result"
    return page.run()


def tried(page: Session, entry: Entry, home: Path, percentile: int) -> Session:
    """Try a percentile on the Calibrate page; nothing is saved yet."""
    draft = calibrate.saved(Workspace(home).open(entry.id))
    return page.decide(entry.id, calibrate.Draft("image", percentile * 10, None, draft.min_area))


def permille(home: Path, entry: Entry) -> int:
    return Workspace(home).open(entry.id).decision.choice.permille


def keys(page: Session, prefix: str) -> list[str]:
    return [button.key for button in page.app.button if button.key and button.key.startswith(prefix)]


def give(page: Session, files: list[tuple[str, bytes]]) -> Session:
    """Drop files on the uploader for more good parts; do not wait for the work."""
    found = next(one for one in page.app.file_uploader if (one.key or "").startswith("add-"))
    found.set_value([(name, data, "application/octet-stream") for name, data in files])
    page.app.run()
    return page


# --- "changed since you opened it" ---


def test_a_threshold_does_not_replace_one_that_was_set_meanwhile(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    mine, theirs = Session("calibrate", model=entry.id), Session("calibrate", model=entry.id)
    tried(mine, entry, home, 80)
    tried(theirs, entry, home, 60).click("calibrate-use")
    assert permille(home, entry) == 600
    mine.click("calibrate-use")
    assert permille(home, entry) == 600, "the other session's threshold was replaced without a word"
    assert "Someone else changed this model (threshold " in mine.text
    assert "since you opened it." in mine.text
    assert "Your change was not saved: the threshold " in mine.text
    # Seen from anywhere on the page, and once.
    assert [toast.value for toast in mine.app.toast] == [
        "Your change was not saved: see the top of the page."
    ]
    assert not mine.run().app.toast
    assert "Someone else" not in theirs.run().text
    # It can be made to the model as it is now, and then it is this session's own.
    mine.click("refused-again-0")
    assert permille(home, entry) == 800
    assert "Someone else" not in mine.text
    assert "Someone else changed this model" in theirs.run().text
    assert "Your change" not in theirs.text
    assert "Someone else" not in theirs.click("changed-elsewhere-read").text


def test_a_refused_change_can_be_dropped_and_is_refused_again_if_the_model_moves_on(
    add_model: AddModel, home: Path
) -> None:
    entry = add_model("Plate")
    page = tried(Session("calibrate", model=entry.id), entry, home, 80)

    def another(percentile: int) -> None:
        with Workspace(home).edit(entry.id) as model:
            model.set_decision(percentile=percentile)

    another(60)
    page.click("calibrate-use")
    another(70)
    page.click("refused-again-0")
    assert permille(home, entry) == 700
    assert "Your change was not saved" in page.text
    page.click("refused-drop-0")
    assert "Your change was not saved" not in page.text
    assert permille(home, entry) == 700
    # From now on the page shows the model as it is, and a change of that one is made.
    tried(page, entry, home, 90).click("calibrate-use")
    assert permille(home, entry) == 900


def test_what_python_or_the_shell_saved_is_not_replaced_either(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    page = normals_of(entry)
    Padim.load(entry.path).set_decision(min_area=9).save(entry.path)
    page.click(keys(page, "not_good-")[0])
    assert "smallest region 8 → 9) since you opened it." in page.text
    assert "exclude " in page.text
    model = Workspace(home).open(entry.id)
    assert {normal.status for normal in model.normals_} == {"fit"}
    page.click("refused-again-0")
    model = Workspace(home).open(entry.id)
    assert [normal.status for normal in model.normals_].count("not_good") == 1
    assert model.config.min_area == 9


def test_a_click_on_what_is_gone_by_now_is_answered(add_model: AddModel, home: Path) -> None:
    """The other session has taken out the very part: its button is no longer drawn here."""
    entry = add_model("Plate")
    mine, theirs = normals_of(entry), normals_of(entry)
    key = keys(mine, "not_good-")[0]
    theirs.click(key)
    mine.click(key)
    assert "Someone else changed this model (" in mine.text
    assert "A click made just before has changed nothing." in mine.text
    assert [toast.value for toast in mine.app.toast] == [
        "Someone else changed this model: see the top of the page."
    ]
    statuses = [normal.status for normal in Workspace(home).open(entry.id).normals_]
    assert statuses.count("not_good") == 1


def test_a_click_on_a_model_that_is_deleted_by_now_is_answered(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    mine = tried(Session("calibrate", model=entry.id), entry, home, 80)
    Workspace(home).delete(entry.id)
    mine.click("calibrate-use")
    assert "Someone else deleted “Plate” since you opened it." in mine.text
    assert "was not saved. Fit a new one." in mine.text
    other = add_model("Housing")
    assert "was not saved. Choose another in the sidebar." in mine.run().text
    mine.app.selectbox(key="model-in-use").set_value(other.id)
    assert "Someone else" not in mine.run().text
    # A session that never showed it cannot know whether it was ever there, and one that deleted it knows.
    assert "is not on this server" in Session("calibrate", model=entry.id).text
    mine.go("home").delete(other)
    mine.app.query_params["model"] = other.id
    assert "is not on this server" in mine.go("calibrate").text
    assert "Someone else" not in mine.text


def test_put_back_is_for_the_part_that_was_meant(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    mine, theirs = normals_of(entry), normals_of(entry)
    first, second = keys(mine, "not_good-")[:2]
    mine.click(first)
    theirs.run().click("changed-elsewhere-read").click(second)
    mine.click(f"back-{first.split('-')[1]}")  # this session has not seen the second exclusion
    statuses = [normal.status for normal in Workspace(home).open(entry.id).normals_]
    assert statuses.count("not_good") == 2
    mine.click("refused-again-0")
    model = Workspace(home).open(entry.id)
    assert [i for i, normal in enumerate(model.normals_) if normal.status == "not_good"] == [
        int(second.split("-")[1])
    ]


def test_an_unsaved_draft_is_seen_in_its_own_session_only(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    mine, theirs = Session("calibrate", model=entry.id), Session("calibrate", model=entry.id)
    tried(mine, entry, home, 60)
    assert mine.viewer["decision"]["permille"] == 600
    assert theirs.run().viewer["decision"]["permille"] == 950
    assert Session("calibrate", model=entry.id).viewer["decision"]["permille"] == 950


# --- work of another session ---


class Gate:
    """Work of the worker that begins, and goes on when the test lets it."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(
        self, request: messages.Request, progress: ReportProgress, on_cancel: OnCancel
    ) -> messages.WorkerResult:
        self.begun.set()
        assert self.open.wait(240)
        return perform_here(request, progress, on_cancel)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    monkeypatch.setattr(work_queue, "perform", made)
    return made


def result_texts(page: Session) -> str:
    return "\n".join(str(one.value) for one in page.app.success)


def test_a_request_for_a_model_under_work_is_kept_and_can_be_repeated(
    add_model: AddModel, home: Path, gate: Gate
) -> None:
    entry = add_model("Plate")
    mine, theirs = normals_of(entry), normals_of(entry)
    give(theirs, OTHERS)
    assert gate.begun.wait(240)
    give(mine, MORE)  # the page that it was dropped on still showed an idle model
    mine.app.run()
    assert len([job for job in watch.registry().running() if job.tag == entry.id]) == 1
    assert "Another browser session (Adding good parts, since " in mine.text
    assert "is working on this model" in mine.text
    assert "Your change was not saved: add good parts" in mine.text
    again = mine.app.button(key="refused-again-0")
    assert again.label == "Try again"
    assert again.disabled
    assert keys(mine, "cancel-") == [], "another's work is not mine to cancel"
    gate.open.set()
    theirs.settle()
    assert "2 images added" in result_texts(theirs)
    mine.run()
    assert "images added" not in result_texts(mine), "another's success was shown as this session's own"
    assert "was working on this model" in mine.text
    assert "Someone else changed this model (" in mine.text
    assert "images changed from 22 to 24 at " in mine.text
    assert "Your change was not saved: add good parts" in mine.text
    mine.click("refused-again-0")
    assert "3 images added" in result_texts(mine)
    names = {normal.name for normal in Workspace(home).open(entry.id).normals_}
    assert {name for name, _ in (*MORE, *OTHERS)} <= names
    assert "2 images added" in result_texts(theirs.run()), "a session's result stays until it is read"


def test_a_change_that_waited_is_not_made_to_another_model_than_was_seen(
    add_model: AddModel, home: Path, gate: Gate
) -> None:
    """The shell changes the model while the work is on its way to the worker."""
    entry = add_model("Plate")
    page = give(normals_of(entry), MORE)
    assert gate.begun.wait(240)
    with Workspace(home).edit(entry.id) as model:
        model.set_decision(min_area=9)
    gate.open.set()
    page.settle()
    assert "smallest region 8 → 9) since you opened it." in page.text
    assert len(Workspace(home).open(entry.id).normals_) == 22
    page.click("refused-again-0")
    assert "3 images added" in result_texts(page)
    model = Workspace(home).open(entry.id)
    assert (len(model.normals_), model.config.min_area) == (25, 9)


def test_a_change_that_is_refused_while_the_page_is_drawn_can_be_repeated_at_once(
    add_model: AddModel, home: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Plate")
    page = give(normals_of(entry), MORE)
    assert gate.begun.wait(240)
    with Workspace(home).edit(entry.id) as model:
        model.set_decision(min_area=9)
    place = missed_runs.place

    def ending() -> None:
        """The work ends after the top of the page was drawn, and before the rest is."""
        gate.open.set()
        for job in watch.registry().running():
            assert job.wait(240)
        place()

    monkeypatch.setattr(missed_runs, "place", ending)
    page.app.run()
    assert keys(page, "refused-again-") == ["refused-again-0"]


def test_the_images_of_a_change_are_released_when_it_has_ended(add_model: AddModel, gate: Gate) -> None:
    entry = add_model("Plate")
    page = give(normals_of(entry), MORE)
    gate.open.set()
    page.settle()
    kept = page.app.session_state[f"padim:{model_changes.__name__}.StartedChanges"].of[entry.id]
    assert kept.again is None


def test_who_holds_the_lock_is_said_and_the_request_kept(
    add_model: AddModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.storage import model_folders
    from padim.storage.holder import acting

    entry = add_model("Plate")
    page = tried(Session("calibrate", model=entry.id), entry, home, 80)
    inside, done = threading.Event(), threading.Event()

    def long_work() -> None:
        with acting("a shell command", "padim calibrate"), Workspace(home).locked(entry.id):
            inside.set()
            assert done.wait(240)

    acquire = model_folders.FileLock.acquire

    def impatient(self: Any, timeout: float | None = None, **more: Any) -> Any:
        return acquire(self, timeout=0.01 if timeout == 20.0 else timeout, **more)

    thread = threading.Thread(target=long_work)
    thread.start()
    try:
        assert inside.wait(240)
        with monkeypatch.context() as patch:
            patch.setattr(model_folders.FileLock, "acquire", impatient)
            page.click("calibrate-use")
        assert "A shell command (padim calibrate, process " in page.text
        others = Session("inspect", model=entry.id)
        assert "a shell command (padim calibrate, process " in others.text
        assert "is changing this model" in others.text
        assert "is working on this model." in page.text
        assert "Your change was not saved: the threshold" in page.text
    finally:
        done.set()
        thread.join()
    assert permille(home, entry) == 950
    page.click("refused-again-0")
    assert permille(home, entry) == 800


def test_two_uploads_that_are_described_alike_are_two_requests(
    add_model: AddModel, home: Path, gate: Gate
) -> None:
    entry = add_model("Plate")
    mine, theirs = normals_of(entry), normals_of(entry)
    first, second = MORE[:2], OTHERS
    give(theirs, MORE[2:])
    assert gate.begun.wait(240)
    give(mine, first)
    give(mine, second)
    gate.open.set()
    theirs.settle()
    mine.run()
    assert mine.text.count("Your change was not saved: add good parts (2 uploaded files)") == 2
    mine.click("refused-again-0").click("refused-again-0")
    names = {normal.name for normal in Workspace(home).open(entry.id).normals_}
    assert {name for name, _ in (*MORE, *OTHERS)} <= names


def test_files_of_one_name_from_two_sessions_are_not_mixed(home: Path) -> None:
    """Both upload ``a.png`` and so on, with other content, and fit at the same time."""

    def named(first: int) -> list[tuple[str, bytes]]:
        return [
            (f"{i}.png", data)
            for i, (_, data) in enumerate(normals(4, first=first))
            if isinstance(data, bytes)
        ]

    pages = {first: small(Session("fit").upload(named(first))) for first in (0, 100)}
    for page in pages.values():
        page.app.button(key="fit-go").click()
        page.app.run()
    for first, page in pages.items():
        page.settle()
        assert page.model is not None
        fitted = Workspace(home).open(page.model).normals_
        assert [normal.sha256 for normal in fitted] == [
            hashlib.sha256(data).hexdigest() for _, data in named(first)
        ]


@pytest.mark.slow
@pytest.mark.worker_process
def test_when_the_work_of_another_session_is_killed_the_model_is_free(
    add_model: AddModel, home: Path
) -> None:
    entry = add_model("Plate")
    mine, theirs = normals_of(entry), normals_of(entry)
    give(theirs, OTHERS)
    (job,) = [job for job in watch.registry().running() if job.tag == entry.id]
    worker(job).kill()
    theirs.settle()
    assert "killed by the system" in theirs.text
    give(mine, MORE)
    mine.settle()
    assert "3 images added" in result_texts(mine)
    assert "added" not in result_texts(theirs.run())
    assert len(Workspace(home).open(entry.id).normals_) == 25


@pytest.mark.slow
def test_a_trained_method_is_treated_alike(add_model: AddModel, home: Path) -> None:
    config = PadimConfig(
        method="flow", layers=["blocks.2"], n_features=10, input_size=64, max_epochs=1, folds=2
    )
    model = Padim(config, work_dir=home.parent / "trained").fit(normals(6))
    entry = add_model("Plate", model)
    page = normals_of(entry)
    with Workspace(home).edit(entry.id) as changed:
        changed.set_decision(min_area=9)
    page.click(keys(page, "not_good-")[0])
    assert "Someone else changed this model" in page.text
    page.click("refused-again-0")
    assert "The part was excluded" in result_texts(page)
    statuses = [normal.status for normal in Workspace(home).open(entry.id).normals_]
    assert statuses.count("not_good") == 1


# --- the list of models ---


def test_a_name_that_another_session_gave_is_not_replaced(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    mine, theirs = Session(), Session()

    def rename(page: Session, name: str) -> None:
        page.app.text_input(key=f"name-{entry.id}").set_value(name)
        next(button for button in page.app.button if button.label == "Rename").click()
        page.run()

    rename(theirs, "Plate left")
    rename(mine, "Plate right")
    assert Workspace(home).get(entry.id).name == "Plate left"
    assert "renamed “Plate” to “Plate left”" in mine.text
    rename(mine, "Plate right")  # having read that
    assert Workspace(home).get(entry.id).name == "Plate right"


def test_a_model_that_was_changed_since_is_not_deleted_unseen(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    page = Session()
    with Workspace(home).edit(entry.id) as model:
        model.set_decision(min_area=9)
    page.delete(entry)
    assert "was not deleted: someone else has changed it" in page.text
    assert "smallest region 8 → 9" in page.text
    page.delete(entry)
    assert Workspace(home).models() == []


def test_models_of_one_name_are_told_apart(add_model: AddModel) -> None:
    one, other, third = add_model("Plate"), add_model("Plate"), add_model("Cover")
    page = Session()
    (box,) = page.app.selectbox
    assert len(set(box.options)) == 3
    assert "Cover" in box.options
    assert all(option.startswith("Plate · ") for option in box.options if option != "Cover")
    assert {one.id, other.id, third.id} == {entry.id for entry in Workspace(one.path.parents[1]).models()}
