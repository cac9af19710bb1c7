"""A home with a small generated world in it, and a training run of a second."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pyarrow as pa

from fourfold.data.world import World
from fourfold.definition import Excluded, FeedSR, History, Seen, TwoTower
from fourfold.modes.home import Home
from fourfold.surfaces.presets import world
from fourfold.training.loop import TrainingConfig
from fourfold.training.run import run_training

MADE = World(members=12, posts=40, days=3, slate=4, seed=4)
SMALL = replace(
    world(),
    item=replace(world().item, buckets=64),
    history=History(impressions=12, block=4),
    ranker=FeedSR(width=8, layers=1, heads=2),
    retrieval=TwoTower(width=8),
    filters=(Seen(), Excluded()),
)


@cache
def events() -> pa.RecordBatch:
    return MADE.events


def made_home(path: Path, deployment: str = '[feed]\nclock = "log"\nbudget_ms = 60000') -> Home:
    home = Home(path)
    home.define(SMALL)
    home.deploy(deployment)
    home.log.append(events(), None)
    return home


def train(home: Home, seed: int = 0, promote: bool = True, until: int = MADE.end) -> str:
    """Publish a version of few steps; returns it."""
    consumer = home.consumer("feed")
    consumer.catch_up()
    outcome = run_training(
        consumer.state.view(),
        home.registry,
        until=until,
        created=1,
        config=TrainingConfig(epochs=1, batch_entries=200, seed=seed),
        checkpoints=home.training,
        on_stage=lambda _: lambda step: None,
    )
    if promote:
        home.registry.promote("feed", outcome.version)
    return outcome.version
