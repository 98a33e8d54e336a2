"""The peers' side of benchmarks/metrics_peers.py: print the peers' metrics as one JSON object.

    python benchmarks/metrics_worker.py FILE.npz

The file contains ``scores`` float ``(n,)``, ``labels`` bool ``(n,)``, ``maps`` float ``(n, S, S)`` and
``masks`` bool ``(n, S, S)``. The script runs in the peers' environment, which lacks this project's packages.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


def figures(path: str) -> dict[str, float]:
    """Compute the metrics of torchmetrics and anomalib, with all distinct values as thresholds."""
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from torchmetrics.functional.classification import (
        binary_auroc,
        binary_average_precision,
        binary_precision_recall_curve,
    )

    with np.load(path, allow_pickle=False) as arrays:
        arrays_by_name: dict[str, Any] = {name: torch.from_numpy(arrays[name]) for name in arrays.files}

    def best_f1(scores: Any, truth: Any) -> float:
        precision, recall, _ = binary_precision_recall_curve(scores, truth)
        return float(torch.nan_to_num(2 * precision * recall / (precision + recall)).max())

    # torchmetrics applies a sigmoid to values outside of 0 to 1, which may make different values equal.
    scores, maps = (
        arrays_by_name[name].double() / arrays_by_name[name].double().max() for name in ("scores", "maps")
    )
    labels, masks = arrays_by_name["labels"].int(), arrays_by_name["masks"].int()
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
