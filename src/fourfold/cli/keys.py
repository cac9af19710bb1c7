"""Commands for API keys: create, list, rotate, revoke. Running services follow within a second."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, report, say, table

app = typer.Typer(no_args_is_help=True, help="API keys of a home: create, list, rotate, revoke.")

Name = Annotated[str, typer.Argument(help="Whose key it is, such as the name of a service.")]


@app.command()
def create(
    name: Name,
    home: Home = DEFAULT_HOME,
    json: Json = False,
    role: Annotated[
        str, typer.Option(help="read: slates and states; write: events too; admin: also reload, metrics and all else.")
    ] = "read",
    expires: Annotated[str | None, typer.Option(help="After how long it is no longer accepted, such as 90d.")] = None,
) -> None:
    """Make a key and print it. It is shown once: what is stored is a digest."""
    from fourfold.api.key_file import ApiKeyError  # noqa: PLC0415
    from fourfold.api.roles import Role  # noqa: PLC0415
    from fourfold.definition.part import milliseconds  # noqa: PLC0415

    if role not in list(Role):
        raise ApiKeyError(f"--role {role!r} is no role; write one of: {', '.join(Role)}")
    now = _now()
    stored, key = _file(home).create(name, Role(role), now, None if expires is None else now + milliseconds(expires))
    _shown(stored, key, json)


@app.command(name="list")
def list_(home: Home = DEFAULT_HOME, json: Json = False) -> None:
    """The keys, without what opens the door."""
    now, keys = _now(), _file(home).read()
    rows = [[key.id, key.name, key.role, moment(key.created), _end(key.expires), key.valid(now)] for key in keys]
    columns = ["id", "name", "role", "created", "expires", "valid"]
    report([dict(zip(columns, row, strict=True)) for row in rows], json, table("API keys", columns, rows))


@app.command()
def rotate(
    name: Name,
    home: Home = DEFAULT_HOME,
    json: Json = False,
    keep: Annotated[str, typer.Option(help="How long the old key is still accepted.")] = "1d",
) -> None:
    """Make a new key with the same name and role, and let the old one expire."""
    from fourfold.definition.part import milliseconds  # noqa: PLC0415

    stored, key = _file(home).rotate(name, _now(), milliseconds(keep))
    _shown(stored, key, json)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="An id, or a name: then all its keys.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make keys worthless, at once."""
    gone = [key.id for key in _file(home).revoke(name)]
    report({"revoked": gone}, json, f"revoked: {', '.join(gone)}")


def _file(home: Path) -> Any:
    from fourfold.api.key_file import NAME, KeyFile  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    return KeyFile(Opened.existing(home).path / NAME)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _end(expires: int | None) -> str:
    return "never" if expires is None else moment(expires)


def _shown(stored: Any, key: str, json: bool) -> None:
    """Print a key on standard output, and what is known of it on standard error."""
    expires = _end(stored.expires)
    document = {"id": stored.id, "name": stored.name, "role": stored.role, "expires": expires, "key": key}
    if not json:
        say(f"{stored.role} key {stored.id} of {stored.name}, expires: {expires}. Keep it now: it is not shown again.")
    report(document, json, key)
