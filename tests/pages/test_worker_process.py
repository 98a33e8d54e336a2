"""Heavy work in its real worker process, started from the page: kill, cancellation, two sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pages.session import AddModel, Session
from tests.pages.test_fit import GOOD, small
from ui import model_changes
from ui.app import workspace
from ui.jobs import watch
from ui.jobs.jobs import Job

pytestmark = pytest.mark.worker_process
WAIT = 120


def at(job: Job[Any], *stages: str) -> None:
    """Wait until a job has reached one of the stages."""
    while job.running and job.current.stage not in stages:
        job.wait(0.01)
    assert job.running, job.error


def worker(job: Job[Any]) -> psutil.Process:
    """Return the only worker process, as soon as it exists."""
    while job.running:
        found = [one for one in psutil.Process().children() if is_worker(one)]
        if found:
            assert len(found) == 1, "one at a time"
            return found[0]
    raise AssertionError(f"the job has ended, and no worker was seen: {job.error}")


def is_worker(process: psutil.Process) -> bool:
    try:
        return "padim.worker" in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def fitting(page: Session) -> Job[Any]:
    """Start a fit without waiting for its end."""
    page.app.button(key="fit-go").click().run()
    (job,) = [job for job in watch.registry().running() if job.tag == "fit" and job.key not in _SEEN]
    _SEEN.add(job.key)
    return job


_SEEN: set[str] = set()


@pytest.mark.slow
def test_a_killed_fit_is_one_sentence_and_leaves_nothing(home: Path) -> None:
    page = small(Session("fit").upload(GOOD))
    job = fitting(page)
    at(job, "Preparing the network", "Reading images")
    worker(job).kill()
    page.settle()
    assert "The model was not fitted. The process that did the work was killed by the system" in page.text
    assert list((home / "models").iterdir()) == []
    assert list((home / "jobs").iterdir()) == []
    # The images are still there, and the next fit works.
    page.click("fit-go")
    assert page.model is not None
    assert len(list((home / "models").iterdir())) == 1


def test_a_killed_change_leaves_the_model_as_it_was(add_model: AddModel) -> None:
    entry = add_model("Plate")
    page = Session("fit", model=entry.id)
    job = watch.registry().start(
        "amend:test", "Fitting", lambda job: model_changes.refit(entry, ["blocks.2", "blocks.4"], job)
    )
    worker(job).kill()
    assert job.wait(WAIT)
    assert "killed by the system" in str(job.error)
    assert workspace.store().get(entry.id).revision == entry.revision
    page.run()


@pytest.mark.slow
def test_the_second_session_reads_its_place_and_can_cancel_there(home: Path) -> None:
    first, second = small(Session("fit").upload(GOOD)), small(Session("fit").upload(GOOD))
    ahead = fitting(first)
    at(ahead, "Preparing the network", "Reading images", "Starting")
    process = worker(ahead)
    process.suspend()  # it does not end before this test lets it
    behind = fitting(second)
    at(behind, "Waiting: 1 other fit goes first")
    second.app.run()
    assert "Waiting: 1 other fit goes first" in shown(second)
    second.app.button(key=f"cancel-{behind.key}").click().run()
    assert behind.wait(WAIT)
    second.app.run()
    assert "The fit was cancelled" in second.text
    process.resume()
    first.settle()
    assert first.model is not None
    assert len(list((home / "models").iterdir())) == 1


def shown(page: Session) -> str:
    return " ".join(str(one.text) for one in page.app.get("progress"))
