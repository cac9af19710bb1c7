"""Whatever the OpenAPI document allows, and much that it does not, is answered as the document says, and never by a failure."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fourfold.api.app import create_app
from tests.api.client import Client
from tests.api.samples import make_home, post, service, slate, world

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
Case: TypeAlias = schemathesis.Case[Any]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    "DELETE /v1/edges/{kind}",
    "DELETE /v1/entities/{entity}/{key}",
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "GET /v1/edges/{kind}",
    "GET /v1/entities/{entity}",
    "GET /v1/entities/{entity}/{key}",
    "GET /v1/surfaces",
    "GET /v1/{surface}/definition",
    "GET /v1/{surface}/status",
    "PATCH /v1/entities/{entity}/{key}",
    "POST /v1/events",
    "POST /v1/{surface}/recommend",
    "POST /v1/{surface}/reload",
    "PUT /v1/edges/{kind}",
]

TRIED = [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
NEVER_WRONG = ("GET /healthz", "GET /metrics", "GET /readyz", "GET /v1/surfaces", "GET /v1/entities/{entity}/{key}")
"""What takes nothing, or any text, cannot be given something wrong."""

TRIED += [(label, GenerationMode.NEGATIVE) for label in OPERATIONS if label not in NEVER_WRONG]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with service(make_home(tmp_path_factory.mktemp("fuzz") / "home")) as made:
        post(made, world())
        yield made


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operation]:
    home = make_home(tmp_path_factory.mktemp("schema") / "home")
    found = schemathesis.openapi.from_dict(create_app(home, ["feed", "pymk"]).openapi()).get_all_operations()
    return {operation.ok().label: operation.ok() for operation in found if isinstance(operation, Ok)}


def test_every_operation_is_tried(operations: dict[str, Operation]) -> None:
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_every_answer_is_one_of_those_described(
    client: Client, operations: dict[str, Operation], label: str, mode: GenerationMode
) -> None:
    # Where there is a body to go wrong, the path is sound for a part of them.
    paths = [None, {"surface": "feed"}] if label.endswith("recommend") else [None]

    @settings(
        max_examples=40 if label.startswith("POST") else 8, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(st.one_of(*(operations[label].as_strategy(mode, path_parameters=path) for path in paths)))
    def answered(case: Case) -> None:
        sent = case.as_transport_kwargs("http://127.0.0.1")
        del sent["cookies"]
        sent["content"] = sent.pop("data", None)
        case.validate_response(client.request(**sent), checks=CHECKS)

    answered()
    # Whatever was taken, it must not have poisoned the state.
    assert slate(client, "m1")
    assert client.get("/v1/feed/status").json()["problem"] is None
