"""The command that says whether the world has changed since a version was judged."""

from typing import Annotated

import msgspec
import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, one_thread, report, table
from fourfold.cli.state import caught_up


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(drift)


def drift(
    surface: Annotated[str, typer.Argument(help="Which surface.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    since: Annotated[str, typer.Option(help="How far back from the newest event impressions are compared.")] = "7d",
) -> None:
    """Compare what the serving version is asked about with what it was judged on: every feature and every probability.

    The report is kept in the home, where running services read it for their metrics. Run it every few hours.
    """
    from fourfold.definition.part import milliseconds  # noqa: PLC0415
    from fourfold.lab.drift import drift as measured  # noqa: PLC0415
    from fourfold.lab.drift import save  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.modes.trained import load_ranker  # noqa: PLC0415

    one_thread()
    with Opened.existing(home) as opened, caught_up(opened, surface) as consumer:
        view = consumer.state.view()
        manifest, folder = opened.registry.load(surface)
        found = measured(view, manifest, load_ranker(folder), view.newest_time + 1 - milliseconds(since))
        path = save(opened.path, found)
    rows = [[one.kind, one.name, one.psi, one.noise, one.ks, one.verdict] for one in found.inputs]
    spans = [
        f"{what}: {period.impressions:,} impressions from {moment(period.first)} to {moment(period.last)}"
        for what, period in (("judged on", found.reference), ("compared", found.recent))
    ]
    columns = ["", "name", ">PSI", ">noise", ">KS", ""]
    title = f"Drift of {surface} {found.version}"
    report({**msgspec.to_builtins(found), "path": str(path)}, json, table(title, columns, rows), *spans)
