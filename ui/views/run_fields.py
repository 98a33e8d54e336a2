"""Above the images on Run: the part number, the fields of the session, and what file names say."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from padim.text import clipped, one_line
from ui import part_numbers, run_records
from ui.app import shell, state, tabs, workspace
from ui.app.pages import page_of
from ui.app.text import count
from ui.widgets import panels
from ui.widgets.tables import Cell, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from padim.records.name_pattern import NamePattern
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.run_records import ImageContexts

_EXAMPLE = "{lot}-{serial}_{shift}"
_LONGEST = 100
# Names that the table shows.
_SHOWN = 5


@dataclass
class _Waiting:
    """Images that were chosen and wait until their names have been looked at.

    Attributes:
        image_set: the images; None for none.
        noted: part numbers whose refusal is in the history.
    """

    image_set: ImageSet | None = None
    noted: set[str] = field(default_factory=set)


def draw(entry: Entry) -> bool:
    """Draw part number and fields; return whether images may be scored by this model."""
    blocked = part_numbers.standing(entry)
    with st.container(horizontal=True, vertical_alignment="bottom", key="run-fields"):
        now = part_numbers.in_use()
        st.session_state["run-part-number"] = now.text
        st.text_input(
            "Part number",
            key="run-part-number",
            placeholder="Type or scan, then Enter",
            help="Chooses the model by the recipe of this part number (Models, Part numbers). Without one, "
            "the model in use inspects.",
            on_change=_typed,
            width=240,
        )
        with st.popover(_summary(), icon=":material/edit_note:", key="run-session"):
            _session()
    with st.container():
        if blocked:
            _blocked(blocked, entry)
        if now.unnoted:
            st.caption(f":material/warning: Not in the history of switches: {panels.plain(now.unnoted)}")
        if problem := _pattern_problem():
            st.error(
                f"No images can be read by this pattern. {panels.plain(problem)}", icon=":material/error:"
            )
    return not blocked


def _typed() -> None:
    part_numbers.type_in(st.session_state["run-part-number"], run_records.fields().values.get("station", ""))


def _blocked(why: str, entry: Entry) -> None:
    now = part_numbers.in_use()
    st.error(f"**Nothing is scored.** {panels.plain(why)}", icon=":material/block:")
    with st.container(horizontal=True, vertical_alignment="center"):
        if not now.refused and now.model_id != entry.id:
            st.button(
                "Switch to its model",
                key="run-part-switch",
                type="primary",
                on_click=partial(part_numbers.type_in, now.text),
            )
        st.button(
            "Inspect without a part number", key="run-part-none", on_click=partial(part_numbers.type_in, "")
        )
        st.page_link(
            "home.py",
            label="Part numbers",
            icon=":material/arrow_forward:",
            query_params={**workspace.link(), "tab": "part-numbers"},
        )


def _summary() -> str:
    """Return what the button of the fields says: what will be on record."""
    fields = run_records.fields()
    if not fields.keep:
        return "Not kept on record"
    typed = [
        f"{label.lower()} {fields.values[key]}"
        for key, label in run_records.TYPED.items()
        if key in fields.values
    ]
    if fields.pattern:
        typed.append(f"by name {fields.pattern}")
    shown = clipped(", ".join(typed), 80)
    return f"On record: {panels.plain(shown)}" if typed else "Lot, station, shift"


def _session() -> None:
    """Draw the fields that are typed once per session."""
    fields = run_records.fields()
    st.caption("Typed once; every image scored from now on bears it on record.")
    left, right = st.columns(2)
    for number, (name, label) in enumerate(run_records.TYPED.items()):
        key = f"run-field-{name}"
        st.session_state[key] = fields.values.get(name, "")
        (left, right)[number % 2].text_input(
            label, key=key, max_chars=_LONGEST, on_change=partial(_field_typed, name, key)
        )
    st.session_state["run-pattern"] = fields.pattern
    st.text_input(
        "Read them from file names",
        key="run-pattern",
        placeholder=f"Such as {_EXAMPLE}",
        help="Fields in braces: {part_number}, {serial}, {lot}, {station}, {shift}; {} is skipped. Names "
        "are compared without their endings; a slash compares folders too. {serial:digits}, {lot:letters}, "
        "{lot:word} limit what a field may hold. You see what is read before images are scored.",
        on_change=_pattern_typed,
    )
    st.session_state["run-keep"] = fields.keep
    st.toggle(
        "Keep on record",
        key="run-keep",
        help="Every image scored is kept on record with its verdict, and what needs a person awaits one on "
        "Review.",
        on_change=_keep_switched,
    )


def _field_typed(name: str, key: str) -> None:
    values, typed = run_records.fields().values, one_line(st.session_state[key], _LONGEST)
    if typed:
        values[name] = typed
    else:
        values.pop(name, None)


def _pattern_typed() -> None:
    run_records.fields().pattern = one_line(st.session_state["run-pattern"], 200)


def _keep_switched() -> None:
    run_records.fields().keep = bool(st.session_state["run-keep"])


def _pattern_problem() -> str:
    from padim.records.name_pattern import NamePattern

    pattern = run_records.fields().pattern
    try:
        if pattern:
            NamePattern.of(pattern)
    except PadimError as error:
        return str(error)
    return ""


# -- chosen images, before they are scored ---------------------------------------------------------------


def chosen(take: Callable[[ImageSet, ImageContexts], None], image_set: ImageSet) -> None:
    """Score images now, or first show what is read from their names if there is a pattern for them.

    Args:
        take: scores images that come from there.
        image_set: the images.
    """
    if run_records.fields().pattern:
        state.of(_Waiting).image_set = image_set
        state.of(_Waiting).noted.clear()
    else:
        take(image_set, run_records.contexts(part_numbers.in_use().text))


def shot(take: Callable[[ImageSet, ImageContexts], None], image_set: ImageSet) -> None:
    """Score an image of the camera now: its name is a time, which no pattern reads.

    Args:
        take: scores images that come from there.
        image_set: the image.
    """
    take(image_set, run_records.contexts(part_numbers.in_use().text, by_name=False))


def waiting() -> bool:
    """Whether images wait until their names have been looked at."""
    return state.of(_Waiting).image_set is not None


def preview(entry: Entry, take: Callable[[ImageSet, ImageContexts], None], *, allowed: bool) -> None:
    """Draw what is read from the names of the images that wait, and the button that scores them.

    Args:
        entry: the model in use.
        take: scores images that come from there.
        allowed: whether images may be scored at all.
    """
    held = state.of(_Waiting)
    image_set = held.image_set
    assert image_set is not None
    try:
        found = run_records.contexts(part_numbers.in_use().text)
    except PadimError:
        found = None  # the field above says why
    refused: dict[str, str] = {}
    if found is not None and found.pattern is not None:
        names = image_set.source.names()
        read, unread = found.pattern.read_all(names)
        _table(found, names, unread)
        if unread:
            what = count(len(unread), "name does not match, and takes", "names do not match, and take")
            st.warning(
                f"{what} what was typed: {panels.plain(part_numbers.listed(list(unread)))}.",
                icon=":material/warning:",
            )
            with st.expander("Why they do not match", key="run-unread"):
                st.dataframe(
                    {"Name": list(unread), "Why": list(unread.values())},
                    key="run-unread-table",
                    hide_index=True,
                )
        if "part_number" in found.pattern.fields:
            try:
                numbers = {name: values["part_number"] for name, values in read.items()}
                refused = part_numbers.batch_refusal(entry, numbers, list(unread))
                _refused(entry, held, numbers, refused)
            except (PadimError, OSError) as error:
                shell.failure("The recipes cannot be read, so nothing is scored.", error)
                allowed = False
    with st.container(horizontal=True):
        if st.button(
            f"Score {count(len(image_set.source), 'image')}",
            key="run-score",
            type="primary",
            icon=":material/play_arrow:",
            disabled=not allowed or found is None or bool(refused),
        ):
            assert found is not None
            held.image_set = None
            take(image_set, found)
            st.rerun()
        if st.button("Choose other images", key="run-choose-again", icon=":material/close:"):
            held.image_set = None
            st.rerun()


def _table(found: ImageContexts, names: Sequence[str], unread: dict[str, str]) -> None:
    from padim.records.name_pattern import FIELDS

    pattern: NamePattern | None = found.pattern
    assert pattern is not None
    shown = list(names[:_SHOWN])
    of = {name: found.of(name) for name in shown}
    columns = [one for one in FIELDS if one in pattern.fields or one in found.typed]
    some = f"The first {len(shown)} of {count(len(names), 'name')}" if len(names) > _SHOWN else "The names"
    st.caption(f"{some}, as {panels.literal(pattern.text)} reads them:")
    head = ["Name", *(FIELDS[one].capitalize() for one in columns), "Read"]
    rows = [
        [
            Cell(name),
            *(Cell(of[name].get(one, "")) for one in columns),
            Cell("no, as typed" if name in unread else "yes"),
        ]
        for name in shown
    ]
    st.html(table(head, rows))


def _refused(entry: Entry, held: _Waiting, numbers: dict[str, str], refused: dict[str, str]) -> None:
    """Say which images another model inspects, and offer that model if it is one for all."""
    if not refused:
        return
    reasons: dict[str, list[str]] = {}
    for name, why in refused.items():
        reasons.setdefault(why, []).append(name)
    lines = [f"{panels.plain(part_numbers.listed(of))}: {panels.plain(why)}." for why, of in reasons.items()]
    st.error(
        f"**Nothing is scored by “{panels.plain(entry.name)}”.** " + "  \n".join(lines),
        icon=":material/block:",
    )
    for number in {numbers[name] for name in refused if name in numbers} - held.noted:
        part_numbers.note("refused", number, how="file name")
        held.noted.add(number)
    other = part_numbers.common_model(entry, list(numbers.values())) if len(refused) == len(numbers) else ""
    if other:
        st.button(
            "Switch to their model",
            key="run-batch-switch",
            on_click=partial(_switch, other, sorted(set(numbers.values()))),
        )


def _switch(model_id: str, numbers: Sequence[str]) -> None:
    workspace.use(model_id)
    for number in numbers:
        part_numbers.note("switched", number, model_id=model_id, how="file name")


# -- after scoring ---------------------------------------------------------------------------------------


def on_record(entry: Entry) -> None:
    """Say how many of the scored images are on record, how many are not, and how many await a person."""
    recorder = run_records.recorder(entry)
    if missing := recorder.unrecorded:
        shell.failure(
            f"**{count(missing, 'image')} {'is' if missing == 1 else 'are'} not on record.**", recorder.why
        )
        st.button(
            "Try to record them again",
            key="run-record-again",
            icon=":material/refresh:",
            on_click=recorder.record,
        )
    if done := recorder.recorded:
        people = recorder.waiting_for_people()
        await_people = (
            ""
            if people is None
            else f", {people:,} of this model {'awaits' if people == 1 else 'await'} a person"
        )
        with st.container(horizontal=True, vertical_alignment="center", key="run-on-record"):
            st.caption(f":material/inventory_2: {done:,} on record{await_people}.", width="content")
            if people and st.button(
                "Review", key="run-review", icon=":material/arrow_forward:", type="tertiary"
            ):
                tabs.show(page_of("pages/inspect.py"), "review")
                st.rerun()
