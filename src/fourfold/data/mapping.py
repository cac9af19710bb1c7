"""The mapping file: how one's own CSV, Parquet or JSON Lines files become events, checked before anything is read.

An example::

    name = "shop"
    surface = "feed"

    [[logs]]
    files = ["views-*.csv"]
    viewer = "user"
    item = "product"
    time = { column = "when", unit = "s" }            # or format = "iso", or a strptime format
    actions = { click = "clicked", buy = { column = "amount", at_least = 0.01, value = "amount" } }

    [[entities]]
    type = "post"
    file = "products.jsonl"
    key = "product"
    attributes = { title = { column = "name", kind = "text" }, brand = "brand" }

    [[edges]]
    kind = "follows"
    file = "follows.parquet"
    source = "from"
    target = "to"

Instead of `actions`, ``action = { column = "event", impression = "view" }`` reads the action's name from a column; without
`impression`, every row is an impression too. Paths are relative to the data folder, and may hold wildcards.
"""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import ConfigDict, Field
from pydantic_core import ErrorDetails

from fourfold.data.columns import EARLIEST, LATEST, Unit
from fourfold.data.entities import AttributeColumn, EdgeColumns, EntityColumns, Kind
from fourfold.data.files import FORMATS, TextFormat, check_columns, columns_of, text_format
from fourfold.data.interactions import ActionNames, ActionRule, InteractionColumns, TimeColumn
from fourfold.data.reading import DataError
from fourfold.data.tabular import EdgeFile, EntityFile, LogFile, TabularReader
from fourfold.definition.errors import DefinitionError, from_pydantic
from fourfold.definition.part import Name

T = TypeVar("T", bound="_Files")

_ALTERNATIVES = {"str", "ActionMapping", "AttributeMapping"}


