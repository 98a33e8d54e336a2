"""The Run tab of the Inspect page: score test images, list them worst first, view and export them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import exports, inspect, inspecting_version, run_records, viewing
from ui.app import progress, reruns, sessions, shell, workspace
from ui.app.text import count, size
from ui.components import viewer
from ui.files import image_input
from ui.jobs import watch
from ui.views import library_choice, run_fields
from ui.widgets import downloads, file_account, layers, panels

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.inspect import Row, Show
    from ui.inspecting_version import InspectingVersion
    from ui.reviews import Review
    from ui.run_records import ImageContexts

_VIEWER = "inspect-viewer"


# -- choosing images -----------------------------------------------------------------------------------


def _choose_images(
    entry: Entry,
    inspecting: InspectingVersion,
    camera_place: DeltaGenerator | None = None,
    *,
    busy: bool = False,
) -> None:
    take = partial(_take, entry, inspecting)
    image_input.choose(
        inspect.UPLOADER,
        "test images",
        partial(run_fields.chosen, take),
        sample=inspect.sample(entry),
        camera=image_input.Camera(partial(run_fields.shot, take), camera_place, disabled=busy),
    )


def _take(
    entry: Entry, inspecting: InspectingVersion, image_set: ImageSet, image_contexts: ImageContexts
) -> None:
    kept = run_records.fields().keep
    inspect.take(
        entry,
        inspecting.model,
        image_set,
        image_contexts if kept else None,
        inspecting_version.version_id(inspecting) if kept else None,
    )


def _which_version(inspecting: InspectingVersion) -> None:
    """Say which version inspects, where that is not simply the model as it is saved."""
    version, newer = inspecting.version, inspecting.newer
    if inspecting.problem is not None:
        shell.failure(
            "Which version is approved cannot be looked up: the model as it is saved inspects.",
            inspecting.problem,
        )
        return
    if version is None or (inspecting.is_saved and newer is None and not inspecting.none_approved):
        return
    at = "" if version.threshold is None else f", at threshold {version.threshold:.2f}"
    if inspecting.none_approved:
        text = f"**No version is approved.** Version {version.number}, the saved model, inspects{at}."
    elif newer is None:
        text = f"**Version {version.number} inspects**{at}: it is approved, and the saved model is another."
    else:
        text = (
            f"**Version {version.number} inspects**{at}. Version {newer.number} is a newer draft: it "
            "inspects once it is approved."
        )
    with st.container(horizontal=True, vertical_alignment="center", key="run-version"):
        st.info(text, icon=":material/history:")
        st.page_link(
            "home.py",
            label="Versions",
            icon=":material/arrow_forward:",
            query_params={**workspace.link(), "tab": "versions"},
        )


def _in_fit(found: list[Row]) -> None:
    """Say how many of the images were in the fit; each is marked in the list and in the files."""
    from padim.analysis.fit_overlap import marked

    if known := sum(row.in_fit for row in found):
        st.warning(f"{marked(known, len(found))}.", icon=":material/warning:")


# -- the list --------------------------------------------------------------------------------------------


def _arrangement(model: Padim, found: list[Row]) -> list[Row]:
    """Draw the controls above the list and return the rows to show, in order."""
    rejected = sum(row.verdict == "reject" for row in found)
    review = sum(row.verdict == "review" for row in found)
    labels: dict[Show, str] = {
        "all": f"All {len(found):,}",
        "reject": f"Reject {rejected:,}",
        "review": f"Review {review:,}",
        "accept": f"Accept {len(found) - rejected - review:,}",
    }
    if model.decision.guard is None and not review:
        del labels["review"]
    # Errors among images that are labelled, on Calibrate or in the library.
    if wrong := sum(row.is_shown("false_reject") for row in found):
        labels["false_reject"] = f":red[False rejects {wrong:,}]"
    if missed := sum(row.is_shown("miss") for row in found):
        labels["miss"] = f":red[Missed defects {missed:,}]"
    # Named checks of models that locate the part, if any fires.
    lost = sum(row.is_shown("lost") for row in found)
    displaced = sum(row.is_shown("displaced") for row in found)
    if lost:
        labels["lost"] = f"Part not found {lost:,}"
    if displaced:
        labels["displaced"] = f"Displaced {displaced:,}"
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="center")
    with left:
        decided = any(row.verdict for row in found)
        show: Show = st.segmented_control(
            "Show",
            list(labels) if decided else ["all"],
            format_func=lambda key: labels[key],
            default="all",
            required=True,
            wrap=True,
            key="inspect-show",
            persist_state="session",
            label_visibility="collapsed",
        )
    with middle:
        order = st.selectbox(
            "Order",
            list(inspect.ORDERS),
            format_func=lambda key: inspect.ORDERS[key],
            key="inspect-order",
            persist_state="session",
            label_visibility="collapsed",
        )
    with right:
        search = st.text_input(
            "Search",
            placeholder="Search by name",
            key="inspect-search",
            persist_state="session",
            label_visibility="collapsed",
        )
    return inspect.arranged(found, order, show, search)


def _scores(rows: list[Row], model: Padim) -> None:
    """Draw the list of scores for a model without a threshold, which has no masks to show."""
    st.dataframe(
        {
            "Image": [row.item.thumb.url() for row in rows],
            "Name": [row.item.name for row in rows],
            "Score": [model.state.fitted.quantizer.to_value(row.score) for row in rows],
            "Size (px)": [size(row.item.original_size) for row in rows],
            "Notes": [" ".join(row.item.notes) for row in rows],
            "Was in the fit": ["yes" if row.in_fit else "" for row in rows],
        },
        key="inspect-scores",
        hide_index=True,
        row_height=52,
        height=min(52 * len(rows) + 40, 480),
        column_config={
            "Image": st.column_config.ImageColumn("", width=64),
            "Name": st.column_config.TextColumn(width="medium"),
            "Score": st.column_config.NumberColumn(format="%.2f"),
        },
    )


# -- one image -----------------------------------------------------------------------------------------


def _viewer(entry: Entry, model: Padim, rows: list[Row], shown: Row, *, listing: bool) -> None:
    viewer.component()(
        key=_VIEWER,
        data=inspect.message(entry, model, rows, shown, listing=listing),
        on_selected_change=lambda: inspect.on_selected(entry, viewing.event_value(_VIEWER, "selected")),
        on_look_change=lambda: viewing.on_look(inspect.look(), viewing.event_value(_VIEWER, "look")),
        on_labels_change=lambda: _on_labels(entry),
    )


def _on_labels(entry: Entry) -> None:
    try:
        inspect.on_labels(entry, viewing.event_value(_VIEWER, "labels"))
    except (PadimError, OSError) as error:
        st.session_state["inspect-unsaved"] = error


@st.fragment
def _which_layer(entry: Entry, model: Padim, row: Row, level: int) -> None:
    """Draw the panel with the layers' shares of an anomaly; they are computed when it is opened."""
    panel = st.expander(
        "Which layer saw it", key="inspect-layers", icon=":material/layers:", on_change="rerun"
    )
    if not panel.open:
        return
    from padim.analysis.layer_questions import asked_places, can_attribute

    with panel, st.container(key=inspect.follower(row)):
        if not can_attribute(model):
            st.caption(layers.UNREPORTED)
            return
        places = asked_places(row.item, model, level)
        labels = layers.labels(places, row.item, model.config.pixel_size_mm)
        left, right = st.columns([1, 2], gap="large")
        with right:
            at = st.selectbox(
                "Where",
                range(len(places)),
                format_func=lambda i: labels[i],
                # The key depends on image and threshold, because the regions do.
                key=f"inspect-where-{row.item.number}-{level}",
                help="The place outlined on the left. The strongest region comes first.",
            )
            try:
                with st.spinner("Working it out"):
                    explanation = layers.explained(entry, model, row.item, places[at])
            except (PadimError, OSError) as error:
                shell.failure("This image cannot be looked into.", error)
                return
            st.html(panels.bars(layers.bars_of(model, explanation.shares.tolist())))
            st.caption(
                "How much each layer of the network adds to the distance there. Layers with a small stride "
                "see scratches and texture, those with a large one shape and missing parts.",
                help="A layer’s share is what it adds to the squared distance, averaged over all orders in "
                "which the layers could be added (its Shapley value). No share is negative, and together "
                "they are the whole distance. They are taken where the model measures, before the "
                "smoothing. On the Fit page, layers that never see your defects can be turned off.",
            )
        with left:
            image = layers.outlined(row.item, model, level, places[at])
            st.html(panels.gallery([panels.Thumb(image, row.item.name)]))


