"""One record in full: image, overlay, what was decided by whom, and what is no longer kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.records.reviews import ReviewEvent, ReviewRecords
from ui import records
from ui.app import clock, shell, workspace
from ui.app.pages import page_of
from ui.app.text import size
from ui.files.media import ServedImage
from ui.widgets import panels, tables
from ui.widgets.panels import Thumb, plain

if TYPE_CHECKING:
    from padim.records.inspection import Inspection

__all__ = ["draw"]

_DECISIONS = {"accept": "Accepted", "reject": "Rejected", "unsure": "Unsure"}


def draw(number: int) -> None:
    """Draw the record with this number, or say that there is none."""
    st.button(
        "Back to the list",
        key="record-back",
        icon=":material/arrow_back:",
        on_click=records.open_record,
        args=(None,),
    )
    one = records.records().get(number)
    if one is None:
        shell.empty(f"There is no record {number}", "It may be of another workspace.")
        return
    st.subheader(plain(one.name), anchor=False)
    badge = panels.badge(one.verdict) if one.verdict != "none" else "no verdict: no threshold"
    waits = " · awaits a person" if one.waits else ""
    st.html(f"<p>{badge} &nbsp;record {one.id}{waits}</p>")
    _shown(one)
    _facts(one)
    if one.regions:
        _regions(one)
    _events(one)
    _kept(one)


def _shown(one: Inspection) -> None:
    shown = records.shown_images(one)
    if shown.image is None:
        shell.empty("No image is kept", "What was decided is below.")
        return
    image = ServedImage(shown.image)
    tiles = [Thumb(image, "Small image" if shown.small else "Image", full=image)]
    if shown.overlay is not None:
        drawn = ServedImage(shown.overlay)
        tiles.append(Thumb(drawn, "Overlay at the threshold", full=drawn))
    with st.container(key="record-images"):
        st.html(panels.gallery(tiles))
    if shown.problem:
        st.warning(
            f"The image that is kept cannot be shown: {plain(shown.problem)}", icon=":material/warning:"
        )


def _facts(one: Inspection) -> None:
    at = "none" if one.threshold is None else f"{one.threshold:.4g}"
    if one.review_above is not None and one.reject_above is not None and one.review_above < one.reject_above:
        at += f" (review from {one.review_above:.4g} to {one.reject_above:.4g})"
    facts = [
        ("Score", f"{one.score:.4g}" + (f", {one.score / one.threshold:.2f} ×" if one.threshold else "")),
        ("Threshold", at),
        ("Scored", f"{clock.when(one.judged)} by {one.who}"),
        *([] if one.taken is None else [("Taken", f"{one.taken:%d %b %Y, %H:%M}")]),
        ("Image", f"{size((one.height, one.width))} px"),
        *(
            (label, value)
            for label, value in (
                ("Serial", one.serial),
                ("Part number", one.part_number),
                ("Lot", one.lot),
                ("Station", one.station),
                ("Shift", one.shift),
            )
            if value
        ),
    ]
    st.html(panels.facts(facts))
    for reason in one.reasons:
        st.markdown(f"- {plain(reason)}")
    for note in one.notes:
        st.caption(f":material/info: {plain(note)}")
    if one.audited:
        st.caption(":material/casino: Drawn at random from the accepted, for a person to look at.")
    _version(one)


def _version(one: Inspection) -> None:
    named = records.version_text(one)
    there = any(entry.id == one.model_id for entry in workspace.store().models())
    if not there:
        st.caption(f"Decided by {plain(named)}. This model is no longer on this server.")
        return
    tabs = {tab.key for tab in page_of("home.py").tabs}
    st.page_link(
        "home.py",
        label=f"Decided by {plain(named)}",
        icon=":material/history:",
        query_params={
            workspace.PARAMETER: one.model_id,
            **({"tab": "versions"} if "versions" in tabs else {}),
        },
    )


def _regions(one: Inspection) -> None:
    st.markdown("**Regions above the threshold**, in pixels of the image")
    st.html(
        tables.table(
            ("No.", "Place (x, y)", "Size", "Area", "Score", "Peak"),
            [
                [
                    tables.Cell(str(number)),
                    tables.Cell(f"{region.x}, {region.y}"),
                    tables.Cell(f"{region.width} × {region.height} px"),
                    tables.Cell(f"{region.area:,} px"),
                    tables.Cell(f"{region.score:.4g}"),
                    tables.Cell(f"{region.peak:.4g}", f"at {region.peak_x}, {region.peak_y}"),
                ]
                for number, region in enumerate(one.regions[:50], start=1)
            ],
        )
    )
    if len(one.regions) > 50:
        st.caption(f"and {len(one.regions) - 50:,} more: the exports have all of them.")


def _events(one: Inspection) -> None:
    events = ReviewRecords(workspace.root()).events(one.id)
    st.markdown("**What people said**")
    if not events:
        st.caption("Nothing yet.")
        return
    undone = {event.undoes for event in events if event.kind == "undo"}
    st.html(
        tables.table(
            ("When", "Who", "What", "Comment"),
            [
                [
                    tables.Cell(clock.when(event.at)),
                    tables.Cell(event.who),
                    tables.Cell(_said(event), "undone later" if event.id in undone else ""),
                    tables.Cell(event.comment),
                ]
                for event in events
            ],
        )
    )
    if one.disagrees:
        st.warning(
            "Two people contradict each other, and nobody has settled it yet.", icon=":material/group:"
        )


def _said(event: ReviewEvent) -> str:
    if event.kind == "undo":
        return "Undid what they had said"
    if event.kind == "comment" or event.decision is None:
        return "Comment"
    decided = _DECISIONS[event.decision] + (f": {event.defect_type}" if event.defect_type else "")
    return f"Second opinion: {decided.lower()}" if event.second else decided


def _kept(one: Inspection) -> None:
    evidence = records.records().evidence(one.id)
    lacks = []
    if not evidence.has_original:
        lacks.append(f"The original image: {evidence.original_gone}.")
    if not evidence.has_map:
        lacks.append(
            "The level map: it is kept of rejects, reviews and audited parts, up to a size. "
            + ("It is made again from the image where its version can." if evidence.has_original else "")
        )
    if lacks:
        st.markdown("**No longer kept, or never was**")
        for lack in lacks:
            st.markdown(f"- {plain(lack.strip())}")
