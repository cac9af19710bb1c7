"""Commands about features."""

from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, progress, report, table

if TYPE_CHECKING:
    from rich.table import Table

    from fourfold.features.replay import FeatureParity, Parity
    from fourfold.features.view import View
    from fourfold.modes.home import Home as OpenedHome

app = typer.Typer(no_args_is_help=True, help="The features of a definition: parity.")


@app.callback()
def group() -> None:
    """Keep `parity` a command of its own: typer makes the only command of a group the group itself."""


@app.command()
def parity(
    surface: Annotated[str, typer.Argument(help="Which surface.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    events: Annotated[int | None, typer.Option(min=1, help="Replay only so many of the newest events.")] = None,
    piece: Annotated[int, typer.Option(min=1, help="Events to apply at once: 1 is as strict and as slow as can be.")] = 2048,
) -> None:
    """Replay the log as a stream, and compare each feature of each impression with what the whole log gives as of its time.

    Exits with 1 if a value differs, unless a late event explains it: one that came to the log after the value was asked for,
    but is of an earlier time. It reads the log and changes nothing.
    """
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened.existing(home) as opened:
        found = _replayed(opened, surface, _whole(opened, surface), events, piece)
    document = {"surface": surface, "mismatches": found.mismatches, **vars(found)}
    report(document, json, *_tables(found))
    if found.mismatches:
        raise typer.Exit(1)


def _whole(opened: "OpenedHome", surface: str) -> "View":
    consumer = opened.consumer(surface, whole=True)
    with progress("apply the log") as advance:
        consumer.catch_up(on_progress=lambda done, total: advance(done, total, "events"))
    return consumer.state.view()


def _replayed(opened: "OpenedHome", surface: str, batch: "View", events: int | None, piece: int) -> "Parity":
    from pathlib import Path  # noqa: PLC0415
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    from fourfold.features.consumer import StateConsumer  # noqa: PLC0415
    from fourfold.features.replay import replay  # noqa: PLC0415
    from fourfold.stores.consumer import ConsumerStore  # noqa: PLC0415

    with TemporaryDirectory(prefix="fourfold-") as folder:
        stream = StateConsumer(opened.definition(surface), opened.log, ConsumerStore(Path(folder)), commits=False)
        try:
            before = 0 if events is None else batch.offset - events
            if before > 0:
                with progress("apply what comes before") as advance:
                    stream.catch_up(before, lambda done, _: advance(done, before, "events"))
            with progress("replay") as advance:
                on_progress = lambda done, total: advance(done, total, "events")  # noqa: E731
                return replay(opened.log, batch, stream, piece, on_progress)
        finally:
            stream.close()


def _tables(found: "Parity") -> "list[Table | str]":
    rows = [
        (name, one.values, one.mismatches, one.late, "-" if one.first is None else _first(one))
        for name, one in found.features.items()
    ]
    asked = f"{found.events} events replayed, {found.late_events} of them late; {found.impressions} impressions"
    verdict = "a mismatch" if found.mismatches else "every value is the same in stream and batch"
    return [
        table("Stream against batch", ["feature", ">values", ">mismatches", ">late", "first mismatch"], rows),
        f"{asked}, {found.before} of them asked before their piece was applied: {verdict}",
    ]


def _first(one: "FeatureParity") -> str:
    first = one.first
    assert first is not None
    return f"{first.viewer}, {first.item} at {moment(first.time)}: {first.streamed} streamed, {first.batch} in batch"
