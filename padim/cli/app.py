"""The ``padim`` application: all commands and the common options."""

from __future__ import annotations

from typing import Annotated

import typer

from padim._version import __version__
from padim.cli import (
    adapt,
    align,
    backbones,
    backup,
    calibrate,
    check,
    deleted_models,
    doctor,
    evaluate,
    export,
    fit,
    info,
    keys,
    learning_curve,
    methods,
    models,
    records,
    restore,
    robustness,
    score,
    sensitivity,
    serve,
    settings,
    sinks,
    study,
    watch,
    web_app,
)
from padim.cli.command import Common, Json, Providers, Quiet, Threads, command, unwrapped

_HELP = """
Fit a model to images of good parts, and find the parts that differ from them.

[bold]fit[/] fits a model to images of good parts and sets a threshold from their scores;
[bold]align[/] tries out locating the part, and [bold]adapt[/] fine-tunes the network on them first, if
that improves detection;
[bold]check[/] says when a model is blind; [bold]calibrate[/] moves the threshold and reports the
expected false rejects; [bold]score[/] scores images and decides; [bold]evaluate[/] measures a model on
labelled images, [bold]study[/] compares configurations; [bold]sensitivity[/] finds the smallest defect
that is caught, [bold]robustness[/] the largest change of light, camera or fixture that is tolerated;
[bold]learning-curve[/] reports how many good parts are needed; [bold]models[/] lists the versions of
models and says which one inspects; [bold]sinks[/] sends results to other programs and machines;
[bold]doctor[/] checks the files on disk, [bold]bin[/] has the deleted models, [bold]settings[/] lists what
this installation is set to, [bold]backup[/] and [bold]restore[/] copy the workspace to a file and back,
[bold]app[/] starts the web application.
The common options may be given before or after the command.
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success · 1 rejected (with --fail-on-reject), red (check) or damaged (doctor) · "
    "2 an error, explained in one sentence · 130 stopped with Ctrl-C.",
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"padim {__version__}")
        raise typer.Exit


@app.callback(help=unwrapped(_HELP))
def common(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, metavar="", help="Show the version and exit."
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    threads: Threads = None,
    providers: Providers = None,
) -> None:
    ctx.obj = Common(quiet, as_json, threads, providers)


# Commands whose name differs from the name of their module.
_NAMES = {web_app: "app", deleted_models: "bin"}

for module in (
    fit,
    align,
    adapt,
    check,
    calibrate,
    score,
    evaluate,
    study,
    sensitivity,
    robustness,
    learning_curve,
    export,
    info,
    methods,
    backbones,
    doctor,
    deleted_models,
    serve,
    backup,
    restore,
    settings,
    web_app,
    watch,
):
    function = module.__name__.rpartition(".")[2]
    command(app, _NAMES.get(module, function.replace("_", "-")))(getattr(module, function))

app.add_typer(models.models, name="models")
app.add_typer(records.records, name="records")
app.add_typer(keys.keys, name="keys")
app.add_typer(sinks.sinks, name="sinks")
