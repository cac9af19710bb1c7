"""Runs the HTTP service in this process, safe by default: only this machine can reach it until keys are configured."""

import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import torch
import uvicorn

from fourfold.api.app import create_app
from fourfold.api.connections import Connection
from fourfold.api.guard import LOOPBACK
from fourfold.api.key_file import NAME, KeyFile
from fourfold.api.keys import VARIABLE
from fourfold.api.limits import Rate
from fourfold.api.tls import Tls
from fourfold.modes.home import Home
from fourfold.training.registry import check

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 10
MAX_CONNECTIONS = 1_000


class ServeError(RuntimeError):
    """The service cannot start; the message says what to do."""


def serve(
    home: Home,
    surfaces: Sequence[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    keys: Iterable[str] = (),
    rate: Rate | None = None,
    tls: Tls | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests under way and commit.

    Parameters
    ----------
    home : Home
        Where everything lies.
    surfaces : sequence of str
        What to serve.
    host, port : str and int
        Where to listen; port 0 takes a free one. Another host than this machine's own needs `keys`.
    keys : iterable of str
        API keys, see `fourfold.api.keys.api_keys`.
    rate : Rate, optional
        What each key may send; no limit otherwise.
    tls : Tls, optional
        The certificate for https; http otherwise.
    announce : callable, optional
        Called with the URL once the service listens; otherwise the log says it.

    Raises
    ------
    ServeError
        If the host needs keys, the port is taken, or the service fails to start.
    DefinitionMismatch
        If a promoted model was trained for another definition; the message lists the differences.
    """
    accepted = tuple(keys)
    if host not in LOOPBACK and not accepted and not KeyFile(home.path / NAME).read():
        raise ServeError(
            f"host {host!r} can be reached from other machines, and no API keys are configured; "
            f"set {VARIABLE} or pass --api-key-file, or serve on 127.0.0.1; `fourfold keys create` makes keys"
        )
    torch.set_num_threads(1)
    _check_models(home, surfaces)
    app = create_app(home, surfaces, keys=accepted, rate=rate)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        access_log=False,
        http=Connection,
        limit_concurrency=MAX_CONNECTIONS,
        lifespan="on",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ws="none",
    )
    with _listening(host, port) as listener:
        url = _url("https" if tls else "http", host, listener)
        server = _Server(config, lambda: announce(url) if announce else logger.info("listening on %s", url))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if not server.started:
        raise ServeError("the service did not start; the log above says why")


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it accepts requests."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()


def _check_models(home: Home, surfaces: Sequence[str]) -> None:
    for surface in surfaces:
        definition = home.definition(surface)
        if home.registry.promoted(surface) is not None:
            check(definition, home.registry.load(surface)[0])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServeError(f"cannot listen on {host} port {port} ({error.strerror}); choose another with --port") from None


def _url(scheme: str, host: str, listener: socket.socket) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
