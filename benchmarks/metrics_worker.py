"""The peers' side of benchmarks/metrics_peers.py: their figures of given scores and maps, as one JSON object.

    python benchmarks/metrics_worker.py FILE.npz

The file holds ``scores`` float ``(n,)``, ``labels`` bool ``(n,)``, ``maps`` float ``(n, S, S)`` and ``masks``
bool ``(n, S, S)``. It runs in the peers' environment, which lacks what the engine needs.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


def figures(path: str) -> dict[str, float]:
    """torchmetrics' and anomalib's figures; thresholds are all the values there are."""
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from torchmetrics.functional.classification import (
        binary_auroc,
        binary_average_precision,
        binary_precision_recall_curve,
    )

    with np.load(path, allow_pickle=False) as arrays:
        held: dict[str, Any] = {name: torch.from_numpy(arrays[name]) for name in arrays.files}

    def best_f1(scores: Any, truth: Any) -> float:
        precision, recall, _ = binary_precision_recall_curve(scores, truth)
        return float(torch.nan_to_num(2 * precision * recall / (precision + recall)).max())

    # torchmetrics squashes what lies outside 0 to 1, and so may make different values equal.
    scores, maps = (held[name].double() / held[name].double().max() for name in ("scores", "maps"))
    labels, masks = held["labels"].int(), held["masks"].int()
    aupro = _AUPRO(fpr_limit=0.3)
    aupro.update(maps, masks)
    return {
        "image_auroc": float(binary_auroc(scores, labels)),
        "image_ap": float(binary_average_precision(scores, labels)),
        "image_f1": best_f1(scores, labels),
        "pixel_auroc": float(binary_auroc(maps.flatten(), masks.flatten())),
        "pixel_ap": float(binary_average_precision(maps.flatten(), masks.flatten())),
        "pixel_f1": best_f1(maps.flatten(), masks.flatten()),
        "aupro": float(aupro.compute()),
    }


if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1])))
