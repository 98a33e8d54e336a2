"""The commands together."""

from __future__ import annotations

from typing import Annotated

import typer

from padim._version import __version__
from padim.cli import (
    adapt,
    backbones,
    calibrate,
    doctor,
    evaluate,
    export,
    fit,
    info,
    learning_curve,
    methods,
    robustness,
    score,
    sensitivity,
    study,
    web_app,
)
from padim.cli.command import Common, Json, Providers, Quiet, Threads, command, unwrapped

_HELP = """
Show it photographs of good parts, and it tells good from odd.

[bold]fit[/] learns what is normal from images of good parts and sets a threshold by their own held-out
scores, [bold]adapt[/] does so with a network taught by them if that is a gain; [bold]calibrate[/] moves
the threshold and says what that means; [bold]score[/] judges images;
[bold]evaluate[/] counts how well it did on labelled ones, [bold]study[/] which configuration does best;
[bold]probe[/] and [bold]shift[/] ask how small a
defect, and how great a change of light or fixture, may be; [bold]learning-curve[/] how many good parts
it takes; [bold]doctor[/] checks what is on disk, [bold]app[/] starts the web application.
The common options may stand before a command
or after it.
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done · 1 rejected, with --fail-on-reject, or damaged, with doctor · "
    "2 an error, told in one sentence · 130 stopped with Ctrl-C.",
)


def _version(asked: bool) -> None:
    if asked:
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


# Commands whose name is not that of their module.
_NAMES = {web_app: "app"}

for module in (
    fit,
    adapt,
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
    web_app,
):
    function = module.__name__.rpartition(".")[2]
    command(app, _NAMES.get(module, function.replace("_", "-")))(getattr(module, function))