# -- the page --------------------------------------------------------------------------------------------


def _downloads(entry: Entry, inspecting: InspectingVersion, rows: list[Row], level: int | None) -> None:
    """Draw the buttons that download files of the listed rows, created when they are clicked."""
    model = inspecting.model
    look = inspect.look()
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.csv_form()
        downloads.button(
            "Results (CSV)",
            partial(exports.csv_bytes, rows, model, inspecting.entry, level, inspect.review(entry).pile),
            f"{entry.name} results",
            ".csv",
            key="inspect-csv",
            disabled=not rows,
        )
        downloads.button(
            "Four-panel images (ZIP)",
            partial(
                exports.zip_of_panels,
                rows,
                model,
                level or 0,
                colormap=look["colormap"],
                opacity=look["opacity"],
            ),
            f"{entry.name} images",
            ".zip",
            key="inspect-zip",
            disabled=not rows or level is None,
        )


def _results(entry: Entry, inspecting: InspectingVersion) -> None:
    """Draw the part of the page below the control for new images."""
    model = inspecting.model
    review = inspect.review(entry)
    running, pile = review.running, review.pile
    # In a container, because elements that come and go above the viewer would make the browser rebuild it.
    with st.container():
        for job in review.jobs:
            if job.state == "failed":
                shell.failure("Some images were not scored.", job.error)
        if unsaved := st.session_state.pop("inspect-unsaved", None):
            shell.failure("The label, or its image, was not stored.", unsaved, in_view=True)
        file_account.draw(pile.failed, pile.passed_over)
        run_fields.on_record(entry)
    threshold = model.current_threshold
    level = None if threshold is None else threshold.level
    found = inspect.rows(entry, model, level)
    if not found:
        if not running and not pile.answered and not run_fields.waiting():
            shell.empty("No images yet", "Drop test images above. The worst comes first.")
        return
    progress.note(entry, "inspected")
    with st.container():
        if noted := sum(bool(row.item.notes) for row in found):
            st.caption(
                f":material/info: {noted:,} of {count(len(found), 'image')} "
                f"{'is' if noted == 1 else 'are'} unlike the good parts in shape, size or colors. Each says "
                "so; verdicts do not change."
            )
        if model.self_test_.state == "noted":
            st.caption(f":material/info: Self-test of the model: {panels.plain(model.self_test_.sentence)}.")
        _in_fit(found)
        # Of the first images of a batch it says little: its defects may come first.
        if not running:
            panels.strangers(model, [row.item for row in found])
    rows = _arrangement(model, found)
    if not rows:
        shell.empty("None of the images matches", "Show all, or search for something else.")
        return
    if level is None:
        st.info(
            "This model has no threshold yet, so there is no verdict. Set one by hand on the Calibrate page.",
            icon=":material/info:",
        )
        _scores(rows, model)
    else:
        shown = rows[inspect.position(entry, rows)]
        # While the first images arrive, the worst one changes all the time, so the viewer is not drawn yet.
        # Once drawn, it stays.
        view = review.view
        view.drawn = view.drawn or not running or inspect.chosen(entry, rows)
        _viewer(entry, model, rows, shown, listing=not view.drawn)
        if view.drawn:
            _which_layer(inspecting.entry, model, shown, level)
    _downloads(entry, inspecting, rows, level)


