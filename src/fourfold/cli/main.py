"""The command line. Commands import what they need when they run, so that help is there at once."""

import sys

import typer
from rich.text import Text

from fourfold import __version__
from fourfold.cli import (
    bench,
    data,
    demo,
    drift,
    evaluate,
    events,
    experiments,
    features,
    keys,
    models,
    recommend,
    setup,
    train,
)
from fourfold.cli.console import Json, err, report

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""[bold]Fourfold[/bold]: one definition of a recommender, served four ways.

From data to slates:

  fourfold demo                         all of the below on public data

  fourfold define FILE                  put a definition in place

  fourfold import DATA --from FOLDER    events into the log

  fourfold train feed                   train, judge, promote a version

  fourfold recommend feed --viewer 42   a slate; with --explain why

  fourfold serve                        the same over HTTP

All state lies in one directory: --home, FOURFOLD_HOME, or ./fourfold-home.""",
)
setup.register(app)
train.register(app)
evaluate.register(app)
drift.register(app)
recommend.register(app)
app.add_typer(events.app, name="events")
app.add_typer(data.app, name="data")
app.add_typer(features.app, name="features")
app.add_typer(models.app, name="models")
app.add_typer(experiments.app, name="experiments")
app.add_typer(keys.app, name="keys")
demo.register(app)
bench.register(app)


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    report({"version": __version__}, json, __version__)


def main() -> None:
    """Run a command; an error that a person can act on is one line, not a traceback."""
    try:
        app()
    except Exception as error:
        if not _is_expected(error):
            raise
        err.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)


def _is_expected(error: Exception) -> bool:
    """Whether an error comes from this package or from the operating system: its message says what to do."""
    return type(error).__module__.startswith("fourfold.") or isinstance(error, OSError)
