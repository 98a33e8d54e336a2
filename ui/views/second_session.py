"""Second session: good parts of another day, compared with the expected false-reject rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import BusyError, ChangedSinceOpenedError
from ui import library, model_changes, second_session
from ui.app import shell
from ui.app.text import count, multiple, percent, share_of
from ui.files import image_input
from ui.jobs import watch
from ui.reviews import unknown
from ui.views import library_choice, review_lists
from ui.widgets import panels

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.second_session import Session

_MOST_IMAGES = 24


def draw(entry: Entry) -> None:
    """Draw the list of images of another day and, once they are scored, whether the promise holds."""
    model = shell.opened(entry)
    if model is None:
        return
    st.subheader("Second session")
    st.caption(
        "Good parts photographed on another day are the honest test of the threshold: are as many of them "
        "rejected as was promised?"
    )
    change = model_changes.job(entry)
    if change is not None and change.running:
        # The list waits: what it is scored by is about to change.
        watch.watch(change, cancellable=model_changes.is_mine(entry, change))
        return
    second_session.clear_joined(entry, model)
    review = second_session.review_of(entry)
    _outcome(entry)
    if not review_lists.ready(entry, model, review):
        return

    def bring_parts(*, with_sample: bool = False) -> None:
        if with_sample:
            found = library.good_set(entry)
            library_choice.offer(
                entry,
                second_session.SECOND,
                found,
                lambda image_set: second_session.take_second(entry, model, image_set),
                "" if found is None else count(len(found.source), "good part"),
            )
        image_input.choose(
            second_session.SECOND,
            "good parts of another day",
            lambda image_set: second_session.take_second(entry, model, image_set),
            note="Twenty or more good parts that are not in the fit, each of them known to be good: what is "
            "rejected here counts as a false reject.",
            sample=second_session.sample_second(entry) if with_sample else None,
            good_parts=True,
        )

    items = review.pile.items
    if not items:
        bring_parts(with_sample=True)
        return
    review_lists.add_or_clear("second", review, "Add images", bring_parts)
    threshold = model.current_threshold
    if threshold is None:
        st.info(
            "This model has no threshold yet, so nothing is rejected. Set one by hand on the Calibrate page.",
            icon=":material/info:",
        )
        return
    fresh = unknown(model, items)
    review_lists.own_images(len(items) - len(fresh), len(items))
    if fresh:
        _session(entry, model, second_session.session(model, fresh, threshold.level), threshold.level)


def _outcome(entry: Entry) -> None:
    """Report on the last second session, if it was added to the fit or had only the model's own images."""
    added, cleared = second_session.outcome_of(entry)
    if added is None:
        review_lists.own_images(cleared, cleared)
    elif isinstance(added.error, BusyError | ChangedSinceOpenedError):
        if model_changes.collect_refused(entry):  # it has ended since this run began
            st.rerun()
        # The top of the page offers to repeat it.
    elif added.state == "failed":
        shell.failure("The model was not changed.", added.error)
    elif added.state == "cancelled":
        st.info("Cancelled: the model is as it was.", icon=":material/info:")
    elif added.state == "done":
        text = panels.plain(added.result.summary)
        if cleared:
            text += (
                " These parts lie in the fit now and can no longer test it, so the list was cleared. Drop in "
                "good parts of yet another day to test the model as it is now."
            )
        st.success(text, icon=":material/check:")


def _session(entry: Entry, model: Padim, found: Session, level: int) -> None:
    from padim.decision.operating_points import clopper_pearson

    n, check = len(found.scores), found.check
    verdicts = found.verdicts
    low, high = clopper_pearson(verdicts.reject, n)
    facts = [
        ("Parts", f"{n:,}" if n == found.images else f"{n:,}, in {found.images:,} images"),
        ("False rejects in this session (95 % interval)", share_of(verdicts.reject, n, low, high)),
    ]
    if check is not None:
        facts.append(("Expected false rejects, from the good parts of the fit", percent(check.expected)))
    if model.decision.guard is not None:
        facts.append(("In review, within the guard band", f"{verdicts.review:,} of {n:,}"))
    facts.append(("Threshold in use", f"{model.state.fitted.quantizer.to_value(level):.2f}"))
    st.html(panels.facts(facts))
    if found.images > n:
        st.caption(
            "Images so alike that they must be shots of one part count as one, by their highest score."
        )
    if check is None:
        st.warning(
            "There is nothing to compare this with: scores of good parts, each judged without itself, take "
            "at least 3 in the fit.",
            icon=":material/warning:",
        )
    elif check.disagrees is None:
        st.success(second_session.verdict(check), icon=":material/check:")
    else:
        st.warning(second_session.verdict(check), icon=":material/warning:")
    marked = found.not_accepted(model)
    if marked:
        value = model.state.fitted.quantizer.to_value
        text = "Rejected" if model.decision.guard is None else "Rejected or in review"
        st.caption(f"{text}, the worst first")
        st.html(
            panels.gallery(
                (
                    panels.Thumb(
                        second_session.overlay_of(entry, item, model, level),
                        item.name,
                        f"{multiple(value(score), value(level))} threshold",
                        item.verdict(model, level, model.config.min_area),
                    )
                    for score, item in marked[:_MOST_IMAGES]
                ),
                more=len(marked) - _MOST_IMAGES,
            )
        )
    if st.button(
        f"Add {'this part' if n == 1 else f'these {n:,} parts'} to the fit",
        type="primary",
        key="checks-second-fit",
        icon=":material/add:",
    ):
        second_session.add_to_fit(entry, found)
        st.rerun()
    text = "All of them, the rejected ones too: add them only if you are sure that every one is a good part."
    if not model.working_set.has_features:
        text += (
            " The working features were deleted: the calibration would be out of date until you give all the "
            "model’s images again on the Fit page."
        )
    st.caption(text)
