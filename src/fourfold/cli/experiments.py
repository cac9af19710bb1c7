"""Commands for experiments: what runs, and what came of it."""

import time
from typing import Annotated, Any

import msgspec
import typer

from fourfold.cli.console import DEFAULT_HOME, Home, Json, moment, progress, report, table

app = typer.Typer(no_args_is_help=True, help="Experiments: what runs on a surface, and what came of it.")

Surface = Annotated[str, typer.Argument(help="Which surface.")]


class ExperimentArgumentError(ValueError):
    """An option that means nothing; the message says what to write."""


@app.command(name="list")
def list_(surface: Surface, home: Home = DEFAULT_HOME, json: Json = False) -> None:
    """The experiments that the deployment declares: what each variant gets, what share of viewers, and since when it runs."""
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    with Opened.existing(home) as opened:
        opened.definition(surface)
        deployment = opened.deployment.of(surface)
        now = _now(opened, deployment.clock)
        found = [_listed(opened, surface, name, one, now) for name, one in deployment.experiments.items()]
    columns = ["experiment", "kind", "state", "variant", "model", ">share", ">budget ms", "since", "until"]
    rows = [
        [
            *([one["name"], one["kind"], one["state"]] if not place else ["", "", ""]),
            *(part[name] for name in ("variant", "model", "share", "budget_ms")),
            *([_at(one["since"]), _at(one["until"])] if not place else ["", ""]),
        ]
        for one in found
        for place, part in enumerate(one["parts"])
    ]
    hint = "" if found else f"{surface} has no experiments; declare one under [{surface}.experiments.NAME] in deployment.toml"
    report(found, json, *([table(f"Experiments of {surface}", columns, rows)] if found else [hint]))


@app.command(name="report")
def report_(
    surface: Surface,
    name: Annotated[str, typer.Argument(help="Which experiment.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    metric: Annotated[str, typer.Option(help="What decides: utility, or an action.")] = "utility",
    effect: Annotated[float, typer.Option(help="The smallest difference that matters, relative to control.")] = 0.05,
    window: Annotated[
        str | None,
        typer.Option(help="Count what viewers do so long after their first exposure, once that is over, such as 7d."),
    ] = None,
) -> None:
    """What each variant did, how surely they differ, and whether the split of viewers can be trusted.

    Look as often as you like: the verdict rests on confidence sequences, whose error does not grow with looking.
    """
    from fourfold.definition.part import milliseconds  # noqa: PLC0415
    from fourfold.lab.experiments import Question  # noqa: PLC0415
    from fourfold.lab.experiments import report as reported  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415

    if not 0 < effect < 10:
        raise ExperimentArgumentError(f"--effect {effect} is no relative difference; write one such as 0.05 for 5 %")
    question = Question(name, metric, effect, None if window is None else milliseconds(window))
    with Opened.existing(home) as opened, progress("read the log") as advance:
        declared = opened.deployment.of(surface).experiments.get(name)
        found = reported(opened.log, opened.definition(surface), declared, question, advance)
    report(msgspec.to_builtins(found), json, *_tables(found))


def _now(opened: Any, clock: str) -> int:
    """What time it is for the surface, in milliseconds."""
    if clock == "wall":
        return time.time_ns() // 1_000_000
    last = max(opened.log.start, opened.log.end - 1_000)
    return max((int(batch["time"].to_numpy().max()) + 1 for _, batch in opened.log.read(last)), default=0)


def _listed(opened: Any, surface: str, name: str, experiment: Any, now: int) -> dict[str, Any]:
    from fourfold.definition.experiments import HOLDOUT  # noqa: PLC0415
    from fourfold.lab.exposures import first_exposure  # noqa: PLC0415

    (start, end), shares = experiment.period, experiment.shares
    promoted = opened.registry.promoted(surface)
    parts = [
        {
            "variant": variant,
            "model": declared.model or f"{promoted or 'none'} (promoted)",
            "share": shares[variant] if experiment.kind == "ab" else 1.0 - experiment.holdout,
            "budget_ms": declared.budget_ms,
        }
        for variant, declared in experiment.variants.items()
    ]
    if experiment.holdout:
        model = f"{promoted or 'none'} (promoted)"
        parts.append({"variant": HOLDOUT, "model": model, "share": experiment.holdout, "budget_ms": None})
    return {
        "name": name,
        "kind": experiment.kind,
        "state": "runs" if experiment.runs(now) else "ended" if now >= start else "planned",
        "since": start or first_exposure(opened.log, surface, name),
        "until": end,
        "parts": parts,
    }


def _at(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else moment(milliseconds)


def _tables(found: Any) -> list[Any]:
    span = f" from {_at(found.since)} to {_at(found.until)}" if found.viewers else ""
    lines = [verdict.text for verdict in found.verdicts] + [f"careful: {warning}" for warning in found.warnings]
    made = [_arms_table(found), _preference_table(found) if found.preferences else _comparison_table(found)]
    made += [_split_line(found.split)] if found.split else []
    return [*made, f"{found.viewers:,} viewers{span}", *lines]


def _arms_table(found: Any) -> Any:
    actions = list(found.arms[0].actions)
    columns = [
        "variant",
        ">viewers",
        ">impressions",
        ">utility per viewer",
        *(f">{action} per impression" for action in actions),
    ]
    rows = [
        [
            arm.name,
            f"{arm.viewers:,}",
            f"{arm.impressions:,}",
            arm.utility_per_viewer,
            *(f"{arm.actions[action].per_impression:.4f}" for action in actions),
        ]
        for arm in found.arms
    ]
    return table(f"{found.experiment} on {found.surface}, against {found.control}", columns, rows)


def _comparison_table(found: Any) -> Any:
    columns = ["variant", "metric", "per", ">difference", ">relative", ">one look, 95 %", ">however often"]
    rows = [
        [
            one.variant,
            f"{one.metric}, decides" if (one.metric, one.per) == (found.metric, "viewer") else one.metric,
            one.per,
            f"{one.difference.value:+.4f}",
            "-" if one.relative is None else f"{one.relative:+.1%}",
            f"{one.difference.low:+.4f} to {one.difference.high:+.4f}",
            f"{one.difference.safe_low:+.4f} to {one.difference.safe_high:+.4f}",
        ]
        for one in found.comparisons
        if one.difference.error or one.metric == found.metric
    ]
    return table("Differences", columns, rows)


def _preference_table(found: Any) -> Any:
    columns = ["team", "metric", ">prefer it", ">prefer the other", ">neither", ">share", ">one look, 95 %", ">however often"]
    rows = [
        [
            one.team,
            one.metric,
            one.wins,
            one.losses,
            one.ties,
            one.share.value,
            f"{one.share.low:.3f} to {one.share.high:.3f}",
            f"{one.share.safe_low:.3f} to {one.share.safe_high:.3f}",
        ]
        for one in found.preferences
    ]
    return table("Viewers by whose items earned more", columns, rows)


def _split_line(split: Any) -> str:
    counts = ", ".join(f"{name} {count:,} of {split.expected[name]:,.0f}" for name, count in split.observed.items())
    return f"split of viewers, against what was declared: {counts} (p = {split.p:.2g})"
