"""The Line page: watched folders, connections to other machines, and the service; it needs no model."""

from __future__ import annotations

from ui.app import next_step, shell, tabs
from ui.views import connections, service, watches

page, entry = shell.begin("pages/line.py")
tab, place = tabs.draw(page)
with place:
    if tab == "watches":
        watches.draw(entry)
    elif tab == "connections":
        connections.draw()
    else:
        service.draw(entry)
    next_step.draw(page, tab, entry)
