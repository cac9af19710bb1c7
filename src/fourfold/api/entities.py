"""The routes for entities and edges as records: read, change, delete, each on condition if one likes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from fourfold.api.bodies import JSON, MAX_REQUEST_BYTES, advice, decode_change, has_control, read_body
from fourfold.api.errors import ApiError
from fourfold.api.management import Refusal
from fourfold.api.records import Changed, Condition, Link, Record, Records
from fourfold.api.workers import Workers
from fourfold.events.log import MAX_ID

PAGE, MAX_PAGE, MAX_ROW = 100, 1_000, 1 << 40

_CHANGE = {
    "type": "object",
    "required": ["attributes"],
    "additionalProperties": False,
    "properties": {"attributes": {"type": "object", "description": "The values to set; null clears one, the others stay."}},
}
_BODY = {"requestBody": {"required": True, "content": {JSON: {"schema": _CHANGE}}}}
_REFUSALS = {
    400: "Not JSON, or empty",
    404: "No such record, or nothing of the kind is declared",
    408: "The body did not arrive in time",
    412: "The condition does not hold; the answer names the present version",
    413: "Too large",
    422: "A field is wrong; the answer names it and says what to write",
    503: "The state has not reached the log yet, or others write all the time",
    507: "The log is full",
}
_RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"model": Refusal, "description": description} for status, description in _REFUSALS.items()
}

Id = Annotated[str, Query(min_length=1, max_length=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=MAX_ID, description="The same change sent twice under one key counts once.")
]


class Page(BaseModel):
    """Some entities, and where the next page begins: pass it as `after`. It is null after the last one."""

    entities: list[Record]
    next: int | None


class Links(BaseModel):
    """Edges of one kind that lead from an entity."""

    links: list[Link]


def _condition(
    if_match: Annotated[str | None, Header(description="The version that the record must have; * for any.")] = None,
    if_none_match: Annotated[str | None, Header(description="*, if there must be no such record.")] = None,
) -> Condition:
    return Condition(_unquoted(if_match), _unquoted(if_none_match))


def _sound(http: Request) -> None:
    """Refuse control characters in the path: routing cuts a line break off its end, and another entity would be meant."""
    if has_control(http.scope["path"]):
        raise ApiError(422, "key: it holds a control character", advice("key"))


OnCondition = Annotated[Condition, Depends(_condition)]


def entities(records: Records, workers: Workers) -> APIRouter:
    """The routes for entities."""
    router = APIRouter(prefix="/v1/entities", responses=_RESPONSES, dependencies=[Depends(_sound)])

    @router.get("/{entity}", summary="A page of entities")
    def page(entity: str, after: Annotated[int, Query(ge=0, le=MAX_ROW)] = 0, limit: Limit = PAGE) -> Page:
        found, following = records.page(entity, after, limit)
        return Page(entities=found, next=following)

    @router.get("/{entity}/{key:path}", summary="One entity")
    def read(entity: str, key: str, response: Response) -> Record:
        found = records.get(entity, key)
        response.headers["ETag"] = f'"{found.version}"'
        return found

    @router.patch("/{entity}/{key:path}", summary="Set attributes of an entity, which need not exist", openapi_extra=_BODY)
    async def change(
        http: Request, entity: str, key: str, condition: OnCondition, idempotency_key: IdempotencyKey = None
    ) -> Changed:
        with workers.place():
            _, body = await read_body(http, MAX_REQUEST_BYTES, (JSON,))
            attributes = decode_change(body)
            return await workers.run(lambda: records.upsert(entity, key, attributes, condition, idempotency_key))

    @router.delete("/{entity}/{key:path}", summary="Delete an entity")
    def remove(entity: str, key: str, condition: OnCondition, idempotency_key: IdempotencyKey = None) -> Changed:
        return records.delete(entity, key, condition, idempotency_key)

    return router


def edges(records: Records) -> APIRouter:
    """The routes for edges."""
    router = APIRouter(prefix="/v1/edges", responses=_RESPONSES)

    @router.get("/{kind}", summary="The edges that lead from an entity, or one of them")
    def read(kind: str, source: Id, target: Annotated[str | None, Query()] = None, limit: Limit = PAGE) -> Links:
        if target is not None:
            return Links(links=[records.link(kind, source, target)])
        return Links(links=records.links(kind, source, limit))

    @router.put("/{kind}", summary="Add an edge")
    def add(kind: str, source: Id, target: Id, condition: OnCondition, idempotency_key: IdempotencyKey = None) -> Changed:
        return records.add_link(kind, source, target, condition, idempotency_key)

    @router.delete("/{kind}", summary="Remove an edge")
    def remove(kind: str, source: Id, target: Id, condition: OnCondition, idempotency_key: IdempotencyKey = None) -> Changed:
        return records.remove_link(kind, source, target, condition, idempotency_key)

    return router


def _unquoted(given: str | None) -> str | None:
    """The version in an entity tag."""
    return None if given is None else given.strip().removeprefix("W/").strip('"')
