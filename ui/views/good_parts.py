"""The fitted model’s good parts: what it was fitted on, how it was calibrated, and its working features."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.locating.wording import located_by
from ui import fit, model_changes, suggested_thresholds
from ui.app import shell, workspace
from ui.app.text import count, megabytes, runs_on
from ui.files import image_input
from ui.jobs import watch
from ui.views import good_parts_review, layer_tuning, unusual_parts
from ui.views.changes import apply_change
from ui.widgets import charts, costs, file_account, loss_chart, method_settings, normals, panels, resolution

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry


def draw(entry: Entry, model: Padim) -> None:
    """Draw the section for this model."""
    file_account.draw(fit.memory().failed, fit.memory().passed_over)
    if note := fit.memory().library_note:
        st.warning(panels.plain(note), icon=":material/warning:")
    busy = change_under_way(entry)
    in_fit = [n for n in model.normals_ if n.status == "fit"]
    st.html(
        panels.facts(
            [
                ("Parts in the fit", f"{len({n.group for n in in_fit}):,}"),
                ("Images", f"{len(in_fit):,}"),
                ("Excluded", f"{sum(n.status in ('kept_out', 'not_good') for n in model.normals_):,}"),
                ("Parts are compared", located_by(model.config.align)),
                ("Method", method_settings.titles(model.config)),
                ("Layers in use", f"{len(model.config.active_layers)} of {len(model.config.layers)}"),
            ]
        )
    )
    finely = resolution.of(model)
    if finely is not None:
        st.html(panels.facts(resolution.facts(finely)))
        resolution.warnings(finely)
    _pixel_size(entry, model)
    _more_images(entry, model, busy)
    _training(model)
    if model.state.fitted.calibration == "none":
        st.warning(
            "There is no threshold yet: scores of good parts, each judged without itself, take at least 3 in "
            "the fit. "
            "Add more good parts, or set a threshold by hand on the Calibrate page.",
            icon=":material/warning:",
        )
    else:
        _calibration(model)
        layer_tuning.draw(entry, model, busy)
    from padim.analysis import good_parts

    good_parts_review.draw_located(entry, model, busy)
    not_good = [item for item in good_parts.not_good(model) if not _not_found(model, item.index)]
    if not_good:
        good_parts_review.draw_excluded(entry, model, not_good, busy)
    unusual_parts.draw(entry, model, good_parts.ranked(model), busy)
    _features(entry, model, busy)


def _not_found(model: Padim, index: int) -> bool:
    """Whether an image is listed among those in which the part was not found."""
    return bool(model.normals_[index].lost) and model.normals_[index].status == "kept_out"


def _pixel_size(entry: Entry, model: Padim) -> None:
    """Draw the size of a pixel in mm, which can be changed at any time."""
    now = model.config.pixel_size_mm
    with st.container(horizontal=True, vertical_alignment="bottom", key="fit-pixel"):
        with st.container(width=220):
            wanted = resolution.pixel_size(f"fit-pixel-of-{entry.id}-{now}", now)
        if st.button("Keep this size", key="fit-pixel-keep", disabled=wanted == now):
            apply_change(
                entry,
                "the size of a pixel",
                lambda at: _keep_pixel_size(at, wanted),
                failed="The size of a pixel was not saved.",
                spinner="Saving",
            )


def _keep_pixel_size(entry: Entry, size: float | None) -> None:
    with workspace.edit(entry, what="setting the size of a pixel") as model:
        model.set_decision(pixel_size_mm=size or 0.0)


def change_under_way(entry: Entry) -> bool:
    """Show a running change or the result of the last one; return whether one is running."""
    job = model_changes.job(entry)
    if job is None:
        return False
    if job.running:
        mine = model_changes.is_mine(entry, job)
        if not mine:
            others = model_changes.others_text(job)
            st.info(
                f"{others[:1].upper()}{panels.plain(others[1:])} is working on this model. When that has "
                "ended, this page shows the result, and you can change the model.",
                icon=":material/group:",
            )
        watch.watch(job, cancellable=mine)
        return True
    if model_changes.collect_refused(entry):  # it has ended since this run began
        st.rerun()
    if job.state == "failed":
        shell.failure("The model was not changed.", job.error)
    elif job.state == "cancelled":
        st.info("Cancelled: the model is as it was.", icon=":material/info:")
    else:
        st.success(job.result.summary, icon=":material/check:")
        file_account.draw(job.result.failed, job.result.passed_over)
    return False


def _features_on_disk(model: Padim) -> str:
    if model.working_set.has_features:
        return megabytes(model.working_set.nbytes)
    return "deleted" if model.working_set.problem is None else "cannot be used"


def _more_images(entry: Entry, model: Padim, busy: bool) -> None:
    """Draw the ways to add good parts, and to restore missing or damaged working features."""
    problem = model.working_set.problem
    if problem is not None:
        st.warning(
            f"The working features cannot be used: {panels.plain(problem.path.name)} "
            f"{panels.plain(problem.what)}. The model itself is whole, and scores as before. To change its "
            "fit, give the same images again.",
            icon=":material/warning:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        # The number of changes is part of the key, so that the popover starts closed after each.
        done = model_changes.times()
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
            image_input.choose(
                model_changes.ADD,
                "images of more good parts",
                partial(model_changes.start_adding, entry),
                good_parts=True,
            )
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
                image_input.choose(
                    model_changes.REBUILD,
                    "the same images",
                    partial(model_changes.start_rebuilding, entry),
                )
            st.caption("Until then nothing can be excluded or restored.")


def _training(model: Padim) -> None:
    """Draw the loss of every training, for a method that trains a network."""
    if not model.state.fitted.losses:
        return
    with st.expander("How the training went", key="fit-training", icon=":material/show_chart:"):
        st.plotly_chart(loss_chart.figure(model.state.fitted.losses), config=charts.CONFIG, key="fit-losses")
        st.caption(
            "Each line is one training: all good parts, and one for each turn in which some were left out. "
            "Training stops where the parts it does not learn from no longer gain (the dot). A dotted line "
            "that turns upwards early means too few good parts, or parts that differ much."
        )


def _calibration(model: Padim) -> None:
    """Draw the held-out scores of the good parts, and the expected false-reject rate."""
    level = model.current_threshold
    from padim.analysis import good_parts

    values, kept_out = good_parts.part_values(model)
    limit = 0.0 if level is None else model.state.fitted.quantizer.to_value(level.level)
    scale = limit if limit > 0 else 1.0
    st.subheader("Scores of good parts")
    st.caption("Each judged without itself: by the model fitted on the others.")
    st.plotly_chart(
        charts.score_histogram(
            [value / scale for value in values],
            threshold=None if level is None else 1.0,
            kept_out=[value / scale for value in kept_out],
            unit="score" if level is None else "score, as a multiple of the threshold",
        ),
        config=charts.CONFIG,
        key="fit-histogram",
    )
    st.caption(method_settings.honesty(model.config))
    warning = None if level is None else suggested_thresholds.unsupported(level)
    if warning is not None:
        st.warning(warning, icon=":material/warning:")
    both = good_parts.both_promises(model)
    if both is None:
        if level is not None:
            st.markdown(model.verdict_rates_.sentence)
        return
    st.markdown(
        f"{both.all_good.sentence} This counts the "
        f"{count(both.kept_out_parts, 'good part')} excluded from the fit.\n\n"
        f"Without {'it' if both.kept_out_parts == 1 else 'them'} it would read: "
        f"{both.fit_only.sentence} That holds only if such parts never come again."
    )


def _features(entry: Entry, model: Padim, busy: bool) -> None:
    from padim.network.runtime import threads

    with st.expander("Expert: working features", key="fit-expert", icon=":material/memory:"):
        st.html(
            panels.facts(
                [
                    ("Working features on disk", _features_on_disk(model)),
                    ("Runs on", runs_on(model.network.extractor.provider, threads())),
                ]
            )
        )
        if not model.working_set.has_features:
            st.write(
                "They were deleted. “Give the same images again”, above, brings them back; until then "
                "nothing can be excluded or restored. The model scores without them."
            )
            return
        few = len(model.normals_) <= len(model.state.channels)
        left = costs.checkpoint(model.config, len(model.normals_))
        st.write(
            f"The normals’ features take {megabytes(model.working_set.nbytes)} on this server. With them "
            "parts can be excluded and restored, exactly and quickly. "
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
            apply_change(entry, "delete the working features", normals.delete_features)
