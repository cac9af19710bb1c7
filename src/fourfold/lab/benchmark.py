"""Benchmarks: where they are, and what one answers. Each checks that both sides agree before it compares their speed.

They live in the top-level folder ``benchmarks`` of a checkout, outside of what is installed: peers are no dependencies.
"""

import ast
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

Say: TypeAlias = Callable[[str], None]


class BenchmarkError(RuntimeError):
    """A benchmark that cannot be run; the message says why and what to do."""


class Benchmark(Struct, frozen=True, kw_only=True):
    """What a benchmark found.

    Parameters
    ----------
    name : str
        Its name.
    equal : bool
        Whether all sides gave the same answers, checked apart from what is timed.
    ratios : dict
        How many times a peer's time is of ours, by names such as ``"feast/fourfold"``.
    detail : dict
        Whatever else was measured, with the unit at the end of its name.
    skipped : dict
        The peers that could not be compared, with the reason.
    """

    name: str
    equal: bool
    ratios: Mapping[str, float] = {}
    detail: Mapping[str, float | int | str] = {}
    skipped: Mapping[str, str] = {}


class Run(Protocol):
    """What every module in the folder has under the name ``run``."""

    def __call__(self, *, quick: bool, folder: Path, say: Say) -> Benchmark:
        """Run the benchmark.

        Parameters
        ----------
        quick : bool
            Small sizes, to see that it works; the figures say little.
        folder : Path
            An empty folder for its files, removed afterwards.
        say : callable
            Told what happens, a line at a time.
        """
        ...


def benchmarks_folder(*roots: Path) -> Path:
    """The folder of benchmarks: beside this source tree, or in the current directory.

    Raises
    ------
    BenchmarkError
        If there is none.
    """
    for root in roots or (Path(__file__).resolve().parents[3], Path.cwd()):
        if (root / "benchmarks" / "peers" / "call.py").is_file():
            return root / "benchmarks"
    raise BenchmarkError("benchmarks come with a checkout of the source and not with the package; run this from there")


def benchmarks_in(folder: Path) -> dict[str, str]:
    """The first line of each benchmark's docstring by its name, without importing any."""
    paths = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    docs = {_name(path): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths}
    return {name: text.partition("\n")[0] for name, text in docs.items()}


def run_benchmark(folder: Path, name: str, *, quick: bool, scratch: Path, say: Say) -> Benchmark:
    """Run one benchmark of a folder.

    Raises
    ------
    BenchmarkError
        If there is none of that name; it lists those there are.
    """
    known = {_name(path): path for path in folder.glob("*.py") if path.stem != "__init__"}
    if name not in known:
        raise BenchmarkError(f"there is no benchmark {name!r}; there is: {', '.join(sorted(known))}")
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    run: Run = import_module(f"{folder.name}.{known[name].stem}").run
    return run(quick=quick, folder=scratch, say=say)


def _name(path: Path) -> str:
    """``import_.py`` is called import: a module cannot be named by a keyword."""
    return path.stem.rstrip("_").replace("_", "-")
