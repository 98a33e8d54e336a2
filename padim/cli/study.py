"""The ``study`` command: compare configurations on one data set or on a folder of data sets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from padim.cli import options, summary
from padim.cli.options import config_of
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import Cancelled, PadimError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.decision.operating_points import Rate
    from padim.study.plan import StudyPlan
    from padim.study.ranking import Overall, Standing, Table
    from padim.study.runner import Run, Study

COMPARED = "What is compared"
# Configuration names wider than this in total are replaced by numbers, with a legend below the tables.
_WIDEST = 64
# Metrics tabulated by category, as in publications.
_PUBLISHED = ("image_auroc", "pixel_auroc", "image_f1")


def study(
    terminal: Terminal,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|ZIP|CSV",
            help="Labelled images, as for evaluate, or a folder of categories in the layout of MVTec AD. "
            "Models are fitted on train/good or, without it, on a random part of the good images.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the study: every result, study.csv and study.html. A study that was stopped is "
            "resumed from it.",
        ),
    ],
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="YAML",
            help="Read what to compare from a file with base, methods, backbones, layers, input_sizes and "
            "configurations, instead of from the options below.",
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="Use only this category; may be repeated."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="A method; may be repeated. Every value is combined with every value of the other options.",
            rich_help_panel=COMPARED,
        ),
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone", metavar="NAME", help="A network; may be repeated.", rich_help_panel=COMPARED
        ),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="A,B,C",
            help="A set of layers; may be repeated. Used with the networks that have these layers.",
            rich_help_panel=COMPARED,
        ),
    ] = None,
    input_size: Annotated[
        list[str] | None,
        typer.Option(
            "--input-size",
            metavar="PIXELS|HxW",
            help="Size to which images are resized: a side, or height x width; may be repeated.",
            rich_help_panel=COMPARED,
        ),
    ] = None,
    config: options.Config = None,
    grid_stride: options.GridStride = None,
    feature_norm: options.FeatureNorm = None,
    features: options.Features = None,
    seed: options.Seed = None,
    resize: options.Fit = None,
    bit_depth: options.BitDepth = None,
    random: options.Random = False,
    smoothing: options.Smoothing = None,
    min_area: options.MinArea = None,
) -> None:
    """Compare methods, networks, layers and input sizes on the same images.

    Every configuration is fitted and evaluated on every category; features that configurations share are
    extracted once. The tables are as in publications: one row for each category, and the mean. Each value is
    tested against the best of its row.

    In a category without defects, configurations are ranked by painted defects.
    """
    from padim.study.data import categories
    from padim.study.report import write_files
    from padim.study.runner import run

    base = {
        "grid_stride": grid_stride,
        "feature_norm": feature_norm,
        "n_features": features,
        "seed": seed,
        "fit": resize,
        "bit_depth": bit_depth,
        "weights": "random" if random else None,
        "smoothing_sigma": smoothing,
        "min_area": min_area,
    }
    lists = {"methods": method, "backbones": backbone, "layers": layers, "input_sizes": input_size}
    variants = _plan(plan, config, base, lists).variants()
    found = categories(data, category or (), seed or 0)
    if any(one.config.weights == "random" for one in variants):
        terminal.warn("some networks have random weights: their figures mean nothing")
    with Stop(terminal) as stop:
        try:
            with terminal.progress() as progress:
                done = run(
                    output, variants, found, progress=progress, cancel=stop, on_run=_run_callback(terminal)
                )
        except (Cancelled, KeyboardInterrupt) as error:
            terminal.error(
                f"stopped; completed work is kept in {output}: run the same command again to continue"
            )
            raise typer.Exit(stop.exit_code) from error
    files = write_files(done)
    terminal.result({**document(done), "files": [str(file) for file in files]}, *_shown(done))
    _print_notes(terminal, done)
    if done.done:
        terminal.print(f"\nFiles: {done.account.text()}.")
    terminal.print(f"\n[dim]{summary.plain(', '.join(str(file) for file in files))}[/]")
    if not done.done:
        raise typer.Exit(2)


def _plan(path: Path | None, config: Path | None, base: dict[str, Any], lists: dict[str, Any]) -> StudyPlan:
    from padim.study.plan import StudyPlan

    given = {name: value for name, value in base.items() if value is not None}
    named = {name: list(values) for name, values in lists.items() if values}
    if path is not None:
        if given or named or config is not None:
            raise PadimError(
                "--plan and the options of a configuration are mutually exclusive: leave out the options, or "
                "put them into the plan"
            )
        return StudyPlan.load(path)
    if "layers" in named:
        named["layers"] = [
            tuple(name.strip() for name in layers.split(",") if name.strip()) for layers in named["layers"]
        ]
    if config is None and not given:
        return StudyPlan.of(named)
    # Checked as one configuration first, so that errors name the option; the plan reports a number of
    # features that does not suit the file's network.
    every = config_of(config, **{name: value for name, value in given.items() if name != "n_features"})
    settings = every.model_dump() if config is not None else {}
    if named.keys() & {"backbones", "layers"}:
        settings = {
            name: settings[name] for name in settings.keys() - {"layers", "inactive_layers", "n_features"}
        }
    if "n_features" in given:
        given["n_features"] = _features(str(given["n_features"]))
    return StudyPlan.of({"base": {**settings, **given}, **named})


def _features(text: str) -> int | None:
    try:
        return None if text.lower() == "all" else int(text)
    except ValueError:
        raise PadimError(f"--n-features takes a whole number or 'all', not '{text}'") from None


def _run_callback(terminal: Terminal) -> Any:
    def report(run: Run, done: int, of: int) -> None:
        if run.why:
            terminal.warn(f"{run.category}, {run.variant}: {run.why}")

    return report


# --- as JSON ----------------------------------------------------------------------------------------


def document(done: Study) -> dict[str, Any]:
    """Return the study as plain JSON: configurations, ranking, tables and runs."""
    from padim.study.ranking import overall, present, primary, table

    names = [about.name for about in present(done)]
    return {
        "output": str(done.folder),
        "ranked_by": primary(done).name,
        "categories": [{"name": name, "about": about} for name, about in done.categories],
        "configurations": [
            {"name": one.name, "config": one.config.model_dump(mode="json")} for one in done.variants
        ],
        "done": done.done,
        "of": len(done.runs),
        "from_before": done.again,
        "ranking": [one.variant for one in overall(done)],
        "tables": {name: _table_document(table(done, name)) for name in names},
        "runs": [_run(one) for one in done.runs],
    }


def _run(one: Run) -> dict[str, Any]:
    """Return a run as plain JSON, without the images' scores, which are in the study's folder."""
    report: dict[str, Any] = {
        "category": one.category,
        "configuration": one.variant,
        "error": one.why or None,
    }
    result = one.result
    if result is None:
        return report
    from padim.data.account import FileAccount
    from padim.errors import ImageError

    left_out = {"images", "config", "category", "failed", "passed_over", "used"}
    left_out |= {"figures", "false_rejects", "caught"}
    report.update(result.model_dump(mode="json", exclude=left_out))
    for name, figure in result.figures.items():
        report[name] = {
            "value": figure.value,
            "why": figure.why,
            "low_95": figure.low,
            "high_95": figure.high,
        }
    report["false_rejects"] = to_json.rate(result.false_rejects)
    report["caught"] = to_json.rate(result.caught)
    report["skipped"] = [{"name": name, "error": why} for name, why in result.failed]
    files = FileAccount(result.used, tuple(ImageError(*at) for at in result.failed), result.passed_over)
    report["files"] = files.to_dict()
    report["passed_over"] = report["files"]["passed_over"]
    return report


def _table_document(metric_table: Table) -> dict[str, Any]:
    rows = {category: [_standing(one) for one in standings] for category, standings in metric_table.rows}
    return {
        "rows": rows,
        "mean": None if metric_table.mean is None else [_standing(one) for one in metric_table.mean],
    }


def _standing(one: Standing) -> dict[str, Any]:
    difference = one.difference
    return {
        "configuration": one.variant,
        "value": one.figure.value,
        "why": one.figure.why,
        "low_95": one.figure.low,
        "high_95": one.figure.high,
        "best": one.best,
        "difference_to_best": None if difference is None else difference.value,
        "p": None if difference is None else difference.p,
    }


# --- for people -------------------------------------------------------------------------------------


def _shown(done: Study) -> list[Any]:
    from padim.study.ranking import NOTES, overall, present, primary, table

    heads, legend = _column_headings([one.name for one in done.variants])
    renderables: list[Any] = []
    there = {about.name for about in present(done)}
    for name in (*_PUBLISHED, *(("painted_recall",) if "painted_recall" in there else ())):
        if name in there:
            renderables += ["", _table(table(done, name), heads)]
    if renderables and len(done.variants) > 1:
        renderables.append(f"[dim]{NOTES}[/]")
    renderables += ["", _ranking(overall(done), primary(done).title, heads, done)]
    if legend:
        renderables += ["", *legend]
    return renderables


def _column_headings(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the column headings by configuration, and a legend if they are numbers."""
    if sum(map(len, names)) <= _WIDEST:
        return {name: summary.plain(name) for name in names}, []
    heads = {name: str(number) for number, name in enumerate(names, start=1)}
    return heads, [f"[dim]{heads[name]}[/] {summary.plain(name)}" for name in names]


