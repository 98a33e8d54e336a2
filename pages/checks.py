"""Checks: how the good parts lie, how repeatable scores are, whether another day keeps the promise, and how
many good parts a model needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from padim.errors import PadimError
from ui import amending, checks
from ui.app import preload, shell
from ui.app.text import count, in_hundred, multiple, share_of
from ui.files import bring
from ui.jobs import watch
from ui.widgets import charts, learning_panel, panels

if TYPE_CHECKING:
    from padim.analysis.pose_spread import PoseSpread
    from padim.analysis.repeat_shots import Band, Shots
    from padim.data.parts_by_name import Split
    from padim.decision.guard_band import Guard
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.checks import Session
    from ui.reviews import Review

# Parts listed, and images drawn, before the rest is only counted.
_PARTS = 12
_IMAGES = 24
# Share of the good parts in review above which a guard band is no help.
_MANY_TO_REVIEW = 0.25


def _key(entry: Entry, name: str) -> str:
    return f"checks-{entry.id}-{name}"


# -- alignment -------------------------------------------------------------------------------------------


def _alignment(model: Padim) -> None:
    st.subheader("Alignment")
    st.caption(
        "The model compares each place of a part with the same place of the good parts. How far apart they "
        "lie in their images decides how well that works."
    )
    job = checks.lie(model)
    if job.running:
        watch.watch(job)
        return
    if job.state != "done":
        if job.state == "failed":
            shell.failure("How the parts lie could not be measured.", job.error)
        else:
            st.info("The measurement was cancelled.", icon=":material/info:")
        if st.button("Measure again", key="checks-measure", icon=":material/refresh:"):
            checks.measure_again(job)
            st.rerun()
        return
    _lie(model, job.result)


def _lie(model: Padim, lie: PoseSpread) -> None:
    from padim.analysis.alignment import advise

    cell, side = model.config.grid_stride, model.config.input_size
    found = lie.alignment
    too_far, advice = advise(found, cell, side)
    if not found.measurable:
        st.info(f"**Not measurable.** {advice}", icon=":material/info:")
        return

    def shift(pixels: float) -> str:
        return (
            f"{pixels:.1f} px · {pixels / cell:.2f} {'cell' if 0.995 <= pixels / cell < 1.005 else 'cells'}"
        )

    # One above the other where there is little width.
    halves = st.grid(2, min_column_width=400, gap="medium", key="checks-alignment")
    with halves.cell():
        st.html(
            panels.facts(
                [
                    ("Typical shift", shift(lie.typical)),
                    ("95 % shifted by at most", shift(found.shift95)),
                    ("95 % turned by at most", f"{found.angle95:.1f}°"),
                    ("Shift and turn at the edge", shift(found.edge95)),
                ]
            )
        )
        if too_far:
            st.warning(f"**Parts lie further apart than a grid cell.** {advice}", icon=":material/warning:")
        else:
            st.success(advice, icon=":material/check:")
        st.caption(
            f"Measured on {_measured(lie)} of good parts, against their common position; in pixels of the "
            f"{side} × {side} map, of which a grid cell takes {cell} × {cell}."
        )
        if lie.without_outline:
            st.caption(
                f"Not counted: {count(lie.without_outline, 'image')} that shared no outline with the rest."
            )
        far = lie.farthest(cell) if too_far else []
        if far:
            st.caption("Shifted furthest")
            st.html(
                panels.gallery(
                    (
                        panels.Thumb(
                            panels.ServedImage(model.working_set.thumbnail(index)),
                            model.normals_[index].name,
                            f"{length:.1f} px",
                        )
                        for index, length in far
                    ),
                    small=True,
                )
            )
    with halves.cell():
        known = [i for i, length in enumerate(lie.lengths) if np.isfinite(length)]
        st.plotly_chart(
            charts.shift_scatter(
                [(float(found.shifts[i, 0]), float(found.shifts[i, 1])) for i in known],
                cell=cell,
                labels=[
                    f"{model.normals_[lie.measured[i]].name}, turned {found.angles[i]:.1f}°" for i in known
                ],
            ),
            config=charts.CONFIG,
            key="checks-shifts",
        )


def _measured(lie: PoseSpread) -> str:
    n = len(lie.measured)
    return count(n, "image") if n == lie.good else f"{n:,} of {count(lie.good, 'image')}"


# -- lists of images -------------------------------------------------------------------------------------


def _ready(entry: Entry, model: Padim, review: Review) -> bool:
    """Draw what is under way with a list's images; returns whether they can be looked at."""
    if not review.follow(entry, model):
        st.info(
            "The model has changed. When these images are through, all are scored again by the model as it "
            "is now.",
            icon=":material/info:",
        )
    if review.running:
        watch.watch(review.running[-1])
        return False
    for job in review.jobs:
        if job.state == "failed":
            shell.failure("Some images were not scored.", job.error)
    shell.unusable(review.pile.failed)
    return True


