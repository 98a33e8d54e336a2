"""The Light and fixture tab of the Validate page: changes of light, camera and fixture that are tolerated."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import measurement_page, robustness
from ui.app import reruns, workspace
from ui.app.text import count
from ui.widgets import charts, downloads, file_account, panels, robustness_charts, tables

if TYPE_CHECKING:
    from padim.analysis.image_changes import ChangeKind
    from padim.data.labeled_images import LabeledImages
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.robustness import RobustnessRun

_NOTE = (
    "Labelled images as on Test set: one folder **good** and one for each kind of defect, MVTec "
    "AD’s or VisA’s layout, or a CSV. Images of good parts alone will do; then only false rejects "
    "are counted."
)


# -- images and settings -------------------------------------------------------------------------------


def _choose_images(entry: Entry) -> None:
    measurement_page.choose_images_for(
        robustness.runs(),
        entry,
        robustness.UPLOADER,
        "labelled images, or good parts",
        note=_NOTE,
        sample="Good parts and five kinds of defects.",
    )


def _severities() -> dict[ChangeKind, tuple[float, ...]] | None:
    """Draw the choice of changes and severities, and return it; None while it is not valid."""
    from padim.analysis.image_changes import SEVERITIES

    kinds = st.pills(
        "Changes to try",
        list(robustness.CHANGES),
        selection_mode="multi",
        wrap=True,
        default=list(robustness.CHANGES),
        format_func=lambda kind: robustness.CHANGES[kind].name,
        key="robustness-kinds",
        persist_state="session",
        help="\n\n".join(f"**{change.name}**: {change.about}." for change in robustness.CHANGES.values()),
    )
    wrong: list[str] = []
    chosen: dict[ChangeKind, tuple[float, ...]] = {}
    with st.expander("How far each change goes", icon=":material/tune:"):
        fields = st.grid(min_column_width=230, gap="small", key="robustness-severities")
        for kind, change in robustness.CHANGES.items():
            if kind not in kinds:
                continue
            with fields.cell():
                text = st.text_input(
                    f"{change.name} ({change.unit})",
                    ", ".join(f"{severity:g}" for severity in SEVERITIES[kind]),
                    key=f"robustness-severities-{kind}",
                    persist_state="session",
                )
            try:
                chosen[kind] = robustness.severities_of(kind, text)
            except PadimError as error:
                wrong.append(str(error))
    if not kinds:
        wrong.append("Choose at least one change.")
    for text in wrong:
        st.error(panels.plain(text), icon=":material/error:")
    return None if wrong else chosen


def _shows(images: LabeledImages) -> LabeledImages:
    """Ask what the images show if none is labeled as good, because a folder's name need not be a label."""
    if images.good:
        return images
    kinds = sorted(set((images.kinds or {}).values()))
    named = ", ".join(f"“{kind}”" for kind in kinds[:3])
    shows = st.segmented_control(
        f"No folder is called good; the images lie under {named}. What do they show?",
        ["good", "defects"],
        format_func={"good": "Good parts", "defects": "Defects"}.__getitem__,
        default="good" if len(kinds) == 1 else "defects",
        required=True,
        key=f"robustness-shows-{images.label}",
    )
    return images.all_good() if shows == "good" else images


def _set_up(entry: Entry, model: Padim, images: LabeledImages, *, again: bool) -> None:
    images = _shows(images)
    facts = [("Images", images.label), ("Good parts", f"{images.good:,}")]
    facts.append(("Defects", f"{images.defects:,}"))
    facts.append(("Labels", images.layout or "none: all are taken for good parts"))
    st.html(panels.facts(facts))
    severities = _severities()
    most = st.number_input(
        "Good parts, and defects, at most",
        min_value=1,
        max_value=10_000,
        value=60,
        width=260,
        key="robustness-most",
        persist_state="session",
        help="Of more images so many are taken, evenly over all. More make the intervals narrower and the "
        "run longer.",
    )
    if severities is not None:
        st.caption(f"{count(robustness.to_score(images, int(most), severities), 'image')} to score.")
    if measurement_page.started(
        "robustness",
        "Score under changes again" if again else "Score under changes",
        ready=severities is not None,
        clear=partial(robustness.runs().clear, entry),
    ):
        assert severities is not None
        robustness.start(entry, model, images, severities, int(most))
        st.rerun()


# -- results ---------------------------------------------------------------------------------------------


def _about(found: RobustnessRun) -> None:
    result = found.result
    limit = "nothing" if result.limit is None else f"at most {result.limit * 100:.1f} % good parts rejected"
    st.html(
        panels.facts(
            [
                ("Images", found.label),
                ("Scored", robustness.counts_text(found)),
                ("Threshold", f"{found.threshold:.2f}"),
                ("It promises", limit),
            ]
        )
    )
    if result.in_fit:
        st.info(
            f"{count(result.in_fit, 'good part')} passed over: the model was fitted on "
            f"{'it' if result.in_fit == 1 else 'them'}, and it rejects fewer of those than of new ones.",
            icon=":material/info:",
        )
    file_account.draw(found.failed, found.passed_over)


