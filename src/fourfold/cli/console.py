"""What all commands share: the home option, tables for people, one JSON document for machines, progress on standard error."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import typer
from rich.console import Console
from rich.table import Table

Home = Annotated[
    Path,
    typer.Option("--home", envvar="FOURFOLD_HOME", help="The directory that holds all state.", show_default=True),
]
DEFAULT_HOME = Path("fourfold-home")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

PLAIN_SECONDS = 5.0
"""How often progress is printed where there is no terminal."""


def report(document: Any, as_json: bool, *tables: Table | str) -> None:
    """Print a document as JSON, or tables and lines for people."""
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2)
        sys.stdout.write(text.decode() + "\n")
        return
    for table in tables:
        out.print(table)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table; columns whose name starts with ``>`` are aligned to the right."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        made.add_row(*(show(cell) for cell in row))
    return made


def show(value: object) -> str:
    """A cell of a table."""
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)


class Advance(Protocol):
    """Tells progress how much is done, of how much (None: unknown), and what else to say."""

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        """Move the bar."""
        ...


@contextmanager
def progress(label: str) -> Iterator[Advance]:
    """A progress bar on standard error; a line every few seconds where that is no terminal."""
    if not err.is_terminal:
        yield _Lines(label)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(label, total=None, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)


class _Lines:
    """Progress as plain lines: the first, the last, and one every few seconds."""

    def __init__(self, label: str) -> None:
        self._label, self._last = label, -PLAIN_SECONDS

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS or done == total:
            self._last = now
            of = "" if total is None else f"/{total}"
            err.print(f"{self._label}: {done}{of} {note}".rstrip(), soft_wrap=True)


def say(message: str) -> None:
    """A line for people about what happens, on standard error."""
    err.print(message, soft_wrap=True)


def one_thread() -> None:
    """Use one intra-op thread: contending threads are many times slower, and results are bitwise repeatable."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(int(os.environ.get("FOURFOLD_THREADS", "1")))
