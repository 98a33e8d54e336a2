"""A study as files: one CSV with every figure of every run, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from padim.analysis.metrics import Figure
from padim.config import PadimConfig
from padim.decision.operating_points import Rate
from padim.output.results import csv_file
from padim.storage.atomic import write_atomic
from padim.study.ranking import NOTES, Overall, Standing, Table, overall, p_words, present, primary, table
from padim.study.result import FIGURES
from padim.study.runner import Study
from padim.text import count, megabytes

__all__ = ["csv_bytes", "html_bytes", "write_files"]


def write_files(study: Study) -> tuple[Path, Path]:
    """``study.csv`` and ``study.html`` in the study's folder."""
    files = study.folder / "study.csv", study.folder / "study.html"
    for path, content in zip(files, (csv_bytes(study), html_bytes(study)), strict=True):
        write_atomic(path, content)
    return files


# --- CSV --------------------------------------------------------------------------------------------


def csv_bytes(study: Study) -> bytes:
    """One line a run, with a mark that spreadsheets need to read UTF-8.

    The p of each figure is that of the difference to the best of the category, corrected (Holm).
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
            *("fit_seconds", "learn_seconds", "milliseconds", "model_bytes"),
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
            cells += [*map(_number, (result.fit_seconds, result.learn_seconds, result.milliseconds))]
            cells.append(str(result.model_bytes))
        features = "all" if config.n_features is None else str(config.n_features)
        cells += [config.method, config.backbone, "+".join(config.active_layers), str(config.input_size)]
        cells += [str(config.grid_stride), features, str(config.seed), config.weights]
        cells.append(config.feature_norm)
        lines.append(cells)
    return csv_file(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


# --- HTML -------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ink: #1c232b; --dim: #5d6873; --line: #d9dee3; --paper: #ffffff;
  --soft: #f4f6f8; --best: #0f6b52; --bar: #5b8fb0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf0; --dim: #9aa6b2; --line: #333c45;
  --paper: #14191e; --soft: #1c232a; --best: #5fc9a8; --bar: #6fa3c4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0 .8rem; max-width: 48rem; } .dim, figcaption, small { color: var(--dim); }
.wide { overflow-x: auto; position: relative; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 24rem; }
th, td { padding: .38rem .8rem .38rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
td:first-child { white-space: normal; min-width: 11rem; }
th { color: var(--dim); font-weight: 600; font-size: .86rem; vertical-align: bottom; white-space: normal; }
tfoot td { border-top: 2px solid var(--line); border-bottom: 0; }
b { color: var(--best); } td small { display: block; font-size: .78rem; }
td i { position: absolute; font-style: normal; }
.grid { display: flex; flex-wrap: wrap; gap: 0 4rem; } .grid section { max-width: 100%; }
.grid p { max-width: 26rem; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid var(--bar); }
th[aria-sort] button::after { content: " \\2193"; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
details { margin: .4rem 0; } summary { cursor: pointer; }
pre { background: var(--soft); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
@media print { body { max-width: none; padding: 0; } details { display: block; } }
"""

# Sorts by the cells' own numbers; those without one stay last.
_SCRIPT = """
document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = table.tHead.rows[0].cells;
  Array.prototype.forEach.call(heads, function (head, column) {
    var button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", function () {
      var down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") !== "descending"
        : button.dataset.first !== "up";
      Array.prototype.forEach.call(heads, function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      var rows = Array.prototype.slice.call(table.tBodies[0].rows);
      rows.sort(function (a, b) {
        var x = a.cells[column].dataset.v, y = b.cells[column].dataset.v;
        if (x === "" || y === "") return (x === "") - (y === "");
        var gap = column ? x - y : x.localeCompare(y);
        return down ? -gap : gap;
      });
      rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
    });
  });
});
"""


