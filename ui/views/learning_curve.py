"""The section of the Fit page, tab Result, on how many good parts a model needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import learning_curve, measurement_page
from ui.app.text import count
from ui.jobs import watch
from ui.widgets import charts, downloads, file_account, learning_chart, panels, tables

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.learning_curve import CurveRun, DefectSource

_MOST_DRAWS = 20


def draw(entry: Entry, model: Padim) -> None:
    """Draw the section: the settings, the running job or the learning curve."""
    from padim.analysis.learning_advice import odd_parts
    from padim.analysis.learning_curve import good_parts

    st.subheader("How many good parts do I need?")
    st.caption(
        "The model is fitted again on random subsets of its own good parts. Each fit takes its own honest "
        "threshold, so that the curve shows what more good parts have brought, and whether still more would "
        "bring anything."
    )
    parts = good_parts(model)
    job = learning_curve.runs().job(entry)
    if job is not None and job.running:
        watch.watch(job)
        return
    found = measurement_page.result(
        job,
        "The learning curve was not drawn.",
        "Stopped. Figures over some of the subsets would say less than they seem to, so there are none.",
    )
    changed = "" if found is None else found.outdated(entry, model)
    if changed == "model":
        st.info("The model has changed since. Draw the curve again.", icon=":material/info:")
        found = None
    elif changed:
        st.warning(
            f"The percentile has changed since. What follows is for {found.curve.permille / 10:g} %; draw "
            "the curve again for the one in use.",
            icon=":material/warning:",
        )
    if found is None:
        st.markdown(odd_parts(model.decision.choice.permille, parts))
        _set_up(entry, model, parts, again=False)
        return
    _results(entry, model, found)
    with st.expander("Draw it again", icon=":material/tune:"):
        _set_up(entry, model, parts, again=True)


def _cannot(model: Padim) -> str:
    """Return the reason why no curve can be computed, as Markdown; empty if it can."""
    from padim.analysis.learning_curve import check_model

    try:
        check_model(model)
    except PadimError as error:
        text = panels.plain(str(error))
        return f"{text[:1].upper()}{text[1:]}."
    if not model.working_set.has_features:
        return (
            "The working features were deleted or cannot be used. “Give the same images again” on the Fit "
            "page brings them back; until then no subset can be fitted."
        )
    return ""


def _set_up(entry: Entry, model: Padim, parts: int, *, again: bool) -> None:
    cannot = _cannot(model)
    if cannot:
        st.info(cannot, icon=":material/info:")
        return
    from padim.analysis.learning_curve import fits_of

    labeled = len(learning_curve.defects(entry))
    sources: dict[DefectSource, str] = {}
    if labeled:
        sources["labelled"] = f"{count(labeled, 'defect')} labelled on Calibrate"
    sources |= {"painted": "Painted defects", "none": "No defects"}
    source: DefectSource = st.segmented_control(
        "Count what is caught on",
        list(sources),
        format_func=lambda key: sources[key],
        default=next(iter(sources)),
        required=True,
        wrap=True,
        # The key changes once there are labeled defects, so that they become the default.
        key=f"learning-{entry.id}-source-{bool(labeled)}",
        persist_state="session",
        help="Real defects tell most: bring or label some on the Calibrate page. Painted ones are an "
        "indication only. Without any, the curve shows thresholds and false rejects.",
    )
    draws = st.number_input(
        "Subsets of each size",
        min_value=1,
        max_value=_MOST_DRAWS,
        value=5,
        width=190,
        key="learning-draws",
        persist_state="session",
        help="More make the ranges truer, and take longer in proportion.",
    )
    if st.button(
        "Draw the curve again" if again else "Draw the curve",
        key="learning-start",
        type="primary",
        icon=":material/play_arrow:",
    ):
        learning_curve.start(entry, model, source, int(draws))
        st.rerun()
    st.caption(
        f"{count(fits_of(parts, int(draws)), 'fit')} on subsets of {parts:,} good parts, from the "
        "features on disk: the network runs only for the defects."
        + (
            " A few of the good parts are painted on and stay out of every subset."
            if source == "painted"
            else ""
        )
    )


def _results(entry: Entry, model: Padim, found: CurveRun) -> None:
    from padim.analysis.learning_advice import band_note, odd_parts, outlook, painted_note
    from padim.decision.calibration import parts_needed

    curve = found.curve
    file_account.draw(found.failed)
    trend = None if curve.gain is None else curve.gain.trend
    text = f"{outlook(curve)}\n\n{odd_parts(curve.permille, curve.parts)}"
    if trend == "flattened":
        st.success(text, icon=":material/check:")
    else:
        st.info(text, icon=":material/trending_up:" if trend == "rising" else ":material/info:")
    enough = parts_needed(curve.permille, 1)
    halves = st.grid(min_column_width=400, gap="medium", key="learning-halves")
    if curve.defects is not None:
        with halves.cell():
            st.plotly_chart(learning_chart.caught(curve, enough), config=charts.CONFIG, key="learning-caught")
    with halves.cell():
        st.plotly_chart(
            learning_chart.false_rejects(curve, enough), config=charts.CONFIG, key="learning-false"
        )
    note = painted_note(curve)
    marked = curve.sizes[0].parts < enough <= curve.parts
    st.caption(
        "Lines are means over the subsets of a size, shaded from the smallest to the largest."
        + (f" From {enough:,} on (dashed) one odd part no longer decides the threshold." if marked else "")
        + (f" {note}" if note else "")
    )
    if band := band_note(model):
        st.caption(band)
    if curve.passed_over:
        st.caption(f"{count(curve.passed_over, 'image')} passed over: good parts of the model.")
    st.html(tables.table(*learning_curve.rows(curve)))
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.csv_form()
        downloads.button(
            "Figures (CSV)",
            partial(learning_curve.figures_csv, found, entry),
            f"{entry.name} learning curve",
            ".csv",
            key="learning-csv",
        )
        downloads.button(
            "All of it (JSON)",
            partial(learning_curve.document, found, entry),
            f"{entry.name} learning curve",
            ".json",
            key="learning-json",
        )
