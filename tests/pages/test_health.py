"""The health of a model: its line on the pages of work, the details, the confirmation and the remedy."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from padim import Workspace
from padim.analysis.health import FILE, Finding, Health, Remedy
from padim.storage.model_folders import Entry
from padim.worker.messages import CheckHealth, WorkerResult
from tests.pages.session import AddModel, Session
from tests.parts import normals
from ui import health
from ui.jobs import watch, work_queue
from ui.views import health as view_of_health
from ui.widgets import health_line

RED = Finding(
    "position",
    "red",
    "The parts lie too differently for this model.",
    Remedy("Fit a second model that finds the part by its outline.", {"align": {"method": "outline"}}),
    {"cells_95": 9.0},
)
GREEN = Finding("resolution", "green", "A map pixel shows 1 × 1 original pixels.")


def store(entry: Entry, *findings: Finding) -> Health:
    found = Health(findings, health.state_of(entry))
    found.write(entry.path / FILE)
    return found


def texts(app: AppTest) -> str:
    every = (*app.error, *app.warning, *app.success, *app.markdown, *app.caption)
    return "\n".join(one.value for one in every)


@pytest.mark.parametrize("page", ["fit", "calibrate", "inspect"])
def test_the_line_stands_on_the_pages_of_work_until_it_is_confirmed(add_model: AddModel, page: str) -> None:
    entry = add_model("Blind")
    store(entry, RED, GREEN)
    session = Session(page, model=entry.id)
    if page == "fit":
        session.tab("images")
    assert "This model is not fit for use." in texts(session.app)
    session.app.text_input(key=f"health-reason-line-{entry.id}").set_value("40 of 40 defects caught").run()
    session.app.button(key="health-confirm-line").click()
    session.run()
    assert "This model is not fit for use." not in texts(session.app)
    session.go("fit").tab("result")
    assert "40 of 40 defects caught" in texts(session.app)
    session.app.button(key="health-withdraw").click()
    session.run()
    session.go("inspect")
    assert "This model is not fit for use." in texts(session.app)


def test_a_green_model_has_no_line(add_model: AddModel) -> None:
    entry = add_model("Sound")
    store(entry, GREEN)
    session = Session("inspect", model=entry.id)
    assert "fit for use" not in texts(session.app)
    assert "Nothing speaks against using this model." in texts(session.go("fit").tab("result").app)


def test_more_found_later_is_not_confirmed(add_model: AddModel) -> None:
    entry = add_model("Changed")
    health.confirm(entry, store(entry, GREEN, Finding("threshold", "amber", "Few parts.")), "few were made")
    assert health.confirmed(entry, Health((Finding("threshold", "amber", "Few."),), "x")) is not None
    assert health.confirmed(entry, Health((RED,), "x")) is None


@pytest.mark.health
def test_a_model_without_a_check_is_checked_in_the_background(add_model: AddModel) -> None:
    entry = add_model("New")
    Session("inspect", model=entry.id)
    found = Health.read(entry.path / FILE)
    assert found is not None
    assert found.identity == health.state_of(entry)
    with_model = Workspace(entry.path.parent.parent).open(entry.id)
    assert found.of(with_model)


@pytest.mark.health
def test_a_network_is_trained_again_by_one_click(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Trained")
    store(
        entry, Finding("painted defects", "amber", "It was not measured.", Remedy("Train.", action="retrain"))
    )
    done = Health((GREEN,), health.state_of(entry)).to_json()
    asked: list[CheckHealth] = []

    def perform(request: CheckHealth, *_: object) -> WorkerResult:
        asked.append(request)
        return WorkerResult(health=done)

    monkeypatch.setattr(work_queue, "perform", perform)
    session = Session("inspect", model=entry.id)
    session.app.button(key="health-remedy-line").click()
    session.run()
    assert [(request.model, request.retrain) for request in asked] == [(entry.id, True)]
    assert "was not measured" not in texts(session.app)


@pytest.mark.health
def test_a_fit_is_checked_whatever_page_is_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (health_line, view_of_health):  # no page asks for the check
        monkeypatch.setattr(where, "_checking", lambda entry: None)
    page = Session("fit").upload([(name, data) for name, data in normals(6) if isinstance(data, bytes)])
    page.set("selectbox", "fit-size", 128).set("selectbox", "fit-stride", 16)
    page.click("fit-go")
    (entry,) = Workspace(home).models()
    found = Health.read(entry.path / FILE)
    assert found is not None
    assert found.identity == health.state_of(entry)


@pytest.mark.health
def test_a_model_changed_back_while_its_check_waited_is_checked_again(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is of the model as it is when it is made, not when it was asked for."""
    entry = add_model("Changed twice")
    other = Health((RED,), "another state of the model")
    found = [other.to_json(), Health((GREEN,), health.state_of(entry)).to_json()]
    monkeypatch.setattr(work_queue, "perform", lambda *_: WorkerResult(health=found.pop(0)))
    health.job(entry).wait(60)
    assert health.found(entry) is None
    health.job(entry).wait(60)
    now = health.found(entry)
    assert now is not None
    assert now.grade == "green"
    assert health.job(entry).result == now


@pytest.mark.health
def test_a_check_begins_when_nothing_else_runs(add_model: AddModel, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = add_model("Waiting")
    done = Health((GREEN,), health.state_of(entry)).to_json()
    asked: list[object] = []

    def perform(request: CheckHealth, *_: object) -> WorkerResult:
        asked.append(request)
        return WorkerResult(health=done)

    monkeypatch.setattr(work_queue, "perform", perform)
    monkeypatch.setattr(health, "QUIET_S", 0.01)
    ended = threading.Event()
    watch.start("inspect:other", "Scoring", lambda job: ended.wait(60))
    check = health.job(entry)
    while not check.current.stage:
        assert not check.wait(0.01), "it has not waited"
    assert check.current.stage.startswith("Waiting")
    assert not asked
    ended.set()
    assert check.wait(60)
    assert len(asked) == 1
    assert health.found(entry) is not None


@pytest.mark.health
def test_a_check_that_waits_can_be_stopped(add_model: AddModel, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = add_model("Stopped")
    monkeypatch.setattr(work_queue, "perform", lambda *_: pytest.fail("it was made all the same"))
    monkeypatch.setattr(health, "QUIET_S", 60.0)
    check = health.job(entry)
    check.cancel()
    assert check.wait(60)
    assert check.state == "cancelled"
