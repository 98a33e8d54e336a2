"""A driver of one session of the app, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from padim.storage.model_folders import Entry
from ui import calibrate
from ui.app.pages import MOVED, PAGES
from ui.calibrate import Draft
from ui.jobs import watch

APP = Path(__file__).parents[2] / "home.py"

# Called with the name and, optionally, a fitted model other than the small one.
AddModel = Callable[..., Entry]


class Session:
    """One browser session on the app, without a browser."""

    def __init__(self, page: str | None = None, **query: str) -> None:
        self.app = AppTest.from_file(str(APP), default_timeout=240)
        for key, value in query.items():
            self.app.query_params[key] = value
        if page is not None:
            # A first run registers the pages; a deep link does the same behind the scenes.
            self.app.run()
            self._switch(page)
        self.run()

    def run(self) -> Session:
        """Run the page, and again until its background jobs have ended; it must not raise."""
        self.app.run()
        self.settle()
        return self

    def settle(self) -> None:
        """Wait for background jobs, and run the page again whenever one has ended."""
        # A job may end between the drawing and this look: a progress bar still shown counts as one running.
        while (jobs := watch.registry().running()) or self._shows_a_job():
            for job in jobs:
                assert job.wait(240), f"{job.key} hangs"
            self.app.run()
        assert not self.app.exception, self.app.exception[0].value

    def _shows_a_job(self) -> bool:
        return any((button.key or "").startswith("cancel-") for button in self.app.button)

    def go(self, page: str) -> Session:
        """Follow a link to another page of the app."""
        self._switch(page)
        return self.run()

    def tab(self, key: str) -> Session:
        """Open another tab of the page."""
        self.app.query_params["tab"] = key
        return self.run()

    def _switch(self, page: str) -> None:
        """Go to a page, or to the tab of a page: by its key, or by the address that it had as a page."""
        tabs = {tab.key: (one.path, tab.key) for one in PAGES for tab in one.tabs}
        moved = {name: (f"pages/{to}.py", tab) for name, (to, tab) in MOVED.items()}
        path, tab = {**tabs, **moved}.get(page, (f"pages/{page}.py", None))
        self.app.switch_page("home.py" if page == "home" else path)
        if tab is not None:
            self.app.query_params["tab"] = tab
        elif "tab" in self.app.query_params:
            del self.app.query_params["tab"]

    def upload(self, files: Sequence[tuple[str, bytes]]) -> Session:
        """Drop files on the page's first uploader."""
        self.app.file_uploader[0].set_value(
            [(name, data, "application/octet-stream") for name, data in files]
        )
        return self.run()

    def click(self, key: str) -> Session:
        """Click the button with this key."""
        self.app.button(key=key).click()
        return self.run()

    def delete(self, entry: Entry) -> Session:
        """Delete a model on the home page: type its name, and press the button."""
        self.app.text_input(key=f"delete-name-{entry.id}").set_value(entry.name)
        return self.click(f"delete-{entry.id}")

    def set(self, kind: str, key: str, value: Any) -> Session:
        """Set the value of a widget."""
        getattr(self.app, kind)(key=key).set_value(value)
        return self.run()

    @property
    def text(self) -> str:
        """Return all text on the page as one string."""
        kinds = ("markdown", "caption", "html", "info", "success", "warning", "error", "subheader")
        found: list[str] = []
        for kind in kinds:
            for element in getattr(self.app, kind):
                found.append(str(getattr(element, "value", None) or getattr(element, "body", "")))
        # As a reader sees it: Markdown's escapes are no words.
        return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(found))

    @property
    def viewer(self) -> dict[str, Any]:
        """Return the data of the live viewer on the page; how it is drawn is tested in a browser."""
        (component,) = self.app.get("bidi_component")
        message: dict[str, Any] = json.loads(component.proto.json)
        return message

    def outcome(self, kind: type, model_id: str) -> Any:
        """Return the result of this session's job for a model.

        Args:
            kind: the state class that keeps the jobs' keys.
            model_id: the model.
        """
        kept = self.app.session_state[f"padim:{kind.__module__}.{kind.__qualname__}"]
        job = watch.registry().get(kept.keys[model_id])
        assert job is not None
        return job.result

    def decide(self, model_id: str, draft: Draft) -> Session:
        """Try a threshold, as the viewer's message would."""
        name = f"padim:{calibrate.__name__}._CalibrateStates"
        self.app.session_state[name].of[model_id].draft = draft
        return self.run()

    @property
    def open_tab(self) -> str | None:
        """Return the tab that the URL names."""
        value = self.app.query_params.get("tab")
        return value[0] if isinstance(value, list) else value

    @property
    def model(self) -> str | None:
        """Return the model that the URL names."""
        value = self.app.query_params.get("model")
        return value[0] if isinstance(value, list) else value
