"""Health of a model on the Fit page: every finding with its remedy, and a remedy beside its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import health, remedies
from ui.app import shell, workspace
from ui.jobs import watch
from ui.widgets import health_line, panels

if TYPE_CHECKING:
    from padim.analysis.health import Finding, Grade, Health, Remedy
    from padim.storage.model_folders import Entry

_MARKS: dict[Grade, str] = {
    "green": ":green[:material/check_circle:]",
    "amber": ":orange[:material/warning:]",
    "red": ":red[:material/dangerous:]",
}
_TITLES: dict[Grade, str] = {
    "green": "Nothing speaks against using this model.",
    "amber": "Look at this before the model is released.",
    "red": "This model is not fit for use.",
}
_TOPICS = {
    "position": "Position of the parts",
    "painted defects": "Painted defects",
    "threshold": "Parts behind the threshold",
    "resolution": "Resolution",
    "bit depth": "Range of values",
    "repeat shots": "Repeat shots",
    "odd images": "Brightness and sharpness",
}


def draw(entry: Entry) -> None:
    """Draw the progress of the check, or its findings."""
    st.subheader("Health")
    found = health.found(entry)
    if found is None:
        _checking(entry)
        return
    _remedy_beside(entry, found)
    title = f"**{_TITLES[found.grade]}**"
    show = {"green": st.success, "amber": st.warning, "red": st.error}[found.grade]
    show(title, icon=_ICONS[found.grade])
    advised: list[Remedy] = []
    for number, finding in enumerate(found.open):
        _finding(entry, finding, str(number), again=finding.remedy in advised)
        if finding.remedy is not None:
            advised.append(finding.remedy)
    if found.open:
        _confirmation(entry, found)
    fine = [finding for finding in found.findings if finding.grade == "green"]
    if fine:
        with st.expander(f"What is in order ({len(fine)})", expanded=False):
            for finding in fine:
                st.markdown(
                    f"{_MARKS['green']} **{_TOPICS[finding.topic]}.** {panels.plain(finding.sentence)}"
                )
    st.caption(
        "Judged by the good parts alone. Painted defects confirm a model, they never choose one: keep a "
        "setting only if labelled defects or another independent test say that it is better."
    )


_ICONS: dict[Grade, str] = {
    "green": ":material/check:",
    "amber": ":material/warning:",
    "red": ":material/dangerous:",
}


def _checking(entry: Entry) -> None:
    job = health.job(entry)
    if job.running:
        watch.watch(job)
        return
    if job.state == "failed":
        shell.failure("Whether the model is fit for use could not be checked.", job.error)
    else:
        st.info("The check was cancelled.", icon=":material/info:")
    if st.button("Check again", key="health-again", icon=":material/refresh:"):
        health.check_again(entry)
        st.rerun()


def _finding(entry: Entry, finding: Finding, key: str, *, again: bool) -> None:
    """Draw a finding; ``again`` if one above it has the same remedy, and so the button."""
    with st.container(border=True, key=f"health-finding-{key}"):
        st.markdown(f"{_MARKS[finding.grade]} **{_TOPICS[finding.topic]}.** {panels.plain(finding.sentence)}")
        if finding.remedy is None:
            return
        if again:
            st.markdown("Recommended: the same as above.")
            return
        st.markdown(f"Recommended: {panels.plain(finding.remedy.text)}")
        if finding.remedy.images:
            st.caption(panels.plain(_listed(finding.remedy.images)))
        health_line.remedy(entry, finding, key=key)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5:,} more"


def _confirmation(entry: Entry, found: Health) -> None:
    settled = health.confirmed(entry, found)
    if settled is None:
        health_line.confirmation(entry, found, key="details")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f":material/edit_note: Used all the same since {settled.at:%d %b %Y}: "
            f"{panels.plain(settled.reason)}"
        )
        if st.button("Withdraw", key="health-withdraw"):
            health.withdraw(entry)
            st.rerun()


def _remedy_beside(entry: Entry, found: Health) -> None:
    """Show a model that was fitted as a remedy beside the one that it is to replace."""
    origin = remedies.remedy_of(entry)
    if origin is None:
        return
    try:
        former = workspace.store().get(origin.model)
    except PadimError:
        return
    before = health.found(former)
    if before is None:
        return
    st.markdown(f"**Remedy for “{panels.plain(former.name)}”.** {panels.plain(origin.text)}")
    st.dataframe(
        {
            "Model": [former.name, entry.name],
            "Health": [before.grade, found.grade],
            **{
                _TOPICS[topic]: [_short(before, topic), _short(found, topic)]
                for topic in ("position", "painted defects")
            },
            "Threshold": [workspace.threshold_value(former), workspace.threshold_value(entry)],
        },
        key="health-beside",
        hide_index=True,
        column_config={"Threshold": st.column_config.NumberColumn(format="%.2f")},
    )
    st.caption(
        "Which of the two to keep is for labelled defects to say: evaluate both on the same test set, on "
        "Validate."
    )


def _short(found: Health, topic: str) -> str:
    """Return the figure of a topic in a few words."""
    finding = next((one for one in found.findings if one.topic == topic), None)
    if finding is None:
        return "–"
    if topic == "position":
        cells = finding.figures.get("cells_95")
        return f"{finding.grade}, {cells:.1f} cells" if cells is not None else finding.grade
    sizes = finding.figures.get("sizes")
    if not sizes:
        return finding.grade
    middle = sizes[len(sizes) // 2]
    return f"{finding.grade}, {middle['caught']:,} of {middle['of']:,} caught"
