"""The Settings page: what this server runs with, and a backup of what it keeps; it needs no model in use."""

from __future__ import annotations

from ui.app import next_step, shell, tabs
from ui.views import backup, settings_list

page, entry = shell.begin("pages/settings.py")
tab, place = tabs.draw(page)
with place:
    if tab == "settings":
        settings_list.draw()
    else:
        backup.draw()
    next_step.draw(page, tab, entry)