def _more_or_none(name: str, review: Review, label: str, draw: Callable[[], None]) -> None:
    """The buttons above a list: more images, or none of them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        # A key of its own for every batch: the next popover starts closed.
        with st.popover(label, icon=":material/add:", key=f"checks-{name}-add-{len(review.job_keys)}"):
            draw()
        if st.button("Clear the list", key=f"checks-{name}-clear", icon=":material/close:"):
            review.clear()
            st.rerun()


def _own_images(n: int, of: int) -> None:
    """Say that images of the model's own are among those brought."""
    if n == 0:
        return
    text = (
        "These images belong to the model already."
        if n == of
        else f"{n:,} of these {count(of, 'image')} {'belongs' if n == 1 else 'belong'} to the model "
        f"already and {'does' if n == 1 else 'do'} not count here."
    )
    st.info(
        f"{text} Its own images cannot test a model: drop in images of other parts.",
        icon=":material/info:",
    )


# -- repeatability -----------------------------------------------------------------------------------------


def _repeatability(entry: Entry, model: Padim) -> None:
    st.subheader("Repeatability")
    st.caption(
        "The same part scores a little differently on every shot. A part within that scatter of the "
        "threshold may be accepted today and rejected tomorrow: a guard band calls it for review instead."
    )
    _guard_in_use(entry, model)
    from padim.analysis.repeat_shots import shots_in_fit

    review = checks.repeats(entry)
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
        st.caption("By held-out scores: no shot of a part was in the model that scored it.")
        _band(entry, model, of_normals)
    else:
        _brought(entry, model, review)


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
            share = f", {checks.in_thresholds(guard.half_width, limit)} threshold"
        st.markdown(
            f"**A guard band is in use:** ± {checks.amount(guard.half_width)}{share}, from "
            f"{count(guard.shots, 'shot')} of {count(guard.parts, 'part')}. Measure it anew after a new fit.",
            width="content",
        )
        if st.button("Remove the guard band", key="checks-guard-remove", icon=":material/close:"):
            _save_guard(entry, model, None)


def _brought(entry: Entry, model: Padim, review: Review) -> None:
    def draw() -> None:
        bring.images(
            checks.REPEATS,
            "repeat shots",
            lambda brought: checks.take_repeats(entry, model, brought),
            note="Ten shots of one part, taken out and put back in between, make a start; a few shots each "
            "of several parts that score near the threshold tell more. Give each part a folder, or name the "
            "images part017_1, part017_2 and so on. The parts must not be among those of the fit.",
        )

    if not _ready(entry, model, review):
        return
    items = review.pile.items
    if not items:
        draw()
        return
    _more_or_none("repeats", review, "Add repeat shots", draw)
    fresh = checks.unknown(model, items)
    _own_images(len(items) - len(fresh), len(items))
    shots = checks.distinct(fresh)
    if len(shots) < len(fresh):
        n = len(fresh) - len(shots)
        st.caption(f"{count(n, 'copy', 'copies')} of the same file left out: a copy is no second shot.")
    if not shots:
        return
    ways = checks.splits(shots)
    # Another set of images is another question.
    chosen: Split = next(iter(ways))
    if len(ways) > 1:
        chosen = st.segmented_control(
            "Which shots show the same part?",
            list(ways),
            format_func=lambda way: (
                checks.SPLITS[way] + ("" if way == "one" else f": {count(len(ways[way]), 'part')}")
            ),
            default=chosen,
            required=True,
            wrap=True,
            key=_key(entry, f"split-{len(review.job_keys)}-{'-'.join(ways)}"),
        )
    _band(entry, model, checks.of_pile(model, shots, ways[chosen]))


def _band(entry: Entry, model: Padim, shots: Sequence[Shots]) -> None:
    """The guard band that these shots give, and the button that puts it to use."""
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
        for part in shots[:_PARTS]:
            st.markdown(_part(model, part))
        if len(shots) > _PARTS:
            st.caption(f"and {len(shots) - _PARTS:,} more")


def _band_facts(model: Padim, band: Band) -> None:
    found, threshold = band.repeatability, model.current_threshold
    limit = None if threshold is None else model.state.fitted.quantizer.to_value(threshold.level)
    facts = [
        ("Standard deviation between shots", checks.amount(found.sd)),
        ("From", f"{count(found.shots, 'shot')} of {count(found.parts, 'part')}"),
        ("Guard band", f"± {checks.amount(band.guard.half_width)}"),
    ]
    if limit is not None:
        facts += [
            ("Guard band / threshold", f"± {checks.in_thresholds(band.guard.half_width, limit)}"),
            ("The shots score", f"{multiple(band.mean, limit)} threshold on average"),
        ]
    st.html(panels.facts(facts))
    if threshold is None or limit is None:
        st.caption("There is no threshold yet, so it cannot be said whom the band would call for review.")
        return
    from padim.analysis.repeat_shots import under_review
    from padim.decision.guard_band import guard_levels

    # As it is judged, in whole levels; a band of less than one is none.
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
            f" Of the model’s own {count(inside.of, 'good part')} (held-out), "
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
    try:
        with st.spinner("Saving"):
            checks.use_guard(entry, model, guard)
    except (PadimError, OSError) as error:
        shell.failure("The guard band was not saved.", error)
    else:
        st.session_state["checks-said"] = (
            "The guard band was removed." if guard is None else "The guard band is in use."
        )
        st.rerun()


