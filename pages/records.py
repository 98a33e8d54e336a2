"""The Records page: what was inspected and decided, and figures of it; it needs no model in use."""

from __future__ import annotations

from ui import evidence_pruning
from ui.app import next_step, preload, shell, tabs
from ui.views import figures, records_list

page, entry = shell.begin("pages/records.py")
evidence_pruning.daily()
tab, place = tabs.draw(page)
with place:
    if tab == "records":
        records_list.draw()
    else:
        figures.draw()
    next_step.draw(page, tab, entry)
preload.up(preload.LIST)
