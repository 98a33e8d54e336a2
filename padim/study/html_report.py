"""The HTML report of a study, rendered from ``templates/report.html.j2``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from padim.analysis.metrics import Figure
from padim.config import PadimConfig
from padim.data.account import grouped
from padim.decision.operating_points import Rate
from padim.study.ranking import (
    NOTES,
    Overall,
    Standing,
    Table,
    expected_share,
    overall,
    p_words,
    present,
    primary,
    table,
)
from padim.study.result import FIGURES, FigureName
from padim.study.runner import Study
from padim.text import count, megabytes

__all__ = ["html_bytes"]


def html_bytes(study: Study) -> bytes:
    """Render a study as one self-contained HTML page; without scripts only sorting is missing.

    Names of files, categories and configurations are untrusted, so every value is escaped.
    """
    environment = Environment(
        loader=PackageLoader("padim.study"),
        autoescape=select_autoescape(("html", "j2")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    page = environment.get_template("report.html.j2")
    return page.render(**_head(study), **_figures(study), **_failed(study), **_settings(study)).encode()


def _head(study: Study) -> dict[str, Any]:
    """Return the values of the page header."""
    runs = f"{study.done} of {count(len(study.runs), 'run')} done" if study.done < len(study.runs) else ""
    text = [
        count(len(study.variants), "configuration"),
        count(len(study.categories), "category", "categories"),
        runs,
    ]
    return {
        "title": f"Study: {', '.join(name for name, _ in study.categories[:4])}",
        "summary": " · ".join(filter(None, text)),
        "ranked_by": primary(study).title,
        "painted": ", ".join(study.painted),
        "categories": study.categories,
    }


def _figures(study: Study) -> dict[str, Any]:
    """Return the ranking and a table for every figure; both are empty before the first run is done."""
    if not study.done:
        return {"ranking": [], "ranking_heads": [], "over": "", "notes": "", "tables": []}
    by = primary(study)
    names = [about.name for about in present(study)]
    others = [about for about in FIGURES if about.name in names and about != by]
    heads = [
        ("Configuration", "up"),
        (by.title, "down"),
        ("Good parts rejected", "up"),
        ("Defects caught", "down"),
    ]
    heads += [
        ("Fit", "up"),
        ("One image", "up"),
        ("Model", "up"),
        *((about.title, "down") for about in others),
    ]
    categories = len(study.categories)
    return {
        "ranking_heads": [{"title": title, "first": first} for title, first in heads],
        "ranking": [_ranked(one, by.name, [about.name for about in others]) for one in overall(study)],
        "over": f", means over {categories} categories" if categories > 1 else "",
        "notes": NOTES,
        "tables": [_table(table(study, name)) for name in names],
    }


def _ranked(one: Overall, by: FigureName, others: Sequence[FigureName]) -> dict[str, Any]:
    done, of = one.done
    promised = "" if one.promised is None else f"expected {expected_share(one)}"
    seconds, ms, size = one.fit_seconds, one.milliseconds, one.model_bytes
    return {
        "name": _cell(one.variant, one.variant, "" if done == of else f"{done} of {of} categories done"),
        "primary": _standing(one.standings.get(by)),
        "cells": [
            _rate(one.false_rejects, promised),
            _rate(one.caught),
            _cell("–" if seconds is None else f"{seconds:.1f} s", seconds),
            _cell("–" if ms is None else f"{ms:.0f} ms", ms),
            _cell("–" if size is None else megabytes(size), size),
        ],
        "others": [_standing(one.standings.get(name)) for name in others],
    }


def _cell(shown: str, value: float | str | None, note: str = "") -> dict[str, str]:
    """Return the text of a cell, its sort key, and a note below it."""
    number = "" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)
    return {"shown": shown, "value": number, "note": note}


def _rate(rate: Rate | None, note: str = "") -> dict[str, str]:
    if rate is None:
        return _cell("–", None)
    return _cell(f"{rate.count} of {rate.of}", rate.share, note or f"{rate.share * 100:.1f} %")


def _standing(one: Standing | None) -> dict[str, Any]:
    """Return a value with its interval and the significance of its difference to the best one."""
    if one is None or one.figure.value is None:
        return {"text": "", "why": "" if one is None else one.figure.why}
    p = p_words(one)
    notes = [_between(one.figure), "" if p == "–" else f"p {p}"]
    return {
        "text": f"{one.figure.value:.3f}",
        "value": f"{one.figure.value:.8g}",
        "best": one.best,
        "close": one.close,
        "notes": [note for note in notes if note],
    }


def _between(figure: Figure) -> str:
    return "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _table(shown: Table) -> dict[str, Any]:
    return {
        "title": shown.about.title,
        "says": shown.about.says,
        "heads": ["Category", *(one.variant for one in shown.rows[0][1])],
        "rows": [(category, [_standing(one) for one in standings]) for category, standings in shown.rows],
        "mean": None if shown.mean is None else [_standing(one) for one in shown.mean],
    }


def _failed(study: Study) -> dict[str, Any]:
    """Return the runs that failed, and what became of the files, with reasons."""
    account = study.account
    return {
        "wrong": [f"{one.category}, {one.variant}: {one.why}" for one in study.runs if one.why],
        "account": account.text(),
        "files": [f"{error.name}: {error.reason}" for error in account.refused],
        "passed_over": [
            f"{', '.join(names)}: {reason}" + (f" ({number:,} files)" if number > len(names) else "")
            for reason, number, names in grouped(account.passed_over)
        ],
    }


def _settings(study: Study) -> dict[str, Any]:
    """Return the settings common to all configurations, and those in which they differ."""
    dumps = {one.name: one.config.model_dump(mode="json") for one in study.variants}
    first = next(iter(dumps.values()))
    shared = {key: value for key, value in first.items() if all(d[key] == value for d in dumps.values())}
    own = [key for key in PadimConfig.model_fields if key not in shared]
    return {
        "own": own,
        "settings": [(name, [_plain(dump[key]) for key in own]) for name, dump in dumps.items()],
        "shared": "\n".join(
            f"{key}: {_plain(shared[key])}" for key in PadimConfig.model_fields if key in shared
        ),
    }


def _plain(value: object) -> str:
    """Return a setting as plain text."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "all" if value is None else str(value)
