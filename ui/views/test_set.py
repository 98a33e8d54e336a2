"""The Test set tab of the Validate page: how well labeled good parts and defects are told apart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import evaluate, library, measurement_page
from ui.app import progress, reruns, shell, workspace
from ui.app.text import count, percent
from ui.files import folders, uploads
from ui.jobs import watch
from ui.views import library_choice
from ui.widgets import charts, downloads, file_account, folder_uses, panels, tables

if TYPE_CHECKING:
    from padim.analysis.scored_dataset import LabeledScore, Outcome
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.evaluate import Evaluated

_LAYOUTS = (
    "One folder **good** (or ok, pass, io, gut, normal) and one folder for each kind of defect. Masks, where "
    "there are any, go into **ground_truth**, in a folder of the same kind under the image’s name. The "
    "layouts of MVTec AD, VisA, BTAD, KolektorSDD, DAGM and anomalib’s Folder are understood as they are; so "
    "are images with their masks, and a CSV with the columns path, label and mask."
)


# -- choosing images -----------------------------------------------------------------------------------


def _choose_images(entry: Entry, model: Padim) -> None:
    found = library.labeled_set(entry)
    library_choice.offer(
        entry,
        "evaluate",
        found,
        lambda image_set: evaluate.take_library(entry, model, image_set),
        "" if found is None else count(len(found.source), "labelled image"),
    )
    kinds = {"files": "A zip", "folder": "A folder of this computer"}
    if folders.roots():
        kinds["server"] = "A folder on the server"
    kind = st.segmented_control(
        "Where are the labelled images?",
        list(kinds),
        format_func=lambda key: kinds.get(key, key),
        default="files",
        required=True,
        key="evaluate-origin",
        persist_state="session",
        label_visibility="collapsed",
    )
    try:
        if kind == "server":
            if _on_server(entry, model):
                st.rerun()
        else:
            wording = (
                "Drop a zip of labelled images"
                if kind == "files"
                else "Choose a folder with a sub-folder a kind"
            )
            files = uploads.uploader(
                evaluate.UPLOADER,
                wording,
                kind="folder" if kind == "folder" else "files",
            )
            if files:
                evaluate.take_uploads(entry, model, files)
                st.rerun()
    except PadimError as error:
        shell.failure("These images cannot be evaluated.", error)
    st.caption(_LAYOUTS)
    if evaluate.sample(entry) is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Use the sample", key="evaluate-sample", icon=":material/science:"):
                evaluate.take_sample(entry, model)
                st.rerun()
            st.caption("Good parts and five kinds of defects with masks, to try it out.")


def _on_server(entry: Entry, model: Padim) -> bool:
    with st.form("evaluate-server", border=False):
        named = st.text_input(
            "Folder or zip on the server",
            placeholder=", ".join(folders.suggestions(3)) or "line-3/labelled",
            help="Relative to a folder that this server’s operator has opened to the app.",
            key="evaluate-server-path",
        )
        if st.form_submit_button("Evaluate this folder"):
            evaluate.take_folder(entry, model, named)
            return True
    return False


# -- results ---------------------------------------------------------------------------------------------


def _about(found: Evaluated, model: Padim) -> None:
    evaluation = found.scored.evaluation
    kinds = evaluation.kinds
    good = sum(item.good for item in found.scored.images)
    defects = len(found.scored.images) - good
    st.html(
        panels.facts(
            [
                ("Images", found.label),
                ("Layout", evaluation.layout),
                ("Good parts", f"{good:,}"),
                ("Defects", f"{defects:,} of {count(len(kinds) - (good > 0), 'kind')}" if defects else "0"),
                ("With a mask", f"{evaluation.masks:,}"),
                ("Time per image", f"{evaluation.milliseconds:.0f} ms"),
            ]
        )
    )
    if found.library_note:
        st.warning(panels.plain(found.library_note), icon=":material/warning:")
    for note in evaluation.overlap_notes:
        st.warning(panels.plain(note), icon=":material/warning:")
    panels.strangers(model, found.scored.images)
    folder_uses.draw(evaluation.folders, evaluation.mask_account)
    file_account.draw(evaluation.failed, evaluation.passed_over)


def _curves(found: Evaluated, model: Padim, level: int | None) -> None:
    from padim.analysis import metrics

    value = model.state.fitted.quantizer.to_value
    threshold = None if level is None else value(level)
    report = found.scored.report(model, level)
    limits = None if level is None else model.verdict_limits(level)
    scores, ranks, precision, kinds = st.tabs(["Scores", "ROC", "Precision and recall", "Kinds of defect"])
    with scores:
        by_kind = found.scored.by_kind(model)
        st.plotly_chart(
            charts.kind_histogram(by_kind, threshold=threshold),
            config=charts.CONFIG,
            key="evaluate-scores",
        )
        end = charts.end_of_scale(by_kind, threshold)
        beyond = sum(score > end for values in by_kind.values() for score in values)
        more = f" {count(beyond, 'image')} beyond the scale: drawn at its right end." if beyond else ""
        rule = (
            "What lies right of the threshold is rejected."
            if limits is None or not limits.has_review
            else f"What lies above {value(limits.reject_above):.2f} is rejected, above "
            f"{value(max(0, limits.accept_up_to)):.2f} in review."
        )
        st.caption(f"{rule}{more}")
    good, defect = found.scored.classes(model)
    if not len(good) or not len(defect):
        why = report.image_auroc.why
        for place in (ranks, precision):
            place.info(f"There is no curve: {why}.", icon=":material/info:")
    else:
        # The point in use counts what is rejected, with a guard band above it.
        of_good = None if limits is None else float((good > limits.reject_above).mean())
        recall = None if limits is None else float((defect > limits.reject_above).mean())
        with ranks:
            x, y, at = metrics.roc(good, defect)
            st.plotly_chart(
                charts.share_curve(
                    [0.0, *x.tolist()],
                    [0.0, *y.tolist()],
                    [value(int(at[0])), *(value(int(one)) for one in at)],
                    titles=("good parts rejected", "defects rejected"),
                    here=None if of_good is None or recall is None else (of_good, recall),
                    chance=True,
                ),
                config=charts.CONFIG,
                key="evaluate-roc",
            )
            st.caption("The further the curve bends to the upper left, the better. Its area is the AUROC.")
        with precision:
            x, y, at = metrics.precision_recall(good, defect)
            here = None
            if limits is not None and recall is not None:
                caught = int((defect > limits.reject_above).sum())
                rejected = caught + int((good > limits.reject_above).sum())
                here = (recall, caught / rejected) if rejected else None
            st.plotly_chart(
                charts.share_curve(
                    x.tolist(),
                    y.tolist(),
                    [value(int(one)) for one in at],
                    titles=("defects rejected (recall)", "of the rejected, really defects (precision)"),
                    here=here,
                ),
                config=charts.CONFIG,
                key="evaluate-pr",
            )
            st.caption(
                "Precision depends on how many defects are among the images; on a line they are rarer."
            )
    with kinds:
        _kinds(found, model, level)


def _kinds(found: Evaluated, model: Padim, level: int | None) -> None:
    report = found.scored.report(model, level)
    if not report.kinds:
        st.info("There are no defects among these images.", icon=":material/info:")
        return
    band = model.decision.guard is not None
    measures = {
        "caught": "Rejected or in review" if band else "Caught at the threshold",
        "auroc": "Image AUROC",
        "aupro": "Pixel AUPRO",
    }
    measures["pixel_auroc"] = "Pixel AUROC"
    if level is None:
        del measures["caught"]
    measure = st.segmented_control(
        "Figure",
        list(measures),
        format_func=lambda key: measures.get(key, key),
        default=next(iter(measures)),
        required=True,
        key="evaluate-measure",
        label_visibility="collapsed",
    )
    names = [kind.name for kind in report.kinds]
    if measure == "caught":
        values: list[float | None] = [kind.caught.share for kind in report.kinds]
        intervals: list[tuple[float | None, float | None]] = [
            (kind.caught.low, kind.caught.high) for kind in report.kinds
        ]
        texts = [f"{kind.caught.count} of {kind.caught.of}" for kind in report.kinds]
        notes = [f"{kind.name}: {' · '.join(evaluate.rate_text(kind.caught))}" for kind in report.kinds]
    else:
        figures = [getattr(kind, measure) for kind in report.kinds]
        values = [figure.value for figure in figures]
        intervals = [(figure.low, figure.high) for figure in figures]
        texts = []
        notes = [
            f"{name}: {' · '.join(evaluate.figure_text(figure))}"
            for name, figure in zip(names, figures, strict=True)
        ]
    if all(one is None for one in values):
        st.info(f"There is no such figure: {figures[0].why}.", icon=":material/info:")
        return
    st.plotly_chart(
        charts.interval_bars(names, values, intervals, title=measures[measure], texts=texts, notes=notes),
        config=charts.CONFIG,
        key="evaluate-kinds",
    )
    st.caption("The thin lines are 95 % intervals: with few images of a kind they are wide.")


def _confusion(found: Evaluated, model: Padim, level: int | None) -> None:
    st.subheader("At the threshold", anchor=False)
    if level is None:
        st.info(
            "This model has no threshold yet, so nothing is rejected or accepted. Set one on the Calibrate "
            "page.",
            icon=":material/info:",
        )
        return
    cells = found.scored.confusion(model, level)
    band = model.decision.guard is not None
    if not band:
        # Without a guard band, only parts that are not found can be in review.
        cells = {cell: pairs for cell, pairs in cells.items() if pairs or not cell.endswith("_review")}
    chosen: Outcome = st.segmented_control(
        "Images",
        list(cells),
        format_func=lambda cell: evaluate.cell_text(cell, len(cells[cell])),
        default=next((cell for cell in cells if cells[cell]), "passed"),
        required=True,
        wrap=True,
        key="evaluate-cell",
        persist_state="session",
        label_visibility="collapsed",
    )
    report = found.scored.report(model, level)
    wrong = [
        f"{what} {rate.count} of {rate.of} ({percent(rate.share)})"
        for what, rate in (
            ("false rejects (overkill)", report.false_rejects),
            ("missed defects (escapes)", report.misses),
        )
        if rate.of
    ]
    if band:
        wrong.append(
            f"in review {count(report.good.review, 'good part')} and {count(report.defects.review, 'defect')}"
        )
    text = ", ".join(wrong)
    st.caption(f"{text[:1].upper()}{text[1:]}. The threshold is set on the Calibrate page.")
    if report.kinds:
        st.html(tables.table(*evaluate.errors_by_type(report)))
    pairs = _of_type(cells[chosen])
    if text := evaluate.checks_text(pairs, model, level):
        st.caption(f":material/my_location: {text}")
        show: evaluate.ChecksShown = st.segmented_control(
            "Which of them",
            list(evaluate.CHECKED),
            format_func=evaluate.CHECKED.__getitem__,
            default="all",
            required=True,
            wrap=True,
            key="evaluate-checked",
            persist_state="session",
            label_visibility="collapsed",
        )
        pairs = evaluate.only(pairs, show, model, level)
    if not pairs:
        shell.empty("No images here", f"None of these images is “{evaluate.CELLS[chosen].lower()}”.")
        return
    st.html(
        panels.gallery(
            evaluate.thumbs(pairs, model, level, chosen),
            more=len(pairs) - min(len(pairs), evaluate.GALLERY_SIZE),
        )
    )
    worst = {
        "false_reject": "The highest score comes first. What is marked is outlined.",
        "miss": "The lowest score comes first: the furthest from being found.",
        "good_review": "The highest score comes first: the closest to being rejected.",
        "defect_review": "The lowest score comes first: the closest to being accepted.",
        "caught": "The lowest score comes first: the closest to being missed. What is marked is outlined.",
        "passed": "The highest score comes first: the closest to being rejected.",
    }
    st.caption(worst[chosen])


def _of_type(pairs: list[tuple[LabeledScore, int]]) -> list[tuple[LabeledScore, int]]:
    """Let the user choose one type of defect, where there are several; return the images of that type."""
    types = sorted({image.kind for image, _ in pairs} - {"good"})
    if len(types) < 2:
        return pairs
    chosen = st.selectbox(
        "Defect type",
        ["", *types],
        format_func=lambda name: (
            f"{name}: {sum(one.kind == name for one, _ in pairs):,}" if name else "All types"
        ),
        key="evaluate-type",
        persist_state="session",
        width=240,
        label_visibility="collapsed",
    )
    return [pair for pair in pairs if not chosen or pair[0].kind == chosen]


def _downloads(found: Evaluated, entry: Entry, model: Padim, level: int | None) -> None:
    from padim.output import evaluation_files

    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.csv_form()
        downloads.button(
            "Figures (CSV)",
            partial(
                evaluation_files.figures_csv,
                found.scored.report(model, level),
                at_threshold=level is not None,
                band=model.decision.guard is not None,
                model=entry.name,
                data=found.label,
            ),
            f"{entry.name} figures",
            ".csv",
            key="evaluate-figures",
        )
        downloads.button(
            "Images (CSV)",
            partial(evaluation_files.images_csv, found.scored, model, level),
            f"{entry.name} images",
            ".csv",
            key="evaluate-images",
        )


@st.fragment
def _results(entry: Entry, model: Padim, found: Evaluated) -> None:
    # Most clicks run only this fragment, with the model that it was first called with.
    if workspace.changed(entry):
        reruns.run_page()
    level = None if model.current_threshold is None else model.current_threshold.level
    with st.container():
        _about(found, model)
    with st.container(key="evaluate-halves"):
        left, right = st.columns([5, 6], gap="large")
    with left:
        report = found.scored.report(model, level)
        st.html(
            panels.figures(
                ("Figure", "Value", "95 % interval"),
                evaluate.table(report, level is not None, model.decision.guard is not None),
            )
        )
        st.caption(
            "Intervals say how far a figure may move with other images of the same kinds.",
            help="They come from drawing the images anew with replacement a thousand times, good parts and "
            "defects apart. They cannot invent an error that no image shows: a figure of 1.000 has an "
            "interval of 1.000 to 1.000, however few the images. The counts at the threshold have exact "
            "intervals (Clopper-Pearson).",
        )
    with right:
        _curves(found, model, level)
    _confusion(found, model, level)
    _downloads(found, entry, model, level)


def draw(entry: Entry) -> None:
    """Draw the tab for a model."""
    model = shell.opened(entry)
    if model is None:
        return
    job = evaluate.job(entry)
    if job is not None and job.running:
        watch.watch(job)
        return
    with st.container():
        found: Evaluated | None = measurement_page.result(
            job,
            "These images were not evaluated.",
            "Stopped. Figures over some of the images would say nothing, so there are none.",
        )
        if found is not None and found.identity != workspace.scoring_identity(entry):
            found = None
            st.info(
                "The model has changed since these images were evaluated. Bring them again.",
                icon=":material/info:",
            )
    with st.container():
        if found is None:
            _choose_images(entry, model)
            if job is None:
                shell.empty(
                    "No labelled images yet",
                    "With images that are known to be good or defective, this page says how well the model "
                    "tells them apart.",
                )
        elif st.button("Evaluate other images", key="evaluate-clear", icon=":material/close:"):
            evaluate.clear(entry)
            st.rerun()
    if found is not None:
        if progress.note(entry, "validated"):
            st.rerun()  # the header and the sidebar say so
        _results(entry, model, found)
