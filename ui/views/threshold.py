"""The Threshold tab of the Calibrate page: the threshold on real images, and the rate it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import CalibrationError, PadimError
from ui import calibrate, suggested_thresholds, viewing
from ui.app import next_step, progress, shell, workspace
from ui.app.pages import page_of
from ui.app.text import count, share_of
from ui.components import viewer
from ui.files import image_input
from ui.jobs import watch
from ui.views import library_choice
from ui.views.changes import apply_change
from ui.widgets import file_account, normals, panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.decision.operating_points import Costs, OperatingPoint
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.calibrate import Draft
    from ui.reviews import Review
    from ui.scoring import KnownLabel
    from ui.suggested_thresholds import Known

_VIEWER = "calibrate-viewer"
_ORIGINS: dict[KnownLabel, str] = {
    "defect": "Defects",
    "good": "Good parts",
    "unknown": "I do not know yet",
}
_POINTS = {
    "best_f1": ("Best F1", "The best balance of defects found and good parts spared, on these images."),
    "zero_miss": ("No missed defect", "The highest threshold that misses none of these defects."),
    "zero_false_reject": ("No false reject", "The lowest threshold that rejects none of these good parts."),
    "lowest_cost": ("Lowest cost", "The lowest cost to expect, for the costs stated above."),
}


# -- test images -----------------------------------------------------------------------------------------


def _choose_images(entry: Entry, model: Padim) -> None:
    origin: KnownLabel = st.segmented_control(
        "What do these images show?",
        list(_ORIGINS),
        format_func=lambda key: _ORIGINS[key],
        default="defect",
        required=True,
        wrap=True,
        key="known-kind",
        persist_state="session",
        help="Where you do not know, label them one by one, next to each image.",
    )
    defect_type = library_choice.defect_type(entry, "known-type") if origin == "defect" else ""
    what = {"defect": "images of defects", "good": "good parts not in the fit", "unknown": "images"}
    image_input.choose(
        calibrate.UPLOADER,
        what[origin],
        lambda image_set: calibrate.take(entry, model, image_set, origin, defect_type),
        sample=calibrate.sample(entry, origin),
        good_parts=origin == "good",
    )


def _tests(entry: Entry, model: Padim, review: Review, draft: Draft) -> None:
    """Draw the row above the viewer: apply the threshold, add test images, clear them."""
    unchanged = calibrate.same(model, draft, calibrate.saved(model))
    with st.container(horizontal=True, vertical_alignment="center", key="calibrate-bar"):
        if st.button(
            "Use this threshold",
            type="primary",
            key="calibrate-use",
            disabled=unchanged,
            icon=":material/check:",
        ):
            _use(entry, model, draft, done=_saved)
        # The key changes with every batch, so that the next popover starts closed.
        batch = len(review.job_keys)
        with st.popover(
            "Add test images",
            icon=":material/add:",
            disabled=bool(review.running),
            key=f"calibrate-add-{batch}",
        ):
            _choose_images(entry, model)
        if (len(review.pile) or review.pile.answered) and st.button(
            "Clear the test images", key="calibrate-forget", icon=":material/close:"
        ):
            review.clear()
            calibrate.page_state(entry).cleared = True
            st.rerun()
        if calibrate.page_state(entry).cleared and not review.running:
            left = len(calibrate.library_left(entry, model))
            if left and st.button(
                f"Use the {count(left, 'image')} of the library",
                key="calibrate-library",
                icon=":material/photo_library:",
            ):
                calibrate.page_state(entry).cleared = False
                st.rerun()
        library_choice.manage(entry)
        if not unchanged:
            st.caption("A draft: it decides nothing until you use it.")
        elif progress.of(entry).calibrated:
            st.caption("This threshold is in use.")
        else:
            st.caption(
                "This threshold, the suggested one, is in use. Keep it, at the end of the page, or move it."
            )


def _saved() -> None:
    st.session_state["calibrate-saved"] = True


def _in_fit(model: Padim, review: Review) -> None:
    """Say how many test images were in the fit: they are marked, and count in no table or suggestion."""
    from padim.analysis.fit_overlap import KnownImages, left_out

    known, items = KnownImages.of(model), review.pile.items
    if number := sum(map(known.in_fit, items)):
        st.warning(f"Of the test images, {left_out(number, len(items))}.", icon=":material/warning:")
    panels.strangers(model, items)


def _problems(model: Padim, review: Review) -> None:
    unsaved = st.session_state.pop("calibrate-unsaved", None)
    if unsaved:
        shell.failure("The label was not saved.", unsaved, in_view=True)
    _in_fit(model, review)
    for job in review.jobs:
        if job.state == "failed":
            shell.failure("The test images were not all scored.", job.error)
    for note in review.pile.notes:
        st.warning(panels.plain(note), icon=":material/warning:")
    file_account.draw(review.pile.failed, review.pile.passed_over)


# -- the viewer --------------------------------------------------------------------------------------------


def _view(
    entry: Entry, model: Padim, held: viewing.HeldOut | None, draft: Draft
) -> list[viewing.ViewerImage]:
    images = calibrate.shown(entry, model, held, draft.min_area)

    def event_value(name: str) -> object:
        return viewing.event_value(_VIEWER, name)

    def on_labels() -> None:
        try:
            calibrate.on_labels(entry, event_value("labels"))
        except (PadimError, OSError) as error:
            st.session_state["calibrate-unsaved"] = error

    viewer.component()(
        key=_VIEWER,
        data=calibrate.message(entry, model, images, held, draft),
        on_decision_change=lambda: calibrate.on_decision(entry, model, event_value("decision")),
        on_look_change=lambda: viewing.on_look(calibrate.page_state(entry).look, event_value("look")),
        on_selected_change=lambda: calibrate.on_selected(entry, event_value("selected")),
        on_labels_change=on_labels,
    )
    return images


# -- operating points --------------------------------------------------------------------------------------


def _costs() -> Costs | None:
    from padim.decision.operating_points import Costs

    with st.container(horizontal=True, vertical_alignment="bottom", key="calibrate-costs"):
        miss = st.number_input(
            "Cost of a missed defect",
            min_value=0.0,
            value=100.0,
            key="calibrate-cost-miss",
            persist_state="session",
            width=165,
            help="A defective part that passes, in any unit of money.",
        )
        false_reject = st.number_input(
            "Cost of a false reject",
            min_value=0.0,
            value=1.0,
            key="calibrate-cost-false",
            persist_state="session",
            width=165,
            help="A good part that is rejected, in the same unit.",
        )
        defective = st.number_input(
            "Defective parts in 1,000",
            min_value=0.1,
            max_value=999.0,
            value=10.0,
            step=1.0,
            key="calibrate-defective",
            persist_state="session",
            width=165,
            help="How many of a thousand parts off the line are defective.",
        )
    if not miss and not false_reject:
        st.caption("With both costs 0 every threshold costs the same.")
        return None
    return Costs(miss, false_reject, defective / 1000)


def _select(entry: Entry, draft: Draft, words: str) -> None:
    """Try a suggested threshold, and say so where it is seen: the controls may be out of sight."""
    calibrate.set_draft(entry, draft)
    st.toast(f"{words} is selected: a draft, until you use it.", icon=":material/tune:")


def _point(model: Padim, entry: Entry, point: OperatingPoint, draft: Draft, found: Known) -> None:
    title, help_text = _POINTS[point.kind]
    value = model.state.fitted.quantizer.to_value(point.level)
    band = model.decision.guard is not None
    facts = [
        ("Threshold", f"{value:.2f}"),
        (
            "Defects up to it" if band else "Missed defects (escapes)",
            share_of(point.misses.count, point.misses.of, point.misses.low, point.misses.high),
        ),
        (
            "Good parts above it" if band else "False rejects (overkill)",
            share_of(
                point.false_rejects.count,
                point.false_rejects.of,
                point.false_rejects.low,
                point.false_rejects.high,
            ),
        ),
        ("F1", f"{point.f1:.3f} ({point.f1_interval[0]:.3f} to {point.f1_interval[1]:.3f})"),
    ]
    if point.cost is not None and point.cost_interval is not None:
        low, high = point.cost_interval
        facts.append(("Cost of 1,000 parts", f"{point.cost:,.0f} ({low:,.0f} to {high:,.0f})"))
    if band:
        facts += suggested_thresholds.verdict_facts(model, found, point.level)
    with st.container(border=True, width=258, key=f"point-{point.kind}"):
        st.markdown(f"**{title}**", help=help_text)
        st.html(panels.facts(facts))
        current = calibrate.same(model, draft, calibrate.draft_at(model, point.level, draft.min_area))
        st.button(
            "Selected" if current else "Select",
            key=f"try-{point.kind}",
            disabled=current,
            on_click=_select,
            args=(entry, calibrate.draft_at(model, point.level, draft.min_area), f"{title}: {value:.2f}"),
        )


def _points(entry: Entry, model: Padim, draft: Draft, images: list[viewing.ViewerImage]) -> None:
    found = suggested_thresholds.known(entry, model, images, draft.min_area)
    for index in found.doubted:
        _doubted(entry, model, index)
    st.subheader("Suggested thresholds")
    if not len(found.defect):
        st.caption(
            "They need defects: add images of defects above, or label images as defects. With good parts "
            "and defects there are four, each with its missed defects and its false rejects."
        )
        return
    if not len(found.good):
        st.caption("They need good parts too: at least three in the fit, or good test images.")
        return
    st.caption(
        f"From {count(len(found.good), 'good part')} and {count(len(found.defect), 'defect image')}, "
        "with 95 % intervals. Chosen on these very images, each does a little worse on new ones."
        + (
            ""
            if model.decision.guard is None
            else " Chosen and counted at the threshold itself; what the guard band makes of it stands below."
        )
    )
    costs = _costs()
    with st.container(horizontal=True, key="calibrate-points"):
        for point in suggested_thresholds.points(found, costs):
            _point(model, entry, point, draft, found)


def _doubted(entry: Entry, model: Padim, index: int) -> None:
    """Show an image of the fit that a user has labeled as a defect, and offer to exclude it."""
    name = panels.plain(model.normals_[index].name)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"doubted-{index}"):
        st.markdown(f"**{name}** is here as a good part, and was labelled as a defect.")
        if st.button("Exclude from the fit", key=f"doubted-out-{index}"):
            apply_change(
                entry,
                f"exclude {model.normals_[index].name} from the fit",
                lambda now: normals.exclude(now, model.normals_[index].sha256, "not_good"),
                failed="The part was not excluded.",
                spinner="Excluding the part from the fit",
            )


# -- the page ----------------------------------------------------------------------------------------------


@st.fragment
def _live(entry: Entry, model: Padim) -> None:
    # Most changes run only this fragment, with the model that it was first called with. If somebody else has
    # saved the model since, the whole page runs once this run has handled a click, which would be lost else.
    _draw(entry, model)
    if workspace.changed(entry):
        st.rerun()


def _draw(entry: Entry, model: Padim) -> None:
    review = calibrate.tests(entry)
    with st.container():  # its spinner must not move the viewer
        held = viewing.held_out(entry, model)
    draft = calibrate.draft_of(entry, model)
    try:
        calibrate.threshold(model, draft)
    except (CalibrationError, ValueError) as error:
        shell.failure("There is no threshold yet.", error)
        # An impossible draft must not lock the page: dropping it brings the controls back.
        if calibrate.discard_draft(entry) and st.button("Revert to saved", key="calibrate-back"):
            st.rerun()
        return
    _tests(entry, model, review, draft)
    # In a container, because elements that come and go above the viewer would make the browser rebuild it.
    with st.container():
        _problems(model, review)
    images = _view(entry, model, held, draft)
    if model.state.fitted.calibration != "none":
        level = calibrate.threshold(model, draft).level
        limits = model.verdict_limits(level)
        more = suggested_thresholds.outlook(model.state.verdict_rates(limits, draft.min_area).rejected)
        if more is not None:
            st.caption(more)
    _points(entry, model, draft, images)
    next_step.draw(
        page_of("pages/calibrate.py"), "threshold", entry, first=lambda: _keep_and_go_on(entry, model, draft)
    )


def _keep_and_go_on(entry: Entry, model: Padim, draft: Draft) -> None:
    """Draw the button that puts the threshold being tried to use, and opens the Validate page."""
    unchanged = calibrate.same(model, draft, calibrate.saved(model))
    label = "keep this threshold" if unchanged else "put this draft to use"
    if not st.button(
        f"Next: {label}, and validate it",
        key=next_step.KEY,
        type="primary",
        icon=":material/arrow_forward:",
    ):
        return
    if unchanged:
        progress.note(entry, "calibrated")
        _validate()
    _use(entry, model, draft, done=_validate)


def _validate() -> None:
    shell.go_to("pages/validate.py", "test-set")


def _use(entry: Entry, model: Padim, draft: Draft, done: Callable[[], None]) -> None:
    apply_change(
        entry,
        calibrate.described(model, draft),
        lambda now: calibrate.apply_draft(now, draft),
        failed="The threshold was not saved.",
        spinner="Saving",
        done=done,
    )


def draw(entry: Entry) -> None:
    """Draw the tab for a model."""
    model = shell.opened(entry)
    if model is None:
        return
    review = calibrate.tests(entry)
    if not review.follow(entry, model):
        st.info(
            "The model has changed. When the test images are through, all are scored again by the model as "
            "it is now.",
            icon=":material/info:",
        )
        for job in review.running:
            watch.watch(job)
        return
    calibrate.take_library(entry, model)
    with st.container():
        for job in review.running[-1:]:
            watch.watch(job)
    _live(entry, model)
    if st.session_state.pop("calibrate-saved", False):
        st.toast("The new threshold is in use.", icon=":material/check:")
