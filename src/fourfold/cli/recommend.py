"""Commands that serve: one slate on the terminal, or all of them over HTTP."""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, one_thread, progress, report, say, table
from fourfold.cli.service import asked


class RequestError(ValueError):
    """A request that nothing could answer; the message says what is wrong with it."""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(recommend)
    app.command()(serve)


def recommend(
    surface: Annotated[str, typer.Argument(help="Which surface.")],
    viewer: Annotated[str, typer.Option(help="Who the slate is for; a new one gets a slate too.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    size: Annotated[int | None, typer.Option(help="How many items.")] = None,
    time: Annotated[int | None, typer.Option(help="As of when, in milliseconds since 1970; otherwise now.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="An item that must not appear; may be repeated.")] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="What is known of the request, such as tab=home; may be repeated.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="A condition that all items must meet, such as 'language == \"de\" and length < 60'.")
    ] = None,
    budget_ms: Annotated[int | None, typer.Option(help="What the request may take, in milliseconds.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show sources, reasons, probabilities and the trace.")] = False,
    url: Annotated[str | None, typer.Option(help="Ask a running service, such as http://127.0.0.1:8000.")] = None,
) -> None:
    """A slate for one viewer, with titles, scores and reasons."""
    fields = {"viewer": viewer, "size": size, "time": time, "where": where, "budget_ms": budget_ms}
    body: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    body |= {"exclude": exclude or [], "context": _context(context or [])}
    slate = asked(f"{url}/v1/{surface}/recommend", body) if url else _computed(home, surface, body)
    report(slate, json, *_tables(slate, explain))


def serve(
    home: Home = DEFAULT_HOME,
    surface: Annotated[list[str] | None, typer.Option(help="Which surface; may be repeated. Otherwise all.")] = None,
    host: Annotated[str, typer.Option(help="Any other than loopback needs API keys: `fourfold keys create`.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="How many processes answer; one for each core at most.")] = 1,
    api_key_file: Annotated[Path | None, typer.Option(help="A file of API keys, one a line; they may do everything.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="A certificate chain (PEM), to serve over https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="What each key may ask for; no limit otherwise.")] = None,
    bytes_per_second: Annotated[float | None, typer.Option(help="How much each key may send; no limit otherwise.")] = None,
    log_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Which share of the requests that went well has a line in the log.")
    ] = 1.0,
) -> None:
    """Serve slates over HTTP and take events: POST /v1/{surface}/recommend and POST /v1/events."""
    from fourfold.api.keys import api_keys  # noqa: PLC0415
    from fourfold.api.limits import Rate  # noqa: PLC0415
    from fourfold.api.serve import serve as run  # noqa: PLC0415
    from fourfold.api.tls import Tls  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.modes.home import HomeError  # noqa: PLC0415

    with Opened.existing(home) as opened:
        surfaces = surface or opened.surfaces()
        if not surfaces:
            raise HomeError(f"{home} has no surface to serve; add one with `fourfold define`")
        keys = api_keys(os.environ, api_key_file)
        rate, tls = Rate(requests_per_second, bytes_per_second), Tls.of(tls_certificate, tls_key)

        def announce(url: str) -> None:
            say(f"serving {', '.join(surfaces)} on {url}")

        run(
            opened,
            surfaces,
            host,
            port,
            keys=keys,
            rate=rate,
            log_share=log_share,
            tls=tls,
            workers=workers,
            announce=announce,
        )


def _computed(home: Path, surface: str, body: dict[str, Any]) -> dict[str, Any]:
    """The slate, made in this process; state is read and nothing is written."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.modes.online import Online  # noqa: PLC0415
    from fourfold.pipeline.slate import Request  # noqa: PLC0415

    one_thread()
    try:
        request = msgspec.convert(body, Request)
    except msgspec.ValidationError as error:
        raise RequestError(f"this is no request: {error}") from None
    with Opened.existing(home) as opened:
        online = Online(opened, surface)
        if online.consumer.lag:
            with progress("apply the log") as advance:
                online.consumer.catch_up(on_progress=lambda done, total: advance(done, total, "events"))
        slate = online.slate(request)
    plain: dict[str, Any] = msgspec.to_builtins(slate)
    return plain


def _context(given: list[str]) -> dict[str, str]:
    for text in given:
        if "=" not in text:
            raise RequestError(f"--context {text!r} is no part of a context; write NAME=VALUE, such as tab=home")
    return dict(text.split("=", 1) for text in given)


def _tables(slate: dict[str, Any], explain: bool) -> list[Any]:
    items = slate["items"]
    actions = list(items[0]["probabilities"]) if items and explain else []
    columns = ["", "item", "title", ">score", *(f">P({action})" for action in actions), "sources", "reason"]
    said = [name for name in ("rule", "team", "propensity") if explain and any(item.get(name) is not None for item in items)]
    columns += [">propensity" if name == "propensity" else name for name in said]
    rows = [
        [
            place,
            item["item"],
            item["title"],
            float(item["score"]),
            *(item["probabilities"].get(action) for action in actions),
            ", ".join(item["sources"]),
            item["reason"],
            *(item.get(name) for name in said),
        ]
        for place, item in enumerate(items, 1)
    ]
    part = f", experiment {slate['experiment']}: {slate['variant'] or 'interleaved'}" if slate.get("experiment") else ""
    title = f"{slate['surface']} for {slate['viewer']} (model {slate['model'] or 'none'}{part})"
    made: list[Any] = [table(title, columns, rows)]
    made += [f"degraded: {d['stage']}: {d['cause']}; {d['effect']}" for d in slate["degradations"]]
    return made + (_trace(slate["trace"]) if explain else [])


def _trace(trace: dict[str, Any]) -> list[Any]:
    stages = [[stage["stage"], stage["taken"], stage["given"], float(stage["ms"])] for stage in trace["stages"]]
    dropped = ", ".join(f"{count} {name}" for name, count in trace["dropped"].items()) or "nothing"
    ages = ", ".join(f"{name} {_age(trace[f'{name}_age_ms'])}" for name in ("state", "viewer"))
    return [
        table("Stages", ["stage", ">took", ">gave", ">ms"], stages),
        *(f"rule {rule['rule']}: {rule['effect']}" for rule in trace["rules"]),
        f"dropped: {dropped}; history: {trace['history']} entries; newest event: {ages}; log offset {trace['offset']}",
    ]


def _age(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "never"
    seconds = milliseconds / 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} ago"
    return f"{seconds:.1f} s ago"
