"""Evidence of inspections as a ZIP: four-panel images, records, a table, and a list of what is missing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from padim.data.decode import decode
from padim.errors import ImageError
from padim.output.render import encode_jpeg, four_panel
from padim.output.results import csv_line
from padim.records.exports.archive import ExportAccount, file_name, write_missing
from padim.records.exports.columns import cells, header, plain_values
from padim.records.inspection import Inspection
from padim.records.inspections import InspectionRecords
from padim.records.recorded_map import recorded_decision
from padim.records.remade_map import RemadeMaps
from padim.records.reviews import ReviewRecords

__all__ = ["evidence_panels", "write_evidence"]

# Longest side of a panel in pixels.
_SIDE = 1024


def write_evidence(
    file: BinaryIO, inspections: Iterable[Inspection], records: InspectionRecords, reviews: ReviewRecords
) -> ExportAccount:
    """Write a ZIP with all that is kept of each inspection, one inspection in memory at a time.

    ``images/<verdict>/`` has a four-panel image where map and image are kept, or else the small image;
    ``records/`` the record of each with everything that people said of it; ``records.csv`` the table, and
    ``missing.csv`` what is not kept, with the reason.
    """
    account = ExportAccount()
    used: set[str] = set()
    maps = RemadeMaps(records.root)
    # A line for each inspection, a few hundred bytes: small beside the images.
    table = BytesIO()
    table.write(csv_line(header()).encode("utf-8-sig"))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for one in inspections:
            name = file_name(one, used, ".jpg")
            image, lacks = evidence_panels(one, records, maps)
            for why in lacks:
                account.lacks(one, why)
            if image is not None:
                archive.writestr(f"images/{one.verdict}/{name}", image)
            document = {
                **plain_values(one),
                "image": f"images/{one.verdict}/{name}" if image is not None else None,
                "missing": list(lacks),
                "reviews": [_event(event) for event in reviews.events(one.id)],
            }
            text = json.dumps(document, indent=1, ensure_ascii=False)
            archive.writestr(
                f"records/{one.id}.json", text.encode("utf-8", "backslashreplace"), zipfile.ZIP_DEFLATED
            )
            table.write(csv_line(cells(one)).encode("utf-8", "replace"))
            account.written += 1
        archive.writestr("records.csv", table.getvalue(), zipfile.ZIP_DEFLATED)
        write_missing(archive, account)
    return account


def evidence_panels(
    one: Inspection, records: InspectionRecords, maps: RemadeMaps
) -> tuple[bytes | None, tuple[str, ...]]:
    """Return a JPEG that shows an inspection, and what is missing of it, as phrases.

    The JPEG has four panels where its level map and its image, or a small copy of it, are kept; otherwise it
    is the small copy alone. None if nothing is kept.
    """
    evidence = records.evidence(one.id)
    lacks = [] if evidence.has_original else [f"original image: {evidence.original_gone}"]
    small = records.thumbnail(one.id)
    levels, why = maps.levels(one)
    if levels is None:
        lacks.append(f"level map: {why}")
    rgb = None
    if (original := records.original(one.id)) is not None:
        try:
            rgb = decode(original, one.name)
        except ImageError as error:
            lacks.append(f"original image: {error.reason}")
    if rgb is None and small is not None:
        rgb = decode(small, one.name)
    if rgb is None:
        return None, (*lacks, "small image: not kept")
    if levels is None or one.threshold_level is None:
        return small if small is not None else encode_jpeg(rgb), tuple(lacks)
    decision = recorded_decision(one, levels, evidence, (rgb.shape[0], rgb.shape[1]))
    assert decision is not None
    strip = four_panel(
        np.ascontiguousarray(rgb),
        decision.levels,
        decision,
        caption=one.name if decision.verdict == one.verdict else None,
        content_box=decision.content_box,
        panel_side=_SIDE,
    )
    return encode_jpeg(strip), tuple(lacks)


def _event(event: Any) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": event.at.isoformat(),
        "who": event.who,
        "kind": event.kind,
        "decision": event.decision,
        "defect_type": event.defect_type,
        "comment": event.comment,
        "second": event.second,
        "undoes": event.undoes,
    }
