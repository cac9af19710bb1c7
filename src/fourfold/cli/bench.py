"""The command that runs a benchmark of the checkout and prints what it found."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from fourfold.cli.console import Json, report, say, table


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(bench)


def bench(
    name: Annotated[str | None, typer.Argument(help="Which benchmark; without it they are listed.")] = None,
    json: Json = False,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, to see that it works; its figures say little.")] = False,
) -> None:
    """Measure this version on this machine, against peers where `make bench-env` installed them.

    Each benchmark first checks that all sides give the same answers. Where they do not, the exit code is 1.
    """
    from fourfold.lab.benchmark import benchmarks_folder, benchmarks_in, run_benchmark  # noqa: PLC0415

    folder = benchmarks_folder()
    if name is None:
        known = benchmarks_in(folder)
        report(known, json, table("Benchmarks", ["name", "what it measures"], [list(row) for row in known.items()]))
        return
    with tempfile.TemporaryDirectory(prefix="fourfold-bench-") as scratch:
        found = run_benchmark(folder, name, quick=quick, scratch=Path(scratch), say=say)
    rows: list[tuple[str, object]] = [("equal answers", "yes" if found.equal else "NO")]
    rows += [*found.ratios.items(), *found.detail.items()]
    missing = [f"{peer} was not compared: {why}" for peer, why in found.skipped.items()]
    report(found, json, table(f"Benchmark {found.name}", ["measure", ">value"], rows), *missing)
    if not found.equal:
        raise typer.Exit(1)
