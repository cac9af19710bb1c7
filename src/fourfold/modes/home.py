"""A home: the one directory that holds all state of an installation, and how each part of it is opened.

log/                 the events
definitions/         a JSON file per surface
deployment.toml      how surfaces are served
state/SURFACE/       what the surface's consumer has computed
models/SURFACE/      trained versions
training/            unfinished training runs
rejected/            rows that imports refused
lock                 held by whoever uses the log, so that nobody takes it away from under them
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from fourfold.definition import DefinitionError, Deployment, Recommender
from fourfold.durable.files import write_file
from fourfold.events.lmdb_log import LmdbLog
from fourfold.features.consumer import StateConsumer
from fourfold.features.retention import drops
from fourfold.stores.consumer import ConsumerStore
from fourfold.training.registry import Registry


class HomeError(RuntimeError):
    """A home lacks what a command needs; the message says how to get it."""


class Home:
    """One installation's state. Homes never touch each other.

    Parameters
    ----------
    path : Path
        The directory; made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stores: list[ConsumerStore] = []
        self._in_use: int | None = None

    @classmethod
    def existing(cls, path: Path) -> Self:
        """The home at `path`, for those who only read it.

        Raises
        ------
        HomeError
            If nothing is there.
        """
        if not path.is_dir():
            raise HomeError(f"there is no home at {path}; `fourfold define` makes one, or name another with --home")
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was opened: the log and the state of every consumer."""
        while self._stores:
            self._stores.pop().close()
        if "log" in self.__dict__:
            self.log.close()
            del self.__dict__["log"]
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None

    @cached_property
    def log(self) -> LmdbLog:
        """The event log.

        Raises
        ------
        HomeError
            If another process has the home for itself.
        """
        if self._in_use is None:
            self._in_use = self._locked(fcntl.LOCK_SH, "`fourfold data forget` is at work in it; try again when it is done")
        return LmdbLog(self.path / "log")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the home for oneself: nobody has its log open meanwhile.

        Raises
        ------
        HomeError
            If somebody has.
        """
        held = self._locked(fcntl.LOCK_EX, "it is in use: stop the service, and what imports, trains or evaluates there, first")
        try:
            yield
        finally:
            os.close(held)

    def _locked(self, how: int, problem: str) -> int:
        """The file descriptor of a lock on the home, which holds until it is closed or this process ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HomeError(f"{self.path}: {problem}") from None
        return descriptor

    @property
    def registry(self) -> Registry:
        """The trained versions of all surfaces."""
        return Registry(self.path / "models")

    @property
    def deployment(self) -> Deployment:
        """How surfaces are served, as the file says now."""
        return Deployment.from_file(self.deployment_path)

    @property
    def deployment_path(self) -> Path:
        """Where the deployment lies."""
        return self.path / "deployment.toml"

    @property
    def rejected(self) -> Path:
        """Where imports put the rows that they refuse."""
        return self.path / "rejected"

    @property
    def training(self) -> Path:
        """Where unfinished training runs lie."""
        return self.path / "training"

    def surfaces(self) -> list[str]:
        """The surfaces that have a definition."""
        return sorted(path.stem for path in (self.path / "definitions").glob("*.json"))

    def definition(self, surface: str) -> Recommender:
        """The definition of a surface.

        Raises
        ------
        HomeError
            If there is none.
        DefinitionError
            If its file is not a valid definition.
        """
        path = self._definition_path(surface)
        if surface not in self.surfaces():
            known = ", ".join(self.surfaces())
            hint = f"one of: {known}" if known else "none yet; add one with `fourfold define`"
            raise HomeError(f"{self.path} has no surface {surface!r}; it has {hint}")
        try:
            return Recommender.from_json(path.read_bytes())
        except DefinitionError as error:
            advice = f"{error.write}; or put it in place again with `fourfold define`"
            raise DefinitionError(f"{path}: {error.field}", error.problem, advice) from None

    def define(self, definition: Recommender) -> Path:
        """Put a definition in place, replacing the surface's old one whole."""
        path = self._definition_path(definition.surface)
        write_file(path, definition.to_json().encode())
        return path

    def deploy(self, text: str) -> Path:
        """Put a deployment in place, after checking it."""
        Deployment.from_toml(text, str(self.deployment_path))
        write_file(self.deployment_path, text.encode())
        return self.deployment_path

    def consumer(self, surface: str, *, commits: bool = False, whole: bool = False) -> StateConsumer:
        """The consumer that keeps a surface's state. Only one process at a time should commit.

        With `whole`, nothing is dropped that a lateness and a memory would let a state drop: training needs all of it.
        """
        definition = self.definition(surface)
        apart = whole and drops(definition)
        self._stores.append(ConsumerStore(self.path / "state" / (f"{surface}.whole" if apart else surface)))
        return StateConsumer(definition, self.log, self._stores[-1], commits=commits, whole=whole)

    def _definition_path(self, surface: str) -> Path:
        return self.path / "definitions" / f"{surface}.json"
