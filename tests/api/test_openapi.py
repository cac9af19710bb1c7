"""The OpenAPI document holds every route, also the two that FastAPI does not know, and all that it refers to."""

import json
import re
from pathlib import Path

from fourfold.api.app import create_app
from tests.api.samples import Json, make_home


def document(path: Path, **options: object) -> Json:
    found: Json = create_app(make_home(path / "home"), ["feed"], **options).openapi()  # type: ignore[arg-type]  # only keys
    return found


def test_every_route_is_documented(tmp_path: Path) -> None:
    found = document(tmp_path)
    assert {(method, path) for path, methods in found["paths"].items() for method in methods} == {
        ("get", "/v1/surfaces"),
        ("get", "/v1/{surface}/definition"),
        ("get", "/v1/{surface}/status"),
        ("post", "/v1/{surface}/reload"),
        ("post", "/v1/{surface}/recommend"),
        ("post", "/v1/events"),
        *((method, "/v1/entities/{entity}/{key}") for method in ("get", "patch", "delete")),
        ("get", "/v1/entities/{entity}"),
        *((method, "/v1/edges/{kind}") for method in ("get", "put", "delete")),
        ("get", "/metrics"),
        ("get", "/healthz"),
        ("get", "/readyz"),
    }


def test_every_reference_leads_somewhere(tmp_path: Path) -> None:
    found = document(tmp_path)
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)))
    assert names <= set(found["components"]["schemas"])
    assert {"Request", "Slate", "SlateItem", "Impression", "Action", "EdgeRemoved", "Accepted", "Refusal", "Status"} <= names


def test_the_schemas_state_the_bounds(tmp_path: Path) -> None:
    schemas = document(tmp_path)["components"]["schemas"]
    assert schemas["Request"]["required"] == ["viewer"]
    assert schemas["Request"]["properties"]["size"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert set(schemas["Impression"]["required"]) == {"event", "id", "time", "viewer", "item", "surface"}


def test_keys_are_documented_where_there_are_some(tmp_path: Path) -> None:
    assert "security" not in document(tmp_path)
    assert document(tmp_path, keys=["k" * 32])["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
