"""Commands that set a home up: definitions, imports, status."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, progress, report, say, table
from fourfold.cli.service import asked

DAY_MS = 86_400_000
"""How far ahead of the clock an imported event may lie."""


class SetupError(ValueError):
    """Arguments that do not go together; the message says which do."""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(define)
    app.command(name="import")(import_)
    app.command()(status)


def define(
    source: Annotated[str, typer.Argument(help="A preset (movielens, kuairand, musae_github, world) or a JSON file.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    show: Annotated[bool, typer.Option("--show", help="Print the definition as JSON and change nothing.")] = False,
) -> None:
    """Put a recommender's definition in place.

    A preset is a good start: print it with --show, change it, and pass your file.
    """
    from fourfold.cli.datasets import definition_from  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    definition = definition_from(source)
    if show:
        report(definition.to_dict(), True)
        return
    path = Opened(home).define(definition)
    document = {"surface": definition.surface, "hash": definition.hash, "path": str(path)}
    report(document, json, f"defined {definition.surface} ({definition.hash}) in {path}")


def import_(
    data: Annotated[
        list[str],
        typer.Argument(
            help="A data set (movielens-100k, movielens-latest-small, movielens, kuairand, musae-github; events: what "
            "`fourfold events export` wrote), or a mapping file. With --guess, your files."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="The folder that holds the data; else that of the mapping file. movielens-100k is fetched."
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that is no event.")] = False,
    guess: Annotated[
        bool, typer.Option("--guess", help="Import nothing: draft a mapping file from your files' columns and first rows.")
    ] = False,
    written: Annotated[
        Path | None, typer.Option("--out", help="Where the draft goes: a new file. Otherwise it is printed.")
    ] = None,
) -> None:
    """Import a data set, or your own CSV, Parquet or JSON Lines files, into the log.

    Rows that are no events are counted, explained and set aside. Importing twice changes nothing: event ids are the same.
    Your own files need a mapping file in TOML: pass it in place of a data set's name, with --from FOLDER. `fourfold import
    --guess FILE... --out mapping.toml` drafts one: read it, correct it, import it.
    """
    if guess:
        _draft([(source or Path()) / name for name in data], written, json)
        return
    if len(data) > 1 or written is not None:
        raise SetupError("one data set or mapping file is imported at a time; several files and --out go with --guess")
    _import(data[0], source, home, json, strict)


def _draft(paths: list[Path], written: Path | None, json: bool) -> None:
    """Print or write the draft of a mapping file."""
    from fourfold.data.draft import draft_mapping  # noqa: PLC0415
    from fourfold.durable.files import write_file  # noqa: PLC0415

    if written is not None and written.exists():
        raise SetupError(f"{written} exists already, perhaps with your corrections; name a new file")
    text = draft_mapping(paths)
    if written is None:
        report({"mapping": text}, json, text.rstrip("\n"))
        return
    write_file(written, text.encode())
    hint = f"wrote {written}: read it, correct it, then `fourfold import {written} --from FOLDER`, as it says"
    report({"mapping": text, "path": str(written)}, json, hint)


def _import(data: str, source: Path | None, home: Path, json: bool, strict: bool) -> None:
    """Import a data set, or files by a mapping."""
    from fourfold.cli.datasets import reader_of  # noqa: PLC0415
    from fourfold.data.importing import run_import  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened(home) as opened:
        reader = reader_of(data, source, opened.path / "cache", say)
        rejected = opened.rejected / f"{reader.name}.jsonl"
        with progress(f"import {reader.name}") as advance:
            result = run_import(
                reader,
                lambda batch: opened.log.append(batch, time.time_ns() // 1_000_000),
                clock=time.perf_counter,
                rejected=rejected,
                strict=strict,
                latest=time.time_ns() // 1_000_000 + DAY_MS,
                on_progress=lambda done: advance(done.events, None, f"events, {done.rejected} rows rejected"),
            )
    document = {
        "data": result.name,
        "events": result.events,
        "rejected": result.rejected,
        "rejected_path": result.rejected_path,
        "seconds": result.seconds,
        "events_per_s": result.events_per_second,
    }
    rows: list[list[object]] = [[kind, count] for kind, count in result.events.items()]
    rows += [[f"rejected: {reason}", count] for reason, count in result.rejected.items()]
    aside = f"rejected rows are in {result.rejected_path}" if result.rejected_path else "no row was rejected"
    speed = f"{result.total} events in {result.seconds:.1f} s; {aside}"
    report(document, json, table(f"Imported {result.name}", ["event", ">count"], rows), speed)


def status(
    home: Home = DEFAULT_HOME,
    json: Json = False,
    url: Annotated[str | None, typer.Option(help="Ask a running service instead, such as http://127.0.0.1:8000.")] = None,
) -> None:
    """What is in a home, or what a service runs on: surfaces, entities, events, models, how fresh it all is, and problems."""
    if url is not None:
        _report_service(url, json)
        return
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened.existing(home) as opened:
        surfaces = [_surface_status(opened, surface) for surface in opened.surfaces()]
        document: dict[str, Any] = {
            "home": str(home),
            "log": {"start": opened.log.start, "end": opened.log.end, "consumers": dict(opened.log.consumers())},
            "surfaces": surfaces,
        }
    columns = ["surface", "definition", ">entities", ">impressions", ">actions", "newest event", "model"]
    rows = [
        [
            found["surface"],
            found["definition"],
            ", ".join(f"{count} {name}" for name, count in found["entities"].items()),
            found["impressions"],
            found["actions"],
            found["newest"] or "-",
            found["model"] or "not trained",
        ]
        for found in surfaces
    ]
    hint = "" if surfaces else "; no surface is defined yet: try `fourfold define movielens`"
    log = f"the log holds offsets {document['log']['start']} to {document['log']['end']}{hint}"
    report(document, json, table(f"{home}", columns, rows), log, *(_ignored(found) for found in surfaces if found["ignored"]))


def _report_service(url: str, json: bool) -> None:
    """What the worker process that answers serves: on what data, how fresh, and what is wrong."""
    surfaces = asked(f"{url}/v1/surfaces")["surfaces"]
    found = [asked(f"{url}/v1/{surface}/status") for surface in surfaces]
    columns = ["surface", "ready", "mode", "definition", "model", ">events behind", "newest event", "problem"]
    rows = [
        [
            one["surface"],
            "yes" if one["ready"] else "no",
            one["mode"],
            one["definition"],
            one["model"] or "not trained",
            one["lag"],
            "-" if one["newest_event"] is None else moment(one["newest_event"]),
            one["problem"] or "-",
        ]
        for one in found
    ]
    report(
        {"url": url, "surfaces": found}, json, table(url, columns, rows), *(_ignored(one) for one in found if one["ignored"])
    )


def _ignored(found: dict[str, Any]) -> str:
    """What a surface's state does not take from the log: a misspelt surface, action or type shows here and nowhere else."""
    counts = ", ".join(f"{count} {what}" for what, count in found["ignored"].items())
    return f"{found['surface']} does not count: {counts}; its definition declares no such thing, or they came too late for it"


def _surface_status(opened: Any, surface: str) -> dict[str, Any]:
    from fourfold.features.table import newest_keys  # noqa: PLC0415

    consumer = opened.consumer(surface)
    with progress(f"reading the log for {surface}") as advance:
        consumer.catch_up(on_progress=lambda done, total: advance(done, total, "events"))
    view = consumer.state.view()
    definition = view.definition
    shown = view.table("impression")
    return {
        "surface": surface,
        "definition": definition.hash,
        "entities": {entity.name: view.size(entity.name) for entity in definition.entities},
        "impressions": len(shown),
        "actions": len(view.table("action")),
        "newest": moment(view.newest_time) if view.newest_time >= 0 else None,
        "model": opened.registry.promoted(surface),
        "ignored": dict(view.ignored),
        "latest_viewers": view.ids(definition.viewer.name, newest_keys(shown, 5)),
    }