def _list(entry: Entry, inspecting: InspectingVersion) -> None:
    # Most clicks run only this fragment, with the model that it was first called with.
    if workspace.changed(entry) or inspecting.superseded(entry):
        reruns.run_page()
    _results(entry, inspecting)


def draw(entry: Entry) -> None:
    """Draw the tab.

    Args:
        entry: the model in use.
    """
    saved = shell.opened(entry)
    if saved is None:
        return
    try:
        inspecting = inspecting_version.find(entry, saved)
    except PadimError as error:
        shell.failure("Nothing is scored: the approved version cannot be opened.", error)
        return
    with st.container():
        _which_version(inspecting)
    review = inspect.review(entry)
    if not review.follow(inspecting.entry, inspecting.model):
        st.info(
            "The model has changed. When these images are through, all are scored again by the model as it "
            "is now.",
            icon=":material/info:",
        )
        for job in review.running:
            watch.watch(job)
        return
    running = review.running
    busy = bool(running)
    with st.container():
        allowed = run_fields.draw(entry)
    with st.container():
        if busy or len(review.pile) or review.pile.answered:
            _bar(entry, inspecting, review, busy, allowed=allowed)
        elif allowed and not run_fields.waiting():
            _choose_images(entry, inspecting)
        if run_fields.waiting() and not busy:
            run_fields.preview(entry, partial(_take, entry, inspecting), allowed=allowed)
    with st.container():
        if busy:
            watch.watch(running[-1])
    # Drawing the list slows the scoring down, so it is repeated rarely. The progress bar above it polls more
    # often, and runs the whole page at the end. One fragment whether the list grows or not: else a click
    # that is on its way when the last image is scored would ask for a fragment that is no more.
    st.fragment(_list, run_every=sessions.paced(2.5) if busy else None)(entry, inspecting)


def _bar(entry: Entry, inspecting: InspectingVersion, review: Review, busy: bool, *, allowed: bool) -> None:
    row, camera_place = st.container(horizontal=True, vertical_alignment="center"), st.container()
    with row:
        # The key changes with every batch, so that the next popover starts closed.
        batch = len(review.job_keys)
        closed = busy or not allowed or run_fields.waiting()
        with st.popover("Add images", icon=":material/add:", disabled=closed, key=f"inspect-add-{batch}"):
            if allowed and not run_fields.waiting():
                _choose_images(entry, inspecting, camera_place, busy=busy)
        if st.button("Clear the list", key="inspect-clear", icon=":material/close:"):
            inspect.clear(entry)
            st.rerun()
        if not busy:
            library_choice.keep_scored(entry, "inspect", review.pile.items)
