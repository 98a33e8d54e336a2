"""The report files of a study: a CSV with every figure of every run, and a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from padim.input_size import as_text
from padim.output.results import csv_file
from padim.storage.atomic import write_atomic
from padim.study.html_report import html_bytes
from padim.study.ranking import table
from padim.study.result import FIGURES
from padim.study.runner import Study

__all__ = ["csv_bytes", "html_bytes", "write_files"]


def write_files(study: Study) -> tuple[Path, Path]:
    """Write ``study.csv`` and ``study.html`` to the folder of the study, and return their paths."""
    files = study.folder / "study.csv", study.folder / "study.html"
    for path, content in zip(files, (csv_bytes(study), html_bytes(study)), strict=True):
        write_atomic(path, content)
    return files


# --- CSV --------------------------------------------------------------------------------------------


def csv_bytes(study: Study) -> bytes:
    """Return a CSV with one line for each run, with the byte order mark that spreadsheets need for UTF-8.

    The p-value of each figure is that of the difference to the best of the category,
    corrected by Holm's method.
    """
    names = [about.name for about in FIGURES]
    rows = {name: dict(table(study, name).rows) for name in names}
    lines: list[Iterable[object]] = []
    of_figure = ("", "_low_95", "_high_95", "_best", "_p")
    lines.append(
        (
            *("category", "configuration", "error"),
            *(f"{name}{end}" for name in names for end in of_figure),
            *("promised_false_rejects", "false_rejects", "good", "caught", "defects"),
            *("fit_seconds", "method_seconds", "milliseconds", "model_bytes"),
            *("method", "backbone", "layers", "input_size", "grid_stride", "n_features", "seed", "weights"),
            "feature_norm",
        )
    )
    place = {variant.name: i for i, variant in enumerate(study.variants)}
    configs = {variant.name: variant.config for variant in study.variants}
    for one in study.runs:
        config, result = configs[one.variant], one.result
        cells = [one.category, one.variant, one.why]
        for name in names:
            standing = rows[name][one.category][place[one.variant]]
            figure, difference = standing.figure, standing.difference
            p = None if difference is None or standing.best else difference.p
            cells += [*map(_number, (figure.value, figure.low, figure.high))]
            cells += ["yes" if standing.best else "", _number(p)]
        if result is None:
            cells += [""] * 9
        else:
            rejected, caught = result.false_rejects, result.caught
            cells += [_number(result.promised), *map(str, (rejected.count, rejected.of))]
            cells += [*map(str, (caught.count, caught.of))]
            cells += [*map(_number, (result.fit_seconds, result.method_seconds, result.milliseconds))]
            cells.append(str(result.model_bytes))
        features = "all" if config.n_features is None else str(config.n_features)
        cells += [config.method, config.backbone, "+".join(config.active_layers), as_text(config.input_size)]
        cells += [str(config.grid_stride), features, str(config.seed), config.weights]
        cells.append(config.feature_norm)
        lines.append(cells)
    return csv_file(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