def _tolerance(found: RobustnessRun, margin: float) -> None:
    st.subheader("What the model tolerates", anchor=False)
    st.markdown(robustness.summary(found.result, margin))
    st.html(tables.table(*robustness.table(found.result, margin)))
    st.caption(
        robustness.tolerated_changes(found.result, margin),
        help="A change is tolerated up to the largest severity tried at which, and at every milder one, this "
        "holds. The shares are estimated as never falling with the severity. The 95 % interval is from "
        "resampled images; where a single image would decide, no limit is stated.",
    )
    if found.result.guard is not None:
        from padim.analysis.robustness import BAND_NOTE

        st.caption(f"{BAND_NOTE[:1].upper()}{BAND_NOTE[1:]}.")


def _small_multiples(found: RobustnessRun, margin: float) -> None:
    from padim.analysis.image_changes import words

    result = found.result
    st.subheader("Against severity", anchor=False)
    legend = []
    if result.good:
        legend.append(panels.Bar("False rejects", "", 0, robustness_charts.REJECTED))
    if result.defects:
        legend.append(panels.Bar("Defects caught", "", 0, robustness_charts.CAUGHT))
    if result.limit is not None and result.good:
        legend.append(panels.Bar("Expected at most", "false rejects (overkill)", 0, robustness_charts.LIMIT))
    legend.append(panels.Bar("Tolerated", "shaded", 0, robustness_charts.TOLERATED))
    st.html(panels.legend(legend))
    places = st.grid(min_column_width=265, gap="small", key="robustness-charts")
    for series in result.series:
        change = robustness.CHANGES[series.kind]
        with places.cell():
            st.markdown(f"**{change.name}**")
            st.plotly_chart(
                robustness_charts.against_severity(
                    robustness_charts.ChangeLine("good parts rejected", series.false_rejects),
                    robustness_charts.ChangeLine("defects caught", series.caught),
                    ticks=robustness.ticks(series),
                    text=[words(series.kind, severity) for severity in series.severities],
                    title=change.axis,
                    limit=result.limit if result.good else None,
                    tolerated=robustness.tolerated_up_to(series, result.limit, margin),
                ),
                config=charts.CONFIG,
                key=f"robustness-chart-{series.kind}",
            )
    st.caption("The thin lines are 95 % intervals: with few images they are wide.")


def _examples(found: RobustnessRun) -> None:
    if not found.examples:
        return
    st.subheader("What the changes look like", anchor=False)
    kind = st.segmented_control(
        "Change",
        list(found.examples),
        format_func=lambda key: robustness.CHANGES[key].name,
        default=next(iter(found.examples)),
        required=True,
        wrap=True,
        key=f"robustness-change-{'-'.join(found.examples)}",
        label_visibility="collapsed",
    )
    st.html(panels.gallery(robustness.thumbs(found.examples[kind])))
    from padim.analysis.robustness_examples import PIXEL_FOR_PIXEL

    what = "a good part" if found.shown_kind == "good" else f"a defect ({found.shown_kind})"
    piece = " A piece of its middle, pixel for pixel." if kind in PIXEL_FOR_PIXEL else ""
    st.caption(panels.plain(f"{found.shown}, {what}.{piece}"))


def _downloads(found: RobustnessRun, entry: Entry, margin: float) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.csv_form()
        downloads.button(
            "Figures (CSV)",
            partial(robustness.figures_csv, found, entry),
            f"{entry.name} robustness",
            ".csv",
            key="robustness-csv",
        )
        downloads.button(
            "All of it (JSON)",
            partial(robustness.document, found, entry, margin),
            f"{entry.name} robustness",
            ".json",
            key="robustness-json",
        )


@st.fragment
def _results(entry: Entry, found: RobustnessRun) -> None:
    # Most clicks run only this fragment, with the model that it was first called with.
    if workspace.changed(entry):
        reruns.run_page()
    from padim.analysis.robustness import MARGIN

    top = st.container()
    margin = MARGIN
    if found.result.defects:
        lost = st.number_input(
            "Defects that may be lost, in 100",
            min_value=1,
            max_value=100,
            value=round(MARGIN * 100),
            width=260,
            key="robustness-margin",
            persist_state="session",
            help="A change that loses as many of the defects caught before, or more, is not tolerated.",
        )
        margin = lost / 100
    with top:
        _about(found)
        _tolerance(found, margin)
    _small_multiples(found, margin)
    _examples(found)
    _downloads(found, entry, margin)


def _page() -> measurement_page.Page:
    return measurement_page.Page(
        name="robustness",
        runs=robustness.runs(),
        why_threshold="Whether a changed image is rejected is a matter of the threshold.",
        not_done="These images were not scored.",
        stopped="Stopped. Figures over some of the images would say nothing, so there are none.",
        do_again="Score the images again.",
        again="score again",
        nothing_yet=(
            "No images yet",
            "This page makes images brighter, darker, blurred, displaced and so on, more and more, and "
            "says how much of it the model tolerates before it rejects good parts or misses defects.",
        ),
        choose_images=_choose_images,
        set_up=_set_up,
        results=_results,
    )


def draw(entry: Entry) -> None:
    """Draw the tab for a model."""
    _page().show(entry)
