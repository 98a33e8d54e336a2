"""The service does what its OpenAPI description says, also with requests made at random (schemathesis)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection
from starlette.testclient import TestClient

from padim.records.api_keys import ApiKeys
from padim.service.allowed_roots import AllowedRoots
from padim.service.rest.app import service_app
from tests.service.fakes import fake_parts

ADDRESSES = {
    *(("post", "/v1/inspections"), ("post", "/v1/inspections/batch")),
    *(("get", "/v1/inspections/{inspection_id}"), ("get", "/v1/models"), ("get", "/v1/models/{model_id}")),
    *(("get", "/v1/part-numbers"), ("get", "/health/live"), ("get", "/health/ready"), ("get", "/metrics")),
}


class Described(NamedTuple):
    """A service that scores nothing, its description, and a key."""

    schema: Any
    key: str


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    root: Path = tmp_path_factory.mktemp("workspace")
    key = ApiKeys(root).add("schemathesis", "Anna")
    app = service_app(fake_parts(root, require_key=True, roots=AllowedRoots([root])))
    with TestClient(app, base_url="http://localhost"):
        yield Described(
            schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"}), key
        )


def test_every_address_is_tried(described: Described) -> None:
    paths = described.schema.raw_schema["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == ADDRESSES


@pytest.mark.parametrize(("method", "path"), sorted(ADDRESSES))
def test_answers_are_as_described(described: Described, method: str, path: str) -> None:
    operation = described.schema[path][method]
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    headers = {"Host": "localhost", "Authorization": f"Bearer {described.key}"}

    @settings(
        max_examples=12 if method == "post" else 6,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(case=st.one_of(right, wrong))
    def ask(case: Case) -> None:
        # In a form everything is text: what is no string as JSON, such as null, is a serial number there.
        form = case.media_type == "multipart/form-data"
        case.call_and_validate(headers=headers, excluded_checks=[negative_data_rejection] if form else None)

    ask()
