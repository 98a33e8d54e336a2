"""``methods``: how what is normal can be learnt, and what each way is for."""

from __future__ import annotations

from typing import Any

from padim.cli.terminal import Terminal, columns

_HELD_OUT = {
    "exact": "exact, no refit",
    "approximate": "approximate, no refit",
    "folds": "by fitting in folds",
    "members": "as its members'",
}


def methods(terminal: Terminal) -> None:
    """List the methods that a model can be fitted by, and how each holds good parts out.

    The false-reject rate that a threshold promises comes from scores of good parts by a model that has not
    learnt from them; how those come about differs.
    """
    from padim.methods.catalogue import METHODS

    table = columns(
        [("method", False), ("held-out scores", False), ("trains", False), ("features", False), ("", False)]
    )
    documents: list[dict[str, Any]] = []
    for method in METHODS.values():
        table.add_row(
            f"[bold]{method.name}[/]",
            _HELD_OUT[method.held_out],
            "yes" if method.trains else "",
            "normalized" if method.feature_norm == "l2" else "as they are",
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
        "[dim]Several joined by + judge together: fit --method padim+patchcore[/]",
    )
