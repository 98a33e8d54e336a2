"""Fit: choose images of good parts, look them over, set the model up, fit it, review its normals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from padim.methods.requirements import can_fit
from ui import amending, calibrate, fit
from ui.app import preload, shell, workspace
from ui.app.text import count, megabytes, multiple, runs_on
from ui.files import bring, grouping, uploads
from ui.files.survey import size_note
from ui.jobs import watch
from ui.widgets import charts, costs, layers, loss_chart, method_settings, networks, normals, panels, settings

if TYPE_CHECKING:
    from padim.analysis.good_parts import RankedNormal
    from padim.config import PadimConfig
    from padim.data.survey import Group, Survey
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job
    from ui.widgets.normals import Reason

_SHOWN = 60
_NOTE = (
    f"40 or more good parts make an honest threshold. For more than {uploads.MANY} images bring a zip, or "
    "name a folder on the server where one is open: a browser grows slow with so many files. After the fit "
    "only small copies are kept."
)
_REVIEWED = 12


# -- looking them over -----------------------------------------------------------------------------------


def _images(survey: Survey) -> list[Group]:
    """Show what was found; returns the groups that the user takes for shots of one part."""
    shell.unusable(survey.failed, open_up_to=5)
    now = fit.memory()
    # Other images, other groups: what was confirmed for one set says nothing about the next.
    accepted = grouping.ask(survey, now.confirmed, f"fit-group-{now.sets}")
    part_of = survey.parts(accepted)
    st.html(
        panels.facts(
            [
                ("Images", f"{len(survey.seen):,}"),
                ("Parts", f"{len(set(part_of.values())):,}"),
                ("Size (px)", size_note(survey)),
            ]
        )
    )
    st.html(
        panels.gallery(
            (
                panels.Thumb(panels.ServedImage(item.thumbnail or b""), item.name)
                for item in survey.seen[:_SHOWN]
            ),
            small=True,
            more=len(survey.seen) - _SHOWN,
        )
    )
    return accepted


# -- a new model -----------------------------------------------------------------------------------------


def _new_model() -> None:
    now = fit.memory()
    job = fit.fit_job()
    if job is not None and job.state == "failed":
        shell.failure("The model was not fitted.", job.error)
    elif job is not None and job.state == "cancelled":
        st.info(
            "The fit was cancelled. Nothing was kept; your images are still here.", icon=":material/info:"
        )
    running = job is not None and job.running

    looked = fit.survey_job()
    if looked is None or now.brought is None:
        if job is not None and running:
            watch.watch(job)
            return
        bring.images(fit.UPLOADER, "images of good parts", fit.take, note=_NOTE, sample=fit.sample())
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        # As HTML, for the name of a file may spell Markdown.
        st.html(f'<div class="pv-label">{escape(now.brought.label)}</div>')
        if st.button("Choose other images", key="fit-other", icon=":material/undo:", disabled=running):
            fit.start_afresh()
            st.rerun()
    if looked.running:
        watch.watch(looked)
        return
    if looked.state != "done":
        shell.failure("These images cannot be read.", looked.error)
        return
    survey = looked.result
    if not survey.seen:
        shell.empty("No image can be used", "None of these files is an image that can be read.")
        st.html(panels.problems((error.name, error.reason) for error in survey.failed))
        return
    with st.container(key="fit-halves"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        accepted = _images(survey)
    with right:
        _set_up(survey, accepted, job if running else None)


def _set_up(survey: Survey, accepted: list[Group], running: Job[fit.FitOutcome] | None) -> None:
    now = fit.memory()
    parts = survey.parts(accepted)
    name = st.text_input(
        "Name of the model",
        value=now.suggested_name,
        max_chars=80,
        key=f"fit-name-{now.sets}",
        persist_state="session",
    )
    # The settings are right for most: what they come to, and the button, stand above them.
    start = st.container()
    st.subheader("Settings")
    config = settings.form(mixed_shapes=survey.mixed_shapes, images=len(survey.seen))
    with start:
        _start(survey, parts, name, config, running)


def _start(
    survey: Survey,
    parts: dict[str, str],
    name: str,
    config: PadimConfig | None,
    running: Job[fit.FitOutcome] | None,
) -> None:
    n_parts = len(set(parts.values()))
    if config is not None:
        with st.container(key="fit-costs"):
            st.html(panels.facts(costs.facts(config, len(survey.seen))))
        st.caption(
            costs.note(config, len(survey.seen)),
            help="The working features let you exclude images and put them back. If you delete them, the "
            "checkpoint takes their place: with it, more good parts can still be added.",
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
    if running is not None:
        # In the place of the button, where the eye is. Also where it has ended meanwhile: the page then runs
        # again, and says from the top what came of it.
        watch.watch(running)
        return
    here = config is not None and networks.ready(config)
    ready = here and config is not None and all(can_fit(name) for name in config.methods_used)
    if st.button(
        "Fit the model",
        type="primary",
        key="fit-go",
        disabled=not ready,
        width="stretch",
        help="The network’s weights are missing: see below." if config is not None and not here else None,
    ):
        assert config is not None
        try:
            fit.start_fit(name, config, parts)
        except (PadimError, OSError) as error:
            shell.failure("The fit did not start.", error)
        else:
            st.rerun()


# -- the normals of a fitted model -----------------------------------------------------------------------


def _normals(entry: Entry) -> None:
    from padim.network.runtime import threads

    try:
        model = workspace.open_model(entry)
    except PadimError as error:
        shell.failure("The model cannot be opened.", error)
        return
    now = fit.memory()
    if now.failed:
        _failed(now.failed, "could not be used")
    busy = _change_under_way(entry)
    in_fit = [n for n in model.normals_ if n.status == "fit"]
    st.html(
        panels.facts(
            [
                ("Parts in the fit", f"{len({n.group for n in in_fit}):,}"),
                ("Images", f"{len(in_fit):,}"),
                ("Taken out", f"{len(model.normals_) - len(in_fit):,}"),
                ("Method", method_settings.titles(model.config)),
                ("Layers in use", f"{len(model.config.active_layers)} of {len(model.config.layers)}"),
                ("Working features on disk", _features_on_disk(model)),
                ("Runs on", runs_on(model.network.extractor.provider, threads())),
            ]
        )
    )
    shell.out_of_date(entry, here=True)
    _more_images(entry, model, busy)
    _training(model)
    if model.state.fitted.calibration == "none":
        st.warning(
            "There is no threshold yet: held-out scores take at least 3 good parts in the fit. "
            "Add more good parts, or set a threshold by hand on the Calibrate page.",
            icon=":material/warning:",
        )
    else:
        _promise(model)
        _layers(entry, model, busy)
    from padim.analysis import good_parts

    not_good = good_parts.not_good(model)
    if not_good:
        _not_good_parts(entry, model, not_good, busy)
    _least_normal(entry, model, good_parts.ranked(model), busy)
    _features(entry, model, busy)


def _failed(failed: Sequence[ImageError], what: str) -> None:
    with st.expander(f"{count(len(failed), 'file')} {what}", icon=":material/warning:"):
        st.html(panels.problems((error.name, error.reason) for error in failed))


def _change_under_way(entry: Entry) -> bool:
    """Show the background change of this model and what came of it; returns whether it is still at work."""
    job = amending.job(entry)
    if job is None:
        return False
    if job.running:
        watch.watch(job)
        return True
    if job.state == "failed":
        shell.failure("The model was not changed.", job.error)
    elif job.state == "cancelled":
        st.info("Cancelled: the model is as it was.", icon=":material/info:")
    else:
        st.success(job.result.summary, icon=":material/check:")
        if job.result.failed:
            _failed(job.result.failed, "could not be used")
    return False


def _features_on_disk(model: Padim) -> str:
    if model.working_set.has_features:
        return megabytes(model.working_set.nbytes)
    return "deleted" if model.working_set.problem is None else "cannot be used"


def _more_images(entry: Entry, model: Padim, busy: bool) -> None:
    """Where further good parts are added, and where features that were deleted or damaged come back."""
    problem = model.working_set.problem
    if problem is not None:
        st.warning(
            f"The working features cannot be used: {panels.plain(problem.path.name)} "
            f"{panels.plain(problem.what)}. The model itself is whole, and scores as before. To change its "
            "fit, give the same images again.",
            icon=":material/warning:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        # A count of the changes in the key: a popover starts closed after each.
        done = amending.times()
        with st.popover("Add good parts", icon=":material/add:", disabled=busy, key=f"fit-add-{done}"):
            st.markdown("**Continue the fit with more good parts**")
            if not model.working_set.has_features and (
                problem is None or model.working_set.continues_exactly
            ):
                st.caption(
                    "The working features were deleted, but the checkpoint suffices: the model learns from "
                    "the new images and is calibrated anew."
                    if model.working_set.continues_exactly
                    else "The working features were deleted. The model would learn from the new images, "
                    "but the calibration would be out of date until you give all its images again."
                )
            bring.images(amending.ADD, "images of more good parts", partial(amending.start_adding, entry))
            st.caption(
                "Images that agree so well that they must be shots of one part count as one, and so do "
                "identical files."
            )
        if not model.working_set.has_features:
            with st.popover(
                "Give the same images again",
                icon=":material/restore:",
                disabled=busy,
                key=f"fit-again-{done}",
            ):
                st.markdown("**Bring the working features back**")
                st.caption(
                    f"Excluding and putting back need all {count(len(model.normals_), 'image')} that the "
                    "model was fitted on, as the very same files; their names do not matter."
                )
                bring.images(amending.REBUILD, "the same images", partial(amending.start_rebuilding, entry))
            st.caption("Until then nothing can be excluded or put back.")


def _training(model: Padim) -> None:
    """How the trainings went, for a method that trains."""
    if not model.state.fitted.losses:
        return
    with st.expander("How the training went", key="fit-training", icon=":material/show_chart:"):
        st.plotly_chart(loss_chart.figure(model.state.fitted.losses), config=charts.CONFIG, key="fit-losses")
        st.caption(
            "Each line is one training: all good parts, and one for each turn in which some were left out. "
            "Training stops where the parts it does not learn from no longer gain (the dot). A dotted line "
            "that turns upwards early means too few good parts, or parts that differ much."
        )


def _promise(model: Padim) -> None:
    level = model.current_threshold
    from padim.analysis import good_parts

    values, kept_out = good_parts.part_values(model)
    st.subheader("Held-out scores")
    st.plotly_chart(
        charts.score_histogram(
            values,
            threshold=None if level is None else model.state.fitted.quantizer.to_value(level.level),
            kept_out=kept_out,
        ),
        config=charts.CONFIG,
        key="fit-histogram",
    )
    st.caption(method_settings.honesty(model.config))
    warning = None if level is None else calibrate.unsupported(level)
    if warning is not None:
        st.warning(warning, icon=":material/warning:")
    both = good_parts.both_promises(model)
    if both is None:
        if level is not None:
            st.markdown(f"**Good parts rejected.** {model.false_reject_rate_.sentence}")
        return
    st.markdown(
        f"**Good parts rejected.** {both.all_good.sentence} This counts the "
        f"{count(both.kept_out_parts, 'good part')} you kept out of the fit.\n\n"
        f"Without {'it' if both.kept_out_parts == 1 else 'them'} it would read: "
        f"{both.fit_only.sentence} That holds only if such parts never come again."
    )


def _layers(entry: Entry, model: Padim, busy: bool) -> None:
    """Which layers find good parts odd, and turning some off or on again."""
    panel = st.expander("Tune layers", key="fit-layers", icon=":material/layers:", on_change="rerun")
    if not panel.open:
        return
    from padim.analysis.layer_questions import can_attribute

    with panel:
        if not model.working_set.has_features:
            st.write(
                "The working features were deleted. “Give the same images again”, above, brings them back; "
                "until then no layer can be looked at, or turned off or on."
            )
            return
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**How far good parts lie from the model, by layer**")
            if can_attribute(model):
                _normals_shares(entry, model)
            else:
                st.caption(layers.UNREPORTED)
        with right:
            _tune(entry, model, busy)


def _normals_shares(entry: Entry, model: Padim) -> None:
    try:
        with st.spinner("Working it out"):
            explanation = layers.of_normals(entry, model)
    except (PadimError, OSError) as error:
        shell.failure("The layers cannot be looked into.", error)
        return
    st.html(panels.bars(layers.bars_of(model, explanation.shares.tolist(), features=True)))
    st.caption(
        "Every good part is judged by a model without it, as always. A layer with a large share here that "
        "never shows on your defects (on the Inspect page, “Which layer saw it”) mostly adds noise.",
        help="Mean over the images in the fit of each layer’s Shapley value of the squared held-out "
        "distance, at up to 256 places spread over the image.",
    )


def _tune(entry: Entry, model: Padim, busy: bool) -> None:
    used = model.config.active_layers
    by_name = {layer.name: layer for layer in model.network.extractor.layers}
    picked = st.pills(
        "Layers to use",
        list(by_name),
        selection_mode="multi",
        wrap=True,
        default=list(used),
        format_func=lambda name: f"{name} · {layers.sees(by_name[name])}",
        # Once the model has changed, the pills show what is in use.
        key=f"fit-use-{entry.revision}",
        disabled=busy,
        help="A layer that is turned off stays on disk and can be turned on again at any time.",
    )
    if not picked:
        st.error("Choose at least one layer.", icon=":material/error:")
    if st.button(
        "Refit with these layers",
        key="fit-relayer",
        icon=":material/refresh:",
        disabled=busy or not picked or set(picked) == set(used),
    ):
        amending.start_refit(entry, picked)
        st.rerun()
    takes = "trains anew, which takes minutes" if model.config.trains else "takes a second or a few"
    st.caption(
        f"It uses the features on disk and {takes}: the backbone network does not run. The threshold "
        "follows. To go back, choose the former layers again: the model is then the same to the last bit."
    )


def _not_good_parts(entry: Entry, model: Padim, items: list[RankedNormal], busy: bool) -> None:
    st.subheader("Taken out of the fit")
    locked = busy or not model.working_set.has_features
    grid = st.grid(min_column_width=160, gap="small", key="fit-taken-out")
    for item in items:
        with grid.cell():
            why = normals.REASONS[_reason(model, item)]
            if item.shots > 1:
                why += f"; {item.shots} images of one part"
            image = normals.overlay_of(entry, model, item.index)
            st.html(panels.gallery([panels.Thumb(image, item.name, why)]))
            if st.button("Put back", key=f"back-{item.index}", icon=":material/undo:", disabled=locked):
                if model.config.trains:
                    amending.start_including(entry, item.index)
                    st.rerun()
                _change(entry, partial(normals.include, entry, item.index))


def _reason(model: Padim, item: RankedNormal) -> Reason:
    return "kept_out" if model.normals_[item.index].status == "kept_out" else "not_good"


def _least_normal(entry: Entry, model: Padim, items: list[RankedNormal], busy: bool) -> None:
    st.subheader("The least normal-looking")
    st.caption(
        "An image that does not belong among the good ones blunts the model. Take out what is not a good "
        "part. A good part that looks odd should stay, or the model will reject its like."
    )
    threshold = model.current_threshold
    limit = model.state.fitted.quantizer.to_value(threshold.level) if threshold is not None else 0.0
    shown = items[: _REVIEWED * (1 + st.session_state.get("fit-more", 0))]
    split = _layers_of_each(entry, model, shown)
    grid = st.grid(min_column_width=160, gap="small", key="fit-normals")
    locked = busy or not model.working_set.has_features
    for item in shown:
        with grid.cell():
            _normal(entry, model, item, limit, locked, split.get(item.index, ""))
    if len(shown) < len(items) and st.button(f"Show more of the {len(items):,}", key="fit-show-more"):
        st.session_state["fit-more"] = st.session_state.get("fit-more", 0) + 1
        st.rerun()


def _layers_of_each(entry: Entry, model: Padim, shown: Sequence[RankedNormal]) -> dict[int, str]:
    """By index, HTML of which layers find each of these odd; empty unless it was asked for."""
    from padim.analysis.layer_questions import can_attribute

    if (
        model.state.fitted.calibration != "exact"
        or not model.working_set.has_features
        or not shown
        or not can_attribute(model)
    ):
        return {}
    if not st.toggle(
        "Show which layer finds each one odd",
        key="fit-odd-by-layer",
        persist_state="session",
        help="How much each layer of the network adds to the distance at the place that an image’s score "
        "comes from, judged by a model without that part.",
    ):
        return {}
    try:
        with st.spinner("Working it out"):
            explanation = layers.of_each(entry, model, [item.index for item in shown])
    except (PadimError, OSError) as error:
        shell.failure("The layers cannot be looked into.", error)
        return {}
    bars = {index: layers.bars_of(model, one.shares.tolist()) for index, one in explanation.items()}
    st.html(panels.legend(next(iter(bars.values()))))
    return {index: panels.stack(rows) for index, rows in bars.items()}


def _normal(entry: Entry, model: Padim, item: RankedNormal, limit: float, locked: bool, split: str) -> None:
    note = f"{multiple(item.value, limit)} threshold" if limit > 0 and item.level is not None else ""
    odd = limit > 0 and item.level is not None and item.value > limit
    verdict: panels.Verdict | None = "reject" if odd else None
    st.html(
        panels.gallery([panels.Thumb(normals.overlay_of(entry, model, item.index), item.name, note, verdict)])
        + split
    )
    with st.popover("Exclude", key=f"why-{item.index}", disabled=locked):
        st.markdown("**Why take it out?**")
        if item.shots > 1:
            st.caption(f"All {item.shots} images of this part leave together.")
        for reason, text in normals.REASONS.items():
            if st.button(text, key=f"{reason}-{item.index}", width="stretch"):
                if model.config.trains:
                    amending.start_excluding(entry, item.index, reason)
                    st.rerun()
                _change(entry, partial(normals.exclude, entry, item.index, reason))
        st.caption(
            "A good part kept out stays in the calibration as an image the model has not seen, so that the "
            "false-reject rate stays honest."
        )


def _change(entry: Entry, work: Callable[[], None]) -> None:
    try:
        with st.spinner("Working it out"):
            work()
    except (PadimError, OSError) as error:
        shell.failure("Nothing was changed.", error)
    else:
        amending.acknowledge(entry)
        st.rerun()


def _features(entry: Entry, model: Padim, busy: bool) -> None:
    with st.expander("Working features"):
        if not model.working_set.has_features:
            st.write(
                "They were deleted. “Give the same images again”, above, brings them back; until then "
                "nothing can be excluded or put back. The model scores without them."
            )
            return
        few = len(model.normals_) <= len(model.state.channels)
        left = costs.checkpoint(model.config, len(model.normals_))
        st.write(
            f"The normals’ features take {megabytes(model.working_set.nbytes)} on this server. With them "
            "parts can be excluded and put back, exactly and quickly. "
            "The model scores without them; to have them back "
            f"you need the same images. A checkpoint of {left} would stay: good parts can still be added, "
            + (
                "and the model is calibrated anew."
                if few
                else "but the threshold does not follow until all the images are given again."
            )
        )
        if st.button(
            "Delete the working features", key="fit-delete-features", icon=":material/delete:", disabled=busy
        ):
            _change(entry, partial(normals.delete_features, entry))


# -- the page --------------------------------------------------------------------------------------------

_VIEW = "fit-view"


def _chosen() -> None:
    fit.memory().view = st.session_state[_VIEW]


# Before anything reads the URL: to run the page again for the new model instead would let a request of the
# browser that is under way, with the former model in its URL, take the place of that run.
if fit.finish():
    fit.memory().view = "normals"
entry = shell.begin("Fit", "Teach a model what good parts look like, from images of good parts alone.")
if fit.memory().afresh:
    fit.memory().view = "new"
    fit.memory().afresh = False
if fit.memory().sample_asked:
    fit.take_sample()
if entry is None:
    _new_model()
else:
    views = {"new": "New model", "normals": f"Normals of “{panels.plain(entry.name)}”"}
    # The page knows which view it shows; the control only says so, and when it is clicked. A request that is
    # under way when the control first appears knows nothing of it, and would take it to its first option.
    st.session_state[_VIEW] = fit.memory().view
    view = st.segmented_control(
        "View",
        list(views),
        format_func=lambda key: views[key],
        required=True,
        key=_VIEW,
        on_change=_chosen,
        label_visibility="collapsed",
    )
    if view == "normals":
        _normals(entry)
    else:
        _new_model()
preload.up(preload.FIT)
