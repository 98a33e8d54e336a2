"""New model: choose images of good parts, check them, choose settings and start the fit."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from padim.locating.wording import located_by
from padim.methods.requirements import can_fit
from ui import fit
from ui import locating as locating_state
from ui.app import shell
from ui.app.text import count
from ui.files import grouping, image_input, uploads
from ui.files.survey import size_note
from ui.jobs import watch
from ui.views import locating, locating_trial
from ui.widgets import (
    bit_depth,
    costs,
    file_account,
    input_sizes,
    networks,
    panels,
    resolution,
    settings,
)

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from padim.config import PadimConfig
    from padim.data.survey import Group, Survey
    from ui.jobs.jobs import Job

_MOST_THUMBNAILS = 60
_NOTE = (
    f"40 or more good parts make an honest threshold. For more than {uploads.MANY} images bring a zip, or "
    "name a folder on the server where one is open: a browser grows slow with so many files. The "
    "images are kept in the model’s image library."
)


def draw() -> None:
    """Draw the form for a new model, or the progress of the fit that it started."""
    state = fit.memory()
    job = fit.fit_job()
    if job is not None and job.state == "failed":
        shell.failure("The model was not fitted.", job.error)
    elif job is not None and job.state == "cancelled":
        st.info(
            "The fit was cancelled. Nothing was kept; your images are still here.", icon=":material/info:"
        )
    running = job is not None and job.running

    survey_job = fit.survey_job()
    if survey_job is None or state.image_set is None:
        if job is not None and running:
            watch.watch(job)
            return
        image_input.choose(
            fit.UPLOADER,
            "images of good parts",
            fit.take,
            note=_NOTE,
            sample=fit.sample(),
            good_parts=True,
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        # As HTML, for the name of a file may spell Markdown.
        st.html(f'<div class="pv-label">{escape(state.image_set.label)}</div>')
        if st.button("Choose other images", key="fit-other", icon=":material/undo:", disabled=running):
            fit.start_afresh()
            st.rerun()
    if survey_job.running:
        watch.watch(survey_job)
        return
    if survey_job.state != "done":
        shell.failure("These images cannot be read.", survey_job.error)
        return
    survey = survey_job.result
    if not survey.seen:
        shell.empty("No image can be used", "None of these files is an image that can be read.")
        file_account.draw(survey.failed, survey.passed_over, open_up_to=20)
        return
    with st.container(key="fit-halves"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        accepted, where = _images(survey)
    with right:
        _settings(survey, accepted, job if running else None, where)


def _images(survey: Survey) -> tuple[list[Group], DeltaGenerator]:
    """Show the images that were found.

    Returns:
        The groups that the user confirmed as shots of one part, and the place for how the part is located,
        which is filled in later: it depends on the bit depth, which is asked for above the settings.
    """
    file_account.draw(survey.failed, survey.passed_over, open_up_to=5)
    state = fit.memory()
    # The key differs for every image set, because groups confirmed for one do not apply to the next.
    accepted = grouping.ask(survey, state.confirmed, f"fit-group-{state.sets}")
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
    where = st.container()
    st.html(
        panels.gallery(
            (
                panels.Thumb(panels.ServedImage(item.thumbnail or b""), item.name)
                for item in survey.seen[:_MOST_THUMBNAILS]
            ),
            small=True,
            more=len(survey.seen) - _MOST_THUMBNAILS,
        )
    )
    return accepted, where


def _settings(
    survey: Survey, accepted: list[Group], running: Job[fit.FitOutcome] | None, where: DeltaGenerator
) -> None:
    state = fit.memory()
    parts = survey.parts(accepted)
    name = st.text_input(
        "Name of the model",
        value=state.suggested_name,
        max_chars=80,
        key=f"fit-name-{state.sets}",
        persist_state="session",
    )
    # The default settings suit most users, so the resulting cost and the button are above them.
    known, depth = bit_depth.choose(survey, disabled=running is not None)
    start = st.container()
    st.subheader("Settings")
    assert state.image_set is not None
    # Drawn first, in a place of its own: the input size follows what is cut out where the part lies.
    with where:
        located = locating.draw(
            state.sets, state.image_set.source, survey, parts, depth, state.like, locked=running is not None
        )
    config = _like(state.like, located) if state.like else settings.form(survey.sizes, located.size)
    if config is not None:
        config = config.model_copy(update={"bit_depth": depth, "align": located.align})
    if located.place is not None:
        with located.place:
            _compare(survey, parts, config, located, known, locked=running is not None)
    with start:
        if located.use in ("off", "changed"):
            st.warning(
                "Locating the part was set up but is not switched on: this model would compare the parts as "
                "they lie.",
                icon=":material/warning:",
            )
        _costs_and_start(survey, parts, name, config, located, running, known)
    if config is not None:
        _expert(config, len(survey.seen))


def _compare(
    survey: Survey,
    parts: dict[str, str],
    config: PadimConfig | None,
    located: locating.LocatingChoice,
    known: bool,
    *,
    locked: bool,
) -> None:
    """Draw the comparison of fits with and without locating, each with the input size of its own images."""
    from padim.data.input_shape import input_shape_for

    image_set = fit.memory().image_set
    assert image_set is not None
    pair: list[PadimConfig | None] = [None, None]
    if config is not None:
        follows = fit.memory().like is not None or input_sizes.as_the_parts()
        area = config.input_shape[0] * config.input_shape[1]
        shapes = [located.frame_size], list(survey.sizes)
        for i, (align, sizes) in enumerate(zip((located.candidate, None), shapes, strict=True)):
            size = input_shape_for(sizes, area) if follows else config.input_size
            pair[i] = config.model_copy(update={"align": align, "input_size": size})
    ready = config is not None and networks.ready(config) and known and not locked
    locating_trial.draw(
        locating_state.memory(fit.memory().sets), image_set.source, pair[0], pair[1], parts, ready=ready
    )


def _like(like: fit.SettingsOfModel, located: locating.LocatingChoice) -> PadimConfig:
    """Draw which model's settings are taken, and return them for parts located in this way."""
    from padim.data.input_shape import input_shape_for

    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Those of **{panels.plain(like.name)}**.")
        if st.button("Choose them anew", key="fit-unlike", icon=":material/tune:"):
            fit.memory().like = None
            st.rerun()
    st.caption("All but where the part lies; the input size follows what is cut out there.")
    config = like.config
    if located.size is None:
        return config
    area = config.input_shape[0] * config.input_shape[1]
    return config.model_copy(update={"input_size": input_shape_for([located.size], area), "fit": "stretch"})


