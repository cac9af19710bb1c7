"""The OpenAPI document: FastAPI's for the management routes, and the two traffic routes added from their msgspec types."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fourfold import __version__
from fourfold.api.bodies import JSON, MAX_EVENT_BYTES, MAX_EVENTS, NDJSON
from fourfold.api.guard import OPEN_PATHS
from fourfold.api.traffic import Accepted
from fourfold.events.types import Event
from fourfold.pipeline.slate import Request, Slate

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_REFUSALS = {
    400: "Not JSON, or empty",
    408: "The body did not arrive in time",
    413: "Too large",
    415: "Another content type",
    422: "A field is wrong; the answer names it and says what to write",
    429: "Too many requests wait; try again after Retry-After seconds",
}
_FAILED = {500: "The service failed; its log says more"}
_GUARDED = _FAILED | {
    401: "No valid API key",
    403: "The key's role does not allow this",
    415: "Another content type, or a compressed body",
    421: "Another host, and the service has no API keys",
    429: "The key has sent all that it may for now; try again after Retry-After seconds",
}
_DESCRIPTION = """One recommender definition, served. Times are milliseconds since 1970 UTC. Every answer that is no success is
an object with `error` and `write`: what is wrong, and what to write instead."""


def document(app: FastAPI, surfaces: Sequence[str], *, keyed: bool) -> Json:
    """The whole document; `surfaces` are those served, and `keyed` says whether requests need an API key."""
    found: Json = get_openapi(title="Fourfold", version=__version__, description=_DESCRIPTION, routes=app.routes)
    (request, slate, event, accepted), schemas = msgspec.json.schema_components(
        [Request, Slate, Event, Accepted], ref_template=_REFERENCE
    )
    found["components"]["schemas"] |= schemas
    found["paths"]["/v1/{surface}/recommend"] = {"post": _recommend(request, slate)}
    found["paths"]["/v1/events"] = {"post": _events(event, accepted)}
    for path, methods in found["paths"].items():
        for operation in methods.values():
            _complete(operation, surfaces, guarded=path not in OPEN_PATHS)
    if keyed:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _complete(operation: Json, surfaces: Sequence[str], *, guarded: bool) -> None:
    """Add what holds for every route: the surfaces there are, and the answers that come before a route is reached."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "surface":
            parameter["schema"] = {"type": "string", "enum": list(surfaces)}
    for status, answer in _refused(_GUARDED if guarded else _FAILED).items():
        operation["responses"].setdefault(status, answer)


def _recommend(request: Json, slate: Json) -> Json:
    where = {"name": "surface", "in": "path", "required": True, "schema": {"type": "string"}}
    refusals = _REFUSALS | {404: "No such surface", 503: "The state has not reached the log yet"}
    return {
        "summary": "A slate for a viewer",
        "operationId": "recommend",
        "parameters": [where],
        "requestBody": {"required": True, "content": {JSON: {"schema": request}}},
        "responses": {"200": _answer("The slate", slate), **_refused(refusals)},
    }


def _events(event: Json, accepted: Json) -> Json:
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    content = {JSON: {"schema": {"anyOf": [event, several]}}, NDJSON: {"schema": event}}
    return {
        "summary": "Append events",
        "description": (
            f"One event, a list, or one a line ({NDJSON}): at most {MAX_EVENTS:,} events and {MAX_EVENT_BYTES:,} bytes, all or "
            "none. The answer comes when they are synced to disk; the next slate knows them. After a lost answer, send the "
            "same events again: an id counts once."
        ),
        "operationId": "append_events",
        "requestBody": {"required": True, "content": content},
        "responses": {"202": _answer("They are safe", accepted), **_refused(_REFUSALS | {507: "The log is full"})},
    }


def _answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _refused(statuses: dict[int, str]) -> Json:
    schema = {"$ref": _REFERENCE.format(name="Refusal")}
    return {str(status): _answer(description, schema) for status, description in sorted(statuses.items())}
