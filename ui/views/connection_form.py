"""The form of one connection: its settings by kind, and all connections as YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import streamlit as st
from pydantic import BaseModel

from padim.errors import PadimError
from padim.records.sink_settings import HIDDEN
from ui import connection_fields, connections, part_numbers
from ui.app import shell, workspace
from ui.connection_fields import FIELDS, FILTER_FIELDS, KINDS, ConnectionField
from ui.files import folders

__all__ = ["defaults", "draw_edit", "draw_new", "draw_yaml", "part_settings"]

_FAILED, _YAML_FAILED = "connection-form-failed", "connection-yaml-failed"
_PARTS = {
    "trigger": (":material/input:", "Ask for inspections"),
    "challenge": (":material/verified_user:", "Challenge parts"),
    "filter": (":material/filter_alt:", "Which inspections"),
    "more": (":material/tune:", "More settings"),
}


def draw_new(*, opened: bool) -> None:
    """Draw the form of a new connection.

    Args:
        opened: whether to open it, because there is nothing else to see.
    """
    with st.expander("Add a connection", icon=":material/add:", expanded=opened, key="connection-new"):
        kind = st.segmented_control(
            "Kind",
            list(KINDS),
            format_func=lambda one: KINDS[one],
            default="mqtt",
            required=True,
            key="connection-kind",
        )
        _form(kind or "mqtt", None, {})


def draw_edit(name: str, shown: Mapping[str, Any]) -> None:
    """Draw the form of a connection that is to be changed.

    Args:
        name: its name.
        shown: its settings without secrets.
    """
    with st.container(border=True, key="connection-edit"):
        st.subheader(f"Change “{name}” · {KINDS[str(shown['kind'])]}")
        _form(str(shown["kind"]), name, shown)


def draw_yaml() -> None:
    """Draw all connections as YAML, to be edited."""
    with st.expander("All connections as YAML", icon=":material/code:", key="connections-yaml"):
        with st.container():
            if failed := st.session_state.pop(_YAML_FAILED, None):
                shell.failure("Nothing was saved.", failed)
        try:
            text = connections.as_yaml()
        except (PadimError, OSError) as error:
            shell.failure("The file of sinks cannot be read.", error)
            return
        st.caption(
            f"The file `sinks.yaml` of the workspace. Secrets are shown as {HIDDEN} and stay as they are; "
            f"`${{{connections.VARIABLES}…}}` is taken from the environment of the server."
        )
        # With another key for another text, so that the field shows what the file has now.
        with st.form(f"connections-yaml-form-{abs(hash(text))}", border=False):
            typed = st.text_area(
                "YAML", text, height=320, key=f"yaml-{abs(hash(text))}", label_visibility="collapsed"
            )
            if st.form_submit_button(
                "Save", type="primary", icon=":material/save:", key="connections-save-yaml"
            ):
                _save_yaml(typed)


def _save_yaml(text: str) -> None:
    try:
        connections.replace_all(text)
    except (PadimError, OSError) as error:
        st.session_state[_YAML_FAILED] = error
    st.rerun()


def _form(kind: str, name: str | None, shown: Mapping[str, Any]) -> None:
    prefix = f"connection-{kind}-{name or 'new'}"
    values = connection_fields.from_sink(shown, defaults(kind))
    with st.container():
        if failed := st.session_state.pop(_FAILED, None):
            shell.failure("The connection was not saved.", failed)
    with st.form(f"{prefix}-form", border=False):
        typed: dict[str, Any] = {}
        called = name or st.text_input("Name", key=f"{prefix}-name", placeholder="Line 1", max_chars=63)
        fields = [*FIELDS[kind], *FILTER_FIELDS]
        typed |= _inputs([one for one in fields if one.group == "main"], values, prefix, columns=2)
        with st.container(horizontal=True):
            for group, (icon, label) in _PARTS.items():
                some = [one for one in fields if one.group == group]
                if not some:
                    continue
                with st.popover(label, icon=icon, key=f"{prefix}-{group}"):
                    if group == "trigger":
                        st.caption(_about_trigger(kind))
                    typed |= _inputs(some, values, prefix)
        with st.container(horizontal=True):
            saved = st.form_submit_button(
                "Add" if name is None else "Save", type="primary", key=f"{prefix}-save"
            )
            canceled = name is not None and st.form_submit_button(
                "Cancel", type="tertiary", key=f"{prefix}-cancel"
            )
    if canceled:
        st.session_state.pop("connection-edited", None)
        st.rerun()
    if saved:
        _save(kind, name, called, typed, prefix)


def _save(kind: str, name: str | None, called: str, typed: Mapping[str, Any], prefix: str) -> None:
    try:
        connections.save(connection_fields.to_values(kind, called, typed), instead_of=name)
    except (PadimError, OSError) as error:
        st.session_state[_FAILED] = error
    else:
        st.session_state.pop("connection-edited", None)
        st.session_state.get("connections-tried", {}).pop(name, None)
        for key in [key for key in st.session_state if str(key).startswith(prefix)]:
            del st.session_state[key]
    st.rerun()


def _about_trigger(kind: str) -> str:
    how = (
        "a message to a topic names the file, and the result is the answer"
        if kind == "mqtt"
        else "a client calls the method Inspect with the file's path, and gets the result"
    )
    opened = (
        ""
        if folders.roots()
        else " No folder of this server is open to the app yet; its operator can open one."
    )
    return f"Another machine has images inspected: {how}.{opened}"


def _inputs(
    fields: Sequence[ConnectionField], values: Mapping[str, Any], prefix: str, columns: int = 1
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for start in range(0, len(fields), columns):
        row = fields[start : start + columns]
        # A row at a time, so that a switch stands beside the field and not beside its label.
        places = st.columns(columns, vertical_alignment="bottom") if columns > 1 else [st.container()]
        for place, field in zip(places, row, strict=False):
            with place:
                found[field.key] = _input(field, values.get(field.key), f"{prefix}-{field.key}")
    return found


def _input(field: ConnectionField, value: Any, key: str) -> Any:
    said: dict[str, Any] = {"key": key, "help": field.help or None}
    if field.kind == "switch":
        return st.toggle(field.label, bool(value), **said)
    if field.kind == "choice":
        labels = dict(field.options)
        keys = list(labels)
        index = keys.index(value) if value in labels else 0
        return st.selectbox(field.label, keys, index, format_func=lambda one: labels[one], **said)
    if field.kind == "several":
        labels = dict(field.options) or _known(field.key)
        chosen = list(value or [])
        return st.multiselect(
            field.label,
            list(dict.fromkeys([*labels, *chosen])),
            chosen,
            format_func=lambda one: labels.get(one, one),
            placeholder=field.placeholder,
            **said,
        )
    if field.kind in ("number", "whole"):
        number = None if value is None else float(value) if field.kind == "number" else int(value)
        return st.number_input(
            field.label,
            value=number,
            format="%g" if field.kind == "number" else "%d",
            placeholder=field.placeholder or None,
            **said,
        )
    if field.kind == "lines":
        return st.text_area(field.label, str(value or ""), height=80, **said)
    if field.kind == "secret" and value == HIDDEN:
        # Left empty it stays, so that its mask need not be sent to the browser as a text to be edited.
        typed = st.text_input(field.label, type="password", placeholder="Stays as it is", **said)
        return typed or HIDDEN
    kind: Literal["password", "default"] = "password" if field.kind == "secret" else "default"
    return st.text_input(field.label, str(value or ""), type=kind, placeholder=field.placeholder, **said)


def _known(key: str) -> dict[str, str]:
    """Return what a filter may choose from: models by id, or part numbers."""
    if key == "filter.models":
        return workspace.distinct_names([one for one in workspace.store().models() if not one.broken])
    try:
        return {one.part_number: one.part_number for one in part_numbers.recipes().all()}
    except (PadimError, OSError):
        return {}


def part_settings(kind: str) -> dict[str, type[BaseModel]]:
    """Return the settings that are a part of those of a kind, by key."""
    from padim.records import sink_parts

    trigger = sink_parts.MqttTriggerSettings if kind == "mqtt" else sink_parts.TriggerSettings
    return {"challenge": sink_parts.ChallengeSettings, "trigger": trigger}


def defaults(kind: str) -> dict[str, Any]:
    """Return the values of fields that a sink of a kind does not set, by key."""
    from padim.records import sink_settings

    kinds: dict[str, type[BaseModel]] = {
        "mqtt": sink_settings.MqttSettings,
        "webhook": sink_settings.WebhookSettings,
        "csv": sink_settings.CsvDropSettings,
        "opcua": sink_settings.OpcuaSettings,
        "modbus": sink_settings.ModbusSettings,
    }
    found: dict[str, Any] = {}
    parts = part_settings(kind)
    for name, field in kinds[kind].model_fields.items():
        if name in parts:
            inner = parts[name].model_fields.items()
            found |= {f"{name}.{key}": one.default for key, one in inner if not one.is_required()}
        elif isinstance(field.default, str | int | float):
            found[name] = field.default
    return found