# -- second session ----------------------------------------------------------------------------------------


def _second(entry: Entry, model: Padim) -> None:
    st.subheader("Second session")
    st.caption(
        "Good parts photographed on another day are the honest test of the threshold: are as many of them "
        "rejected as was promised?"
    )
    change = amending.job(entry)
    if change is not None and change.running:
        # The list waits: what it is scored by is about to change.
        watch.watch(change)
        return
    checks.clear_joined(entry, model)
    review = checks.second(entry)
    _outcome(entry)
    if not _ready(entry, model, review):
        return

    def draw(*, with_sample: bool = False) -> None:
        bring.images(
            checks.SECOND,
            "good parts of another day",
            lambda brought: checks.take_second(entry, model, brought),
            note="Twenty or more good parts that are not in the fit, each of them known to be good: what is "
            "rejected here counts as a false reject.",
            sample=checks.sample_second() if with_sample else None,
        )

    items = review.pile.items
    if not items:
        draw(with_sample=True)
        return
    _more_or_none("second", review, "Add images", draw)
    threshold = model.current_threshold
    if threshold is None:
        st.info(
            "This model has no threshold yet, so nothing is rejected. Set one by hand on the Calibrate page.",
            icon=":material/info:",
        )
        return
    fresh = checks.unknown(model, items)
    _own_images(len(items) - len(fresh), len(items))
    if fresh:
        _session(entry, model, checks.session(model, fresh, threshold.level), threshold.level)


def _outcome(entry: Entry) -> None:
    """What became of the last second session, if it was added to the fit or was the model's own."""
    added, cleared = checks.outcome(entry)
    if added is None:
        _own_images(cleared, cleared)
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
    rejected = found.rejected(model, level)
    low, high = clopper_pearson(len(rejected), n)
    facts = [
        ("Parts", f"{n:,}" if n == found.images else f"{n:,}, in {found.images:,} images"),
        ("Rejected in this session (95 % interval)", share_of(len(rejected), n, low, high)),
    ]
    if check is not None:
        facts.append(("Promised, leave-one-out", f"about {in_hundred(check.expected)}"))
    facts.append(("Threshold in use", f"{model.state.fitted.quantizer.to_value(level):.2f}"))
    st.html(panels.facts(facts))
    if found.images > n:
        st.caption(
            "Images so alike that they must be shots of one part count as one, by their highest score."
        )
    if check is None:
        st.warning(
            "There is no promise to compare this with: held-out scores take at least 3 parts in the fit.",
            icon=":material/warning:",
        )
    elif check.disagrees is None:
        st.success(checks.verdict(check), icon=":material/check:")
    else:
        st.warning(checks.verdict(check), icon=":material/warning:")
    if rejected:
        value = model.state.fitted.quantizer.to_value
        text = "Rejected, the worst first"
        if model.decision.guard is not None:
            near = sum(model.verdict(score, level) == "review" for score, _ in rejected)
            text += f"; {near or 'none'} of them within the guard band, and so called for review"
        st.caption(text)
        st.html(
            panels.gallery(
                (
                    panels.Thumb(
                        checks.overlay_of(entry, item, model, level),
                        item.name,
                        f"{multiple(value(score), value(level))} threshold",
                        model.verdict(score, level),
                    )
                    for score, item in rejected[:_IMAGES]
                ),
                more=len(rejected) - _IMAGES,
            )
        )
    if st.button(
        f"Add {'this part' if n == 1 else f'these {n:,} parts'} to the fit",
        type="primary",
        key="checks-second-fit",
        icon=":material/add:",
    ):
        checks.add_to_fit(entry, found)
        st.rerun()
    text = "All of them, the rejected ones too: add them only if you are sure that every one is a good part."
    if not model.working_set.has_features:
        text += (
            " The working features were deleted: the calibration would be out of date until you give all the "
            "model’s images again on the Fit page."
        )
    st.caption(text)


# -- the page ----------------------------------------------------------------------------------------------


def _page(entry: Entry) -> None:
    model = shell.opened(entry)
    if model is None:
        return
    text = st.session_state.pop("checks-said", None)
    if text is not None:
        st.toast(text, icon=":material/check:")
    _alignment(model)
    st.divider()
    _repeatability(entry, model)
    st.divider()
    _second(entry, model)
    st.divider()
    learning_panel.draw(entry, model)


in_use = shell.begin(
    "Checks",
    "How the parts lie, how repeatable their scores are, whether another day keeps the promise, and how many "
    "good parts it takes.",
)
if in_use is None:
    shell.needs_model()
else:
    _page(in_use)
    preload.up(preload.FIT)
