"""Fit: choose pictures of good parts, look them over, set the model up, fit it, review its normals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import (
    bring,
    calibrating,
    charts,
    fitting,
    normals,
    panels,
    settings,
    shell,
    uploads,
    watch,
    workspace,
)
from ui.words import count, false_rejects, megabytes, multiple

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.store import Entry
    from ui.normals import Ranked, Reason
    from ui.survey import Survey

_SHOWN = 60
_NOTE = (
    f"40 or more good parts make an honest threshold. For more than {uploads.MANY} pictures bring a zip, or "
    "name a folder on the server where one is open: a browser grows slow with so many files. After the fit "
    "only small copies are kept."
)
_REVIEWED = 12


# -- looking them over -----------------------------------------------------------------------------------


def _pictures(survey: Survey) -> list[int]:
    """Show what was found; returns the indices of the confirmed group proposals."""
    if survey.failed:
        with st.expander(
            f"{count(len(survey.failed), 'file')} cannot be used; the others can",
            icon=":material/warning:",
            expanded=len(survey.failed) <= 5,
        ):
            st.html(panels.problems((error.name, error.reason) for error in survey.failed))
    accepted = _groups(survey)
    part_of = survey.parts(accepted)
    st.html(
        panels.facts(
            [
                ("Pictures", f"{len(survey.seen):,}"),
                ("Parts", f"{len(set(part_of.values())):,}"),
                ("Size", survey.size_note()),
            ]
        )
    )
    st.html(
        panels.gallery(
            (panels.Thumb(item.thumb, item.name) for item in survey.seen[:_SHOWN]),
            small=True,
            more=len(survey.seen) - _SHOWN,
        )
    )
    return accepted


def _groups(survey: Survey) -> list[int]:
    accepted: list[int] = []
    known: set[tuple[int, ...]] = set()
    for i, proposal in enumerate(survey.proposals):
        if known.issuperset(proposal.groups):
            continue  # another rule has found the same: one question is enough
        known.update(proposal.groups)
        if proposal.automatic:
            st.caption(f":material/content_copy: {proposal.reason} They count as one part.")
            continue
        confirmed = st.checkbox(
            f"These are repeat shots: {count(proposal.n_images, 'picture')} of "
            f"{count(proposal.n_groups, 'part')}",
            # A repeat shot counted as a part of its own makes the false-reject rate look far too good; near
            # copies are certain enough to be taken for shots of one part unless the user says otherwise.
            value=proposal.rule == "near_identical",
            # Other pictures, other groups: what was confirmed for one set says nothing about the next.
            key=f"fit-group-{proposal.rule}-{fitting.memory().sets}",
            persist_state="session",
            help="Shots of one part leave the model together when it is calibrated. Otherwise each would "
            "vouch for the other, and the promised false-reject rate would be far too low.",
        )
        st.caption(proposal.reason)
        with st.expander("Show them"):
            for group in proposal.groups[:12]:
                st.html(
                    panels.gallery(
                        (panels.Thumb(survey.seen[k].thumb, survey.seen[k].name) for k in group), small=True
                    )
                )
            if proposal.n_groups > 12:
                st.caption(f"and {proposal.n_groups - 12:,} more groups")
        if confirmed:
            accepted.append(i)
    return accepted


# -- a new model -----------------------------------------------------------------------------------------


def _new_model() -> None:
    now = fitting.memory()
    job = fitting.fit_job()
    if job is not None and job.running:
        watch.watch(job)
    elif job is not None and job.state == "failed":
        shell.failure("The model was not fitted.", job.error)
    elif job is not None and job.state == "cancelled":
        st.info(
            "The fit was cancelled. Nothing was kept; your pictures are still here.", icon=":material/info:"
        )
    fitting_now = job is not None and job.running

    looked = fitting.survey_job()
    if looked is None or now.brought is None:
        if not fitting_now:
            bring.pictures(
                fitting.UPLOADER, "pictures of good parts", fitting.take, note=_NOTE, sample=fitting.sample()
            )
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{now.brought.label}**")
        if st.button("Choose other pictures", key="fit-other", icon=":material/undo:", disabled=fitting_now):
            fitting.start_afresh()
            st.rerun()
    if looked.running:
        watch.watch(looked)
        return
    if looked.state != "done":
        shell.failure("These pictures cannot be read.", looked.error)
        return
    survey = looked.result
    if not survey.seen:
        shell.empty("No picture can be used", "None of these files is a picture that can be read.")
        st.html(panels.problems((error.name, error.reason) for error in survey.failed))
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        accepted = _pictures(survey)
    with right:
        _set_up(survey, accepted, fitting_now)


def _set_up(survey: Survey, accepted: list[int], busy: bool) -> None:
    now = fitting.memory()
    parts = survey.parts(accepted)
    n_parts = len(set(parts.values()))
    name = st.text_input(
        "Name of the model",
        value=now.suggested_name,
        max_chars=80,
        key=f"fit-name-{now.sets}",
        persist_state="session",
    )
    config = settings.form(mixed_shapes=survey.mixed_shapes)
    if config is not None:
        from padim.cost import estimate

        cost = estimate(config)
        st.html(
            panels.facts(
                [
                    ("Memory while fitting", megabytes(cost.fit_memory)),
                    ("Saved model", megabytes(cost.bundle)),
                    ("Disk while you work on it", megabytes(cost.spool_per_image * len(survey.seen))),
                ]
            )
        )
    if n_parts < 3:
        st.warning(
            f"{count(n_parts, 'part')} can show heat, but a threshold with a false-reject rate takes at "
            "least 3.",
            icon=":material/warning:",
        )
    elif n_parts < 20:
        st.info(
            f"From {n_parts} parts the threshold will be blunt: no false-reject rate below about 1 in "
            f"{n_parts + 1} can be told. 40 or more are better.",
            icon=":material/info:",
        )
    if st.button(
        "Fit the model", type="primary", key="fit-go", disabled=busy or config is None, width="stretch"
    ):
        assert config is not None
        try:
            fitting.start_fit(name, config, parts)
        except (PadimError, OSError) as error:
            shell.failure("The fit did not start.", error)
        else:
            st.rerun()


# -- the normals of a fitted model -----------------------------------------------------------------------


def _normals(entry: Entry) -> None:

    try:
        model = workspace.open_model(entry)
    except PadimError as error:
        shell.failure("The model cannot be opened.", error)
        return
    now = fitting.memory()
    if now.failed:
        with st.expander(f"{count(len(now.failed), 'file')} could not be used", icon=":material/warning:"):
            st.html(panels.problems((error.name, error.reason) for error in now.failed))
    in_fit = [n for n in model.normals_ if n.status == "fit"]
    st.html(
        panels.facts(
            [
                ("Parts in the fit", f"{len({n.group for n in in_fit}):,}"),
                ("Pictures", f"{len(in_fit):,}"),
                ("Taken out", f"{len(model.normals_) - len(in_fit):,}"),
                ("Working features on disk", megabytes(model.spool_bytes) if model.has_spool else "deleted"),
            ]
        )
    )
    if model.calibration_ == "none":
        st.warning(
            "There is no threshold yet: held-out scores take at least 3 good parts in the fit. "
            "Fit again with more, or set a threshold by hand on the Calibrate page.",
            icon=":material/warning:",
        )
    else:
        _promise(model)
    taken_out = normals.taken_out(model)
    if taken_out:
        _taken_out(entry, model, taken_out)
    _least_normal(entry, model, normals.ranked(model))
    _features(entry, model)


def _promise(model: Padim) -> None:

    level = model.threshold_
    values, kept_out = normals.part_values(model)
    st.subheader("Held-out scores")
    st.plotly_chart(
        charts.score_histogram(
            values,
            threshold=None if level is None else model.quantizer.to_value(level.level),
            kept_out=kept_out,
        ),
        config=charts.CONFIG,
        key="fit-histogram",
    )
    st.caption(
        "Each good part is scored by a model that has never seen it: so will the next good part score."
    )
    warning = None if level is None else calibrating.unsupported(level)
    if warning is not None:
        st.warning(warning, icon=":material/warning:")
    both = normals.both_ways(model)
    if both is None:
        if level is not None:
            st.markdown(f"**Good parts rejected.** {false_rejects(model.false_rejects())}")
        return
    st.markdown(
        f"**Good parts rejected.** {false_rejects(both.all_good)} This counts the "
        f"{count(both.kept_out_parts, 'good part')} you kept out of the fit.\n\n"
        f"Without them it would read: {false_rejects(both.fit_only)} That holds only if such parts never "
        "come again."
    )


def _taken_out(entry: Entry, model: Padim, items: list[Ranked]) -> None:

    st.subheader("Taken out of the fit")
    grid = st.grid(min_column_width=160, gap="small", key="fit-taken-out")
    for item in items:
        with grid.cell():
            why = normals.REASONS[_reason(model, item)]
            if item.shots > 1:
                why += f"; {item.shots} pictures of one part"
            picture = normals.overlay_of(entry, model, item.index)
            st.html(panels.gallery([panels.Thumb(picture, item.name, why)]))
            if st.button(
                "Put back", key=f"back-{item.index}", icon=":material/undo:", disabled=not model.has_spool
            ):
                _change(partial(normals.include, entry, item.index))


def _reason(model: Padim, item: Ranked) -> Reason:
    return "kept_out" if model.normals_[item.index].status == "kept_out" else "not_good"


def _least_normal(entry: Entry, model: Padim, items: list[Ranked]) -> None:

    st.subheader("The least normal-looking")
    st.caption(
        "A picture that does not belong among the good ones blunts the model. Take out what is not a good "
        "part. A good part that looks odd should stay, or the model will reject its like."
    )
    threshold = model.threshold_
    limit = model.quantizer.to_value(threshold.level) if threshold is not None else 0.0
    shown = items[: _REVIEWED * (1 + st.session_state.get("fit-more", 0))]
    grid = st.grid(min_column_width=160, gap="small", key="fit-normals")
    for item in shown:
        with grid.cell():
            _normal(entry, model, item, limit)
    if len(shown) < len(items) and st.button(f"Show more of the {len(items):,}", key="fit-show-more"):
        st.session_state["fit-more"] = st.session_state.get("fit-more", 0) + 1
        st.rerun()


def _normal(entry: Entry, model: Padim, item: Ranked, limit: float) -> None:

    note = f"{multiple(item.value, limit)} threshold" if limit > 0 and item.level is not None else ""
    verdict: panels.Verdict | None = None
    if limit > 0 and item.level is not None and item.value > limit:
        verdict = "reject"
    st.html(
        panels.gallery([panels.Thumb(normals.overlay_of(entry, model, item.index), item.name, note, verdict)])
    )
    with st.popover("Exclude", key=f"why-{item.index}", disabled=not model.has_spool):
        st.markdown("**Why take it out?**")
        if item.shots > 1:
            st.caption(f"All {item.shots} pictures of this part leave together.")
        for reason, text in normals.REASONS.items():
            if st.button(text, key=f"{reason}-{item.index}", width="stretch"):
                _change(partial(normals.exclude, entry, item.index, reason))
        st.caption(
            "A good part kept out stays in the calibration as a picture the model has not seen, so that the "
            "false-reject rate stays honest."
        )


def _change(work: Callable[[], None]) -> None:
    try:
        with st.spinner("Working it out"):
            work()
    except (PadimError, OSError) as error:
        shell.failure("Nothing was changed.", error)
    else:
        st.rerun()


def _features(entry: Entry, model: Padim) -> None:

    with st.expander("Working features"):
        if not model.has_spool:
            st.write(
                "They were deleted: excluding and undoing need the same pictures once more, in a new fit."
            )
            return
        st.write(
            f"The normals’ features take {megabytes(model.spool_bytes)} on this server. With them "
            "excluding and undoing "
            "are exact and quick. The model scores without them."
        )
        if st.button("Delete the working features", key="fit-delete-features", icon=":material/delete:"):
            _change(partial(normals.delete_features, entry))


# -- the page --------------------------------------------------------------------------------------------

_VIEW = "fit-view"

entry = shell.begin("Fit", "Teach a model what good parts look like, from pictures of good parts alone.")
if fitting.finish():
    st.session_state[_VIEW] = "normals"
    st.rerun()
if fitting.memory().afresh:
    st.session_state[_VIEW] = "new"
    fitting.memory().afresh = False
if fitting.memory().sample_asked:
    fitting.take_sample()
st.session_state.setdefault(_VIEW, "new")
if entry is None:
    _new_model()
else:
    views = {"new": "New model", "normals": f"Normals of “{entry.name}”"}
    view = st.segmented_control(
        "View",
        list(views),
        format_func=lambda key: views[key],
        required=True,
        key=_VIEW,
        persist_state="session",
        label_visibility="collapsed",
    )
    if view == "normals":
        _normals(entry)
    else:
        _new_model()
