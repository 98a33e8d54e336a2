"""The recorded recall in ``baseline.json``, below which the measured recall must not fall."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.draws import Options
from padim.config import BEFORE_IT_WAS_A_SETTING

BASELINE = Path(__file__).resolve().parent / "baseline.json"
# Sums in another order (other threads or processors) change a distance by about 1e-6 of its value, which can
# move single images across a threshold. Tolerated is half a point of a mean over draws.
MEAN_RECALL_TOLERANCE = 0.005


class Baseline:
    """Recorded recall by category, configuration and number of good parts."""

    def __init__(self, path: Path, options: Options) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.new: dict[str, Any] = {}
        # Recall with another configuration, percentile or set of draws is not comparable.
        self.setting = {
            **options.config.model_dump(mode="json"),
            "permille": options.permille,
            "parts": options.grouping,
            "draws": options.draws,
        }

    def applies(self, category: str) -> bool:
        """Whether the recorded recall of a category was measured with these settings.

        A setting that did not exist when the recall was recorded is taken to have had its default or, if that
        changed results, the value that corresponds to the former behavior.
        """
        recorded = self.known.get(category, {}).get("setting", {})
        then = {**BEFORE_IT_WAS_A_SETTING, **recorded}
        return bool(recorded) and all(self.setting.get(key) == value for key, value in then.items())

    def of(self, category: str, size: str) -> dict[str, float] | None:
        """Return the recorded ``mean``, ``low`` and ``high``; None if not recorded for these settings."""
        if not self.applies(category):
            return None
        recall: dict[str, dict[str, float]] = self.known[category]["recall"]
        return recall.get(size)

    def record(self, category: str, size: str, recall: dict[str, float]) -> None:
        """Record a measured recall, for :meth:`write`."""
        entry = self.new.setdefault(category, {"setting": self.setting, "recall": {}})
        entry["recall"][size] = recall

    def write(self) -> None:
        """Write the file with the measured categories replaced and the others unchanged."""
        text = json.dumps({**self.known, **self.new}, indent=2, sort_keys=True)
        self.path.write_text(text + "\n", encoding="utf-8")
