"""The Fit page: a new model, what was fitted, and where on the part defects count."""

from __future__ import annotations

from ui import fit
from ui.app import next_step, shell, tabs
from ui.app.pages import page_of
from ui.views import fit_result, new_model, region
from ui.widgets import health_line

_PATH = "pages/fit.py"

# Done before anything reads the URL: if the page ran again for the new model instead, a request of the
# browser that is on its way with the former model in its URL could replace that run.
if fit.finish():
    tabs.show(page_of(_PATH), "result")
if fit.memory().afresh:
    tabs.show(page_of(_PATH), "images")
    fit.memory().afresh = False
page, entry = shell.begin(_PATH)
if fit.memory().sample_asked:
    fit.take_sample()
health_line.draw(entry, on_result=tabs.open_tab(page).key == "result")
tab, place = tabs.draw(page)
with place:
    if tab == "images":
        new_model.draw()
    elif entry is None:
        shell.needs_model()
    elif tab == "result":
        fit_result.draw(entry)
    else:
        region.draw(entry)
    # The form for a new model ends with its own next step, the button that fits.
    if tab != "images" or fit.memory().image_set is None:
        next_step.draw(page, tab, entry)
