"""The Smallest defect tab of the Validate page: from which size and contrast painted defects are caught."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.input_size import as_text
from ui import measurement_page, sensitivity
from ui.app import reruns, workspace
from ui.app.text import count
from ui.widgets import charts, downloads, file_account, panels, sensitivity_charts, tables

if TYPE_CHECKING:
    from padim.analysis.synthetic_defects import DefectKind
    from padim.data.labeled_images import LabeledImages
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.sensitivity import SensitivityRun, SensitivitySettings, Unit


# -- images and settings -------------------------------------------------------------------------------


def _choose_images(entry: Entry) -> None:
    measurement_page.choose_images_for(
        sensitivity.runs(),
        entry,
        sensitivity.UPLOADER,
        "images of good parts",
        note="Good parts that the model was **not** fitted on: new ones, or those excluded from the fit. "
        "Ten are a beginning, two dozen are plenty. Of labelled images only the good ones are used.",
        sample="Good parts that the sample’s model has not seen.",
        sample_folder=lambda part: part / "test" / "good",
        # Without a single good image, the labels are more likely names of folders.
        kept=lambda found: found if found.good else found.all_good(),
    )


def _settings(model: Padim, good: int) -> SensitivitySettings | None:
    """Draw the settings and return them; None while something is missing."""
    shape = model.config.input_shape
    from padim.analysis.map_scale import fitted_scale

    unit = sensitivity.Unit.of(fitted_scale(model))
    kinds = st.pills(
        "Defects to paint",
        list(sensitivity.KINDS),
        selection_mode="multi",
        wrap=True,
        default=list(sensitivity.KINDS),
        format_func=lambda kind: sensitivity.KINDS[kind][0],
        key="sensitivity-kinds",
        persist_state="session",
        help="\n\n".join(f"**{name}**: {about}." for name, about in sensitivity.KINDS.values()),
    )
    from padim.analysis.sensitivity import CONTRASTS, default_sizes

    sizes = st.pills(
        "Sizes",
        sensitivity.sizes_offered(shape),
        selection_mode="multi",
        wrap=True,
        default=list(default_sizes(shape)),
        format_func=unit.text,
        # The key depends on the input size, because the sizes offered do.
        key=f"sensitivity-sizes-{as_text(model.config.input_size)}",
        persist_state="session",
        help="In pixels of the images that the model was fitted on. Three sizes or more make a curve.",
    )
    contrasts = st.pills(
        "Contrasts",
        list(sensitivity.CONTRASTS),
        selection_mode="multi",
        wrap=True,
        default=list(CONTRASTS),
        format_func=sensitivity.percent,
        key="sensitivity-contrasts",
        persist_state="session",
        help="How much a defect differs from what it lies on, as a share of black to white: 10 % are 25 of "
        "255 grey levels. 5 % is hard to see with the eye, 40 % is plain to see.",
    )
    pair = st.grid(min_column_width=190, gap="small", key="sensitivity-counts")
    with pair.cell():
        images = st.number_input(
            "Images to paint on, at most",
            min_value=1,
            max_value=500,
            value=24,
            key="sensitivity-images",
            persist_state="session",
            help="The first ones that the model was not fitted on. More make the intervals narrower.",
        )
    with pair.cell():
        places = st.number_input(
            "Places on each",
            min_value=1,
            max_value=50,
            value=2,
            key="sensitivity-places",
            persist_state="session",
            help="Spread evenly over what is scored. Every size, kind and contrast is painted at each. "
            "More places make the map over the part finer.",
        )
    if not (kinds and sizes and contrasts):
        st.error("Choose at least one kind, one size and one contrast.", icon=":material/error:")
        return None
    wanted = sensitivity.SensitivitySettings(
        tuple(kind for kind in sensitivity.KINDS if kind in kinds),
        tuple(sorted(sizes)),
        tuple(sorted(contrasts)),
        int(images),
        int(places),
    )
    trials = min(wanted.images, good) * wanted.places * wanted.settings
    st.caption(
        f"{count(trials, 'painted image')} to score: {count(wanted.settings, 'setting')} at "
        f"{count(min(wanted.images, good) * wanted.places, 'place')}."
        + (
            " No region of interest is drawn, so places lie on the background too; Fit, Region draws one."
            if model.decision.roi is None
            else " Places lie inside the region of interest."
        )
    )
    return wanted


def _set_up(entry: Entry, model: Padim, images: LabeledImages, *, again: bool) -> None:
    good = images.good
    facts = [("Images", images.label), ("Good parts", f"{good:,}")]
    if images.defects:
        facts.append(("Defects, not used", f"{images.defects:,}"))
    st.html(panels.facts(facts))
    wanted = _settings(model, good)
    if measurement_page.started(
        "sensitivity",
        "Paint and score again" if again else "Paint and score",
        ready=wanted is not None,
        clear=partial(sensitivity.runs().clear, entry),
    ):
        assert wanted is not None
        sensitivity.start(entry, model, images, wanted)
        st.rerun()


# -- results ---------------------------------------------------------------------------------------------


def _about(found: SensitivityRun) -> None:
    result = found.result
    across, down = (f"{factor:.3g}" for factor in result.scale)
    pixel = across if across == down else f"{across} × {down}"
    void = int(result.void.sum())
    st.html(
        panels.facts(
            [
                ("Painted on", found.label),
                ("Images", f"{len(result.images):,}"),
                ("Places", f"{len(result.places):,}, each setting on all of them"),
                ("Threshold", f"{found.threshold:.2f}"),
                ("One pixel of the model", f"{pixel} image pixels"),
            ]
        )
    )
    if result.in_fit or result.not_good:
        passed = [
            text
            for number, text in (
                (result.in_fit, "the model was fitted on"),
                (result.not_good, "were excluded as not good"),
            )
            if number
        ]
        st.info(
            f"{count(result.in_fit + result.not_good, 'image')} passed over: {' or '.join(passed)}. What a "
            "model has memorized says nothing about new parts.",
            icon=":material/info:",
        )
    if result.guard_band:
        st.caption(
            "Caught is what is marked, that is above the threshold. What scores within the guard band is in "
            "review, and neither accepted nor rejected."
        )
    if result.bare_rejected:
        above = "above the threshold" if result.guard_band else "rejected"
        st.warning(
            f"{result.bare_rejected} of {count(len(result.images), 'image')} "
            f"{'is' if result.bare_rejected == 1 else 'are'} {above} before anything is painted. Where they "
            f"alarm already nothing is counted: {count(void, 'trial')} left out.",
            icon=":material/warning:",
        )
    file_account.draw(found.failed, found.passed_over)


def _headline(found: SensitivityRun, unit: Unit) -> None:
    st.subheader("The smallest defect caught", anchor=False)
    st.html(tables.table(*sensitivity.smallest(found, unit)))
    st.caption(
        "Bold: the size from which 9 in 10 are caught at this threshold. Below it: from which half are.",
        help="Caught means that a region of the mask lies on the painted defect; that the image is "
        "rejected somewhere else does not count. “>” is more than the largest size painted, “≤” is "
        "the smallest or less."
        + (
            ""
            if unit.square
            else " The model sees the images out of shape, so a size is given as width × height."
        ),
    )


def _curves(found: SensitivityRun, kind: DefectKind | None, unit: Unit) -> None:
    factor, name = unit.axis
    colors = zip(found.result.contrasts, sensitivity_charts.CONTRASTS, strict=False)
    st.html(
        panels.legend(
            panels.Bar(f"Contrast {sensitivity.percent(contrast)}", "", 0, color)
            for contrast, color in colors
        )
    )
    st.plotly_chart(
        sensitivity_charts.detection(
            [
                (f"contrast {sensitivity.percent(contrast)}", found.curve(kind, contrast))
                for contrast in found.result.contrasts
            ],
            factor=factor,
            unit=name,
        ),
        config=charts.CONFIG,
        key="sensitivity-curves",
    )
    st.caption(
        "Points are counts with their 95 % intervals, curves the customary model of such counts (logistic in "
        "the logarithm of the size). Dotted: half, and 9 in 10."
    )


def _map(found: SensitivityRun, kind: DefectKind | None) -> None:
    from padim.analysis.blind_spots import counts_by_place

    result = found.result
    share, _ = result.by_place(kind)
    st.plotly_chart(
        sensitivity_charts.place_map(
            share,
            counts_by_place(result, kind),
            map_shape=result.map_shape,
            aspect=result.scale[0] / result.scale[1],
            backdrop=found.seen.data,
        ),
        config=charts.CONFIG,
        key="sensitivity-map",
    )
    st.caption(sensitivity.weakest(result, kind))


def _examples(found: SensitivityRun, kind: DefectKind | None, unit: Unit) -> None:
    result = found.result
    kind = kind or result.kinds[0]
    name, about = sensitivity.KINDS[kind]
    st.subheader(f"Examples: {name.lower()}", anchor=False)
    contrast = st.segmented_control(
        "Contrast",
        list(result.contrasts),
        format_func=lambda share: f"Contrast {sensitivity.percent(share)}",
        default=result.contrasts[len(result.contrasts) // 2],
        required=True,
        wrap=True,
        key=f"sensitivity-contrast-{result.contrasts}",
        label_visibility="collapsed",
    )
    shown = found.examples.get((kind, contrast), ())
    if not shown:
        st.info("Nothing could be counted here: the bare images alarm already.", icon=":material/info:")
        return
    st.html(panels.gallery(sensitivity.thumbs(shown, unit)))
    st.caption(
        f"{about[:1].upper()}{about[1:]}. The same piece of one part with every size, at a place where "
        "about as much is caught as at most others. What the model marks is outlined."
    )


def _downloads(found: SensitivityRun, entry: Entry) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.csv_form()
        downloads.button(
            "Figures (CSV)",
            partial(sensitivity.figures_csv, found, entry),
            f"{entry.name} sensitivity",
            ".csv",
            key="sensitivity-csv",
        )
        downloads.button(
            "All of it (JSON)",
            partial(sensitivity.document, found, entry),
            f"{entry.name} sensitivity",
            ".json",
            key="sensitivity-json",
        )


@st.fragment
def _results(entry: Entry, found: SensitivityRun) -> None:
    # Most clicks run only this fragment, with the model that it was first called with.
    if workspace.changed(entry):
        reruns.run_page()
    result = found.result
    # Filled in below, once the unit is known.
    top = st.container()
    millimeters = st.number_input(
        "One image pixel, in mm",
        min_value=0.0001,
        max_value=100.0,
        value=entry.manifest.get("config", {}).get("pixel_size_mm"),
        step=0.001,
        format="%.4f",
        placeholder="unknown",
        width=190,
        key="sensitivity-mm",
        persist_state="session",
        help="If you know how much of the part a pixel shows, sizes are told in millimetres.",
    )
    unit = sensitivity.Unit.of(result.scale, millimeters)
    with top:
        _about(found)
        _headline(found, unit)
    st.subheader("By size and by place", anchor=False)
    kinds: dict[str, str] = {"all": "All kinds"} if len(result.kinds) > 1 else {}
    kinds |= {kind: sensitivity.KINDS[kind][0] for kind in result.kinds}
    chosen = st.segmented_control(
        "Kind of defect",
        list(kinds),
        format_func=lambda key: kinds.get(key, key),
        default=next(iter(kinds)),
        required=True,
        wrap=True,
        key=f"sensitivity-kind-{'-'.join(result.kinds)}",
        label_visibility="collapsed",
    )
    kind: DefectKind | None = next((one for one in result.kinds if one == chosen), None)
    halves = st.grid(min_column_width=430, gap="medium", key="sensitivity-halves")
    with halves.cell():
        _curves(found, kind, unit)
    with halves.cell():
        _map(found, kind)
    _examples(found, kind, unit)
    _downloads(found, entry)
    st.caption(
        "It is a probe, not a proof: real defects look different. It compares settings and finds blind "
        "spots; what it calls visible must still be tried with real parts."
    )


def _page() -> measurement_page.Page:
    return measurement_page.Page(
        name="sensitivity",
        runs=sensitivity.runs(),
        why_threshold="Whether a painted defect is caught is a matter of the threshold.",
        not_done="These images were not painted on.",
        stopped="Stopped. Figures over some of the images would say less than they seem to, so there are "
        "none.",
        do_again="Paint and score again.",
        again="paint and score again",
        nothing_yet=(
            "No good parts to paint on yet",
            "Without a single real defect this page says how small and how faint one may be and still be "
            "caught, and where on the part the model is blind.",
        ),
        choose_images=_choose_images,
        set_up=_set_up,
        results=_results,
    )


def draw(entry: Entry) -> None:
    """Draw the tab for a model."""
    _page().show(entry)