class _Table(pydantic.BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TimeMapping(_Table):
    """Where a time is: numbers of a `unit`, or text of a `format`."""

    column: str
    unit: Unit = "s"
    format: str | None = None

    def described(self) -> TimeColumn:
        """The same for the reader."""
        return TimeColumn(column=self.column, unit=self.unit, format=self.format)


class ActionMapping(_Table):
    """When a row tells of an action: ``at_least <= column <= at_most``, with `per` the column divided by that one."""

    column: str
    per: str | None = None
    at_least: float = 1.0
    at_most: float = float("inf")
    value: str | None = None


class ActionNameMapping(_Table):
    """A column that names the action; `names` renames, `impression` says which name is an impression."""

    column: str
    impression: str | None = None
    value: str | None = None
    names: dict[str, Name] = {}

    def described(self) -> ActionNames:
        """The same for the reader."""
        return ActionNames(column=self.column, impression=self.impression, value=self.value, renamed=dict(self.names))


class AttributeMapping(_Table):
    """A column as an attribute."""

    column: str
    kind: Kind = "category"
    split: Annotated[str, Field(min_length=1)] | None = None
    unit: Unit = "s"
    format: str | None = None


class _Files(_Table, ABC):
    file: str | None = None
    files: tuple[str, ...] = ()
    delimiter: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    encoding: str = "utf8"
    names: tuple[str, ...] = Field(default=(), alias="columns")

    def paths(self, folder: Path, key: str) -> list[Path]:
        """The files meant, or an error that names the key and what the folder has."""
        patterns = [*([self.file] if self.file else []), *self.files]
        if not patterns:
            raise DataError(f'{key}.file is missing; write file = "..." or files = ["..."]')
        found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
        for pattern in patterns:
            if not any(folder.glob(pattern)):
                there = ", ".join(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no folder"
                raise DataError(f"{key}.file: {pattern!r} is not in {folder}; there is: {there or 'nothing'}")
        for path in found:
            if path.suffix not in FORMATS:
                raise DataError(f"{key}.file: {path.name} is of no known format; give a file of {', '.join(FORMATS)}")
        return found

    @abstractmethod
    def columns(self) -> Iterator[tuple[str, str]]:
        """The keys of this table that name columns, with the columns."""

    def text(self, path: Path) -> TextFormat:
        """How its text files are written."""
        delimiter = self.delimiter or text_format(path).delimiter
        return TextFormat(delimiter=delimiter, encoding=self.encoding, names=self.names)


class LogMapping(_Files):
    """A log of impressions and actions."""

    viewer: str
    item: str
    time: TimeMapping
    surface: Name | None = None
    actions: dict[Name, str | ActionMapping] = {}
    action: ActionNameMapping | None = None
    id: str | None = None
    request: str | None = None
    position: str | None = None
    context: dict[Name, str] = {}
    viewers: Name | None = None

    def columns(self) -> Iterator[tuple[str, str]]:
        """The keys of this table that name columns, with the columns."""
        yield from _named(self, ("viewer", "item", "id", "request", "position"))
        yield "time.column", self.time.column
        for name, rule in self.actions.items():
            yield from [(f"actions.{name}", rule)] if isinstance(rule, str) else _inner(f"actions.{name}", rule)
        if self.action is not None:
            yield from _inner("action", self.action)
        yield from ((f"context.{name}", column) for name, column in self.context.items())

    def described(self, surface: str) -> InteractionColumns:
        """The same for the reader."""
        rules = [(name, ActionMapping(column=r) if isinstance(r, str) else r) for name, r in self.actions.items()]
        return InteractionColumns(
            surface=self.surface or surface,
            viewer=self.viewer,
            item=self.item,
            time=self.time.described(),
            rules=tuple(ActionRule(name=name, **rule.model_dump()) for name, rule in rules),
            names=self.action.described() if self.action else None,
            id=self.id,
            request=self.request,
            position=self.position,
            context=dict(self.context),
        )


class EntityMapping(_Files):
    """A file of the entities of one type."""

    type: Name
    key: str
    attributes: dict[Name, str | AttributeMapping] = {}

    def columns(self) -> Iterator[tuple[str, str]]:
        """The keys of this table that name columns, with the columns."""
        yield "key", self.key
        for name, attribute in self.attributes.items():
            yield f"attributes.{name}", attribute if isinstance(attribute, str) else attribute.column

    def described(self) -> EntityColumns:
        """The same for the reader."""
        columns = [(name, AttributeMapping(column=a) if isinstance(a, str) else a) for name, a in self.attributes.items()]
        attributes = tuple(AttributeColumn(name=name, **attribute.model_dump()) for name, attribute in columns)
        return EntityColumns(type=self.type, key=self.key, attributes=attributes)


class EdgeMapping(_Files):
    """A file of the edges of one kind."""

    kind: Name
    source: str
    target: str
    undirected: bool = False
    time: TimeMapping | None = None
    nodes: Name | None = None

    def columns(self) -> Iterator[tuple[str, str]]:
        """The keys of this table that name columns, with the columns."""
        yield from _named(self, ("source", "target"))
        if self.time is not None:
            yield "time.column", self.time.column

    def described(self) -> EdgeColumns:
        """The same for the reader."""
        time = self.time.described() if self.time else None
        return EdgeColumns(kind=self.kind, source=self.source, target=self.target, undirected=self.undirected, time=time)


class Mapping(_Table):
    """A whole mapping file. `at` (milliseconds since 1970) is the time of everything where no file has times."""

    name: Name
    surface: Name = "feed"
    at: Annotated[int, Field(ge=EARLIEST, le=LATEST)] | None = None
    logs: tuple[LogMapping, ...] = ()
    entities: tuple[EntityMapping, ...] = ()
    edges: tuple[EdgeMapping, ...] = ()
    version: Literal[1] = 1

    @classmethod
    def from_toml(cls, text: str, source: str = "mapping") -> "Mapping":
        """Read and validate the text of a mapping file; `source` names it in errors.

        Raises
        ------
        DefinitionError
            If it is no TOML, or a key is missing, unknown or wrong; it names the key and what to write.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise DefinitionError(source, f"not valid TOML: {error}", "tables such as [[logs]]") from None
        except pydantic.ValidationError as error:
            raise from_pydantic(source, _plain(error.errors())) from None

    def reader(self, folder: Path) -> TabularReader:
        """The reader of these files in `folder`.

        Raises
        ------
        DataError
            If a file is not there, or lacks a column; it names the key of the mapping and the columns the file has.
        """
        if not (self.logs or self.entities or self.edges):
            raise DataError("the mapping names no files; write [[logs]], [[entities]] or [[edges]]")
        logs = [
            LogFile(path=path, columns=table.described(self.surface), text=table.text(path), viewers=table.viewers)
            for table, path in _checked("logs", self.logs, folder)
        ]
        logged = {file.path for file in logs}
        return TabularReader(
            name=self.name,
            entities=[
                EntityFile(path=path, columns=table.described(), text=table.text(path), repeats=path in logged)
                for table, path in _checked("entities", self.entities, folder)
            ],
            edges=[
                EdgeFile(path=path, columns=table.described(), text=table.text(path), nodes=table.nodes)
                for table, path in _checked("edges", self.edges, folder)
            ],
            logs=logs,
            at=self.at,
        )


def _plain(errors: Sequence[ErrorDetails]) -> list[dict[str, Any]]:
    """Pydantic's errors in the words of a mapping file.

    Where a column's name or a table may stand, pydantic says what is wrong with either; only the one that was written counts.
    """
    return [
        {**error, "loc": _place(error), "ctx": {**error.get("ctx", {}), **_said(error)}}
        for error in errors
        if not (error["loc"][-1:] == ("str",) and isinstance(error["input"], dict))
    ]


def _place(error: ErrorDetails) -> tuple[int | str, ...]:
    """The keys of the file alone: below the name of an action or attribute, pydantic names its own classes too."""
    return error["loc"][:4] + tuple(step for step in error["loc"][4:] if step not in _ALTERNATIVES)


def _said(error: ErrorDetails) -> dict[str, DefinitionError]:
    key = error["loc"][-1]
    if error["type"] == "missing":
        value = '{ column = "..." }' if key == "time" else '"..."'
        return {"error": DefinitionError("", "is missing", f"{key} = {value}")}
    if error["type"] == "tuple_type":
        return {"error": DefinitionError("", f"{error['input']!r} is no list", "a list in brackets")}
    return {}


def _checked(kind: str, tables: Sequence[T], folder: Path) -> Iterator[tuple[T, Path]]:
    """Each table with each of its files, once every column it names is known to be there."""
    for index, table in enumerate(tables):
        where = f"{kind}[{index}]"
        for path in table.paths(folder, where):
            has = columns_of(path, table.text(path))
            for key, column in table.columns():
                check_columns(path, [column], has, f"{where}.{key} of the mapping")
            yield table, path


def _inner(key: str, rule: ActionMapping | ActionNameMapping) -> Iterator[tuple[str, str]]:
    return ((f"{key}.{name}", column) for name, column in _named(rule, ("column", "value", "per")))


def _named(table: pydantic.BaseModel, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    for key in keys:
        value = getattr(table, key, None)
        if value is not None:
            yield key, value
