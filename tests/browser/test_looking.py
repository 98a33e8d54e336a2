"""The tests of this folder cannot pass by looking away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import served
from tests.browser.looking import Visitor, require_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_a_browser(monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]) -> None:
    monkeypatch.setattr(served, "chromium", lambda: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no Chromium"):
        require_chromium()


def test_a_request_to_elsewhere_is_noticed() -> None:
    visitor = Visitor.__new__(Visitor)
    visitor.dialogs = []
    here = [
        "http://127.0.0.1:8501/",
        "ws://localhost:8501/_stcore/stream",
        "data:image/png;base64,",
        "blob:x",
    ]
    visitor.requested = here
    visitor.check_stayed_here()
    for stranger in ("https://fonts.example/a.woff2", "http://192.0.2.1/", "wss://127.0.0.1.example/"):
        visitor.requested = [*here, stranger]
        assert visitor.strangers() == [stranger]
        with pytest.raises(AssertionError):
            visitor.check_stayed_here()
    visitor.requested = []
    with pytest.raises(AssertionError, match="never opened"):
        visitor.check_stayed_here()


def test_a_page_is_waited_for_until_its_script_has_ended(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<div class=stApp data-test-script-state=running></div>")
    page.evaluate(
        """() => {
            let frames = 20;
            const next = () => {
                if (--frames > 0) requestAnimationFrame(next);
                else document.querySelector('.stApp').dataset.testScriptState = 'notRunning';
            };
            next();
        }"""
    )
    Visitor(page, served.Server("", 0.0, None)).settle()  # type: ignore[arg-type]
    assert page.locator(".stApp").get_attribute("data-test-script-state") == "notRunning"
    page.close()
