"""Figures of what people say: missed defects by the random audit, and how far reviewers agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui import figures
from ui.app.text import count, percent
from ui.figures import FigureRun, FigureTable
from ui.views import figure_counts
from ui.widgets import charts, figure_charts, figure_table

if TYPE_CHECKING:
    from padim.records.figures.escapes import EscapeEstimate
    from padim.records.figures.inspection_columns import InspectionColumns


def estimate(columns: InspectionColumns) -> EscapeEstimate:
    """Return the missed defects among the accepted of some inspections."""
    from padim.records.figures.escapes import estimate_escapes

    accepted = columns.where(columns.verdict == "accept")
    decided = (accepted.decision == "accept") | (accepted.decision == "reject")
    return estimate_escapes(
        accepted.audit_probability, accepted.audited, decided, accepted.decision == "reject"
    )


def missed(run: FigureRun) -> None:
    """Draw the estimated share of missed defects, by group."""
    from padim.records.figures.grouping import grouped

    whole = estimate(run.columns)
    if whole.share is None:
        waiting = f" {count(whole.waiting, 'image')} drawn for it await a person." if whole.waiting else ""
        st.info(
            "No audit yet: nobody has looked at accepted images drawn at random, so nothing can be said "
            "about "
            f"missed defects.{waiting} They are among those that await a person on Inspect, Review.",
            icon=":material/casino:",
        )
        return
    by = figure_counts.grouping("missed", ("day", "lot", "station", "version"))
    st.markdown(_sentence(whole))
    groups = grouped(run.columns, by, run.zone, run.version_labels())  # type: ignore[arg-type]
    found = [estimate(run.columns.where(group.rows)) for group in groups]
    labels = [group.label or "not named" for group in groups]
    st.plotly_chart(
        figure_charts.share_points(
            labels,
            [one.share for one in found],
            [(one.low, one.high) for one in found],
            title="missed defects of the accepted",
            notes=[
                f"{label}: {one.found:,} in {one.audited:,} audited, "
                f"{figures.between(one.low, one.high)} of {one.accepted:,} accepted"
                for label, one in zip(labels, found, strict=True)
            ],
        ),
        config=charts.CONFIG,
        key="figures-missed",
    )
    rows = [
        (
            label,
            one.accepted + one.not_covered,
            one.audited,
            one.waiting,
            one.found,
            None if one.total is None else round(one.total, 1),
            None if one.share is None else round(one.share * 100, 2),
            round(one.low * 100, 2),
            round(one.high * 100, 2),
        )
        for label, one in zip(labels, found, strict=True)
    ]
    columns = (
        "group",
        "accepted",
        "audited and decided",
        "audits open",
        "defects found",
        "missed, estimated",
    )
    figure_table.draw(
        FigureTable.of((*columns, *figures.RATE_COLUMNS), rows), f"missed defects by {by}", "missed"
    )
    st.caption("Groups without a decided audit have no point. Lines are 95 % intervals.")


def _sentence(found: EscapeEstimate) -> str:
    assert found.share is not None
    assert found.total is not None
    text = (
        f"In {count(found.audited, 'accepted image')} drawn at random, people found "
        f"{count(found.found, 'defect')}: of the {found.accepted:,} accepted about {found.total:,.0f} "
        f"({percent(found.share)}) are missed defects (escapes), with 95 % confidence "
        f"{figures.between(found.low, found.high)}."
    )
    if found.probabilities > 1:
        text += (
            f" Images were drawn with {found.probabilities} different probabilities, for which the weights "
            f"of "
            "the estimate make up; the interval is a wide one that covers at least as often as it says."
        )
    if found.waiting:
        text += f" {found.waiting:,} more that were drawn are not decided, and taken to be like the others."
    if found.not_covered:
        text += f" The other {found.not_covered:,} accepted are not covered: none of their kind was audited."
    return text


def reviewers(run: FigureRun) -> None:
    """Draw how far first and second opinions agree."""
    from padim.records.figures.agreement import agreement_of

    both = run.columns.where((run.columns.decision != "") & (run.columns.second_decision != ""))
    if not len(both):
        st.info(
            "No second opinions yet. On Inspect, Review, a second person can decide the same images without "
            "seeing the first decision; how far the two agree shows how far decisions can be relied on.",
            icon=":material/group:",
        )
        return
    found = agreement_of(both.decision.tolist(), both.second_decision.tolist())
    text = (
        f"On {found.equal:,} of {count(found.pairs, 'image')} with two opinions the decisions are the same "
        f"({percent(found.equal / found.pairs)}). "
    )
    if found.kappa is None or found.low is None or found.high is None:
        text += (
            "Cohen’s kappa is undefined: both people have given one and the same decision throughout, so "
            "there "
            "is nothing to tell agreement from chance by."
        )
    else:
        text += (
            f"Cohen’s kappa, the agreement beyond chance, is {found.kappa:.2f} (95 % interval "
            f"{found.low:.2f} "
            f"to {found.high:.2f}): 0 is chance, 1 is full agreement."
        )
    if found.pairs < 30:
        text += " That is few: look again when there are more."
    st.markdown(text)
    st.plotly_chart(figure_charts.agreement_table(found), config=charts.CONFIG, key="figures-agreement")
    rows = [
        (first, second, int(found.table[row, column]))
        for row, first in enumerate(found.categories)
        for column, second in enumerate(found.categories)
    ]
    figure_table.draw(
        FigureTable.of(("first decision", "second opinion", "inspections"), rows), "reviewers", "reviewers"
    )
    st.caption(
        "Second opinions are given on chosen images, so they say nothing about the share of easy ones. The "
        "first decision is the one that counts: where somebody has settled a disagreement, the settled one."
    )
