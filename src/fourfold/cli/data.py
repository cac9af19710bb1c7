"""Commands that look at the data of a home."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, progress, report, table

if TYPE_CHECKING:
    from rich.table import Table

    from fourfold.lab.description import Description
    from fourfold.modes.home import Home as OpenedHome

app = typer.Typer(no_args_is_help=True, help="The data of a home: describe, forget.")


@app.command()
def describe(
    surface: Annotated[str | None, typer.Argument(help="Which surface; otherwise all.")] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
    page: Annotated[
        Path | None, typer.Option("--report", help="A folder for data.html: the same with plots, in one file.")
    ] = None,
) -> None:
    """What is in a home: counts, times, rates of actions, histories, sessions, what is cold, and what looks wrong.

    It reads the log and changes nothing. Look at it before you train.
    """
    from fourfold.durable.files import write_file  # noqa: PLC0415
    from fourfold.lab.describe_page import describe_page  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.modes.home import HomeError  # noqa: PLC0415

    with Opened.existing(home) as opened:
        surfaces = [surface] if surface is not None else opened.surfaces()
        if not surfaces:
            raise HomeError(f"{home} has no surface; put a definition in place with `fourfold define`")
        found = [_described(opened, name) for name in surfaces]
    if page is not None:
        write_file(page / "data.html", describe_page(found).encode())
    tables = [part for one in found for part in _tables(one)]
    report({"surfaces": found}, json, *tables, *([f"wrote {page / 'data.html'}"] if page is not None else []))


@app.command()
def forget(
    key: Annotated[str, typer.Argument(metavar="ID", help="Of whom or what is to be forgotten.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    entity: Annotated[str | None, typer.Option("--type", help="The type of the entity; otherwise that of the viewers.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only look whether anything is left; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Take a member, or another entity, out of the log, the states and the rejected rows; then look whether anything is left.

    It cannot be undone, and nothing else may use the home meanwhile. States are computed anew when they are next needed.
    """
    from fourfold.modes.forgetting import Forgetting  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened.existing(home) as opened:
        forgetting = Forgetting(opened, entity or _viewers(opened), key)
        remains = list(forgetting.remains())
        if remains and not verify:
            if not yes:
                typer.confirm(f"Forget {forgetting.type} {key} in {home}, for good?", abort=True, err=True)
            forgetting.forget()
            remains = list(forgetting.remains())
    rows = [[one.place, one.count, one.advice] for one in remains]
    name = f"{forgetting.type} {key}"
    found = {"type": forgetting.type, "id": key, "remains": [msgspec.structs.asdict(one) for one in remains]}
    left = table(f"Still named: {name}", ["where", ">how often", "what to do"], rows)
    report(found, json, left if remains else f"nothing in {home} names {name}")
    if remains:
        raise typer.Exit(1)


def _viewers(opened: "OpenedHome") -> str:
    types = sorted({opened.definition(surface).viewer.name for surface in opened.surfaces()})
    if len(types) != 1:
        raise typer.BadParameter(f"say of which type: {', '.join(types) or 'no surface is defined'}", param_hint="--type")
    return types[0]


def _described(opened: "OpenedHome", surface: str) -> "Description":
    from fourfold.lab.describe import describe as described  # noqa: PLC0415

    consumer = opened.consumer(surface)
    with progress(f"reading the log for {surface}") as advance:
        consumer.catch_up(on_progress=lambda done, total: advance(done, total, "events"))
    log = opened.log
    newest = max((batch["arrival"][-1].as_py() for _, batch in log.read(max(log.end - 1, log.start))), default=0)
    return described(consumer.state.view(), newest)


def _tables(found: "Description") -> "list[Table | str]":
    members, items, sessions = found.members, found.items, found.sessions
    span = "no dated impression or action"
    if found.first is not None and found.last is not None:
        span = f"{moment(found.first)} to {moment(found.last)}"
    overview: list[tuple[str, object]] = [("time", span), *found.events.items()]
    overview += [("impressions without a time of their own", found.undated)] if found.undated else []
    overview += [
        ("members, without history", f"{members.count}, {members.cold}"),
        ("members by history entries", ", ".join(f"{name}: {count}" for name, count in members.buckets.items())),
        ("history entries", ", ".join(f"{name}: {value:g}" for name, value in members.history.items())),
        ("sessions", f"{sessions.count}, {sessions.per_viewer:.1f} per member who has any"),
        ("a session", f"{sessions.impressions:.1f} impressions, {sessions.minutes:.1f} minutes on average"),
        ("items, never shown", f"{items.count}, {items.cold} (coverage {items.coverage:.1%})"),
        ("impressions of the top 1 % and 10 % of items", f"{items.top_1:.1%}, {items.top_10:.1%}"),
    ]
    rates = [
        (action.name, action.count, "-" if action.rate is None else f"{action.rate:.2%}", action.impressions, action.unprompted)
        for action in found.actions
    ]
    wrong = [(one.what, one.count, f"{one.share:.2%}", ", ".join(one.examples), one.meaning) for one in found.suspicious]
    tables: list[Table | str] = [
        table(f"{found.surface}: what is there", ["what", "value"], overview),
        table("Actions", ["action", ">events", ">rate", ">of impressions", ">not shown before"], rates),
    ]
    if not wrong:
        return [*tables, "nothing looks wrong"]
    return [*tables, table("Suspicious", ["what", ">count", ">share", "such as", "what it may mean"], wrong)]
