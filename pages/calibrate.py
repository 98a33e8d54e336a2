"""The Calibrate page: the threshold with the false-reject rate it promises, and how repeatable scores are."""

from __future__ import annotations

from ui.app import next_step, shell, tabs
from ui.views import repeatability, threshold
from ui.widgets import health_line

page, entry = shell.begin("pages/calibrate.py")
health_line.draw(entry)
tab, place = tabs.draw(page)
with place:
    if entry is None:
        shell.needs_model()
    elif tab == "threshold":
        threshold.draw(entry)
    else:
        repeatability.draw(entry)
        next_step.draw(page, tab, entry)
