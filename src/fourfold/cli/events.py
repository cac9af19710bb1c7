"""Commands for the event log."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, progress, report

app = typer.Typer(no_args_is_help=True, help="The event log: append, export, restore, retain.")


class EventFileError(ValueError):
    """A line that is no event; the message says which and why."""


@app.command()
def append(
    source: Annotated[str, typer.Argument(help="A file of JSON Lines, an event each, or - for standard input.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Append events; when this returns, they are on disk. All of a file, or nothing of it."""
    import msgspec  # noqa: PLC0415

    from fourfold.events.types import Event, batch_of  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    decoder, events = msgspec.json.Decoder(Event), []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                events.append(decoder.decode(line))
            except msgspec.DecodeError as error:
                raise EventFileError(f"{source}, line {number}: {error}; nothing was appended") from None
    with Opened(home) as opened:
        offsets = opened.log.append(batch_of(events), time.time_ns() // 1_000_000)
    document = {"appended": len(offsets), "first": offsets.start, "next": offsets.stop}
    report(document, json, f"appended {len(offsets)} events at offset {offsets.start}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder; it appears when the export is complete.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write the log as Parquet, partitioned by the day of the event."""
    from fourfold.events.export import export_parquet  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened.existing(home) as opened, progress("export") as advance:
        export_parquet(opened.log, folder, on_progress=lambda done, total: advance(done, total, "events"))
        count = opened.log.end - opened.log.start
    report({"exported": count, "folder": str(folder)}, json, f"exported {count} events to {folder}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `export` wrote.")], home: Home = DEFAULT_HOME, json: Json = False
) -> None:
    """Append exported events in their old order, with their old arrival times."""
    from fourfold.events.export import import_parquet  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened(home) as opened, progress("restore") as advance:
        before = opened.log.end
        import_parquet(folder, opened.log, on_progress=lambda done, total: advance(done, total, "events"))
        count = opened.log.end - before
    report({"restored": count}, json, f"restored {count} events")


@app.command()
def retain(
    before: Annotated[int, typer.Argument(min=0, help="Events below this offset are dropped, in whole stored batches.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Drop old events that every consumer has taken. Export them first if a definition may change later."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened.existing(home) as opened:
        start = opened.log.retain(before)
    kept = f"; {start} to {before} share a stored batch with newer events" if start < before else ""
    report({"start": start}, json, f"the log now starts at offset {start}{kept}")