def _table(metric_table: Table, heads: dict[str, str]) -> Any:
    names = [one.variant for one in metric_table.rows[0][1]]
    table = columns([("category", False), *((heads[name], True) for name in names)])
    for category, standings in metric_table.rows:
        table.add_row(summary.plain(category), *map(_cell, standings))
    if metric_table.mean is not None:
        table.add_section()
        table.add_row("mean", *map(_cell, metric_table.mean))
    return titled(metric_table.about.title, table)


def _cell(one: Standing) -> str:
    if one.figure.value is None:
        return "–"
    text = f"{one.figure.value:.3f}"
    # A fixed column for the star keeps the digits aligned.
    return f"[bold]{text}[/] " if one.best else f"{text}{'*' if one.close else ' '}"


def _ranking(ranked: tuple[Overall, ...], title: str, heads: dict[str, str], done: Study) -> Any:
    from padim.decision.promise import FALSE_REJECTS
    from padim.study.ranking import p_words, primary

    numbers = (title, "p", "rejected", "expected", "caught", "fit s", "ms", "MB")
    table = columns([("configuration", False), *((head, True) for head in numbers)])
    # Names are not broken over lines.
    table.columns[0].no_wrap = True
    name = primary(done).name
    for one in ranked:
        standing = one.standings.get(name)
        table.add_row(
            heads[one.variant],
            "–" if standing is None else _cell(standing),
            "–" if standing is None else p_words(standing).replace(" ", ""),
            _share(one.false_rejects),
            _expected(one),
            _share(one.caught),
            "–" if one.fit_seconds is None else f"{one.fit_seconds:.0f}",
            "–" if one.milliseconds is None else f"{one.milliseconds:.0f}",
            "–" if one.model_bytes is None else f"{one.model_bytes / 1e6:.1f}",
        )
    over = f"over {len(done.categories)} categories" if len(done.categories) > 1 else done.categories[0][0]
    notes = (
        f"[dim]rejected: {FALSE_REJECTS}, counted; expected: those to expect from the fit ≤ at most with "
        "95 % confidence; caught: defects caught; all in percent, at the model's own threshold. ms: per "
        "image; MB: size of the model.[/]"
    )
    return Group(titled(f"Best first, {summary.plain(over)}", table), notes)


def _expected(one: Overall) -> str:
    if one.promised is None:
        return "–"
    return f"{one.promised * 100:.0f}" + (
        "" if one.promised_upper is None else f" ≤ {math.ceil(one.promised_upper * 100)}"
    )


def _share(rate: Rate | None) -> str:
    return "–" if rate is None else f"{rate.share * 100:.0f}"


def _print_notes(terminal: Terminal, done: Study) -> None:
    from padim.text import count

    if done.again:
        terminal.note(f"{done.again} of {count(len(done.runs), 'run')} done before: results reused")
    painted = done.painted
    if painted:
        terminal.note(
            f"no defects in {', '.join(painted)}: ranked by defects painted on held-out good parts instead. "
            "Real defects look different: confirm the ranking with real parts"
        )
    for name, about in done.categories:
        if "drawn at random" in about:
            terminal.note(f"{name}: {about}")
    for note in done.overlap_notes:
        terminal.warn(note)
    terminal.files(done.account)
