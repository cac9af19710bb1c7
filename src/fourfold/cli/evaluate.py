"""The command that judges: a version against what it never saw, as tables, as JSON and as a page."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, one_thread, progress, report, say, table
from fourfold.cli.judged import actions_table, span
from fourfold.cli.state import caught_up

PAGE = "evaluation.html"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(evaluate)


def evaluate(
    surface: Annotated[str, typer.Argument(help="Which surface.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    events: Annotated[
        Path | None,
        typer.Option(
            "--events",
            help="Events that the version never saw: Parquet as `events export` writes, JSON Lines, or a mapping file. They "
            "are not imported. Without it, what the log got since the version's training is judged.",
        ),
    ] = None,
    data_format: Annotated[
        str | None, typer.Option("--format", help="The data set whose log the file is: kuairand, as CSV or Parquet.")
    ] = None,
    freshness: Annotated[
        str, typer.Option(help="What is known of a request: all before it (request), or all before midnight UTC (day).")
    ] = "request",
    target: Annotated[
        str | None, typer.Option(help="The action that lists are to find; else items that are good on balance of utility.")
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="How many members' lists are judged, drawn by seed.")] = 1_000,
    k: Annotated[int, typer.Option(min=1, max=1000, help="Length of the slates that are judged.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and of the bootstrap.")] = 0,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Lists against each member's last item. It flatters, and says so.")
    ] = False,
    page: Annotated[Path | None, typer.Option("--report", help="A folder that gets a page with plots.")] = None,
) -> None:
    """Judge the promoted version on what it never saw: each action, each source, and whole slates.

    Each impression is judged with everything that happened strictly before it, rows of the same file included; lists are made
    as of the first judged request, over the full catalogue, and stand beside popularity. Nothing is written to the log.
    """
    from fourfold.lab.evaluation import Question, judge_version  # noqa: PLC0415
    from fourfold.lab.unseen import reader_of_file, with_unseen  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.modes.trained import load_models, load_ranker  # noqa: PLC0415

    _check(events, data_format, freshness)
    question = Question(
        freshness="day" if freshness == "day" else "request",
        target=target,
        leave_one_out=leave_one_out,
        members=members,
        k=k,
        seed=seed,
    )
    one_thread()
    with Opened.existing(home) as opened, caught_up(opened, surface) as consumer:
        view = consumer.state.view()
        manifest, folder = opened.registry.load(surface)
        models = load_models(consumer.state.definition, opened.registry)
        unseen = None
        if events is not None:
            say(f"reading {events}")
            unseen = with_unseen(view, reader_of_file(events, "kuairand" if data_format else None, surface))
        say(f"judging {surface} {manifest.version}")
        with progress("lists of members") as advance:
            found = judge_version(
                view, manifest, load_ranker(folder), models, question, unseen=unseen, on_member=advance, on_stage=say
            )
    written = _written(page, found) if page else None
    report(
        {**msgspec.to_builtins(found), "report": written},
        json,
        actions_table(found.actions),
        *_bucket_tables(found),
        _lists_table(found),
        *(f"careful: {warning}" for warning in found.warnings),
        *_summary(found),
        *([f"the page is {written}"] if written else []),
    )


def _check(events: Path | None, data_format: str | None, freshness: str) -> None:
    if freshness not in ("request", "day"):
        raise typer.BadParameter(f"{freshness!r} is neither request nor day", param_hint="--freshness")
    if data_format not in (None, "kuairand"):
        raise typer.BadParameter(f"{data_format!r} is unknown; write kuairand, or pass a mapping file", param_hint="--format")
    if data_format and events is None:
        raise typer.BadParameter("it says how to read a file: name that with --events", param_hint="--format")


def _bucket_tables(found: Any) -> list[Any]:
    """The area of each action in each part of what was judged, with how many impressions the part has."""
    if found.buckets is None:
        return []
    parts = (("the member's impressions before", found.buckets.history), ("the item's age", found.buckets.item_age))
    return [_bucket_table(f"AUC by {title}", by_name) for title, by_name in parts]


def _bucket_table(title: str, by_name: Any) -> Any:
    first = next(iter(by_name.values()))
    columns = ["action", *(f">{name}" for name in by_name)]
    counts = ["impressions", *(max((one.impressions for one in part.values()), default=0) for part in by_name.values())]
    rows = [counts, *([action, *(part[action].auc for part in by_name.values())] for action in first)]
    return table(title, columns, rows)


def _lists_table(found: Any) -> Any:
    """The slates, popularity, all sources together, and each source."""
    k = next((name.partition("@")[2] for name in found.slates if name.startswith("coverage@")), "")
    lists = {"slate": found.slates, **found.sources} if found.slates else {}
    names = [f"recall@{k}", f"ndcg@{k}", "recall@100", "recall@500", f"coverage@{k}", f"novelty@{k}", f"diversity@{k}"]
    columns = ["lists", f">recall@{k}", ">95 %", f">NDCG@{k}", ">95 %", ">recall@100", ">recall@500"]
    columns += [">coverage", ">novelty", ">diversity"]
    rows = []
    for name, metrics in lists.items():
        values = [metrics.get(one) for one in names]
        recall, ndcg = (span(metrics.get(f"{one}_ci")) for one in names[:2])
        rows.append([name, values[0], recall, values[1], ndcg, *values[2:]])
    members = int(found.slates.get("members") or 0)
    return table(f"Lists of {members} members who liked something new", columns, rows)


def _summary(found: Any) -> list[str]:
    lines = []
    if found.taken is not None:
        left = {**found.taken.rejected, **found.taken.ignored}
        lines.append(f"{found.taken.new} of the file's {found.taken.events} events are not in the log")
        lines += [f"not used: {count} of {what}" for what, count in left.items()]
    lines.append(
        f"{found.surface} {found.version}: {found.impressions} impressions of {found.members} members "
        f"({found.new_members} new) from {moment(found.since)} to {moment(found.until)}"
    )
    return lines


def _written(folder: Path, found: Any) -> str:
    from fourfold.durable.files import write_file  # noqa: PLC0415
    from fourfold.lab.evaluation_page import evaluation_page  # noqa: PLC0415

    write_file(folder / PAGE, evaluation_page(found).encode())
    return str(folder / PAGE)
