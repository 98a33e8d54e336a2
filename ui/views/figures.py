"""The Records page's tab Figures: what inspections and decisions add up to, and how sure that is."""

from __future__ import annotations

from datetime import date, datetime

import streamlit as st

from padim.errors import PadimError
from ui import figures
from ui.app import shell, workspace
from ui.app.text import count, percent
from ui.figures import FigureFilter, FigureRun
from ui.views import figure_control, figure_costs, figure_counts, figure_defects, figure_people
from ui.widgets import downloads, panels

__all__ = ["draw"]

_SECTIONS = {
    "counts": ("Counts", figure_counts.draw),
    "missed": ("Missed defects", figure_people.missed),
    "reviewers": ("Reviewers", figure_people.reviewers),
    "defects": ("Defects", figure_defects.draw),
    "rejects": ("Reject rate", figure_control.rejects),
    "drift": ("Drift", figure_control.drift),
    "costs": ("Costs", figure_costs.draw),
}
_ALL = "all"


def draw() -> None:
    """Draw period and filters, the key numbers, and the chosen figure."""
    try:
        models = figures.recorded().models()
        if not models:
            shell.empty("No figures yet", "They come from inspections on record. Inspect images first.")
            if st.button("Open the Inspect page", key="figures-inspect", icon=":material/arrow_forward:"):
                shell.go_to("pages/inspect.py", "run")
            return
        run = figures.read(_chosen(models))
    except PadimError as error:
        shell.failure("The records cannot be read.", error)
        return
    if not len(run.columns):
        st.info(
            "No inspection is within this period and these filters. Choose a longer period, or fewer "
            "filters.",
            icon=":material/filter_alt_off:",
        )
        return
    _key_numbers(run)
    section = st.segmented_control(
        "Figure",
        list(_SECTIONS),
        format_func=lambda key: _SECTIONS[key][0] if key in _SECTIONS else key,
        default="counts",
        required=True,
        key="figures-section",
        persist_state="session",
        label_visibility="collapsed",
    )
    _SECTIONS[section or "counts"][1](run)


def _chosen(models: list[str]) -> FigureFilter:
    recorded = figures.recorded()
    with st.container(horizontal=True, vertical_alignment="bottom", key="figures-filters"):
        model_id = models[0]
        if len(models) > 1:
            entries = workspace.store().models()
            in_use = workspace.in_use(entries)
            names = workspace.distinct_names(entries)
            model_id = st.selectbox(
                "Model",
                models,
                index=models.index(in_use.id) if in_use is not None and in_use.id in models else 0,
                format_func=lambda one: names.get(one) or f"{recorded.model_name(one) or one} (deleted)",
                key="figures-model",
                persist_state="session",
                width=220,
            )
        span = recorded.span(model_id)
        kind = st.selectbox(
            "Period",
            list(figures.PERIODS),
            index=list(figures.PERIODS).index("all" if span is None or _is_old(span[1]) else "month"),
            format_func=lambda key: figures.PERIODS.get(key, key),
            key=f"figures-period-{model_id}",
            persist_state="session",
            width=150,
        )
        dates: tuple[date, ...] = ()
        if kind == "dates" and span is not None:
            here = figures.zone()
            first, last = (moment.astimezone(here).date() for moment in span)
            value = st.date_input(
                "Days",
                (first, last),
                min_value=first,
                max_value=last,
                key=f"figures-dates-{model_id}",
                width=220,
            )
            dates = value if isinstance(value, tuple) else (value,)
        since, before = figures.period(kind, dates)
        texts = {name: _one_of(model_id, name) for name in ("lot", "station", "shift")}
        version = _version(model_id)
        downloads.csv_form()
    return FigureFilter(model_id, since, before, **texts, version_id=version)


def _is_old(last: datetime) -> bool:
    since, _ = figures.period("month")
    return since is not None and last < since


def _one_of(model_id: str, column: str) -> str:
    from padim.records.inspections import InspectionQuery, InspectionRecords

    values = InspectionRecords(workspace.root()).choices(column, InspectionQuery(model_id=model_id))  # type: ignore[arg-type]
    if not values:
        return ""
    chosen = st.selectbox(
        column.capitalize(),
        ["", *values],
        format_func=lambda one: one or "All",
        key=f"figures-{column}-{model_id}",
        persist_state="session",
        width=140,
    )
    return chosen or ""


def _version(model_id: str) -> int | None:
    versions = figures.recorded().versions(model_id)
    if len(versions) < 2:
        return None
    return st.selectbox(
        "Version",
        [None, *sorted(versions, key=lambda row: -versions[row].number)],
        format_func=lambda row: "All" if row is None else f"Version {versions[row].number}",
        key=f"figures-version-{model_id}",
        persist_state="session",
        width=130,
    )


def _key_numbers(run: FigureRun) -> None:
    from padim.records.figures.counts import count_inspections

    counts = count_inspections(run.columns)
    escapes = figure_people.estimate(run.columns)
    overkill = counts.overkill_rate
    facts = [
        ("Inspected", f"{counts.inspected:,}"),
        ("Rejected", f"{counts.rejected:,} ({percent(counts.reject_rate.share)})")
        if counts.reject_rate.of
        else ("Rejected", "no threshold"),
        ("In review", f"{counts.in_review:,}"),
        ("Confirmed rejects", f"{counts.confirmed:,}"),
        (
            "False rejects (overkill)",
            f"{counts.overkill:,}"
            + (f" ({percent(overkill.share)} of those decided)" if overkill.of else ""),
        ),
        (
            "Missed defects (escapes)",
            "no audit yet"
            if escapes.share is None
            else f"about {escapes.total:,.0f} ({figures.between(escapes.low, escapes.high)} of the accepted)",
        ),
        ("Open", f"{counts.open:,}"),
    ]
    st.html(panels.facts(facts))
    if counts.undecidable:
        st.caption(
            f"{count(counts.undecidable, 'inspection')} by a model without a threshold: neither accepted nor "
            "rejected, and in no rate."
        )
