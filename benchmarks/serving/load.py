"""Sends requests to a service and times them: in a process of its own, so that it takes no time from the server's.

``python -m benchmarks.serving.load PLAN ANSWER``: both are JSON files. Requests of an open plan go out when they are due,
however many wait, and the time of an answer counts from then. A closed plan has `at_once` requests under way always.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BROKEN = 0
"""Stands for the status of a request without an answer."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. `due` holds seconds from the start for each viewer, ascending; without it, `at_once` are under way always.

    After `clicks` of the slates, their viewer clicks on the first item, which is posted as an event.
    """

    port: int
    viewers: list[str]
    due: list[float] | None = None
    at_once: int = 1
    seconds: float = 600.0
    clicks: float = 0.0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One request: when it was due, in seconds from the start, how long its answer took, and what that was.

    `clicked` is the status of the click that followed it, if one did.
    """

    due: float
    ms: float
    status: int
    retry_after: bool
    stages: dict[str, float] = {}
    clicked: int | None = None


class _Stage(msgspec.Struct):
    stage: str
    ms: float


class _Trace(msgspec.Struct):
    stages: list[_Stage]


class _Item(msgspec.Struct):
    item: str


class _Slate(msgspec.Struct):
    items: list[_Item]
    trace: _Trace


@dataclass
class _Answer:
    status: int
    retry_after: bool
    body: bytes


class _Client:
    """HTTP/1.1 over connections that are kept: as little work as can be."""

    def __init__(self, port: int) -> None:
        self._port, self._idle = port, deque[_Streams]()

    async def post(self, path: str, body: bytes) -> _Answer:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        message = head.encode() + body
        while self._idle:
            # A connection that was idle may have been closed by the server meanwhile.
            with suppress(OSError, EOFError):
                return await self._over(self._idle.pop(), message)
        try:
            return await self._over(await asyncio.open_connection("127.0.0.1", self._port), message)
        except (OSError, EOFError):
            return _Answer(BROKEN, False, b"")

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _over(self, streams: _Streams, message: bytes) -> _Answer:
        kept = False
        try:
            streams[1].write(message)
            answer, kept = await self._answer(streams[0])
        finally:
            if kept:
                self._idle.append(streams)
            else:
                streams[1].close()
        return answer

    @staticmethod
    async def _answer(reader: asyncio.StreamReader) -> tuple[_Answer, bool]:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return _Answer(int(status.split()[1]), "retry-after" in headers, body), headers.get("connection") != "close"


async def run(plan: Plan) -> list[Sent]:
    """Send all that is planned, wait for the answers, and say how each went."""
    client, answers, began = _Client(plan.port), list[tuple[float, float, _Answer, int | None]](), time.perf_counter()
    clicking = _every(plan.clicks)

    async def one(viewer: str, due: float) -> None:
        answer = await client.post("/v1/feed/recommend", msgspec.json.encode({"viewer": viewer}))
        ms, clicked = (time.perf_counter() - began - due) * 1e3, None
        if answer.status == 200 and next(clicking):
            clicked = (await client.post("/v1/events", _click(viewer, answer.body, len(answers)))).status
        answers.append((due, ms, answer, clicked))

    if plan.due is None:
        await _closed(plan, one, began)
    else:
        async with asyncio.TaskGroup() as tasks:
            for viewer, due in zip(plan.viewers, plan.due, strict=True):
                await asyncio.sleep(max(began + due - time.perf_counter(), 0))
                tasks.create_task(one(viewer, due))
    await client.close()
    return [_sent(*answer) for answer in answers]


async def _closed(plan: Plan, one: Callable[[str, float], Awaitable[None]], began: float) -> None:
    viewers = iter(plan.viewers)

    async def lane() -> None:
        for viewer in viewers:
            if time.perf_counter() - began > plan.seconds:
                return
            await one(viewer, time.perf_counter() - began)

    await asyncio.gather(*(lane() for _ in range(plan.at_once)))


def _every(share: float) -> Iterator[bool]:
    """True for that share of the calls, evenly."""
    sum_ = 0.0
    while True:
        sum_ += share
        yield sum_ >= 1
        sum_ -= sum_ >= 1


def _click(viewer: str, slate: bytes, number: int) -> bytes:
    now = time.time_ns() // 1_000_000
    event = {
        "event": "action",
        "id": f"bench-{now}-{number}",
        "time": now,
        "surface": "feed",
        "viewer": viewer,
        "name": "click",
    }
    return msgspec.json.encode(event | {"item": msgspec.json.decode(slate, type=_Slate).items[0].item})


def _sent(due: float, ms: float, answer: _Answer, clicked: int | None) -> Sent:
    stages = dict[str, float]()
    if answer.status == 200:
        for stage in msgspec.json.decode(answer.body, type=_Slate).trace.stages:
            stages[stage.stage] = stages.get(stage.stage, 0.0) + stage.ms
    return Sent(due=due, ms=ms, status=answer.status, retry_after=answer.retry_after, stages=stages, clicked=clicked)


if __name__ == "__main__":
    sent = asyncio.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(sent))
