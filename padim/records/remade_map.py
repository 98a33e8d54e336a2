"""Level maps of inspections that are not kept, made again from the image by the version that decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.errors import PadimError
from padim.records.inspection import Inspection
from padim.records.inspections import InspectionRecords
from padim.records.versions import ModelVersions

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["RemadeMaps"]

# Opened versions that are kept: inspections in a row mostly name the same one.
_MOST_OPEN = 2


class RemadeMaps:
    """Level maps of a workspace's inspections: as they are kept, or made again.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = root
        self._records = InspectionRecords(root)
        self._open: dict[int, Padim] = {}

    def levels(self, one: Inspection) -> tuple[npt.NDArray[np.uint16] | None, str]:
        """Return an inspection's level map, uint16 ``(h, w)``, or None with the reason, as a phrase.

        A map that is made again must have the recorded score, to the level: else another map would be shown
        as the one that decided.
        """
        kept = self._records.levels(one.id)
        if kept is not None:
            return kept, ""
        original = self._records.original(one.id)
        if original is None:
            return None, "not kept, and neither is the image"
        if one.version_id is None:
            return None, "not kept, and the record names no version that could make it again"
        try:
            model = self._model(one)
            (found,) = model.predict([(one.name, original)])
        except (PadimError, OSError) as error:
            return None, f"not kept, and cannot be made again: {error}"
        if found.score_level != one.score_level or found.lost:
            return None, "not kept, and this machine or program scores the image differently"
        return found.levels, ""

    def _model(self, one: Inspection) -> Padim:
        assert one.version_id is not None
        if one.version_id not in self._open:
            versions = ModelVersions(self._root, one.model_id)
            version = next((found for found in versions.all() if found.id == one.version_id), None)
            if version is None:
                raise PadimError("its version is not on record")
            while len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[one.version_id] = versions.open(version)
        return self._open[one.version_id]
