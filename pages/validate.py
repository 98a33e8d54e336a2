"""The Validate page: what the model catches and tolerates, on images that it was not fitted on."""

from __future__ import annotations

from ui.app import next_step, preload, shell, tabs
from ui.views import light_and_fixture, second_session, smallest_defect, test_set

VIEWS = {
    "test-set": test_set.draw,
    "second-session": second_session.draw,
    "smallest-defect": smallest_defect.draw,
    "light-and-fixture": light_and_fixture.draw,
}

page, entry = shell.begin("pages/validate.py")
tab, place = tabs.draw(page)
with place:
    if entry is None:
        shell.needs_model()
    else:
        VIEWS[tab](entry)
        next_step.draw(page, tab, entry)
preload.up(preload.LIST)
