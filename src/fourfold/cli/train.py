"""Commands that train and judge."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from fourfold.cli.console import DEFAULT_HOME, Advance, Home, Json, moment, one_thread, progress, report, say, table

LARGE_BACKLOG = 50_000
"""Events of the log that a command applies before it commits the state for others."""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(train)
    app.command()(evaluate)


def train(
    surface: Annotated[str, typer.Argument(help="Which surface's models.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    holdout: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Part of the impressions, the newest, that is held back to judge on.")
    ] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 3,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="The highest; it rises, then falls.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights, order and dropout.")] = 0,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="After judging, train again on everything, held-out part included, and publish that."),
    ] = False,
    promote: Annotated[bool, typer.Option(help="Serve the new version at once.")] = True,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0.0, help="Time between two saves of the unfinished run; 0 saves after every step.")
    ] = 60.0,
) -> None:
    """Train a surface's models on the log, calibrate and judge them on its newest part, publish and promote a version.

    What is wrong with data or model is said, with what to do about it. A run that was killed goes on where it was when the same
    command is given again.
    """
    if refit and not holdout:
        raise typer.BadParameter("with --holdout 0 nothing is held back, and training sees it all; leave out one of the two")
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.training.loop import TrainingConfig  # noqa: PLC0415
    from fourfold.training.run import run_training, split_time  # noqa: PLC0415

    one_thread()
    with Opened.existing(home) as opened, _state(opened, surface) as consumer, _Stages() as stages:
        view = consumer.state.view()
        outcome = run_training(
            view,
            opened.registry,
            until=split_time(view, holdout),
            created=time.time_ns() // 1_000_000,
            config=TrainingConfig(epochs=epochs, learning_rate=learning_rate, seed=seed),
            checkpoints=opened.training,
            on_stage=stages.start,
            on_finding=lambda finding: say(f"found: {finding}"),
            checkpoint_seconds=checkpoint_seconds,
            refit=refit,
        )
        if promote:
            opened.registry.promote(surface, outcome.version)
    served = "promoted" if promote else f"not promoted: `fourfold models promote {surface} {outcome.version}` serves it"
    summary = f"{surface} {outcome.version} ({outcome.kind}), {outcome.examples} examples, {served}"
    report(
        {**_plain(outcome), "promoted": promote},
        json,
        _actions_table(outcome.actions),
        *_calibration_tables(outcome),
        *(f"found: {finding}" for finding in outcome.findings),
        *_refitted(outcome),
        summary,
    )


def evaluate(
    surface: Annotated[str, typer.Argument(help="Which surface.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
    members: Annotated[int, typer.Option(min=1, help="How many members' slates are judged, drawn by seed.")] = 200,
    k: Annotated[int, typer.Option(min=1, max=1000, help="Length of the lists that are judged.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and of the bootstrap.")] = 0,
) -> None:
    """Judge the promoted version on what happened after its training: each action, each source, and whole slates.

    Each impression is judged with everything that happened strictly before it; slates are made as of the split, over the full
    catalogue, and stand beside popularity.
    """
    from fourfold.features.encoding import Encoder  # noqa: PLC0415
    from fourfold.lab.slates import judge_slates  # noqa: PLC0415
    from fourfold.modes.home import Home as Opened  # noqa: PLC0415
    from fourfold.modes.trained import load_models, load_ranker  # noqa: PLC0415
    from fourfold.training.evaluation import evaluate_ranker  # noqa: PLC0415

    one_thread()
    with Opened.existing(home) as opened, _state(opened, surface) as consumer:
        view = consumer.state.view()
        manifest, folder = opened.registry.load(surface)
        models = load_models(consumer.state.definition, opened.registry)
        since = manifest.unseen_since
        ranker = load_ranker(folder)
        actions = {}
        if ranker is not None:
            say(f"judging {manifest.version} on impressions since its training")
            actions = evaluate_ranker(ranker, view, Encoder(view.definition), since, view.newest_time + 1)
        with progress("judge slates") as advance:
            slates = judge_slates(view, models, since=since, members=members, k=k, seed=seed, on_member=advance)
    rows = [
        [name, m.recall.mean, _interval(m.recall), m.ndcg.mean, _interval(m.ndcg), m.coverage] for name, m in slates.items()
    ]
    judged = next(iter(slates.values())).members if slates else 0
    columns = [f"lists of {k}", ">recall", ">95 %", ">NDCG", ">95 %", ">coverage"]
    document = {"surface": surface, "version": manifest.version, "since": since, "actions": actions, "slates": slates}
    report(document, json, _actions_table(actions), table(f"Slates of {judged} members", columns, rows))


@contextmanager
def _state(opened: Any, surface: str) -> Iterator[Any]:
    """The surface's state, in step with the log; committed only after a backlog that would take long to work off again.

    A service that runs beside keeps the state, and need not be disturbed for little.
    """
    from fourfold.stores.consumer import StaleConsumerError  # noqa: PLC0415

    consumer = opened.consumer(surface, commits=True)
    backlog = consumer.lag
    if backlog:
        with progress("apply the log") as advance:
            consumer.catch_up(on_progress=lambda done, total: advance(done, total, "events"))
    if backlog >= LARGE_BACKLOG:
        try:
            consumer.commit()
        except StaleConsumerError:
            say("another process keeps this state; going on without committing")
    yield consumer


class _Stages:
    """Shows one progress bar after another, a stage of a training run each."""

    def __init__(self) -> None:
        self._open: Any = None

    def __enter__(self) -> "_Stages":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def start(self, name: str) -> Any:
        """Begin a stage; returns what its steps are reported to."""
        self._close()
        self._open = progress(name)
        advance: Advance = self._open.__enter__()
        if not name.endswith(("ranker", "retrieval")):
            advance(0, None)
        return lambda step: advance(
            step.step,
            step.steps,
            f"loss {step.loss:.4f}, {step.entries_per_s:,.0f} rows/s, {step.seconds_left:.0f} s left",
        )

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None


def _actions_table(found: Any) -> Any:
    columns = ["action", ">impressions", ">positives", ">AUC", ">95 %", ">in member", ">popularity", ">NE", ">ECE"]
    rows = [
        [
            name,
            m.impressions,
            m.positives,
            m.auc,
            None if m.auc_ci is None else f"{m.auc_ci[0]:.3f}-{m.auc_ci[1]:.3f}",
            m.member_auc,
            m.popularity_auc,
            m.ne,
            m.ece,
        ]
        for name, m in found.items()
    ]
    if not rows:
        return "no impression after training to judge on"
    return table("Each impression judged with what happened before it", columns, rows)


def _calibration_tables(outcome: Any) -> list[Any]:
    """How each action was calibrated, and on which time; or why not."""
    found, held_out = outcome.calibration, outcome.held_out
    if held_out is None:
        return []
    if found is None:
        return ["not calibrated: too few outcomes were held back; probabilities are the model's own"]
    columns = ["action", "calibration", ">impressions", ">positives", ">ECE without", ">ECE with"]
    rows = [[name, a.method, a.impressions, a.positives, a.ece_before, a.ece_after] for name, a in found.actions.items()]
    said = f"calibrated on requests from {moment(found.first)} to {moment(found.last)}; all figures are of those after it"
    return [table("Calibration", columns, rows), said]


def _refitted(outcome: Any) -> list[str]:
    if not outcome.refit:
        return []
    what = "trained again on everything"
    if outcome.held_out is None:
        return [what]
    return [f"{what}; the figures are those of the model that was trained up to {moment(outcome.held_out.first)}"]


def _interval(measured: Any) -> str:
    return f"{measured.low:.3f}-{measured.high:.3f}"


def _plain(outcome: Any) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    plain: dict[str, Any] = msgspec.to_builtins(outcome)
    return plain
