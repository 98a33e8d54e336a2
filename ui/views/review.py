"""The Review tab of the Inspect page: what awaits a person, one image after the other, by keyboard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from padim.errors import PadimError
from ui import review_desk, viewing
from ui.app import person, shell
from ui.components import desk as component

if TYPE_CHECKING:
    from padim.records.inspection import InspectionVerdict
    from padim.records.inspection_query import InspectionQuery
    from padim.storage.model_folders import Entry
    from ui.review_desk import DeskMode

_DESK = "review-desk"
_SHARE = "review-audit-share"
# Seconds after which a page sees what other browsers have decided.
_REFRESH = 15.0
_DAYS = {"all": "Any day", "today": "Today", "week": "Last 7 days", "month": "Last 30 days"}
_VERDICTS = {"all": "Any verdict", "reject": "Rejected", "review": "Guard band", "accept": "Accepted"}
_EMPTY: dict[DeskMode, tuple[str, str]] = {
    "queue": (
        "Nothing to review",
        "What the model rejects, what lies in its guard band and a random share of what it accepts waits "
        "here until a person has decided. Inspect images on the Run tab.",
    ),
    "second": (
        "Nothing for a second opinion",
        "What somebody else has decided waits here, without their decision, for a second person.",
    ),
    "disagreements": ("No disagreements", "Where two people contradict each other, it is settled here."),
}


def draw(entry: Entry | None) -> None:
    """Draw the tab.

    Args:
        entry: the model in use, or None.
    """
    from padim.records.inspection_query import InspectionQuery

    try:
        if not review_desk.records().count(InspectionQuery()):
            shell.empty("Nothing on record yet", _EMPTY["queue"][1])
            return
        mode, order, filters = _controls(entry)
        if not person.given():
            # Not in the fragment: the sidebar shows the name too.
            with st.container(border=True, key="review-who"):
                person.field("Your name, which every decision bears", key="review-name")
        st.fragment(_desk, run_every=_REFRESH)(mode, order, filters)
    except (PadimError, OSError) as error:
        shell.failure("The records cannot be read.", error)


# -- which ones --------------------------------------------------------------------------------------------


def _controls(entry: Entry | None) -> tuple[DeskMode, Any, InspectionQuery]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mode: DeskMode = st.segmented_control(
            "List",
            list(review_desk.MODES),
            format_func=lambda key: review_desk.MODES[key],
            default="queue",
            required=True,
            key="review-mode",
            persist_state="session",
            label_visibility="collapsed",
        )
        order = st.selectbox(
            "Order",
            list(review_desk.ORDERS),
            format_func=lambda key: review_desk.ORDERS[key],
            key="review-order",
            persist_state="session",
            label_visibility="collapsed",
            width=250,
        )
        filters = _filters(entry)
        _audit()
    return mode, order, filters


def _audit() -> None:
    """Draw the share of the accepted that is drawn at random for review, with a field to change it."""
    with st.popover("Random share", icon=":material/casino:", key="review-audit"):
        st.session_state[_SHARE] = 100 * review_desk.audit_share()
        st.number_input(
            "Accepted images to review (%)",
            min_value=0.0,
            max_value=100.0,
            step=0.5,
            format="%g",
            key=_SHARE,
            on_change=_set_audit,
            help="Drawn at random when an image is recorded; for images from now on, of all models.",
        )
        st.caption(
            "Only a random share of what the model accepts shows which defects it misses. They are among the "
            "others in the list, and not marked."
        )


def _set_audit() -> None:
    try:
        review_desk.set_audit_share(st.session_state[_SHARE] / 100, person.name())
    except (PadimError, OSError) as error:
        shell.failure("The share was not saved.", error)


def _filters(entry: Entry | None) -> InspectionQuery:
    from padim.records.inspection_query import InspectionQuery

    # The label has the number of filters, which are drawn after it.
    chosen = _chosen(entry)
    label = f"Filters ({chosen})" if chosen else "Filters"
    with st.popover(label, icon=":material/filter_list:", key="review-filters"):
        base = InspectionQuery()
        only_mine = entry is not None and st.checkbox(
            "Only the model in use", key="review-mine", persist_state="session"
        )
        if only_mine and entry is not None:
            base = replace(base, model_id=entry.id)
        day = _choice("Inspected", _DAYS, "review-day")
        verdict = _choice("Verdict of the model", _VERDICTS, "review-verdict")
        if day != "all":
            base = replace(base, since=_since(str(day)))
        if verdict != "all":
            base = replace(base, verdicts=(cast("InspectionVerdict", verdict),))
        named: dict[str, Any] = {}
        for column, title in (("lot", "Lot"), ("shift", "Shift"), ("station", "Station")):
            named[column] = _value(column, title, base)
        named["part_number"] = _value("part_number", "Part number", base)
        named["defect_type"] = _value("defect_type", "Type of defect", base)
        if only_mine and entry is not None:
            named["version_id"] = _version(entry)
    return replace(base, **{name: value for name, value in named.items() if value is not None})


def _chosen(entry: Entry | None) -> int:
    stored = st.session_state
    by_choice = sum(stored.get(f"review-{name}", "all") != "all" for name in ("day", "verdict"))
    columns = ("lot", "shift", "station", "part_number", "defect_type", "version")
    by_value = sum(stored.get(f"review-{name}") not in (None, "") for name in columns)
    return by_choice + by_value + bool(entry is not None and stored.get("review-mine"))


def _choice(title: str, options: dict[str, str], key: str) -> str | None:
    found: str | None = st.selectbox(
        title, list(options), format_func=lambda one: options[one], key=key, persist_state="session"
    )
    return found


def _value(column: str, title: str, base: InspectionQuery) -> Any:
    known = review_desk.choices(column, base)
    key = f"review-{column}"
    now = st.session_state.get(key)
    options = [*known, *([now] if now is not None and now not in known else [])]
    if not options:
        return None
    return st.selectbox(title, options, index=None, placeholder="Any", key=key, persist_state="session")


def _version(entry: Entry) -> Any:
    from padim.records.inspection_query import InspectionQuery

    found = review_desk.records()
    rows = found.choices("version_id", InspectionQuery(model_id=entry.id))
    if len(rows) < 2:
        return None
    numbers = {row: number for row in rows if (number := _number(found, row)) is not None}
    return st.selectbox(
        "Version",
        list(numbers),
        index=None,
        placeholder="Any",
        format_func=lambda row: f"Version {numbers.get(row, '?')}",
        key="review-version",
        persist_state="session",
    )


def _number(found: Any, version_id: int) -> int | None:
    from padim.records.inspection_query import InspectionQuery

    items = found.page(InspectionQuery(version_id=version_id), number=1).items
    return items[0].version_number if items else None


def _since(day: str) -> datetime:
    zone = st.context.timezone_offset
    offset = timedelta(minutes=-zone) if zone is not None else timedelta()
    local = datetime.now(UTC) + offset
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) - offset
    return midnight - timedelta(days={"today": 0, "week": 6, "month": 29}[day])


# -- the desk ------------------------------------------------------------------------------------------------


def _desk(mode: DeskMode, order: Any, filters: InspectionQuery) -> None:
    now, who = review_desk.desk(), person.given()
    query = review_desk.asked(mode, filters, who)
    data = review_desk.message(now, mode, query, order, who)
    if not data["items"] and not now.done and not data["refusals"]:
        heading, text = _EMPTY[mode]
        filtered = filters != type(filters)()
        shell.empty(heading, "None of those that wait matches the filters." if filtered else text)
        return
    component.component()(
        key=_DESK,
        data=data,
        on_actions_change=lambda: review_desk.on_actions(
            now, mode, person.given(), viewing.event_value(_DESK, "actions")
        ),
    )
