"""The Compare page: methods, networks, layers and sizes compared on the same images."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.data.bit_depth import COMMON
from padim.errors import PadimError
from padim.input_size import InputSize, as_shape, as_text
from padim.methods.catalogue import METHODS
from padim.network import backbone
from ui import compare, library, measurement_page
from ui.app import next_step, preload, shell
from ui.app.text import count, size
from ui.files import image_input
from ui.jobs import watch
from ui.views import library_choice
from ui.widgets import (
    charts,
    compare_charts,
    downloads,
    file_account,
    method_settings,
    panels,
    settings,
    tables,
)

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from padim.study.folders import EarlierStudy
    from padim.study.plan import Variant
    from padim.study.ranking import Overall
    from padim.study.runner import Study

_LAYOUTS = (
    "Good parts and defects in MVTec AD’s or VisA’s layout, or one folder **good** and one for each kind of "
    "defect. Those in **train/good** are fitted on; where there is no such folder, half of the good parts "
    "are, drawn at random. Without any defect, configurations are ranked by defects painted on good parts."
)


# -- images and choices --------------------------------------------------------------------------------


def _choose_images(entry: Entry | None) -> None:
    into = entry
    if entry is not None and not st.checkbox(
        f"Keep new images in the image library of “{panels.plain(entry.name)}”",
        value=True,
        key=f"compare-keep-{entry.id}",
        persist_state="session",
        help="Calibrate and Validate then use them too. Images of several data sets are not kept: they show "
        "several kinds of parts.",
    ):
        into = None
    try:
        if entry is not None and (found := library.comparison_set(entry)) is not None:
            library_choice.offer(
                entry,
                "compare",
                found,
                compare.take,
                found.label.removesuffix(" of the library"),
                kept=into is not None,
            )
        image_input.choose(
            compare.UPLOADER,
            "a zip of labelled images",
            lambda images: compare.take(images, into),
            note=_LAYOUTS,
            sample=compare.sample(entry),
        )
    except PadimError as error:
        shell.failure("These images cannot be compared on.", error)


def _earlier() -> None:
    studies = compare.earlier()
    if not studies:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Earlier comparisons",
            range(len(studies)),
            format_func=lambda place: _named(studies[place]) if place < len(studies) else "",
            index=None,
            placeholder="Choose one to look at",
            key="compare-earlier",
            width=420,
        )
        if st.button("Open", key="compare-open", disabled=chosen is None) and chosen is not None:
            compare.show_earlier(studies[chosen])
            st.rerun()


def _named(one: EarlierStudy) -> str:
    return f"{one.label}, {one.changed:%d %b %Y %H:%M}"


def _size_text(one: InputSize) -> str:
    return f"{one} px" if isinstance(one, int) else f"As the parts: {size(one)} px"


def _choices() -> tuple[Variant, ...]:
    """Draw the choices and return the configurations to compare; none while something is missing."""
    from padim.study.combinations import LAYER_CHOICES, Combinations

    here, others = compare.offered()
    methods = st.pills(
        "Methods",
        list(METHODS),
        selection_mode="multi",
        wrap=True,
        default=["padim", "patchcore"],
        format_func=lambda name: method_settings.title(name) if name in METHODS else name,
        key="compare-methods",
        persist_state="session",
        help="\n\n".join(f"**{method.title}**: {method.summary}" for method in METHODS.values()),
    )
    chosen = st.pills(
        "Networks",
        here,
        selection_mode="multi",
        wrap=True,
        default=here[:1],
        format_func=lambda name: backbone.REGISTRY[name].title if name in backbone.REGISTRY else name,
        key="compare-networks",
        persist_state="session",
        help="Those whose weights are on this server.",
    )
    if others:
        st.caption(
            f"The weights of {count(others, 'other network')} are not on this server; choose one on the Fit "
            "page to bring them."
        )
    pair = st.grid(min_column_width=330, gap="medium", key="compare-pair")
    with pair.cell():
        ways = st.pills(
            "Layers",
            list(LAYER_CHOICES),
            selection_mode="multi",
            wrap=True,
            default=["standard"],
            format_func=lambda way: LAYER_CHOICES.get(way, way),
            key="compare-layers",
            persist_state="session",
            help="Early layers see texture and scratches, deep ones shape and missing parts; a network that "
            "is not read so deep is quicker.",
        )
    with pair.cell():
        oblong = compare.memory().oblong
        # The key depends on the parts' shape, because the sizes offered do.
        offered: list[InputSize] = [*compare.SIZES, *([] if oblong is None else [oblong])]
        sizes = st.pills(
            "Input sizes",
            offered,
            selection_mode="multi",
            wrap=True,
            default=[256] if oblong is None else [oblong],
            format_func=_size_text,
            key="compare-sizes" if oblong is None else f"compare-sizes-{as_text(oblong)}",
            persist_state="session",
            help="Larger shows smaller defects; time and memory grow with the area. A single number is the "
            "side of a square, to which every image is stretched.",
        )
    with st.expander("Advanced"):
        stride = st.selectbox(
            "Grid, of all configurations",
            list(settings.STRIDES),
            index=1,
            format_func=lambda value: settings.STRIDES[value],
            key="compare-stride",
            persist_state="session",
            width=260,
        )
        depth = st.selectbox(
            "Bit depth of 16-bit images",
            [None, *COMMON],
            format_func=lambda bits: "As the files declare" if bits is None else f"{bits} bits",
            key="compare-bit-depth",
            persist_state="session",
            width=260,
            help="10, 12 or 14 for a camera of so many bits whose 16-bit files do not say it: values alone "
            "do not decide, and nothing is compared before it is told.",
        )
    if not (methods and chosen and ways and sizes):
        st.error("Choose at least one of each.", icon=":material/error:")
        return ()
    wanted = Combinations(
        tuple(name for name in METHODS if name in methods),
        tuple(name for name in here if name in chosen),
        tuple(way for way in LAYER_CHOICES if way in ways),
        tuple(sorted(sizes, key=lambda one: (math.prod(as_shape(one)), as_shape(one)))),
        stride,
        depth,
    )
    try:
        return wanted.variants()
    except PadimError as error:
        shell.failure("This cannot be compared.", error)
        return ()


def _set_up(*, again: bool, open_: bool) -> None:
    now = compare.memory()
    facts = [("Images", now.label)]
    for one in now.categories[:6]:
        facts.append((one.name if len(now.categories) > 1 else "Which are", one.about))
    if len(now.categories) > 6:
        facts.append(("And", f"{len(now.categories) - 6} more data sets"))
    st.html(panels.facts(facts))
    # Once there are results, the choices are collapsed.
    with st.expander("What is compared", expanded=open_) if again else st.container():
        variants = _choices()
    if variants:
        st.caption(compare.estimate(variants, now.categories))
    if measurement_page.started(
        "compare",
        "Compare again" if again else "Compare",
        ready=bool(variants),
        clear=compare.clear,
        help="What has been computed before is not computed again.",
    ):
        compare.start(variants)
        st.rerun()


# -- results ---------------------------------------------------------------------------------------------


def _notes(study: Study) -> None:
    wrong = [(f"{one.category}, {one.variant}", one.why) for one in study.runs if one.why]
    if wrong:
        with st.expander(
            f"{count(len(wrong), 'run')} could not be done; the others could",
            icon=":material/warning:",
            expanded=len(wrong) <= 3,
        ):
            st.html(panels.problems(wrong))
    account = study.account
    file_account.draw(account.refused, account.passed_over)
    if study.painted:
        st.info(
            "There are no defects among these images. Configurations are ranked by defects painted on good "
            "parts that were not fitted on. Real ones look different: try the best with real parts.",
            icon=":material/info:",
        )
    for note in study.overlap_notes:
        st.warning(panels.plain(note), icon=":material/warning:")


def _ranking(ranked: tuple[Overall, ...], study: Study) -> None:
    import pandas as pd  # type: ignore[import-untyped]

    from padim.study.ranking import present

    frame = pd.DataFrame(compare.rows(ranked, study))
    titles = {about.title: about for about in present(study)}
    best = {
        title: [(at := one.standings.get(about.name)) is not None and at.best for one in ranked]
        for title, about in titles.items()
    }

    def marked(column: Any) -> list[str]:
        return ["font-weight: bold; color: #1f8a70" if yes else "" for yes in best[column.name]]

    number = st.column_config.NumberColumn
    config: dict[str, Any] = {
        title: number(title, format="%.3f", help=about.says) for title, about in titles.items()
    }
    config["No."] = number("No.", pinned=True)
    config["Configuration"] = st.column_config.TextColumn(pinned=True)
    config["Against the best"] = st.column_config.TextColumn(
        help="Tested on the same images and corrected for the number of configurations; p is how often "
        "chance alone gives at least this difference.",
    )
    config["False rejects (overkill)"] = number(
        format="%.1f %%", help="Good parts rejected, counted at the threshold that the fit itself sets."
    )
    config["Expected false rejects (overkill)"] = number(
        format="%.1f %%",
        help="To expect at that threshold, from the good parts of the fit, each judged without itself.",
    )
    config["At most"] = number(format="%.1f %%", help="The expected false rejects, with 95 % confidence.")
    config["Defects caught"] = number(format="%.1f %%", help="Counted at the same threshold.")
    config["Time per image"] = number(
        format="%.0f ms", help="From the file to the verdict, one image at a time, on this server."
    )
    config["Fit"] = number(format="%.1f s", help="Reading the good parts, the network and learning.")
    config["Model"] = number(format="%.1f MB", help="The network and the fitted statistics.")
    st.dataframe(
        frame.style.apply(marked, subset=list(titles)),
        hide_index=True,
        column_config=config,
        key="compare-ranking",
    )
    means = f"Means over {len(study.categories)} data sets. " if len(study.categories) > 1 else ""
    st.caption(
        f"{means}Bold: the best of a column. Click a heading to sort.",
        help="Image AUROC is tested by DeLong’s test, all else by drawing the images a thousand times, "
        "the same for all configurations (paired bootstrap); p is corrected by Holm’s method. That the best "
        "was picked on these very images flatters it a little.",
    )


def _figure(ranked: tuple[Overall, ...], study: Study) -> None:
    from padim.study.ranking import present, primary, table

    shown = {about.name: about for about in present(study)}
    if not shown:
        return
    by = primary(study).name
    name = st.segmented_control(
        "Figure",
        list(shown),
        format_func=lambda key: shown[key].title if key in shown else key,
        default=by if by in shown else next(iter(shown)),
        required=True,
        wrap=True,
        key=f"compare-figure-{'-'.join(shown)}",
        label_visibility="collapsed",
    )
    about = shown[name]
    points = []
    for number, one in enumerate(ranked, start=1):
        at = one.standings.get(about.name)
        if at is None or at.figure.value is None or one.milliseconds is None:
            continue
        standing = "best" if at.best else "close" if at.close else "behind"
        points.append(
            compare_charts.Point(
                number,
                one.variant,
                one.milliseconds,
                at.figure.value,
                at.figure.low,
                at.figure.high,
                standing,
            )
        )
    if points:
        st.plotly_chart(
            compare_charts.trade_off(points, title=about.title),
            config=charts.CONFIG,
            key="compare-chart",
        )
        st.caption(
            f"{about.says} The lines are 95 % intervals, the numbers those of the table. The upper left is "
            "best: good and quick."
        )
    if len(study.categories) > 1:
        st.html(tables.table(*compare.by_category(table(study, about.name))))
        st.caption("\\* cannot be told apart from the best of its row.")


def _downloads(study: Study) -> None:
    from padim.study.report import csv_bytes, html_bytes

    name = study.categories[0][0] if len(study.categories) == 1 else f"{len(study.categories)} data sets"
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.csv_form()
        for kind, make, words in (
            ("csv", csv_bytes, "All figures (CSV)"),
            ("html", html_bytes, "Report (HTML)"),
        ):
            downloads.button(
                words,
                partial(make, study),
                f"{name} comparison",
                f".{kind}",
                key=f"compare-{kind}",
            )


def _hand_over(ranked: tuple[Overall, ...], study: Study) -> None:
    categories = compare.memory().categories
    if not categories:
        return
    variants = {variant.name: variant for variant in study.variants}
    done = [one.variant for one in ranked if one.done[0]]
    if not done:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Make a model of", done, key=f"compare-model-{len(done)}", width=340)
        part = categories[0]
        if len(categories) > 1:
            names = [one.name for one in categories]
            picked = st.selectbox("fitted on the good parts of", names, key="compare-part", width=260)
            part = next(one for one in categories if one.name == picked)
        if st.button("Fit this one", key="compare-fit", icon=":material/deployed_code:"):
            try:
                compare.fit(part, variants[name])
            except PadimError as error:
                shell.failure("The model was not fitted.", error)
            else:
                shell.go_to("pages/fit.py", "images")
    st.caption("A model of the chosen settings, fitted on the same good parts and kept under Model in use.")


def _results(study: Study) -> None:
    from padim.study.ranking import overall

    ranked = overall(study)
    st.subheader("Side by side", anchor=False)
    st.markdown(compare.headline(ranked, study))
    _notes(study)
    _ranking(ranked, study)
    _figure(ranked, study)
    _hand_over(ranked, study)
    _downloads(study)


def _page() -> None:
    now, job = compare.memory(), compare.job()
    if job is not None and job.running:
        watch.watch(job)
        return
    study = compare.found()
    with st.container():
        if job is not None and job.state == "failed":
            shell.failure("The comparison was not finished.", job.error)
        if job is not None and job.state != "done":
            done = "" if study is None else f" {study.done} of {count(len(study.runs), 'run')} are done."
            st.info(f"Stopped.{done} Compare goes on from there.", icon=":material/info:")
    with st.container():
        if now.categories:
            _set_up(again=study is not None, open_=job is not None and job.state != "done")
        elif study is not None:
            about = "; ".join(f"{name}: {text}" for name, text in study.categories[:6])
            st.html(panels.facts([("Data sets", about), ("Runs", f"{study.done} of {len(study.runs)} done")]))
            with st.container(horizontal=True):
                if st.button("Close", key="compare-clear", icon=":material/close:"):
                    compare.clear()
                    st.rerun()
                if st.button("Delete", key="compare-delete", icon=":material/delete:"):
                    try:
                        compare.delete(study.folder)
                    except (PadimError, OSError) as error:
                        shell.failure("The comparison was not deleted.", error)
                    else:
                        st.rerun()
            st.caption("To go on with it, or add to it, bring the same images again.")
        else:
            _choose_images(in_use)
            _earlier()
            if job is None:
                shell.empty(
                    "Nothing to compare on yet",
                    "With images that are known to be good or defective, this page tries several methods, "
                    "networks and sizes on them and says which does best.",
                )
    if study is not None:
        _results(study)


page, in_use = shell.begin("pages/compare.py")
_page()
next_step.draw(page, None, in_use)
preload.up(preload.LIST)
