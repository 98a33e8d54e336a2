"""The work that is running in the workspace, and its end, on pages that do not show it themselves."""

from __future__ import annotations

import threading

from tests.pages.session import AddModel, Session
from ui.jobs import watch
from ui.jobs.jobs import Job


def test_work_of_the_workspace_is_listed_and_its_end_is_told(add_model: AddModel) -> None:
    entry = add_model("Flange")
    page = Session(model=entry.id)
    going = threading.Event()

    def work(job: Job[None]) -> None:
        job.progress(1, 4, "Fitting")
        assert going.wait(240)

    registry = watch.registry()
    shared = registry.start(
        "fit:another", "Fitting “Housing”", work, owner="another browser", goes_on=True, model=entry.id
    )
    hidden = registry.start("inspect:another", "Scoring 3 images", work, owner="another browser")
    try:
        page.app.run()
        assert "Fitting “Housing” (another browser)" in page.text
        assert "25%" in page.text
        assert "Scoring 3 images" not in page.text, "it concerns nobody else"
    finally:
        going.set()
    assert shared.wait(240)
    assert hidden.wait(240)
    page.run()
    assert "Fitting “Housing” (another browser)" not in page.text
    assert [toast.value for toast in page.app.toast] == ["Done: Fitting “Housing”"]
    links = [link.proto for link in page.app.get("page_link")]
    (told,) = [link for link in links if link.label == "Done: Fitting “Housing”"]
    assert told.page == "fit"
    assert f"model={entry.id}" in told.query_string
    page.go("fit")
    assert "Done: Fitting" not in str([link.proto.label for link in page.app.get("page_link")])
