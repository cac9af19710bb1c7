"""A worker process of a service: one ASGI server on the socket that all workers share. Started by the supervisor alone.

Its standard input is one line of JSON, the `Assignment`, and then nothing: where it ends, whoever started this process is gone.
"""

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import torch
import uvicorn
from fastapi import FastAPI

from fourfold.api.app import READY_POLL_SECONDS, create_app
from fourfold.api.assignment import Assignment
from fourfold.api.connections import Connection
from fourfold.api.logs import write_logs
from fourfold.api.service import Service
from fourfold.api.supervisor import LISTENING, READY
from fourfold.api.tracing import tracing
from fourfold.modes.home import Home

SHUTDOWN_SECONDS = 10
MAX_CONNECTIONS = 1_000


def main() -> None:
    """Serve until SIGTERM, or until standard input ends."""
    assignment = msgspec.json.decode(sys.stdin.buffer.readline(), type=Assignment)
    write_logs(sys.stderr)
    torch.set_num_threads(1)
    with Home(Path(assignment.home)) as home, socket.socket(fileno=assignment.socket) as listener:
        server = _Server(_config(_app(home, assignment), assignment))
        threading.Thread(target=_end_with_input, args=(server,), name="lifeline", daemon=True).start()
        server.run(sockets=[listener])
    sys.exit(0 if server.started else 1)


def _app(home: Home, assignment: Assignment) -> FastAPI:
    return create_app(
        home,
        assignment.surfaces,
        keys=assignment.keys,
        closed=assignment.closed,
        rate=assignment.rate,
        tracing=tracing(),
        log_share=assignment.log_share,
        commits=assignment.commits,
        stands_in_soon=assignment.stands_in_soon,
        warm_first=assignment.warm_first,
    )


def _config(app: FastAPI, assignment: Assignment) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        http=Connection,
        limit_concurrency=MAX_CONNECTIONS,
        lifespan="on",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_certfile=assignment.certificate,
        ssl_keyfile=assignment.certificate_key,
        ws="none",
    )


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it accepts requests, and when it can answer them."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _tell(LISTENING)
            threading.Thread(target=self._tell_when_ready, name="ready", daemon=True).start()

    def _tell_when_ready(self) -> None:
        service: Service = self.config.app.state.service  # type: ignore[union-attr]  # of the application above
        while service.unready and not self.should_exit:
            time.sleep(READY_POLL_SECONDS)
        if not self.should_exit:
            _tell(READY)


def _tell(line: str) -> None:
    """Say something to the supervisor, if it is still there."""
    with suppress(BrokenPipeError):
        print(line, flush=True)  # the pipe to the supervisor


def _end_with_input(server: uvicorn.Server) -> None:
    """Finish and end when the supervisor is gone."""
    while os.read(sys.stdin.fileno(), 1):  # Not through a buffer: its lock must be free when the interpreter ends.
        pass
    server.should_exit = True


if __name__ == "__main__":
    main()
