"""How SQLite finds inspections: a filter that finds few, or none, reads no rows of the others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from padim.records.database import RecordsDatabase
from padim.records.inspection_query import InspectionOrder, InspectionQuery, page_of
from padim.records.inspections import InspectionRecords
from padim.records.sqlite_file import _WithHints
from tests.recorded import new

TIME = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS: list[dict[str, Any]] = [
    *({name: "x"} for name in ("model_id", "defect_type", "part_number", "lot", "station", "shift", "who")),
    *({name: True} for name in ("audited", "disagrees")),
    *({"waits": False}, {"waits": True, "shift": "x"}, {"version_id": 1}, {"verdicts": ["reject"]}),
    *({"decision": "reject"}, {"decision": ""}, {"since": TIME}, {"before": TIME}, {"contains": "x"}),
    *({"decided_by": "x"}, {"second_for": "x"}),
]


@pytest.mark.parametrize("order", get_args(InspectionOrder))
def test_every_filter_is_answered_by_the_index_alone(order: InspectionOrder, tmp_path: Path) -> None:
    InspectionRecords(tmp_path).add([new(0, levels=None, original=None)])
    dialect = sqlite.dialect()
    dialect.statement_compiler = _WithHints
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is not None
        for given in FILTERS:
            page = page_of(InspectionQuery(**given), order, None, 50)
            statement = str(page.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
            plan = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]
            # The rows of the page are found by their numbers.
            found = "inspections USING COVERING INDEX ix_inspections_filters"
            assert any(found in line for line in plan), (given, plan)
            assert any("SEARCH inspections USING INTEGER PRIMARY KEY" in line for line in plan), (given, plan)
