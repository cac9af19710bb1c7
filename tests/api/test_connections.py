"""Slow clients on a real socket: heads and bodies that trickle in are cut off, and whoever is quick is served meanwhile."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

import fourfold.api.connections as connections
from fourfold.api.connections import Connection

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers after the body, whenever that comes."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _served() -> Iterator[tuple[int, uvicorn.Server]]:
    config = uvicorn.Config(_app, http=Connection, lifespan="off", log_config=None, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1], server
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patched, _served() as (number, _):
        patched.setattr(connections, "HEAD_SECONDS", 0.4)
        yield number


@contextmanager
def _client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        yield client


def _trickle(client: socket.socket, data: bytes) -> bool:
    """Send byte by byte; whether the other side hung up."""
    try:
        for byte in data:
            client.sendall(bytes([byte]))
            time.sleep(0.05)
        return client.recv(1) == b""
    except (BrokenPipeError, ConnectionResetError):
        return True


def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    with _client(port) as client:
        assert client.recv(1) == b""


def test_a_head_that_trickles_in_is_cut_off(port: int) -> None:
    with _client(port) as client:
        assert _trickle(client, HEAD)


def test_the_second_head_of_a_connection_has_a_deadline_too(port: int) -> None:
    with _client(port) as client:
        for _ in range(2):
            client.sendall(HEAD)
            assert client.recv(1_000).endswith(b"ok")
        assert _trickle(client, HEAD)


def test_a_head_sent_behind_a_request_has_a_deadline_too(port: int) -> None:
    with _client(port) as client:
        client.sendall(HEAD + HEAD[:10])
        assert client.recv(1_000).endswith(b"ok")
        assert client.recv(1) == b""


def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    with _client(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        time.sleep(0.6)
        client.sendall(b"bc")
        assert client.recv(1_000).endswith(b"ok")


def test_a_connection_that_is_kept_alive_may_be_idle(port: int) -> None:
    with _client(port) as client:
        client.sendall(HEAD)
        assert client.recv(1_000).endswith(b"ok")
        time.sleep(0.6)
        client.sendall(HEAD)
        assert client.recv(1_000).endswith(b"ok")


def test_a_service_that_ends_answers_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection has sent nothing yet, one is kept alive, one says nothing more: the first two are answered, once."""
    monkeypatch.setattr(connections, "LAST_SECONDS", 0.8)
    with _served() as (number, server), _client(number) as new, _client(number) as kept, _client(number) as silent:
        for client in (kept, silent):
            client.sendall(HEAD)
            assert client.recv(1_000).endswith(b"ok")
        server.should_exit = True
        time.sleep(0.3)
        for client in (new, kept):
            client.sendall(HEAD)
            assert client.recv(1_000).endswith(b"ok")
            assert client.recv(1) == b""
        assert silent.recv(1) == b""
