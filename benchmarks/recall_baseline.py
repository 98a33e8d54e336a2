"""The recall that is not to be lost: ``baseline.json``, read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.draws import Options
from padim.config import BEFORE_IT_WAS_A_SETTING

BASELINE = Path(__file__).resolve().parent / "baseline.json"
# Sums in another order (other threads, another processor) move a distance by about 1e-6 of itself, which can
# carry single images across a threshold: half a point of a mean over draws, one image of a single figure.
MEAN_RECALL_TOLERANCE = 0.005


class Baseline:
    """The recall that is not to be lost, by category, config and number of normals."""

    def __init__(self, path: Path, options: Options) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.new: dict[str, Any] = {}
        # Recall under another configuration, percentile or set of draws is another quantity.
        self.setting = {
            **options.config.model_dump(mode="json"),
            "permille": options.permille,
            "parts": options.grouping,
            "draws": options.draws,
        }

    def applies(self, category: str) -> bool:
        """Whether what is recorded of a category was measured in this setting.

        A configuration key that did not exist then is no difference where its default changes nothing; where
        it does, the recorded one is what models did before.
        """
        recorded = self.known.get(category, {}).get("setting", {})
        then = {**BEFORE_IT_WAS_A_SETTING, **recorded}
        return bool(recorded) and all(self.setting.get(key) == value for key, value in then.items())

    def of(self, category: str, size: str) -> dict[str, float] | None:
        """``mean``, ``low`` and ``high``, if they were recorded for this very setting."""
        if not self.applies(category):
            return None
        recall: dict[str, dict[str, float]] = self.known[category]["recall"]
        return recall.get(size)

    def record(self, category: str, size: str, recall: dict[str, float]) -> None:
        """Keep for :meth:`write`."""
        entry = self.new.setdefault(category, {"setting": self.setting, "recall": {}})
        entry["recall"][size] = recall

    def write(self) -> None:
        """Replace the categories measured; the others stay."""
        text = json.dumps({**self.known, **self.new}, indent=2, sort_keys=True)
        self.path.write_text(text + "\n", encoding="utf-8")
