"""Runs of the page that nobody has clicked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.proto.WidgetStates_pb2 import WidgetState

from ui.app import reruns


class _Ran(Exception):
    """Raised in place of a run that begins anew."""


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The run of a page, with no clicks."""
    found: SimpleNamespace = SimpleNamespace(
        page_script_hash="inspect",
        session_state=SimpleNamespace(get_widget_states=lambda: found.widgets),
        widgets=[WidgetState(id="box", bool_value=True)],
    )

    def ran(*page: str, **_: Any) -> None:
        raise _Ran(*page)

    monkeypatch.setattr(reruns, "get_script_run_ctx", lambda: found)
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "query_params", SimpleNamespace(to_dict=dict))
    monkeypatch.setattr(st, "rerun", ran)
    monkeypatch.setattr(st, "switch_page", ran)
    return found


def test_a_page_runs_again_unless_a_click_is_being_answered(context: SimpleNamespace) -> None:
    reruns.page_is_drawn("pages/inspect.py")
    with pytest.raises(_Ran) as again:
        reruns.run_page()
    assert again.value.args == ()
    context.widgets.append(WidgetState(id="button", trigger_value=True))
    reruns.run_page()


def test_a_question_asked_before_another_page_was_opened_does_not_lead_back(context: SimpleNamespace) -> None:
    reruns.page_is_drawn("pages/inspect.py")
    context.page_script_hash = "calibrate"
    with pytest.raises(_Ran) as again:
        reruns.run_page()
    assert again.value.args == ("pages/inspect.py",)