def _costs_and_start(
    survey: Survey,
    parts: dict[str, str],
    name: str,
    config: PadimConfig | None,
    located: locating.LocatingChoice,
    running: Job[fit.FitOutcome] | None,
    known: bool,
) -> None:
    from padim.analysis.resolution import resolution_of

    n_parts = len(set(parts.values()))
    if config is not None:
        frame = None if config.align is None else located.frame
        sizes = survey.sizes.elements()
        finely = resolution_of(config, sizes, frame=frame, mm_per_pixel=config.pixel_size_mm)
        place = ("Parts are compared", located_by(config.align))
        st.html(panels.facts([place, *resolution.facts(finely)]))
        resolution.warnings(finely)
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
    if config is not None and survey.mixed_shapes and config.align is None:
        from padim.data.shapes import shape_note

        differ = shape_note(survey.sizes)
        resized = (
            "They are padded to the input size, which keeps their proportions."
            if config.fit == "pad"
            else "Stretched to one input size, each is distorted in another way."
        )
        st.warning(
            f"{differ[:1].upper()}{differ[1:]}. {resized} *Shape*, in the settings, decides it.",
            icon=":material/warning:",
        )
    if running is not None:
        # Shown in place of the button that the user has just clicked. If the job has ended meanwhile, the
        # page runs again and reports its outcome at the top.
        watch.watch(running)
        return
    here = config is not None and networks.ready(config)
    ready = here and config is not None and all(can_fit(name) for name in config.methods_used)
    if st.button(
        "Fit the model",
        type="primary",
        key="fit-go",
        disabled=not (ready and known),
        width="stretch",
        help="Say above which range the images have."
        if not known
        else "The network’s weights are missing: see below."
        if config is not None and not here
        else None,
    ):
        assert config is not None
        try:
            fit.start_fit(name, config, parts)
        except (PadimError, OSError) as error:
            shell.failure("The fit did not start.", error)
        else:
            st.rerun()


def _expert(config: PadimConfig, images: int) -> None:
    """Draw what the settings take of memory and disk."""
    with st.expander("Expert: memory and disk", key="fit-expert", icon=":material/memory:"):
        with st.container(key="fit-costs"):
            st.html(panels.facts(costs.facts(config, images)))
        st.caption(
            costs.note(config, images),
            help="The working features let you exclude images and put them back. If you delete them, the "
            "checkpoint takes their place: with it, more good parts can still be added.",
        )
