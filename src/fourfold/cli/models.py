"""Commands for trained versions."""

from typing import Annotated, Any

import msgspec
import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, report, table

app = typer.Typer(no_args_is_help=True, help="Trained versions: list, show, promote, roll back, prune.")

Surface = Annotated[str, typer.Argument(help="Which surface.")]


@app.command(name="list")
def list_(surface: Surface, home: Home = DEFAULT_HOME, json: Json = False) -> None:
    """The versions of a surface and which one serves."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    opened = Opened.existing(home)
    registry, surface = opened.registry, opened.definition(surface).surface
    promoted = registry.promoted(surface)
    manifests = [registry.load(surface, version)[0] for version in registry.versions(surface)]
    rows = [
        [m.version, m.kind, moment(m.data.last), m.refit, m.trained_hash, m.seed, "serves" if m.version == promoted else ""]
        for m in manifests
    ]
    document = [
        {"version": m.version, "kind": m.kind, "promoted": m.version == promoted, "last": m.data.last, "refit": m.refit}
        for m in manifests
    ]
    columns = ["version", "kind", "trained up to", "refit", "trained for", ">seed", ""]
    report(document, json, table(f"Versions of {surface}", columns, rows))


@app.command()
def show(
    surface: Surface,
    version: Annotated[str | None, typer.Argument(help="Otherwise the promoted one.")] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """What a version is: data, inputs, metrics with 95 % intervals, calibration, findings, hashes and files."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    manifest, folder = Opened.existing(home).registry.load(surface, version)
    document = msgspec.to_builtins(manifest)
    shown = {**document, **document["data"], "created": moment(manifest.created)}
    shown |= {name: moment(document["data"][name]) for name in ("first", "last")}
    rows = [[name, value] for name, value in shown.items() if isinstance(value, str | int)]
    rows += [[name, f"{value:g}"] for name, value in manifest.settings.items() if name != "seed"]
    if manifest.held_out:
        spans = {"held out from": manifest.held_out.first, "judged from": manifest.held_out.judged_from}
        rows += [[name, moment(time)] for name, time in (spans | {"to": manifest.held_out.last}).items()]
    report(
        document,
        json,
        table(str(folder), ["field", "value"], rows),
        table("Metrics", ["metric", ">value", ">95 %"], [[name, *_figure(manifest, name)] for name in manifest.metrics]),
        *_calibration(manifest),
        *(f"found: {finding}" for finding in manifest.findings),
    )


def _figure(manifest: Any, name: str) -> list[object]:
    value, interval = manifest.metrics[name], manifest.intervals.get(name)
    count = name.endswith((".impressions", ".positives"))
    return [int(value) if count else value, f"{interval[0]:.3f}-{interval[1]:.3f}" if interval else None]


def _calibration(manifest: Any) -> list[Any]:
    if manifest.calibration is None:
        return []
    rows = [[name, a.method, a.ece_before, a.ece_after] for name, a in manifest.calibration.actions.items()]
    return [table("Calibration", ["action", "method", ">ECE without", ">ECE with"], rows)]


@app.command()
def promote(
    surface: Surface,
    version: Annotated[str, typer.Argument(help="One that `fourfold models list` shows.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Serve a version. Running services pick it up between two requests."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.training.registry import check  # noqa: PLC0415

    opened = Opened.existing(home)
    check(opened.definition(surface), opened.registry.load(surface, version)[0])
    opened.registry.promote(surface, version)
    report({"surface": surface, "promoted": version}, json, f"{surface} is served by {version}")


@app.command()
def rollback(surface: Surface, home: Home = DEFAULT_HOME, json: Json = False) -> None:
    """Serve the version that served before."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    version = Opened.existing(home).registry.rollback(surface)
    report({"surface": surface, "promoted": version}, json, f"{surface} is served by {version} again")


@app.command()
def prune(
    surface: Surface,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")] = 5,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Delete old versions; never the one that serves, nor the one before it, nor those that declared experiments name."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    opened = Opened.existing(home)
    gone = opened.registry.prune(surface, keep, opened.deployment.of(surface).experiment_models)
    report({"surface": surface, "pruned": gone}, json, f"deleted: {', '.join(gone) or 'nothing'}")
