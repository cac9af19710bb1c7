"""The command that trains."""

import time
from typing import Annotated, Any

import typer

from fourfold.cli.console import DEFAULT_HOME, Advance, Home, Json, moment, one_thread, progress, report, say, table
from fourfold.cli.judged import actions_table
from fourfold.cli.state import caught_up


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(train)


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
    with Opened.existing(home) as opened, caught_up(opened, surface) as consumer, _Stages() as stages:
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
        actions_table(outcome.actions),
        *_calibration_tables(outcome),
        *(f"found: {finding}" for finding in outcome.findings),
        *_refitted(outcome),
        summary,
    )


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


def _plain(outcome: Any) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    plain: dict[str, Any] = msgspec.to_builtins(outcome)
    return plain
