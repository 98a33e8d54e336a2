"""The Records page's tab Records: all inspections on record, filtered, page by page; one opened in full."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import PadimError
from padim.records.inspection_query import InspectionOrder, InspectionQuery
from ui import records
from ui.app import preload, shell, workspace
from ui.views import evidence_settings, record, record_exports

if TYPE_CHECKING:
    from padim.records.inspection import Inspection

__all__ = ["draw"]

VERDICTS = {"reject": "Reject", "review": "Review", "accept": "Accept", "none": "No threshold"}
DECISIONS = {"reject": "Rejected", "accept": "Accepted", "unsure": "Unsure", "": "Not decided"}
ORDERS: dict[InspectionOrder, str] = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "worst": "Worst first",
    "nearest": "Nearest first",
}
# The filters behind "More filters": key of the widget, column, label.
_MORE = (
    ("records-part-number", "part_number", "Part number"),
    ("records-lot", "lot", "Lot"),
    ("records-station", "station", "Station"),
    ("records-shift", "shift", "Shift"),
    ("records-type", "defect_type", "Type of defect"),
)


def draw() -> None:
    """Draw the tab."""
    try:
        if (number := records.opened()) is not None:
            record.draw(number)
        else:
            _list()
    except PadimError as error:
        shell.failure("The records cannot be read.", error)


def _list() -> None:
    store = records.records()
    if not store.page(number=1).items:
        shell.empty("No records yet", "Every image that is inspected is put on record. Inspect images first.")
        st.page_link(
            "pages/inspect.py",
            label="Inspect images",
            icon=":material/arrow_forward:",
            query_params=workspace.link(),
        )
        evidence_settings.draw()
        return
    query, order = _filters()
    number, all_of_them = store.count(query), store.count()
    page = records.page(query, order)
    if not page.items and not number:
        st.info("No record is like that.", icon=":material/info:")
    else:
        _table(page.items)
        _pager(page.next, number, all_of_them)
    record_exports.draw(query, number)
    evidence_settings.draw()


def _filters() -> tuple[InspectionQuery, InspectionOrder]:
    offered = records.choices()
    no_days: Any = ()
    with st.container(horizontal=True, vertical_alignment="bottom", key="records-filters"):
        contains = st.text_input(
            "Name or serial number",
            key="records-contains",
            persist_state="session",
            placeholder="contains …",
            icon=":material/search:",
            width=190,
        )
        days = st.date_input(
            "Day, or first and last",
            value=no_days,
            format="YYYY-MM-DD",
            key="records-days",
            persist_state="session",
            width=218,
        )
        verdict = _select("Verdict", "records-verdict", list(VERDICTS), VERDICTS, 126)
        decision = _select("Decision", "records-decision", list(DECISIONS), DECISIONS, 136)
        chosen = sum(bool(st.session_state.get(key)) for key, _, _ in _MORE)
        chosen += st.session_state.get("records-version") is not None
        with st.popover(
            f"More filters ({chosen})" if chosen else "More filters",
            icon=":material/tune:",
            key="records-more",
        ):
            more = {column: _select(label, key, offered.of[column], {}, 260) for key, column, label in _MORE}
            version = _select("Version", "records-version", list(offered.versions), offered.versions, 260)
        order = st.selectbox(
            "Order",
            list(ORDERS),
            format_func=lambda one: ORDERS[one],
            key="records-order",
            help="Worst and nearest: by what decides, as a multiple of the threshold.",
            persist_state="session",
            width=176,
        )
    query = InspectionQuery(
        verdicts=None if verdict is None else (verdict,),
        decision=decision,
        version_id=version,
        contains=str(contains or ""),
        **more,
    )
    return records.within(days, query), order


def _select(label: str, key: str, options: list[Any], words: dict[Any, str], width: int) -> Any:
    """Draw a filter that is off until something is chosen."""
    # A value that is no longer there, after records of another workspace, counts as none.
    if key in st.session_state and st.session_state[key] not in (None, *options):
        del st.session_state[key]
    return st.selectbox(
        label,
        options,
        format_func=lambda one: words.get(one, str(one)),
        index=None,
        placeholder="Any",
        key=key,
        persist_state="session",
        width=width,
    )


def _table(items: tuple[Inspection, ...]) -> None:
    preload.table()
    small = records.records().thumbnails([one.id for one in items])
    rows = [_row(one, small.get(one.id)) for one in items]
    # Columns that say nothing on this page are left out.
    optional = ("Serial", "Part number", "Lot", "Station", "Shift", "Decision", "Type", "By", "Version")
    shown = [name for name in rows[0] if name not in optional or any(row[name] for row in rows)]
    now = records.pages()
    chosen = st.dataframe(
        [{name: row[name] for name in shown} for row in rows],
        key=f"records-table-{now.opened}-{len(now.begins)}-{items[0].id}-{len(items)}",
        hide_index=True,
        row_height=48,
        height=min(640, 40 + 48 * len(rows)),
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Image": st.column_config.ImageColumn("Image", width="small"),
            "Scored": st.column_config.DatetimeColumn(
                format="D MMM YYYY, HH:mm:ss", timezone=st.context.timezone
            ),
            "By": st.column_config.TextColumn(width="small"),
            "Score": st.column_config.NumberColumn(
                format="%.2f ×", help="As a multiple of the threshold at which it was decided."
            ),
        },
    )
    selected = chosen["selection"]["rows"] if chosen else []
    if selected and selected[0] < len(items):
        records.open_record(items[selected[0]].id)
        st.rerun()


def _row(one: Inspection, small: bytes | None) -> dict[str, Any]:
    by = one.decided_by or ""
    return {
        "Image": f"data:image/jpeg;base64,{base64.b64encode(small).decode()}" if small else None,
        "Name": one.name,
        "Scored": one.judged,
        "Verdict": VERDICTS[one.verdict],
        "Score": one.score / one.threshold if one.threshold else None,
        "Decision": "" if one.decision is None else DECISIONS[one.decision],
        "Type": one.defect_type,
        "By": by,
        "Serial": one.serial,
        "Part number": one.part_number,
        "Lot": one.lot,
        "Station": one.station,
        "Shift": one.shift,
        "Version": records.version_text(one),
    }


def _pager(after: str | None, number: int, all_of_them: int) -> None:
    now = records.pages()
    first = (len(now.begins) - 1) * records.PAGE + 1
    last = min(first + records.PAGE - 1, number)
    of = f"{number:,}" if number == all_of_them else f"{number:,} found, of {all_of_them:,} on record"
    with st.container(horizontal=True, vertical_alignment="center", key="records-pager"):
        st.button(
            "Previous",
            key="records-previous",
            icon=":material/chevron_left:",
            disabled=len(now.begins) == 1,
            on_click=records.turn,
            args=(None,),
        )
        st.button(
            "Next",
            key="records-next",
            icon=":material/chevron_right:",
            disabled=after is None,
            on_click=records.turn,
            args=(after,),
        )
        st.caption(f"{first:,} to {last:,} of {of}. Click the box before a row to open its record.")
