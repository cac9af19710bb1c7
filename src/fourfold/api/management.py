"""What operators ask of a service: its surfaces, their definitions and state, new models, and whether it is alive."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, JsonValue

from fourfold.api.errors import ApiError
from fourfold.api.gauges import Gauges
from fourfold.api.metrics import Metrics
from fourfold.api.service import Service
from fourfold.training.registry import RegistryError


class Surfaces(BaseModel):
    """The surfaces that are served."""

    surfaces: list[str]


class Definition(BaseModel):
    """A surface's definition as it is served, and the hash that names it."""

    surface: str
    hash: str
    definition: dict[str, JsonValue]


class Status(BaseModel):
    """How far a surface is.

    `offset` is the log offset that its state has reached and `lag` how many events are missing to `log_end`; `entities`
    counts what events named, by type; `newest_event` is the time of the newest impression or action in milliseconds;
    `ignored` counts events and values of other definitions; `commits` is false where another process commits the state;
    `problem` is what upkeep failed with last.
    """

    surface: str
    ready: bool
    mode: str
    definition: str
    model: str | None
    offset: int
    log_end: int
    lag: int
    entities: dict[str, int]
    newest_event: int | None
    ignored: dict[str, int]
    commits: bool
    problem: str | None


class Reloaded(BaseModel):
    """The model version that serves now, and whether it is another one than before."""

    surface: str
    model: str | None
    changed: bool


class Health(BaseModel):
    """Whether the service is alive, or ready; `waiting` lists the surfaces that are not."""

    status: str
    waiting: list[str] = []


class Refusal(BaseModel):
    """Every answer that is no success: what is wrong, and what to write or do instead."""

    error: str
    write: str


def management(service: Service) -> APIRouter:
    """The routes for operators."""
    router = APIRouter(responses={404: {"model": Refusal, "description": "No such surface"}})

    @router.get("/v1/surfaces", summary="The surfaces served")
    def surfaces() -> Surfaces:
        return Surfaces(surfaces=list(service.surfaces))

    @router.get("/v1/{surface}/definition", summary="A surface's definition")
    def definition(surface: str) -> Definition:
        served = service.of(surface).online.definition
        return Definition(surface=surface, hash=served.hash, definition=served.to_dict())

    @router.get("/v1/{surface}/status", summary="How far a surface's state is")
    def status(surface: str) -> Status:
        return _status(service, surface)

    @router.post(
        "/v1/{surface}/reload",
        summary="Load the promoted model now",
        responses={409: {"model": Refusal, "description": "It cannot be loaded; the present one goes on serving"}},
    )
    def reload(surface: str) -> Reloaded:
        models = service.of(surface).online.models
        try:
            changed = models.refresh()
        except RegistryError as error:
            raise ApiError(409, str(error), "`fourfold promote` with a version that fits, or train one") from None
        return Reloaded(surface=surface, model=models().version, changed=changed)

    return router


def scrape(metrics: Metrics, gauges: Gauges) -> APIRouter:
    """The route for Prometheus."""
    router = APIRouter()

    @router.get("/metrics", summary="Metrics of all worker processes", response_class=PlainTextResponse)
    def read() -> PlainTextResponse:
        gauges.read()
        return PlainTextResponse(metrics.text(gauges), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def health(service: Service) -> APIRouter:
    """The routes for orchestrators; they need no key."""
    router = APIRouter()

    @router.get("/healthz", summary="Whether the service is alive")
    async def healthz() -> Health:
        return Health(status="alive")

    @router.get("/readyz", summary="Whether every surface is ready", responses={503: {"model": Health}})
    def readyz() -> JSONResponse:
        waiting = service.unready
        answer = Health(status="waiting" if waiting else "ready", waiting=waiting)
        return JSONResponse(answer.model_dump(), 503 if waiting else 200)

    return router


def _status(service: Service, surface: str) -> Status:
    follower = service.of(surface)
    online = follower.online
    view, end = online.consumer.state.view(), service.home.log.end
    return Status(
        surface=surface,
        ready=follower.ready,
        mode=online.deployment.mode,
        definition=online.definition.hash,
        model=online.models().version,
        offset=view.offset,
        log_end=end,
        lag=max(end - view.offset, 0),
        entities={entity.name: view.size(entity.name) for entity in online.definition.entities},
        newest_event=view.newest_time if view.newest_time >= 0 else None,
        ignored=dict(view.ignored),
        commits=online.consumer.commits,
        problem=follower.problem,
    )
