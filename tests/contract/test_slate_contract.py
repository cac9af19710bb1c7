"""The contract of slates, for the bare pipeline and for each mode."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from fourfold.definition import Recommender
from fourfold.events.types import Event, batch_of
from fourfold.modes.home import Home
from fourfold.modes.online import Online
from fourfold.pipeline.models import Models
from fourfold.pipeline.slate import Request, Slate
from tests.contract.slate_contract import Serving as Served
from tests.contract.slate_contract import SlateContract
from tests.pipeline.samples import Serving

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Hundreds of little logs are opened here, none to outlive its test: no disk needs to sync them."""


class TestPipeline(SlateContract):
    @contextmanager
    def serving(self, definition: Recommender, events: Sequence[Event], models: Models) -> Iterator[Served]:
        yield Serving(definition, events, models)


class OnlineServing:
    """The online mode over a log on disk; its models are given, as none were published."""

    def __init__(self, online: Online, models: Models) -> None:
        self.online = online
        online.pipeline._models = lambda: models

    def post(self, events: Sequence[Event]) -> None:
        if events:
            self.online.home.log.append(batch_of(events), 0)

    def ask(self, request: Request, now: int) -> Slate:
        return self.online.recommend(replace(request, time=now, budget_ms=60_000))


class TestOnline(SlateContract):
    @contextmanager
    def serving(self, definition: Recommender, events: Sequence[Event], models: Models) -> Iterator[Served]:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Home(Path(folder)) as home:
            home.define(definition)
            with Online(home, definition.surface) as online:
                served = OnlineServing(online, models)
                served.post(events)
                yield served
