"""The ``backbones`` command: list the networks, their layers, and whether their weights are available."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, columns, facts


def backbones(
    terminal: Terminal,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show one network with all its layers.")
    ] = None,
) -> None:
    """List the networks, their layers, and whether their weights are on this machine."""
    from padim.network import registry

    chosen = list(registry.REGISTRY.values()) if name is None else [registry.get(name)]
    documents = [_document(backbone) for backbone in chosen]
    if name is not None:
        terminal.result(documents[0], *_one(chosen[0], documents[0]))
        return
    table = columns([("network", False), ("default layers", False), ("d", True), ("weights", False)])
    for backbone, document in zip(chosen, documents, strict=True):
        table.add_row(
            f"[bold]{backbone.name}[/]",
            ", ".join(backbone.default_layers),
            str(document["default_features"]),
            _state(document),
        )
    terminal.result({"backbones": documents}, table, "[dim]d: channels kept. Details: backbones NAME[/]")


def _document(backbone: Any) -> dict[str, Any]:
    from padim.network import weights

    found = weights.available(backbone.name)
    d = backbone.default_features(backbone.default_layers)
    return {
        "name": backbone.name,
        "title": backbone.title,
        "layers": [
            {"name": layer.name, "stride": layer.stride, "channels": layer.channels}
            for layer in backbone.layers
        ],
        "default_layers": list(backbone.default_layers),
        "default_features": backbone.channels(backbone.default_layers) if d is None else d,
        "weights_here": found.at_hand,
        "weights": found.description,
        "licence": backbone.licence,
    }


def _state(document: dict[str, Any]) -> str:
    return "[green]available[/]" if document["weights_here"] else "[yellow]not available[/]"


def _one(backbone: Any, document: dict[str, Any]) -> list[Any]:
    table = columns([("layer", False), ("stride", True), ("channels", True), ("", False)])
    for layer in backbone.layers:
        table.add_row(
            layer.name,
            str(layer.stride),
            str(layer.channels),
            "[green]default[/]" if layer.name in backbone.default_layers else "",
        )
    rows = [
        ("network", f"{backbone.title} ({backbone.name})"),
        ("channels kept", f"{document['default_features']} of the default layers"),
        ("weights", f"{_state(document)}: {summary.plain(document['weights'])}"),
        ("licence", f"{backbone.licence} (of the weights)"),
    ]
    return ["", facts(rows), "", table]
