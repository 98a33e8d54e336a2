"""Figures, Costs: what a verdict says about a part, what errors cost a day, and the cheapest threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from padim.errors import PadimError
from ui.app import person, shell, workspace
from ui.app.text import count, percent
from ui.figures import FigureRun, FigureTable
from ui.views import figure_control
from ui.widgets import charts, figure_charts, figure_table, panels

if TYPE_CHECKING:
    from padim.records.figures.error_costs import CheapestThreshold, ErrorCostSettings

# With fewer confirmed defects, where a threshold is cheapest is a guess.
_FEW_DEFECTS = 10


def draw(run: FigureRun) -> None:
    """Draw the typed costs, predictive values, and the cost of every threshold."""
    from padim.records.figures.error_costs import ErrorCostSettings
    from padim.records.workspace_settings import WorkspaceSettings

    settings = WorkspaceSettings(workspace.root(), run.model_id)
    try:
        typed = settings.get(ErrorCostSettings)
        is_set = settings.is_set(ErrorCostSettings)
    except PadimError as error:
        shell.failure("The costs cannot be read.", error)
        return
    new = _form(run.model_id, typed)
    if new is not None:
        try:
            settings.set(new, person.name())
        except PadimError as error:
            shell.failure("The costs are not saved.", error)
            return
        st.rerun()
    if not is_set:
        st.caption("These are examples until you save your own.")
    _figures(run, typed)


def _form(model_id: str, typed: ErrorCostSettings) -> ErrorCostSettings | None:
    """Draw the form; return what was typed when it is saved."""
    from padim.records.figures.error_costs import ErrorCostSettings

    with st.form(f"figures-costs-{model_id}"), st.container(horizontal=True, vertical_alignment="bottom"):
        defective = st.number_input(
            "Defective parts (%)",
            min_value=0.0001,
            max_value=99.0,
            value=typed.defective * 100,
            format="%.4g",
            width=160,
            key=f"figures-defective-{model_id}",
            help="Of the production, not of the images inspected here.",
        )
        volume = st.number_input(
            "Parts a day",
            min_value=1,
            max_value=100_000_000,
            value=typed.parts_per_day,
            width=150,
            key=f"figures-volume-{model_id}",
        )
        false_reject = st.number_input(
            "Cost of a false reject",
            min_value=0.0,
            max_value=1e9,
            value=typed.false_reject,
            format="%.10g",
            width=180,
            key=f"figures-false-{model_id}",
            help="In any one currency: a second look, or a good part thrown away.",
        )
        missed = st.number_input(
            "Cost of a missed defect",
            min_value=0.0,
            max_value=1e9,
            value=typed.missed_defect,
            format="%.10g",
            width=180,
            key=f"figures-miss-{model_id}",
            help="In the same currency: a complaint, or a recall.",
        )
        saved = st.form_submit_button("Save", key=f"figures-costs-save-{model_id}")
    if not saved:
        return None
    if false_reject == 0 and missed == 0:
        st.error("One of the two errors must cost something.", icon=":material/error:")
        return None
    return ErrorCostSettings(
        defective=defective / 100, parts_per_day=volume, false_reject=false_reject, missed_defect=missed
    )


def _figures(run: FigureRun, typed: ErrorCostSettings) -> None:
    from padim.records.figures.defect_weights import confirmed_defects
    from padim.records.figures.error_costs import cheapest_threshold, predictive_values

    model = figure_control.model_of(run)
    good = None if model is None else figure_control.held_out(model)
    if model is None or good is None or model.current_threshold is None:
        return
    entry = next(one for one in workspace.store().models() if one.id == run.model_id)
    identity = workspace.scoring_identity(entry)
    same = [row for row, one in run.versions.items() if one.scoring_identity == identity]
    columns = run.columns.where(np.isin(run.columns.version_id, [-1, *same]))
    defects = confirmed_defects(columns)
    if not len(defects.rows):
        st.info(
            "No decisions yet: nobody has confirmed a defect that the model as it is now has scored, so "
            "what it "
            "catches is not known. Decide rejects on Inspect, Review.",
            icon=":material/info:",
        )
        return
    found = cheapest_threshold(
        good, columns.score_level[defects.rows], defects.weights, typed.costs(), model.current_threshold.level
    )
    values = predictive_values(typed.defective, found.false_rejects_in_use, found.misses_in_use)
    value = model.state.fitted.quantizer.to_value
    a_day = typed.parts_per_day
    st.html(
        panels.facts(
            [
                ("A rejected part is defective (PPV)", _share(values.positive)),
                ("An accepted part is good (NPV)", _share(values.negative)),
                ("Rejected a day", f"{values.rejected * a_day:,.0f} of {a_day:,}"),
                ("Errors cost a day", f"{found.in_use * a_day:,.2f}"),
                ("Cheapest threshold", f"{value(found.level):.2f}"),
                ("Threshold in use", f"{value(model.current_threshold.level):.2f}"),
            ]
        )
    )
    st.markdown(_sentence(found, a_day, value(found.level)))
    shown = found.levels
    costs = found.cost * a_day
    st.plotly_chart(
        figure_charts.cost_curve(
            [value(int(one)) for one in shown],
            costs.tolist(),
            in_use=(value(model.current_threshold.level), found.in_use * a_day),
            best=(value(found.level), found.lowest * a_day),
        ),
        config=charts.CONFIG,
        key="figures-cost",
    )
    rows = [
        (round(value(int(level)), 4), round(float(cost), 4)) for level, cost in zip(shown, costs, strict=True)
    ]
    figure_table.draw(FigureTable.of(("threshold", "cost a day"), rows), "cost of thresholds", "costs")
    audit = (
        "Defects that the threshold in use accepts are known from the random audit, and each stands for many."
        if found.passed
        else "No audited image was a defect below the threshold in use: what a lower threshold would catch "
        "on top "
        "is not in this figure, so the cheapest threshold may be too high."
    )
    st.caption(
        f"From {count(found.good, 'good part')}, each scored without itself (false rejects (k + 1) / "
        f"(n + 1), as promised) and {count(found.defects, 'confirmed defect')}. {audit} "
        "A guard band is not counted."
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.4g} %"


def _sentence(found: CheapestThreshold, a_day: int, threshold: float) -> str:
    low, high = (end * a_day for end in found.saving)
    text = (
        f"At the threshold in use {percent(found.false_rejects_in_use)} of the good parts are expected to be "
        f"rejected, and {percent(found.misses_in_use)} of the defects accepted. "
    )
    saved = (found.in_use - found.lowest) * a_day
    if saved <= 1e-9 * max(1.0, found.in_use * a_day):
        text += "No threshold is cheaper on these scores."
    else:
        least = f"{-low:,.2f} more to {high:,.2f} less" if low < 0 else f"{low:,.2f} to {high:,.2f} less"
        text += (
            f"At {threshold:.2f} errors would cost {saved:,.2f} less a day (95 % interval: {least}; "
            "optimistic, because it was chosen on these scores)."
        )
        if low <= 0:
            text += " By chance alone the difference could be none."
    if found.defects < _FEW_DEFECTS:
        text += f" {count(found.defects, 'defect')} are few: take it for a hint."
    return text