def html_bytes(study: Study) -> bytes:
    """The whole study as one page: nothing is fetched, and without scripts only sorting is missing."""
    figures = present(study)
    by = primary(study)
    parts = [_head(study, by.title)]
    if study.done:
        parts.append(_ranking(overall(study), study, [about.name for about in figures]))
        parts.append(f'<p class="dim">{escape(NOTES)}</p>')
        parts.append("<h2>Category by category</h2>" if len(study.categories) > 1 else "<h2>Figures</h2>")
        tables = "".join(_table(table(study, about.name)) for about in figures)
        parts.append(f'<div class="grid">{tables}</div>')
    parts += [_failed(study), _settings(study), _method()]
    title = f"Study: {', '.join(name for name, _ in study.categories[:4])}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(parts)}<script>{_SCRIPT}</script></body></html>\n"
    ).encode()


def _head(study: Study, by: str) -> str:
    """What was compared on what."""
    runs = f"{study.done} of {count(len(study.runs), 'run')} done" if study.done < len(study.runs) else ""
    said = [
        count(len(study.variants), "configuration"),
        count(len(study.categories), "category", "categories"),
    ]
    lines = "".join(
        f"<li><strong>{escape(n)}</strong>: {escape(about)}</li>" for n, about in study.categories
    )
    painted = ""
    if study.painted:
        painted = (
            f"<p>There are no defects in {escape(', '.join(study.painted))}. There configurations are ranked "
            "by defects painted on good parts that were not fitted on. Real ones look different: try the "
            "best with real parts.</p>"
        )
    told = " · ".join(filter(None, [*said, runs]))
    return (
        f'<h1>Study</h1><p class="dim">{escape(told)} · ranked by {escape(by)}</p>{painted}<ul>{lines}</ul>'
    )


def _ranking(ranked: Iterable[Overall], study: Study, names: Sequence[str]) -> str:
    by = primary(study)
    shown = [about for about in FIGURES if about.name in names]
    heads = [_sorter("Configuration", "up"), _sorter(by.title)]
    heads += [_sorter("Good parts rejected", "up"), _sorter("Defects caught")]
    heads += [_sorter("Fit", "up"), _sorter("One picture", "up"), _sorter("Model", "up")]
    others = [about for about in shown if about != by]
    heads += [_sorter(about.title) for about in others]
    lines = []
    for one in ranked:
        cells = [_cell(escape(one.variant), one.variant, _told(one)), _standing(one.standings.get(by.name))]
        promised = "" if one.promised is None else f"{one.promised * 100:.1f} % promised"
        cells += [_rate(one.false_rejects, promised), _rate(one.caught)]
        seconds, ms, size = one.fit_seconds, one.milliseconds, one.model_bytes
        cells.append(_cell("–" if seconds is None else f"{seconds:.1f} s", seconds))
        cells.append(_cell("–" if ms is None else f"{ms:.0f} ms", ms))
        cells.append(_cell("–" if size is None else megabytes(size), size))
        cells += [_standing(one.standings.get(about.name)) for about in others]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    over = f"means over {len(study.categories)} categories" if len(study.categories) > 1 else ""
    caption = f'<p class="dim">Best first{", " + over if over else ""}. Click a heading to sort.</p>'
    return (
        f'<h2>Configurations</h2>{caption}<div class="wide"><table class="sortable"><thead><tr>'
        f"{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _told(one: Overall) -> str:
    done, of = one.done
    return "" if done == of else f"{done} of {of} categories done"


def _sorter(title: str, first: str = "down") -> str:
    return f'<th><button type="button" data-first="{first}">{escape(title)}</button></th>'


def _cell(shown: str, value: float | str | None, note: str = "") -> str:
    below = f"<small>{escape(note)}</small>" if note else ""
    number = "" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)
    return f'<td data-v="{escape(number, quote=True)}">{shown}{below}</td>'


def _rate(rate: Rate | None, note: str = "") -> str:
    if rate is None:
        return _cell("–", None)
    told = f"{rate.share * 100:.1f} %"
    return _cell(f"{rate.count} of {rate.of}", rate.share, note or told)


