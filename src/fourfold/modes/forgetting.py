"""Forgets an entity: takes it out of everything that a home keeps, and looks whether anything is left."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from fourfold.durable.files import remove_folder, write_file
from fourfold.events.redaction import Redaction, redact_log
from fourfold.modes.home import Home
from fourfold.scoring.item_table import ItemTable


class Remains(Struct, frozen=True, kw_only=True):
    """Where an entity is still named, how often, and what to do about it."""

    place: str
    count: int
    advice: str


@dataclass(frozen=True)
class Forgetting:
    """One entity of a home.

    Parameters
    ----------
    home : Home
        The home.
    type, key : str
        The entity.

    Raises
    ------
    DefinitionError
        If no definition of the home has entities of that type.
    """

    home: Home
    type: str
    key: str

    def __post_init__(self) -> None:
        self.redaction  # noqa: B018  # it refuses a type that no definition has

    @property
    def redaction(self) -> Redaction:
        """What is about the entity in events."""
        return Redaction([self.home.definition(surface) for surface in self.home.surfaces()], self.type, self.key)

    def forget(self) -> None:
        """Take the entity out of the log, the rejected rows and all computed states; states are computed anew when needed.

        Each step is whole or not at all. Where this ends before its time, do it again: `remains` says what is left. A home that
        does not name the entity stays as it is.

        Raises
        ------
        HomeError
            If another process has the home open; nothing has changed.
        """
        with self.home.alone():
            for path in self._scratch():
                shutil.rmtree(path)
            redact_log(self.home.path / "log", self.redaction.redacted)
            for path in self._rejected():
                lines = path.read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if not self._names(line)]
                if len(kept) < len(lines):
                    write_file(path, b"".join(kept))
            for folder in (self.home.path / "state").glob("*"):
                remove_folder(folder)
            for path in self.home.training.glob("*"):
                path.unlink()

    def remains(self) -> Iterator[Remains]:
        """Where the entity is still named; nothing where it is forgotten. Nothing is changed.

        What an ended process left half removed may hold anything, and is always listed.
        """
        again = "forget it again"
        redaction = self.redaction
        for path in self._scratch():
            yield Remains(place=str(path.relative_to(self.home.path)), count=1, advice=again)
        with Home(self.home.path) as opened:
            batches = (batch for _, batch in opened.log.read(opened.log.start))
            events = sum(int((redaction.about(batch) | redaction.naming(batch)).sum()) for batch in batches)
            if events:
                yield Remains(place="log", count=events, advice=again)
            for surface in opened.surfaces():
                found = self._in_state(opened, surface)
                if found:
                    yield Remains(place=f"state of {surface}", count=found, advice=again)
        for path in self._rejected():
            found = sum(map(self._names, path.read_bytes().splitlines()))
            if found:
                yield Remains(place=f"rejected/{path.name}", count=found, advice=again)
        yield from self._in_models()

    def _in_state(self, opened: Home, surface: str) -> int:
        """How many of a surface's committed states know the id as that of such an entity."""
        found = 0
        for whole in (False, True):
            state = opened.consumer(surface, whole=whole).state
            definition = state.definition
            view = state.view()
            if any(entity.name == self.type for entity in definition.entities):
                found += int(view.rows(self.type, [self.key])[0] >= 0)
            if definition.viewer.name == self.type and definition.item.owner is not None:
                found += int(view.names[f"value/{definition.item.name}/{definition.item.owner}"].find(self.key) >= 0)
        return found

    def _in_models(self) -> Iterator[Remains]:
        """Versions whose item-to-item table lists the entity. Weights hold no ids, only what was learned from all."""
        for surface in self.home.surfaces():
            if self.home.definition(surface).item.name != self.type:
                continue
            for version in self.home.registry.versions(surface):
                folder = self.home.registry.load(surface, version)[1]
                if (folder / "item_to_item.json").exists() and self.key in ItemTable.load(folder).ids:
                    advice = f"train {surface} again, and remove {version} with `fourfold models prune`"
                    yield Remains(place=f"model {surface} {version}", count=1, advice=advice)

    def _scratch(self) -> list[Path]:
        """Copies of the log, and states, that an ended process left half written or half removed."""
        home = self.home.path
        return sorted([*home.glob(".log.*.tmp"), *(home / "state").glob(".*.tmp")])

    def _rejected(self) -> list[Path]:
        return sorted(self.home.rejected.glob("*")) if self.home.rejected.is_dir() else []

    def _names(self, line: bytes) -> bool:
        """Whether a rejected row has the id in any of its fields, whatever they mean."""
        try:
            row = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return self.key.encode() in line
        return _within(row, self.key)


def _within(value: object, key: str) -> bool:
    if isinstance(value, dict):
        return any(_within(part, key) for part in value.values())
    if isinstance(value, list):
        return any(_within(part, key) for part in value)
    return value is not None and str(value) == key
