"""Command-line options of locating the part, for every command that fits a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

__all__ = ["Align", "AlignSettings", "align_settings"]

PANEL = "Locating the part"

Align = Annotated[
    str | None,
    typer.Option(
        "--align",
        metavar="METHOD",
        help="Find the part in each image and compare it with the others in one position: by its outline "
        "before a plain background ([b]outline[/]), by one or two distinctive places ([b]template[/]), or by "
        "many small details ([b]features[/]); [b]none[/] compares images as they are.",
        rich_help_panel=PANEL,
    ),
]
AlignSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--align-set",
        metavar="NAME=VALUE",
        help="A setting of --align, such as reference=part_07.png, max_turn=10, on_lost=review or "
        "marks=[[120,40,60,60]] (x, y, width, height on the reference); may be given several times.",
        rich_help_panel=PANEL,
    ),
]


def align_settings(method: str | None, settings: Sequence[str] | None) -> dict[str, Any] | None:
    """Return the setting ``align`` that options give, as plain values; None if they give none.

    ``none`` becomes ``{"method": "none"}``, which :func:`padim.cli.options.config_of` turns into no setting.

    Args:
        method: value of ``--align``.
        settings: values of ``--align-set``, each ``NAME=VALUE`` with a value in YAML.

    Raises:
        PadimError: a value is not of the form NAME=VALUE, or not YAML.
    """
    from padim.errors import PadimError
    from padim.yaml_text import parse_yaml

    found: dict[str, Any] = {} if method is None else {"method": method}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise PadimError(f"--align-set takes NAME=VALUE, such as max_turn=10, not '{text}'")
        parsed = parse_yaml(f"{name.strip()}: {value}", "--align-set")
        if not isinstance(parsed, dict):
            raise PadimError(f"--align-set takes NAME=VALUE, such as max_turn=10, not '{text}'")
        found.update(parsed)
    return found or None
