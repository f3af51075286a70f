"""The OpenAPI document: problems as they are sent, not as FastAPI would describe them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.auth import HEADER, SCOPES
from api.problems import (
    FORBIDDEN,
    KINDS,
    MEDIA_TYPE,
    NO_DATABASE,
    OVERLOADED,
    RATE_LIMITED,
    UNAUTHENTICATED,
    Problem,
    ProblemKind,
)

_KEY_PROBLEMS = (UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED, OVERLOADED, NO_DATABASE)
"""A key is looked for in the database, which may be away, or have too much to do."""
_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def problems(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    titles: dict[int, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        titles.setdefault(kind.status, []).append(f"{kind.title} (`{kind.type}`).")
    return {
        status: {"description": " ".join(texts), "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
        for status, texts in titles.items()
    }


def install_openapi(app: FastAPI) -> None:
    """Let the application's document hold the problem schema and list the problem types."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI) -> dict[str, Any]:
    lines = [f"- `{kind.type}` ({kind.status}): {kind.title}" for kind in KINDS]
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=f"{app.description}\n\nProblem types:\n\n" + "\n".join(lines),
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    scheme = {
        "type": "apiKey",
        "in": "header",
        "name": HEADER,
        "description": "Needed where the service is set so; `recsvc keys create` makes one: read < write < admin.",
    }
    document["components"]["securitySchemes"] = {"key": scheme}
    for operations in document["paths"].values():
        for operation in operations.values():
            _describe_key(operation)
    return document


def _describe_key(operation: dict[str, Any]) -> None:
    """Say what a key must allow, and what happens where it does not."""
    scope = SCOPES[operation["operationId"]]
    if scope == "open":
        return
    operation["security"] = [{"key": []}, {}] if scope == "metrics" else [{"key": []}]
    local = " On the machine itself none is needed." if scope == "metrics" else ""
    needed = "admin" if scope == "metrics" else scope
    operation["description"] += f"\n\nScope of the key: `{needed}`.{local}"
    for kind in _KEY_PROBLEMS:
        ((status, answer),) = problems(kind).items()
        there = operation["responses"].setdefault(str(status), answer)
        if answer["description"] not in there["description"]:
            there["description"] += f" {answer['description']}"
