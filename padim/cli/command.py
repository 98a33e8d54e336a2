"""The wrapper around every command: common options, and errors as one sentence with exit code 2."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO, get_args, get_type_hints

import typer

from padim.cli.terminal import Terminal
from padim.errors import PadimError
from padim.storage.holder import acting

COMMON = "Common options"

Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", metavar="", help="Print only warnings and errors.", rich_help_panel=COMMON),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar="",
        help="Print one JSON document on stdout, and nothing else there.",
        rich_help_panel=COMMON,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, metavar="N", help="CPU threads; default all cores.", rich_help_panel=COMMON
    ),
]
Providers = Annotated[
    str | None,
    typer.Option(
        "--providers",
        metavar="LIST",
        help="Runtimes for the network, in order of preference: cuda, openvino, directml, coreml, cpu.",
        rich_help_panel=COMMON,
    ),
]


@dataclass
class Common:
    """The values of the common options, which may be given before or after the command."""

    quiet: bool = False
    as_json: bool = False
    threads: int | None = None
    providers: str | None = None

    def with_later(self, quiet: bool, as_json: bool, threads: int | None, providers: str | None) -> Common:
        """Return these options overridden by those given after the command."""
        return Common(
            self.quiet or quiet,
            self.as_json or as_json,
            self.threads if threads is None else threads,
            self.providers if providers is None else providers,
        )


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function whose first parameter is a :class:`Terminal` as a command of ``app``.

    Args:
        app: the application that gets the command.
        name: the command's name; by default the function's.

    Returns:
        A decorator that returns the function unchanged.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name])
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ]
        for parameter in own:
            _hide_switch_metavar(parameter.annotation)
        common = {"quiet": (Quiet, False), "as_json": (Json, False)}
        optional = {"threads": (Threads, None), "providers": (Providers, None)}
        extra = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in {**common, **optional}.items()
        ]
        first = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)

        def run(ctx: typer.Context, **given: Any) -> None:
            before = ctx.find_root().obj or Common()
            options = before.with_later(*(given.pop(parameter.name) for parameter in extra))
            terminal = Terminal(quiet=options.quiet, as_json=options.as_json, arguments=_arguments(ctx))
            holder = acting("a shell command", f"padim {ctx.info_name}")
            with holder, _environment(options), _warnings_as_text(terminal), _errors_as_text(terminal):
                function(terminal, **given)

        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([first, *own, *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (first, *own, *extra)}
        run.__doc__ = unwrapped(inspect.getdoc(function) or "")
        run.__name__ = name or function.__name__
        app.command(run.__name__)(run)
        return function

    return register


def _arguments(context: typer.Context) -> tuple[str, ...]:
    """Return the running command and its arguments with absolute paths, so that it runs from any folder."""
    words = [context.info_name or ""]
    for parameter in context.command.params:
        name = parameter.name or ""
        value = context.params.get(name)
        source = context.get_parameter_source(name)
        if value is None or value == () or source is None or source.name == "DEFAULT":
            continue
        if parameter.param_type_name == "argument":
            words.append(_argument_text(value))
        elif isinstance(value, bool):
            words += (parameter.opts if value else parameter.secondary_opts)[:1]
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0], _argument_text(one)]
    return tuple(words)


def _argument_text(value: Any) -> str:
    return str(value.absolute()) if isinstance(value, Path) else str(value)


def _hide_switch_metavar(annotation: Any) -> None:
    """Clear the metavar of a switch, which takes no value."""
    kind, *parameters = get_args(annotation)
    for option in parameters:
        if kind is bool and getattr(option, "metavar", "") is None:
            option.metavar = ""


def unwrapped(text: str) -> str:
    """Return the text with each paragraph on one line, for the terminal to wrap."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


@contextmanager
def _environment(options: Common) -> Iterator[None]:
    """Set the environment variables for threads and providers, from which the engine reads them."""
    wanted = {
        "PADIM_THREADS": None if options.threads is None else str(options.threads),
        "PADIM_PROVIDERS": options.providers,
    }
    former = {key: os.environ.get(key) for key in wanted}
    os.environ.update({key: value for key, value in wanted.items() if value is not None})
    try:
        yield
    finally:
        for key, value in former.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextmanager
def _warnings_as_text(terminal: Terminal) -> Iterator[None]:
    """Print Python warnings as sentences, without the line of code that issued them."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        # Warnings of torch's exporter and deprecation warnings are of use to developers only.
        if "torch" not in Path(filename).parts and not issubclass(category, DeprecationWarning):
            terminal.warn(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _errors_as_text(terminal: Terminal) -> Iterator[None]:
    """Print errors that a user can correct as one sentence; all others keep their traceback."""
    try:
        yield
    except PadimError as error:
        terminal.error(str(error))
        raise typer.Exit(2) from error
    except BrokenPipeError:
        raise  # the reader of the pipe has ended, as with ``| head``
    except OSError as error:
        terminal.error(_os_error_text(error))
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        terminal.error("stopped")
        raise typer.Exit(130) from error


def _os_error_text(error: OSError) -> str:
    """Return a sentence on an error of the operating system, with the remedy if it concerns writing."""
    from padim.storage.atomic import explain_os_error, is_about_writing

    if is_about_writing(error):
        return str(explain_os_error(error))
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
