"""The Inspect page: score test images, review what awaits a person, and learn from the decisions."""

from __future__ import annotations

from ui import evidence_pruning
from ui.app import next_step, preload, shell, tabs
from ui.views import learn, review, run
from ui.widgets import health_line

page, entry = shell.begin("pages/inspect.py")
health_line.draw(entry)
tab, place = tabs.draw(page)
with place:
    if tab == "review":
        # Records stay when their model is deleted, and are reviewed without it.
        review.draw(entry)
    elif entry is None:
        shell.needs_model()
    elif tab == "run":
        run.draw(entry)
    else:
        learn.draw(entry)
    next_step.draw(page, tab, entry)
    evidence_pruning.daily()
    if tab == "run":
        preload.up(preload.LIST)
        preload.table()
