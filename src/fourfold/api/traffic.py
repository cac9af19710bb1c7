"""The two routes that carry the traffic: slates out, events in. Plain Starlette and msgspec, without a layer in between."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from fourfold.api.bodies import (
    JSON,
    MAX_EVENT_BYTES,
    MAX_REQUEST_BYTES,
    NDJSON,
    decode_events,
    decode_request,
    read_body,
)
from fourfold.api.errors import ApiError
from fourfold.api.rules import check_context, check_time, check_where
from fourfold.api.service import Service
from fourfold.api.workers import Workers
from fourfold.definition import Recommender
from fourfold.events.log import InvalidEventError, LogFullError
from fourfold.modes.clock import wall_clock
from fourfold.pipeline.slate import Request, Slate

Handler = Callable[[HttpRequest], Awaitable[Response]]


class TrafficRoute(Route):
    """A POST route that tells the request log its path, as FastAPI's own routes do."""

    def __init__(self, path: str, handler: Handler) -> None:
        super().__init__(path, handler, methods=["POST"], include_in_schema=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this route serves a request, and what it adds to its scope."""
        match, added = super().matches(scope)
        return match, {**added, "route": self}


class Accepted(msgspec.Struct, frozen=True):
    """Events that are safe on disk: how many, and the log offset after them. A slate whose trace reaches it knows them."""

    accepted: int
    offset: int


def recommend_route(service: Service, workers: Workers) -> Handler:
    """The handler of ``POST /v1/{surface}/recommend``."""

    async def recommend(http: HttpRequest) -> Response:
        follower = service.of(http.path_params["surface"])
        with workers.place():
            _, body = await read_body(http, MAX_REQUEST_BYTES, (JSON,))
            request = _checked(decode_request(body), follower.online.definition)
            follower.check_caught_up()
            slate, answer = await workers.run(lambda: _answer(follower.online.recommend(request)))
        http.state.slate = slate
        return Response(answer, 200, media_type=JSON)

    return recommend


def events_route(service: Service, workers: Workers) -> Handler:
    """The handler of ``POST /v1/events``."""

    async def events(http: HttpRequest) -> Response:
        with workers.place():
            kind, body = await read_body(http, MAX_EVENT_BYTES, (JSON, NDJSON))
            accepted = await workers.run(lambda: _append(service, kind, body))
        http.state.accepted = accepted.accepted
        return Response(msgspec.json.encode(accepted), 202, media_type=JSON)

    return events


def _answer(slate: Slate) -> tuple[Slate, bytes]:
    return slate, msgspec.json.encode(slate)


def _checked(request: Request, definition: Recommender) -> Request:
    fault = None if request.time is None else check_time(request.time, wall_clock())
    fault = fault or check_context(request.context, [part.name for part in definition.context])
    fault = fault or check_where(request.where, definition)
    if fault is not None:
        raise ApiError(422, f"{fault[0]}: {fault[1]}", f"{fault[2]}; or leave it out")
    return request


def _append(service: Service, kind: str, body: bytes) -> Accepted:
    events = decode_events(kind, body)
    try:
        return Accepted(len(events), service.append(events))
    except LogFullError as error:
        raise ApiError(507, str(error), "the same events again when there is room; none of them was taken") from None
    except InvalidEventError as error:
        raise ApiError(422, f"events[{error.row}].{error.column}: {error.problem}", "what /openapi.json says") from None
