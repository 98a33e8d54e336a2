"""The questions which images show the same part: one per rule's proposal, or one per group.

The answers are stored in :class:`Confirmed`, not in the checkboxes, because only some of many groups are
drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from ui.app.text import count
from ui.widgets import panels

if TYPE_CHECKING:
    from padim.data.grouping import GroupProposal
    from padim.data.survey import Group, Survey

_SHOWN = 12
# Images drawn of one group; in practice a part may have been photographed twenty times.
_SHOTS = 6


@dataclass
class Confirmed:
    """The groups of one image set that the user has confirmed to be repeat shots of one part.

    Attributes:
        groups: by rule, the positions of the confirmed groups in the rule's proposal; a rule without an entry
            has not been asked yet.
        shown: by rule, how many groups are drawn.
    """

    groups: dict[str, set[int]] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)

    def of(self, proposal: GroupProposal) -> set[int]:
        """Return the positions of a proposal's confirmed groups, as a set that may be changed in place."""
        default = range(proposal.n_groups) if proposal.accepted else ()
        return self.groups.setdefault(proposal.rule, set(default))


def ask(survey: Survey, confirmed: Confirmed, key: str) -> list[Group]:
    """Draw the questions and return the confirmed groups.

    Args:
        survey: the survey of the images.
        confirmed: the answers so far for these images; the checkboxes change it.
        key: prefix of the widgets' keys, different for each image set, so that the checkboxes start fresh.
    """
    accepted: list[Group] = []
    known: set[Group] = set()
    for proposal in survey.proposals:
        if known.issuperset(proposal.groups):
            continue  # another rule has proposed the same groups: one question is enough
        known.update(proposal.groups)
        if proposal.automatic:
            st.caption(
                f":material/content_copy: {panels.plain(proposal.reason)} They count as one part each."
                if proposal.n_groups > 1
                else f":material/content_copy: {panels.plain(proposal.reason)} They count as one part."
            )
            continue
        chosen = confirmed.of(proposal)
        _ask_about(proposal, survey, confirmed, f"{key}-{proposal.rule}")
        accepted += (group for i, group in enumerate(proposal.groups) if i in chosen)
    return accepted


def _ask_about(proposal: GroupProposal, survey: Survey, confirmed: Confirmed, key: str) -> None:
    chosen = confirmed.of(proposal)
    st.session_state[key] = len(chosen) == proposal.n_groups
    st.checkbox(
        f"These {'may be' if proposal.tentative else 'are'} repeat shots: "
        f"{count(proposal.n_images, 'image')} of {count(proposal.n_groups, 'part')}",
        key=key,
        on_change=_choose_all,
        args=(chosen, proposal.n_groups, key),
        help="Shots of one part leave the model together when it is calibrated. Otherwise each would "
        "vouch for the other, and the promised false-reject rate would be far too low.",
    )
    st.caption(panels.plain(proposal.reason))
    if proposal.n_groups > 1 and 0 < len(chosen) < proposal.n_groups:
        st.caption(f"**{len(chosen):,} of the {proposal.n_groups:,} groups are confirmed.**")
    with st.expander("Look at them one by one", key=f"{key}-each"):
        shown = confirmed.shown.get(proposal.rule, _SHOWN)
        grid = st.grid(min_column_width=170, gap="small", border=True, key=f"{key}-groups")
        for i, group in enumerate(proposal.groups[:shown]):
            with grid.cell():
                _group(i, group, survey, chosen, f"{key}-{i}")
        left = proposal.n_groups - shown
        if left > 0:
            st.button(
                f"Show {min(left, _SHOWN * 2):,} more of {proposal.n_groups:,}",
                key=f"{key}-more",
                on_click=_show_more,
                args=(confirmed, proposal.rule),
            )


def _group(i: int, group: Group, survey: Survey, chosen: set[int], key: str) -> None:
    st.html(
        panels.gallery(
            (
                panels.Thumb(panels.ServedImage(survey.seen[k].thumbnail or b""), survey.seen[k].name)
                for k in group[:_SHOTS]
            ),
            small=True,
            more=len(group) - _SHOTS,
        )
    )
    st.session_state[key] = i in chosen
    # Named after an image of the group, for screen readers: sixty boxes "One part" would all sound alike.
    st.checkbox(
        panels.plain(f"One part: {survey.seen[group[0]].name}"),
        key=key,
        on_change=_choose,
        args=(chosen, i, key),
        wrap=False,
    )


def _choose_all(chosen: set[int], n_groups: int, key: str) -> None:
    if st.session_state[key]:
        chosen.update(range(n_groups))
    else:
        chosen.clear()


def _choose(chosen: set[int], i: int, key: str) -> None:
    if st.session_state[key]:
        chosen.add(i)
    else:
        chosen.discard(i)


def _show_more(confirmed: Confirmed, rule: str) -> None:
    confirmed.shown[rule] = confirmed.shown.get(rule, _SHOWN) + 2 * _SHOWN