def _standing(one: Standing | None) -> str:
    """A value with its interval, and what its lag behind the best is worth."""
    if one is None or one.figure.value is None:
        why = "" if one is None else one.figure.why
        return f'<td data-v="" title="{escape(why, quote=True)}">–</td>'
    text = f"{one.figure.value:.3f}"
    # The star stands beside the digits, not among them.
    shown = f"<b>{text}</b>" if one.best else f"{text}<i>*</i>" if one.close else text
    p = p_words(one)
    notes = [_between(one.figure), "" if p == "–" else f"p {p}"]
    small = "".join(f"<small>{escape(note)}</small>" for note in notes if note)
    return f'<td data-v="{one.figure.value:.8g}">{shown}{small}</td>'


def _between(figure: Figure) -> str:
    return "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _table(shown: Table) -> str:
    names = [one.variant for one in shown.rows[0][1]]
    heads = "".join(f"<th>{escape(name)}</th>" for name in ["Category", *names])
    lines = "".join(
        f"<tr><td>{escape(category)}</td>{''.join(map(_standing, standings))}</tr>"
        for category, standings in shown.rows
    )
    foot = ""
    if shown.mean is not None:
        foot = f"<tfoot><tr><td>Mean</td>{''.join(map(_standing, shown.mean))}</tr></tfoot>"
    return (
        f'<section><h3>{escape(shown.about.title)}</h3><p class="dim">{escape(shown.about.says)}</p>'
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>{foot}</table></div>'
        "</section>"
    )


def _failed(study: Study) -> str:
    wrong = [one for one in study.runs if one.why]
    files = {at: None for one in study.runs if one.result is not None for at in one.result.failed}
    parts = []
    if wrong:
        lines = "".join(
            f"<li>{escape(one.category)}, {escape(one.variant)}: {escape(one.why)}</li>" for one in wrong
        )
        parts.append(f"<h2>What could not be done</h2><ul>{lines}</ul>")
    if files:
        lines = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in files)
        parts.append(f"<h2>Files that could not be used</h2><ul>{lines}</ul>")
    return "".join(parts)


def _settings(study: Study) -> str:
    """What the configurations share, and what each has of its own."""
    dumps = {one.name: one.config.model_dump(mode="json") for one in study.variants}
    first = next(iter(dumps.values()))
    shared = {key: value for key, value in first.items() if all(d[key] == value for d in dumps.values())}
    own = [key for key in PadimConfig.model_fields if key not in shared]
    parts = ["<h2>Settings</h2>"]
    if own:
        heads = "".join(f"<th>{escape(word)}</th>" for word in ["Configuration", *own])
        lines = "".join(
            f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_plain(dump[key])}</td>' for key in own)}</tr>"
            for name, dump in dumps.items()
        )
        parts.append(
            f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
        )
    rest = "\n".join(f"{key}: {_plain(shared[key])}" for key in PadimConfig.model_fields if key in shared)
    which = "All the others, alike for all" if own else "All settings"
    parts.append(f"<details><summary>{which}</summary><pre>{rest}</pre></details>")
    return "".join(parts)


def _plain(value: object) -> str:
    """A setting as YAML would have it, escaped."""
    if isinstance(value, list):
        return escape(", ".join(map(str, value)) or "none")
    return escape("all" if value is None else str(value))


def _method() -> str:
    """How the figures came about."""
    return (
        '<h2>How to read this</h2><p class="dim">Intervals are 95 % and come from drawing the pictures anew '
        "with replacement. Differences to the best are tested on the same pictures: image AUROC by DeLong’s "
        "test, all else by the same draws for both (1,000 of them), corrected for the number of "
        "configurations by Holm’s method. That the best was picked on these very pictures flatters it a "
        "little. F1 is that of the best threshold for these pictures; good parts rejected and defects caught "
        "are counted at the model’s own threshold, which was set without them. The time of a picture is from "
        "its file to its verdict, one at a time, on the computer the study ran on.</p>"
    )
