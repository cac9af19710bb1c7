"""The HTTP service as one ASGI application: routes, error answers and lifespan put together."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fourfold import __version__
from fourfold.api.account import Account
from fourfold.api.entities import edges, entities
from fourfold.api.errors import ApiError, invalid, not_routed, refused
from fourfold.api.gauges import Gauges
from fourfold.api.guard import Guard
from fourfold.api.key_file import NAME, KeyFile
from fourfold.api.keys import Keys
from fourfold.api.limits import Rate
from fourfold.api.management import health, management, scrape
from fourfold.api.metrics import Metrics
from fourfold.api.openapi import document
from fourfold.api.records import Records
from fourfold.api.service import FOLLOW_SECONDS, Service
from fourfold.api.tracing import Tracing
from fourfold.api.traffic import TrafficRoute, events_route, recommend_route
from fourfold.api.workers import EVENT_QUEUE, EVENT_THREADS, RECOMMEND_PATIENCE, RECOMMEND_QUEUE, RECOMMEND_THREADS, Workers
from fourfold.modes.home import Home

READY_POLL_SECONDS = 0.05


def create_app(
    home: Home,
    surfaces: Sequence[str],
    *,
    keys: Iterable[str] = (),
    closed: bool = False,
    rate: Rate | None = None,
    tracing: Tracing | None = None,
    log_share: float = 1.0,
    threads: int = RECOMMEND_THREADS,
    queue: int = RECOMMEND_QUEUE,
    follow_seconds: float = FOLLOW_SECONDS,
    commits: bool = True,
    stands_in_soon: bool = False,
    warm_first: bool = False,
) -> FastAPI:
    """The service of some surfaces of a home.

    Parameters
    ----------
    home : Home
        Where log, definitions, state and models lie. It must stay open while the service runs.
    surfaces : sequence of str
        What to serve.
    keys : iterable of str
        API keys, beside those that `fourfold keys` makes. Without any, only requests to a name of this machine (127.0.0.1,
        localhost) are answered.
    closed : bool
        Whether requests need a key even where there is none.
    rate : Rate, optional
        What each key may send to this process; no limit otherwise.
    tracing : Tracing, optional
        Where traces go; there are none otherwise.
    log_share : float
        Which share of the requests that went well has a line in the log.
    threads, queue : int
        How many slates are computed at once, and how many requests may wait before new ones are answered with 429.
    follow_seconds : float
        The pause between two rounds of upkeep: commit the state, look for new models.
    commits : bool
        Whether this process commits the state that it computes.
    stands_in_soon : bool
        Whether it does so a few rounds after the one that did has ended, not only after many.
    warm_first : bool
        Whether the application starts up only when it is ready, so that no request comes before.

    Raises
    ------
    HomeError, DefinitionError, ApiKeyError
        If a surface has no definition, or a key cannot be used.
    """
    service = Service(home, surfaces, follow_seconds=follow_seconds, commits=commits, stands_in_soon=stands_in_soon)
    accepted, metrics = Keys(keys, KeyFile(home.path / NAME), closed=closed), Metrics()
    pools = {"recommend": Workers(threads, queue, RECOMMEND_PATIENCE), "events": Workers(EVENT_THREADS, EVENT_QUEUE)}
    gauges = Gauges(metrics, service, pools)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with service, gauges:
            while warm_first and service.unready:
                await anyio.sleep(READY_POLL_SECONDS)
            yield

    app = FastAPI(
        title="Fourfold",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # Those pages load scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={ApiError: refused, HTTPException: not_routed, RequestValidationError: invalid},
    )
    app.state.service = service
    app.add_middleware(Guard, keys=accepted, rate=rate, account=Account(metrics, service.surfaces, tracing, log_share))
    recommend, events = recommend_route(service, pools["recommend"]), events_route(service, pools["events"])
    app.router.routes += [TrafficRoute("/v1/{surface}/recommend", recommend), TrafficRoute("/v1/events", events)]
    records = Records(service)
    app.include_router(entities(records, pools["events"]), tags=["records"])
    app.include_router(edges(records), tags=["records"])
    app.include_router(management(service), tags=["management"])
    app.include_router(scrape(metrics, gauges), tags=["management"])
    app.include_router(health(service), tags=["health"])
    app.openapi = cache(lambda: document(app, service.surfaces, keyed=bool(accepted)))  # type: ignore[method-assign]  # FastAPI's own way
    return app
