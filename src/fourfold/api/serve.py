"""Runs the HTTP service in worker processes, safe by default: only this machine can reach it until keys are configured."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from fourfold.api.assignment import Assignment
from fourfold.api.guard import LOOPBACK
from fourfold.api.key_file import NAME, KeyFile
from fourfold.api.keys import VARIABLE
from fourfold.api.limits import Rate
from fourfold.api.logs import write_logs
from fourfold.api.metrics import shared_folder
from fourfold.api.supervisor import Start, Supervisor, WorkerFailedError
from fourfold.api.tls import Tls
from fourfold.modes.home import Home
from fourfold.training.registry import check

logger = logging.getLogger(__name__)


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
    log_share: float = 1.0,
    tls: Tls | None = None,
    workers: int = 1,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests under way and commit; SIGHUP replaces all workers gently.

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
    log_share : float
        Which share of the requests that went well has a line in the log; those that did not always have one.
    tls : Tls, optional
        The certificate for https; http otherwise.
    workers : int
        How many processes answer requests, one thread for computing each: at most one for each core helps.
    announce : callable, optional
        Called with the URL once the service listens; otherwise the log says it.

    Raises
    ------
    ServeError
        If the host needs keys, the port is taken, there are no workers, or they fail to start.
    DefinitionMismatch
        If a promoted model was trained for another definition; the message lists the differences.
    """
    if workers < 1:
        raise ServeError(f"{workers} workers cannot serve anything; write at least 1")
    accepted = tuple(keys)
    if host not in LOOPBACK and not accepted and not KeyFile(home.path / NAME).read():
        raise ServeError(
            f"host {host!r} can be reached from other machines, and no API keys are configured; "
            f"set {VARIABLE} or pass --api-key-file, or serve on 127.0.0.1; `fourfold keys create` makes keys"
        )
    _check_models(home, surfaces)
    write_logs(sys.stderr)
    with _listening(host, port) as listener, shared_folder() as environment:
        url = _url("https" if tls else "http", host, listener)
        assignment = Assignment(
            home=str(home.path.absolute()),
            surfaces=tuple(surfaces),
            keys=accepted,
            closed=host not in LOOPBACK,
            rate=(rate or Rate()).share(workers),
            log_share=log_share,
            certificate=str(tls.certificate) if tls else None,
            certificate_key=str(tls.key) if tls else None,
            socket=listener.fileno(),
        )
        supervisor = Supervisor(
            workers,
            lambda start: _spawned(assignment, start, environment),
            lambda: announce(url) if announce else logger.info("listening on %s", url),
        )
        try:
            supervisor.run()
        except WorkerFailedError as error:
            raise ServeError(f"the service did not start: {error}") from None


def _spawned(assignment: Assignment, start: Start, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """A new worker. It is in a process group of its own: Ctrl-C is for the supervisor, which ends workers gently."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "fourfold.api.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        pass_fds=(assignment.socket,),
        process_group=0,
    )
    assert worker.stdin is not None
    first = start.place == 0
    told = msgspec.structs.replace(
        assignment, commits=first and not start.warm_first, stands_in_soon=first, warm_first=start.warm_first
    )
    with suppress(BrokenPipeError):  # It has died already, which the supervisor will hear.
        worker.stdin.write(msgspec.json.encode(told).decode() + "\n")
        worker.stdin.flush()
    return worker


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
