"""Inspections that people have decided as labelled images: in MVTec AD's layout, or with COCO annotations."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.datasets import DEFECT, GOOD
from padim.data.label_words import says_good
from padim.data.masks import mask_png
from padim.output.file_names import flat_name
from padim.records.exports.archive import ExportAccount, file_name, write_missing
from padim.records.inspection import Inspection
from padim.records.inspections import InspectionRecords
from padim.records.recorded_map import recorded_decision

__all__ = ["ANNOTATIONS", "write_coco", "write_mvtec"]

ANNOTATIONS = "annotations.json"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Labeled:
    """An inspection that a person decided, with the file of its image.

    Attributes:
        inspection: the inspection.
        kind: ``good`` or the type of defect.
        content: the image's file.
        mask: bool ``(h, w)``, where the model saw the defect; None if no map is kept, or it saw none.
    """

    inspection: Inspection
    kind: str
    content: bytes
    mask: Mask | None


def _labeled(
    inspections: Iterable[Inspection], records: InspectionRecords, account: ExportAccount
) -> Iterator[_Labeled]:
    """Yield the inspections with a decision and an image, each image once; the others are noted."""
    seen: dict[str, str] = {}
    for one in inspections:
        if one.decision not in ("accept", "reject"):
            account.lacks(one, "label: nobody has decided it" if one.decision is None else "label: unsure")
            continue
        kind = GOOD if one.decision == "accept" else one.defect_type or DEFECT
        if kind != GOOD and says_good(kind):
            kind = DEFECT  # a type called "ok" would be read as good parts
        if one.sha256 in seen:
            told = "" if seen[one.sha256] == kind else f", as {seen[one.sha256]}"
            account.lacks(one, f"nothing: the same image is exported with another record{told}")
            continue
        content = records.original(one.id)
        if content is None:
            account.lacks(one, f"original image: {records.evidence(one.id).original_gone}")
            continue
        seen[one.sha256] = kind
        mask = None
        if kind != GOOD:
            levels = records.levels(one.id)
            if levels is None:
                account.lacks(one, "mask: its level map is not kept")
            elif (decision := recorded_decision(one, levels, records.evidence(one.id))) is None:
                account.lacks(one, "mask: there was no threshold")
            elif decision.mask.any():
                mask = decision.mask
            else:
                account.lacks(one, "mask: nothing was above the threshold")
        yield _Labeled(one, kind, content, mask)
        account.written += 1


def write_mvtec(
    file: BinaryIO, inspections: Iterable[Inspection], records: InspectionRecords
) -> ExportAccount:
    """Write a ZIP in the layout of MVTec AD: ``test/good``, ``test/<type>`` and ``ground_truth/<type>``.

    Masks are those of the model at its threshold: where it saw the defect that a person confirmed.
    """
    account = ExportAccount()
    stems: set[str] = set()
    folders = _Folders()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for one in _labeled(inspections, records, account):
            # Masks are found by their names without the ending, so that those are unique.
            stem = flat_name(one.inspection.name, "", stems)
            ending = file_name(one.inspection, set()).rpartition(".")[2]
            folder = folders.of(one.kind)
            archive.writestr(f"test/{folder}/{stem}.{ending}", one.content)
            if one.mask is not None:
                archive.writestr(f"ground_truth/{folder}/{stem}_mask.png", mask_png(one.mask))
        write_missing(archive, account)
    return account


def write_coco(
    file: BinaryIO, inspections: Iterable[Inspection], records: InspectionRecords
) -> ExportAccount:
    """Write a ZIP with ``images/`` and ``annotations.json`` in the format of COCO's object detection.

    Each connected part of a mask is an annotation with its box and its run lengths (RLE, compressed). Where
    only the regions are on record, without a level map, each is an annotation with its box alone, and a box
    for its outline. Categories are the types of defects; images of good parts have no annotations.
    """
    account = ExportAccount()
    used: set[str] = set()
    categories: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for one in _labeled(inspections, records, account):
            record = one.inspection
            name = file_name(record, used)
            archive.writestr(f"images/{name}", one.content)
            number = len(images) + 1
            images.append(
                {"id": number, "file_name": f"images/{name}", "width": record.width, "height": record.height}
            )
            if one.kind == GOOD:
                continue
            category = categories.setdefault(one.kind, len(categories) + 1)
            for shape in _shapes(one):
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "category_id": category, **shape}
                )
        document = {
            "info": {"description": "Inspections decided by people, exported from PaDiM Inspection"},
            "images": images,
            "annotations": annotations,
            "categories": [
                {"id": at, "name": name, "supercategory": "defect"} for name, at in categories.items()
            ],
        }
        text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        archive.writestr(ANNOTATIONS, text, zipfile.ZIP_DEFLATED)
        write_missing(archive, account)
    return account


def _shapes(one: _Labeled) -> list[dict[str, Any]]:
    """Return the annotations of a defect: at least one, so that it is not taken for a good part."""
    record = one.inspection
    if one.mask is not None:
        return list(map(_of_mask, _parts(one.mask)))
    # What a level map would say more exactly.
    boxes = [(region.x, region.y, region.width, region.height) for region in record.regions]
    # A defect that nothing shows is somewhere in the image: without any annotation it would count as good.
    # A box of the whole image without an outline is read as that again.
    everything = _of_box(0, 0, record.width, record.height) | {"segmentation": []}
    return [_of_box(*box) for box in boxes] or [everything]


def _parts(mask: Mask) -> Iterator[Mask]:
    number, labels = cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)
    for label in range(1, number):
        yield labels == label


def _of_mask(part: Mask) -> dict[str, Any]:
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(part.view(np.uint8)))
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    y, x = int(rows[0]), int(columns[0])
    return {
        "segmentation": {
            "size": list(map(int, encoded["size"])),
            "counts": encoded["counts"].decode("ascii"),
        },
        "area": int(part.sum()),
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        "iscrowd": 0,
    }


def _of_box(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {
        "segmentation": [corners],
        "area": width * height,
        "bbox": [x, y, width, height],
        "iscrowd": 0,
    }


class _Folders:
    """Portable folder names for types of defects; two types never share one."""

    def __init__(self) -> None:
        self._of = {GOOD: "good"}
        self._used = {"good"}

    def of(self, kind: str) -> str:
        if kind not in self._of:
            self._of[kind] = flat_name(kind.replace("/", "_"), "", self._used)
        return self._of[kind]
