"""Calibrate: set the threshold by the good parts' held-out scores, and read what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import CalibrationError, PadimError
from ui import bring, calibrating, charts, normals, panels, shell, watch, workspace
from ui.words import count, false_rejects, multiple

if TYPE_CHECKING:
    from padim.calibration import Threshold
    from padim.model import Padim
    from padim.store import Entry
    from ui.calibrating import Basis, Draft
    from ui.reviews import Review

_BASES: dict[Basis, str] = {
    "image": "By parts",
    "pixel": "By pixels",
    "manual": "By hand",
}


def _key(entry: Entry, name: str) -> str:
    return f"calibrate-{entry.id}-{name}"


def _draft(entry: Entry, model: Padim) -> Draft:
    """The controls; each starts at what is in use and keeps its place when the page is left."""
    used = calibrating.saved(model)
    calibrated = model.calibration_ != "none"
    basis: Basis = st.segmented_control(
        "How to set the threshold",
        list(_BASES) if calibrated else ["manual"],
        format_func=lambda key: _BASES[key],
        default=used.basis if calibrated else "manual",
        required=True,
        wrap=True,
        key=_key(entry, "basis"),
        persist_state="session",
        help="By parts: the percentile says directly what share of good parts to let pass. By pixels: what "
        "share of the good parts’ pixels, the classical way. By hand: any value. What each promises is "
        "worked out alike.",
    )
    permille, value = used.permille, used.value
    if basis == "manual":
        value = st.number_input(
            "Threshold",
            min_value=0.0,
            # The top of the model's scale, above which nothing could be rejected.
            max_value=int(model.quantizer.to_value(65534) * 100) / 100,
            value=_start_by_hand(model),
            step=1.0,
            format="%.2f",
            key=_key(entry, "value"),
            persist_state="session",
            help="In units of the anomaly map. A picture is rejected when its score lies above it.",
        )
    else:
        percent = st.slider(
            "Percentile",
            min_value=80.0,
            max_value=99.9,
            value=min(99.9, max(80.0, used.permille / 10)),
            step=0.1,
            format="%.1f %%",
            key=_key(entry, "percentile"),
            persist_state="session",
            help="95 % lets 95 of 100 good parts pass. Higher rejects fewer good parts and misses more "
            "defects.",
        )
        permille = round(percent * 10)
    area = st.slider(
        "Smallest region that counts (px²)",
        min_value=1,
        max_value=max(256, used.min_area),
        value=used.min_area,
        key=_key(entry, "area"),
        persist_state="session",
        help=f"Hot spots smaller than this do not count, in pixels of the {model.config.input_size} × "
        f"{model.config.input_size} map. It changes every score, so the threshold moves with it.",
    )
    return calibrating.Draft(basis, permille, value, int(area))


def _start_by_hand(model: Padim) -> float:
    if model.choice.value is not None:
        return round(model.choice.value, 2)
    threshold = model.threshold_
    return round(model.quantizer.to_value(threshold.level), 2) if threshold is not None else 100.0


def _outcome(model: Padim, draft: Draft, found: Threshold, defects: Review | None) -> None:
    """What the draft promises, in words and as a histogram."""
    value = model.quantizer.to_value(found.level)
    used = model.threshold_
    in_use = model.quantizer.to_value(used.level) if used is not None else None
    facts = [("Threshold in use" if value == in_use else "Threshold being tried", f"{value:.2f}")]
    if value != in_use:
        facts.append(("In use", "none" if in_use is None else f"{in_use:.2f}"))
    items = defects.pile.items if defects is not None else []
    scores = [item.score(model, draft.min_area) for item in items]
    if items:
        caught = sum(score > found.level for score in scores)
        facts.append(("Defects caught", f"{caught:,} of {len(items):,}"))
    st.html(panels.facts(facts))
    if model.calibration_ == "none":
        st.warning(
            "Nothing can be promised for this threshold: held-out scores take at least 3 good parts.",
            icon=":material/warning:",
        )
    else:
        rate = model.false_rejects(found.level, draft.min_area)
        st.markdown(f"**Good parts rejected.** {false_rejects(rate)}")
        warning = calibrating.unsupported(found)
        if warning is not None:
            st.warning(warning, icon=":material/warning:")
        in_fit, kept_out = normals.part_values(model, draft.min_area)
        st.plotly_chart(
            charts.score_histogram(
                in_fit,
                threshold=value,
                in_use=in_use,
                kept_out=kept_out,
                defects=[model.quantizer.to_value(score) for score in scores],
            ),
            config=charts.CONFIG,
            key="calibrate-histogram",
        )
        more = calibrating.outlook(rate)
        if more is not None:
            st.caption(more)


def _near(entry: Entry, model: Padim, draft: Draft, found: Threshold) -> None:
    near = calibrating.near(model, found.level, draft.min_area)
    st.subheader("Good pictures nearest the threshold")
    with st.container(key="calibrate-near"):
        rejected, accepted = st.columns(2, gap="large")
    with rejected:
        st.caption("Just rejected")
        if near.above:
            _good(entry, model, draft, found.level, near.above)
        else:
            st.markdown("No good part lies above this threshold.")
    with accepted:
        st.caption("Just accepted")
        if near.below:
            _good(entry, model, draft, found.level, near.below)
        else:
            st.markdown("Every good part lies above this threshold.")


def _good(
    entry: Entry,
    model: Padim,
    draft: Draft,
    level: int,
    items: tuple[tuple[int, int], ...],
) -> None:
    value = model.quantizer.to_value
    st.html(
        panels.gallery(
            panels.Thumb(
                normals.overlay_of(entry, model, index, level, draft.min_area),
                model.normals_[index].name,
                f"{multiple(value(score), value(level))} threshold",
            )
            for index, score in items
        )
    )


def _defects(entry: Entry, model: Padim, draft: Draft, found: Threshold, review: Review) -> None:
    st.subheader("Defects, if you have some")
    pile = review.pile
    for job in review.jobs:
        if job.running:
            watch.watch(job)
            return
        if job.state == "failed":
            shell.failure("The defect pictures were not all scored.", job.error)
    if not len(pile) and not pile.failed:
        st.caption(
            "Pictures of known defects show what share this threshold would catch. They change nothing in "
            "the model."
        )
        bring.pictures(
            calibrating.UPLOADER,
            "pictures of defects",
            lambda brought: calibrating.take_defects(entry, model, brought),
            sample=calibrating.sample_defects(),
        )
        return
    if pile.failed:
        with st.expander(f"{count(len(pile.failed), 'file')} cannot be used", icon=":material/warning:"):
            st.html(panels.problems((error.name, error.reason) for error in pile.failed))
    limit = model.quantizer.to_value(found.level)
    scored = sorted(
        ((item.score(model, draft.min_area), item) for item in pile.items), key=lambda pair: pair[0]
    )
    missed = [(score, item) for score, item in scored if score <= found.level]
    if scored:
        caught = len(scored) - len(missed)
        st.markdown(
            f"**{caught:,} of {count(len(scored), 'defect picture')} caught** at the threshold being tried."
        )
    # The missed ones say where a better threshold might lie; without any, the ones caught most narrowly do.
    shown = list(reversed(missed))[:12] or scored[:6]
    if shown:
        st.caption("Missed, the nearest first" if missed else "Caught, the narrowest first")
        st.html(
            panels.gallery(
                panels.Thumb(
                    calibrating.overlay_of_scored(entry, item, model, found.level, draft.min_area),
                    item.name,
                    f"{multiple(model.quantizer.to_value(score), limit)} threshold",
                    "reject" if score > found.level else None,
                )
                for score, item in shown
            )
        )
    if st.button("Remove the defect pictures", key="calibrate-forget", icon=":material/close:"):
        review.clear()
        st.rerun()


def _use(entry: Entry, model: Padim, draft: Draft) -> None:
    unchanged = calibrating.same(model, draft, calibrating.saved(model))
    if st.button(
        "Use this threshold",
        type="primary",
        key="calibrate-use",
        disabled=unchanged,
        width="stretch",
    ):
        try:
            with st.spinner("Saving"):
                calibrating.put_to_use(entry, draft)
        except (PadimError, OSError, ValueError) as error:
            shell.failure("The threshold was not saved.", error)
        else:
            st.session_state["calibrate-said"] = True
            st.rerun()
    if st.session_state.pop("calibrate-said", False):
        st.toast("The new threshold is in use.", icon=":material/check:")
    st.caption(
        "This threshold is in use." if unchanged else "A draft: nothing is judged by it until you use it."
    )


def _page(entry: Entry) -> None:
    try:
        model = workspace.open_model(entry)
    except PadimError as error:
        shell.failure("The model cannot be opened.", error)
        return
    shell.out_of_date(entry)
    review = calibrating.defects(entry)
    up_to_date = review.follow(entry, model)
    controls, outcome = st.columns([2, 3], gap="medium")
    with controls:
        draft = _draft(entry, model)
        _use(entry, model, draft)
    try:
        found = calibrating.threshold(model, draft)
    except (CalibrationError, ValueError) as error:
        with outcome:
            shell.failure("There is no threshold yet.", error)
        return
    with outcome:
        _outcome(model, draft, found, review if up_to_date else None)
    if model.calibration_ != "none":
        _near(entry, model, draft, found)
    _defects(entry, model, draft, found, review)


in_use = shell.begin(
    "Calibrate", "Set the threshold by the good parts’ own held-out scores, and read what it will cost."
)
if in_use is None:
    shell.needs_model()
else:
    _page(in_use)
