"""Metadata of an exported ONNX model: everything that a program on a line PC needs to know besides the graph.

It is text by key, stored in the ONNX file; docs/reference/file-formats.md lists the keys.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from padim._version import __version__
from padim.data.preprocess import PAD_COLOR
from padim.decision.calibration import FalseRejectRate
from padim.decision.guard_band import guard_levels
from padim.input_size import as_text
from padim.output.scorer_graph import OutputType

if TYPE_CHECKING:
    from padim.data.preprocess import Preprocess
    from padim.model import Padim

FORMAT = "padim-scorer"
VERSION = 1


def image_values(preprocess: Preprocess) -> dict[str, object]:
    """Return the metadata that say how the pixels of ``rgb`` come from an image file.

    They describe :class:`padim.data.preprocess.Preprocess` and :func:`padim.data.decode.decode`: whatever
    changes there must be stated here, because the program on the line PC does these steps by itself.
    """
    values: dict[str, object] = {
        "resize_filter": "bilinear",
        # Spelled out, because OpenCV's default, INTER_LINEAR, is bilinear too, but not antialiased.
        "resize_antialias": "yes",
        "resize_hint": "Pillow BILINEAR; OpenCV INTER_AREA to reduce; not OpenCV INTER_LINEAR",
        "color_order": "RGB",
        "input_layout": "NHWC",
        "input_type": "uint8",
        "value_range": "0..255",
        "normalization": "in the graph",
        # Files deeper than 8 bits are read as the upper 8 of so many. 8: the model has not seen such files.
        "bit_depth": preprocess.bit_depth or 8,
        "gray": "repeated in the three channels",
        "orientation": "EXIF, applied before resizing",
        "color_profile": "ignored",
    }
    if preprocess.fit == "pad":
        values["pad_color"] = ",".join(map(str, PAD_COLOR))
        values["pad_position"] = "centered"
    return values


def metadata(model: Padim, name: str | None = None, *, output_type: OutputType = "uint16") -> dict[str, str]:
    """Return the metadata of an exported model, as text by key.

    How an image file becomes the input is stated by :func:`image_values`. Levels are those of ``map`` and
    ``score``; ``quantizer_offset + quantizer_step * level`` is in map units,
    which padim shows. An image is rejected above ``threshold_level`` and to be reviewed from ``review_from``
    to ``review_to`` (1 and 0 without a guard band, an empty interval). These apply to scores at ``min_area``;
    ``false_rejects`` is the share of good parts expected to be rejected there, with a guard band those above
    ``review_to``, and ``rejected_or_in_review`` the share expected from ``review_from`` on; the same keys
    with ``_at_min_area_1`` are expected if the same threshold is applied to the largest level.
    ``threshold_level_at_min_area_1`` is the
    threshold that the model's choice gives for the largest level. Without a threshold, these are all absent.

    Args:
        model: a fitted model.
        name: the model's name, or None to leave it out.
        output_type: type of the output ``map``.
    """
    config, fitted = model.config, model.state.fitted
    height, width = config.input_shape
    rows, columns = config.grid_shape
    quantizer, threshold = fitted.quantizer, model.current_threshold
    values: dict[str, object] = {
        "format": FORMAT,
        "format_version": VERSION,
        "padim_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "input_size": as_text(config.input_size),
        "input_height": height,
        "input_width": width,
        "fit": config.fit,
        **({} if config.align is None else {"align": config.align.method}),
        **image_values(model.state.preprocess),
        "map_size": as_text(config.input_size),
        "map_type": output_type,
        "score_type": "float32",
        "grid": rows if rows == columns else f"{rows}x{columns}",
        "grid_stride": config.grid_stride,
        "feature_norm": config.feature_norm,
        "backbone": config.backbone,
        "layers": ",".join(config.active_layers),
        "method": config.method,
        "n_features": fitted.detector.shape[1],
        "weights": config.weights,
        "backbone_sha256": model.network.extractor.backbone_sha256,
        "scoring_identity": model.state.identity,
        "smoothing_sigma": config.smoothing_sigma,
        "min_area": config.min_area,
        "quantizer_offset": quantizer.offset,
        "quantizer_step": quantizer.step,
        "calibration": fitted.calibration,
        "parts": len({normal.group for normal in fitted.normals if normal.status == "fit"}),
        "roi": "everywhere" if model.decision.roi is None else f"{model.decision.roi.mean():.6f} of the map",
    }
    if name:
        values["name"] = name
    for key in ("source", "sha256"):
        # Models saved by early versions have no record of it.
        if model.network.provenance.get(key):
            values[f"weights_{key}"] = model.network.provenance[key]
    if model.network.random_weights:
        values["warning"] = "the network has random weights: its verdicts mean nothing"
    if threshold is not None:
        low, high = guard_levels(threshold.level, model.decision.guard, quantizer)
        values |= {
            "threshold_level": threshold.level,
            "threshold_value": quantizer.to_value(threshold.level),
            "threshold_basis": threshold.basis,
            "review_from": low,
            "review_to": high,
        }
        if threshold.permille is not None:
            values["threshold_percentile"] = threshold.permille / 10
            values["threshold_supported"] = "yes" if threshold.supported else "no"
        values["threshold_level_at_min_area_1"] = model.state.threshold(model.decision.choice, 1).level
        if fitted.calibration != "none":
            limits = model.verdict_limits(threshold.level)
            for at, area in (("", config.min_area), ("_at_min_area_1", 1)):
                rates = model.state.verdict_rates(limits, area)
                values[f"false_rejects{at}"] = _rate(rates.rejected)
                if limits.has_review:
                    values[f"rejected_or_in_review{at}"] = _rate(rates.not_accepted)
    return {key: str(value) for key, value in values.items()}


def _rate(rate: FalseRejectRate) -> str:
    """Return a rate as JSON."""
    document: dict[str, float] = {"above": rate.above, "parts": rate.n}
    return json.dumps(document | {"expected": round(rate.expected, 6), "upper_95": round(rate.upper, 6)})
