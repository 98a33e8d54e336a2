"""The ``methods`` command: list the anomaly-detection methods and what each is for."""

from __future__ import annotations

from typing import Any

from padim.cli.terminal import Terminal, columns

_HELD_OUT = {
    "exact": "exact, no refit",
    "approximate": "approximate, no refit",
    "folds": "by cross-fitting",
    "members": "from its members",
}


def methods(terminal: Terminal) -> None:
    """List the methods for fitting a model, and how each scores good parts without themselves.

    The false-reject rate that a threshold promises is estimated from scores of good parts by models that were
    not fitted on them; methods differ in how they compute these.
    """
    from padim.methods.catalogue import METHODS

    table = columns(
        [
            ("method", False),
            ("scores of good parts", False),
            ("trains", False),
            ("features", False),
            ("", False),
        ]
    )
    documents: list[dict[str, Any]] = []
    for method in METHODS.values():
        table.add_row(
            f"[bold]{method.name}[/]",
            _HELD_OUT[method.held_out],
            "yes" if method.trains else "",
            "normalized" if method.feature_norm == "l2" else "unchanged",
            method.summary,
        )
        documents.append(
            {
                "name": method.name,
                "title": method.title,
                "summary": method.summary,
                "held_out": method.held_out,
                "trains": method.trains,
                "feature_norm": method.feature_norm,
                "settings": list(method.settings),
            }
        )
    terminal.result(
        {"methods": documents},
        table,
        "[dim]Join several with + to combine them: fit --method padim+patchcore[/]",
    )
