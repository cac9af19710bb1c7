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
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

Home = Annotated[
    Path,
    typer.Option("--home", envvar="FOURFOLD_HOME", help="The directory that holds all state.", show_default=True),
]
DEFAULT_HOME = Path("fourfold-home")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]

PLAIN_SECONDS = 5.0
"""How often progress is printed where there is no terminal."""

PLAIN_WIDTH = 120
"""Columns of tables where there is no terminal and COLUMNS does not say it."""


def _console(*, stderr: bool) -> Console:
    """A console that prints text as it is: titles and paths may hold brackets and colons, which are no markup."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


out, err = _console(stderr=False), _console(stderr=True)


def report(document: Any, as_json: bool, *tables: Table | str) -> None:
    """Print a document as JSON, or tables and lines for people."""
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2)
        sys.stdout.write(text.decode() + "\n")
        return
    for table in tables:
        # What does not fit is left to the reader's window: an id that is cut off is no id.
        out.print(table, crop=False, soft_wrap=isinstance(table, str))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table; columns whose name starts with ``>`` are aligned to the right. Words, ids and numbers are never cut."""
    made = Table(title=title, title_justify="left", header_style="bold")
    cells = [[show(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        words = [word for row in cells for word in row[index].split()]
        longest = max(map(cell_len, words), default=0)
        made.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", min_width=longest, overflow="fold"
        )
    for row in cells:
        made.add_row(*row)
    return made


def show(value: object) -> str:
    """A cell of a table."""
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)


def moment(milliseconds: int) -> str:
    """A time as text, in UTC."""
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


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
            # A stage that cannot be counted says only that it began.
            count = f"{done}/{total}" if total is not None else str(done or "...")
            err.print(f"{self._label}: {count} {note}".rstrip(), soft_wrap=True)


def say(message: str) -> None:
    """A line for people about what happens, on standard error."""
    err.print(message, soft_wrap=True)


def one_thread() -> None:
    """Use one intra-op thread: contending threads are many times slower, and results are bitwise repeatable."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(int(os.environ.get("FOURFOLD_THREADS", "1")))
