"""The OpenAPI description: problems in their one form, and requests that are a form or JSON."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from padim.service.rest.documents import BatchOfPaths, OneOfPath, ProblemAnswer, multipart_schema
from padim.service.rest.problems import MEDIA_TYPE, PROBLEMS

__all__ = ["describe", "images_body", "problems"]

_PROBLEM = {"$ref": "#/components/schemas/ProblemAnswer"}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the answers of these statuses for the description of an address."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        titles = [f"{title} (`{kind}`)" for kind, (one, title) in PROBLEMS.items() if one == status]
        found[status] = {
            "description": "; ".join(titles) + ".",
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
        }
        if status in (429, 503):
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
    return found


def images_body(*, many: bool) -> dict[str, Any]:
    """Return the description of a request with images: files in a form, or paths in JSON."""
    field, form = ("images", BatchOfPaths) if many else ("image", OneOfPath)
    schema = form.model_json_schema()
    (example,) = schema.pop("examples")
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": multipart_schema(field, many=many)},
                "application/json": {"schema": schema, "example": example},
            },
        }
    }


def describe(app: FastAPI, *, require_key: bool) -> None:
    """Have the application describe itself as it is.

    Args:
        app: the application, with all of its addresses.
        require_key: whether requests without a key are refused.
    """

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            _correct(document, require_key)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]


def _correct(document: dict[str, Any], require_key: bool) -> None:
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemAnswer"] = ProblemAnswer.model_json_schema()
    document["components"]["securitySchemes"]["bearer"] = {"type": "http", "scheme": "bearer"}
    for methods in document["paths"].values():
        for address in methods.values():
            told = address["responses"].get("422", {}).get("content", {}).get("application/json", {})
            if told.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
                # The framework's own form; a wrong field is answered as every problem.
                address["responses"].pop("422")
            if "security" in address and not require_key:
                address["security"].append({})
