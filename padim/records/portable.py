"""SQL that SQLite and PostgreSQL write differently."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, TextClause
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles

_Insert = sqlite.Insert | postgresql.Insert


def insert_or(connection: Connection, table: Table) -> _Insert:
    """Return an INSERT that can say what happens to rows which are there already (``on_conflict_...``)."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


class ListedValues(TextClause):
    """A sub-query of values which are one parameter, as JSON."""

    inherit_cache = True


@compiles(ListedValues, "postgresql")
def _on_postgresql(element: ListedValues, compiler: Any, **more: Any) -> str:
    # The clone has the same parameter, so that a statement of the cache takes the values of each execution.
    other = element._clone()
    name = next(iter(element._bindparams))
    what = "CAST(value AS integer)" if "AS INTEGER" in element.text else "value"
    other.text = f"SELECT {what} FROM json_array_elements_text(CAST(:{name} AS json))"
    return str(compiler.visit_textclause(other, **more))


def listed(values: Iterable[str | int], name: str = "listed") -> ListedValues | list[Any]:
    """Return any number of values for ``column.in_()``, whatever the limit on parameters of a statement is.

    Args:
        values: the values: all of them texts, or all of them numbers.
        name: name of their parameter, unique in the statement.
    """
    values = list(values)
    if not values:
        return []
    what = "CAST(value AS INTEGER)" if isinstance(values[0], int) else "value"
    clause = ListedValues(f"SELECT {what} FROM json_each(:{name})")
    return clause.bindparams(**{name: json.dumps(values)})
