"""The inspections that a person looks at next, in the order of the review queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log2

from padim.records.inspection import Inspection
from padim.records.inspection_query import InspectionOrder, InspectionQuery
from padim.records.inspections import InspectionRecords

__all__ = ["next_inspections"]


def next_inspections(
    records: InspectionRecords, query: InspectionQuery, order: InspectionOrder, number: int
) -> list[Inspection]:
    """Return the first inspections of a review list.

    Accepted ones that were drawn for an audit are spread evenly among those that the model rejects or is not
    sure of: by severity they would all come last, and a reviewer would know them by their place. The spread
    follows from what is still in the list, so that every browser has the same order, and a decision does not
    move those behind it. In a list of second opinions, those of which the first person was not sure come
    first.

    Args:
        records: the workspace's inspections.
        query: which list.
        order: by what the ones that are not audited, or not unsure, are in order.
        number: how many, at most.
    """
    if query.second_for is not None and query.decision is None:
        unsure = records.page(replace(query, decision="unsure"), order, number=number).items
        known = {one.id for one in unsure}
        others = records.page(query, order, number=number).items
        return [*unsure, *(one for one in others if one.id not in known)][:number]
    audits = 0 if query.audited is not None else records.count(replace(query, audited=True))
    if not query.waits or not audits:
        return list(records.page(query, order, number=number).items)
    return list(
        _mixed(
            list(records.page(replace(query, audited=False), order, number=number).items),
            list(records.page(replace(query, audited=True), "oldest", number=number).items),
            records.count(query),
            _period(records, query),
            number,
        )
    )


def _period(records: InspectionRecords, query: InspectionQuery) -> int:
    """Return how many inspections one audit comes in.

    It follows from all on record, decided or not, so that decisions do not change it. It is one more than a
    power of two, so that new inspections rarely do.
    """
    ever = replace(query, waits=None, verdicts=query.verdicts or ("review", "reject"))
    flagged = records.count(replace(ever, audited=False))
    audits = records.count(replace(query, waits=None, audited=True))
    return 1 + 2 ** max(0, round(log2(flagged / audits))) if flagged else 1


def _mixed(
    flagged: list[Inspection], audits: list[Inspection], total: int, period: int, number: int
) -> Iterator[Inspection]:
    """Yield audited inspections among others, where what is left in the list is a multiple of the period."""
    # Counted from the end of the list, places stay where they are when the first of them is decided.
    for left in range(total, max(0, total - number), -1):
        source = audits if audits and (left % period == 0 or not flagged) else flagged
        if not source:
            return
        yield source.pop(0)
