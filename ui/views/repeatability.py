"""Repeatability: the scatter of scores between shots of one part, and the guard band made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui import repeatability
from ui.app import shell
from ui.app.text import count, multiple
from ui.files import image_input
from ui.reviews import unknown
from ui.views import review_lists
from ui.views.changes import apply_change
from ui.widgets import panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padim.analysis.repeat_shots import Band, Shots
    from padim.data.parts_by_name import Split
    from padim.decision.guard_band import Guard
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.reviews import Review

# Where the message of a change is kept until the page has run again.
_MESSAGE = "checks-message"
# Parts listed before the rest is only counted.
_MOST_PARTS = 12
# Share of the good parts in review above which a guard band is no help.
_MANY_TO_REVIEW = 0.25


def draw(entry: Entry) -> None:
    """Draw the guard band in use, and the measurement of another one."""
    model = shell.opened(entry)
    if model is None:
        return
    message = st.session_state.pop(_MESSAGE, None)
    if message is not None:
        st.toast(message, icon=":material/check:")
    st.subheader("Repeatability")
    st.caption(
        "The same part scores a little differently on every shot. A part within that scatter of the "
        "threshold may be accepted today and rejected tomorrow: a guard band calls it for review instead."
    )
    _guard_in_use(entry, model)
    from padim.analysis.repeat_shots import shots_in_fit

    review = repeatability.repeat_shots(entry)
    of_normals = shots_in_fit(model)
    source = "drop"
    if of_normals:
        choices = {
            "normals": f"The model’s good parts ({count(len(of_normals), 'part')} photographed repeatedly)",
            "drop": "Repeat shots you bring",
        }
        source = st.segmented_control(
            "Measured on",
            list(choices),
            format_func=lambda key: choices[key],
            default="normals",
            required=True,
            wrap=True,
            key=_key(entry, "source"),
            persist_state="session",
        )
    if source == "normals":
        st.caption("Each part judged without itself: no shot of it was in the model that scored it.")
        _band(entry, model, of_normals)
    else:
        _repeat_shots(entry, model, review)


def _key(entry: Entry, name: str) -> str:
    return f"checks-{entry.id}-{name}"


def _guard_in_use(entry: Entry, model: Padim) -> None:
    guard = model.decision.guard
    if guard is None:
        st.markdown("**No guard band is in use.** Every image is either accepted or rejected.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="checks-guard"):
        threshold = model.current_threshold
        share = ""
        if threshold is not None:
            limit = model.state.fitted.quantizer.to_value(threshold.level)
            share = f", {repeatability.in_thresholds(guard.half_width, limit)} threshold"
        st.markdown(
            f"**A guard band is in use:** ± {repeatability.amount(guard.half_width)}{share}, from "
            f"{count(guard.shots, 'shot')} of {count(guard.parts, 'part')}. Measure it anew after a new fit.",
            width="content",
        )
        if st.button("Remove the guard band", key="checks-guard-remove", icon=":material/close:"):
            _save_guard(entry, model, None)


def _repeat_shots(entry: Entry, model: Padim, review: Review) -> None:
    def bring_shots() -> None:
        image_input.choose(
            repeatability.REPEATS,
            "repeat shots",
            lambda image_set: repeatability.take_repeats(entry, model, image_set),
            note="Ten shots of one part, taken out and put back in between, make a start; a few shots each "
            "of several parts that score near the threshold tell more. Give each part a folder, or name the "
            "images part017_1, part017_2 and so on. The parts must not be among those of the fit.",
        )

    if not review_lists.ready(entry, model, review):
        return
    items = review.pile.items
    if not items:
        bring_shots()
        return
    review_lists.add_or_clear("repeats", review, "Add repeat shots", bring_shots)
    fresh = unknown(model, items)
    review_lists.own_images(len(items) - len(fresh), len(items))
    shots = repeatability.distinct(fresh)
    if len(shots) < len(fresh):
        n = len(fresh) - len(shots)
        st.caption(f"{count(n, 'copy', 'copies')} of the same file left out: a copy is no second shot.")
    if not shots:
        return
    ways = repeatability.splits(shots)
    # Another set of images is another question.
    chosen: Split = next(iter(ways))
    if len(ways) > 1:
        chosen = st.segmented_control(
            "Which shots show the same part?",
            list(ways),
            format_func=lambda way: (
                repeatability.SPLITS[way] + ("" if way == "one" else f": {count(len(ways[way]), 'part')}")
            ),
            default=chosen,
            required=True,
            wrap=True,
            key=_key(entry, f"split-{len(review.job_keys)}-{'-'.join(ways)}"),
        )
    _band(entry, model, repeatability.shots_by_part(model, shots, ways[chosen]))


def _band(entry: Entry, model: Padim, shots: Sequence[Shots]) -> None:
    """Draw the guard band that these shots give, and the button that saves it."""
    from padim.analysis.repeat_shots import band_of

    band = band_of(shots)
    if band is None:
        shell.empty(
            "No part was shot twice",
            "A standard deviation takes at least two shots of one part. Add more shots of it.",
        )
        return
    _band_facts(model, band)
    if band.guard.half_width < model.state.fitted.quantizer.step:
        st.info(
            "The shots score alike to the last digit, so there is nothing to guard against. Were they really "
            "separate shots?",
            icon=":material/info:",
        )
        return
    if band.repeatability.dof < 5:
        st.caption(
            ":material/info: Few shots make a wide band, for how uncertain they are is part of it. With 10 "
            "or more it settles."
        )
    in_use = model.decision.guard == band.guard
    if st.button(
        "This guard band is in use" if in_use else "Use this guard band",
        type="primary",
        key="checks-guard-use",
        disabled=in_use,
        icon=":material/check:" if in_use else None,
    ):
        _save_guard(entry, model, band.guard)
    st.caption(
        f"Measured with the smallest region of {model.config.min_area} px² that is in use. After a new fit, "
        "or with another smallest region, scores scatter differently: measure it anew then."
    )
    with st.expander("The shots, by part"):
        for part in shots[:_MOST_PARTS]:
            st.markdown(_part(model, part))
        if len(shots) > _MOST_PARTS:
            st.caption(f"and {len(shots) - _MOST_PARTS:,} more")


def _band_facts(model: Padim, band: Band) -> None:
    found, threshold = band.repeatability, model.current_threshold
    limit = None if threshold is None else model.state.fitted.quantizer.to_value(threshold.level)
    facts = [
        ("Standard deviation between shots", repeatability.amount(found.sd)),
        ("From", f"{count(found.shots, 'shot')} of {count(found.parts, 'part')}"),
        ("Guard band", f"± {repeatability.amount(band.guard.half_width)}"),
    ]
    if limit is not None:
        facts += [
            ("Guard band / threshold", f"± {repeatability.in_thresholds(band.guard.half_width, limit)}"),
            ("The shots score", f"{multiple(band.mean, limit)} threshold on average"),
        ]
    st.html(panels.facts(facts))
    if threshold is None or limit is None:
        st.caption("There is no threshold yet, so it cannot be said whom the band would call for review.")
        return
    from padim.analysis.repeat_shots import under_review
    from padim.decision.guard_band import guard_levels

    # Verdicts use whole levels, so a band of less than one level has no effect.
    low, high = (
        model.state.fitted.quantizer.to_value(t)
        for t in guard_levels(threshold.level, band.guard, model.state.fitted.quantizer)
    )
    text = ""
    if low <= high:
        text = (
            f"At the threshold of {limit:.2f} that is in use: **accept** below {low:.2f}, **review** from "
            f"there to {high:.2f}, **reject** above."
        )
    inside = under_review(model, band.guard)
    if inside is not None:
        text += (
            f" Of the model’s own {count(inside.of, 'good part')} (each judged without itself), "
            f"**{inside.count:,} would fall into review**"
        )
        if inside.count:
            text += f", {inside.above or 'none'} of them above the threshold"
        text += "."
    st.markdown(text)
    if inside is not None and inside.count > _MANY_TO_REVIEW * inside.of:
        st.warning(
            "A band this wide decides little: much of the work goes to review. Steady light, focus and "
            "position first; then measure again.",
            icon=":material/warning:",
        )
    if band.mean < limit / 2:
        st.caption(
            ":material/info: These shots score far below the threshold. High scores tend to scatter more: "
            "parts that score near the threshold make a truer band."
        )


def _part(model: Padim, part: Shots) -> str:
    low, high = min(part.values), max(part.values)
    threshold = model.current_threshold
    text = f"**{panels.plain(part.part)}** · {count(len(part.values), 'shot')}, scores "
    if threshold is None:
        return text + f"{low:.2f} to {high:.2f}"
    limit = model.state.fitted.quantizer.to_value(threshold.level)
    return text + f"{low:.2f} to {high:.2f} ({multiple(low, limit)} to {multiple(high, limit)} threshold)"


def _save_guard(entry: Entry, model: Padim, guard: Guard | None) -> None:
    """Save the guard band, or its removal, and run the page again."""

    def done() -> None:
        st.session_state[_MESSAGE] = (
            "The guard band was removed." if guard is None else "The guard band is in use."
        )

    apply_change(
        entry,
        "remove the guard band"
        if guard is None
        else f"the guard band ± {repeatability.amount(guard.half_width)}",
        lambda now: repeatability.use_guard(now, model, guard),
        failed="The guard band was not saved.",
        spinner="Saving",
        done=done,
    )
