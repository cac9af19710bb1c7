"""Encoding: ids, categories and words as the hashed id columns that embedding tables read.

Hashes are functions of the text alone, so training, every process and every mode agree on them, and a value never seen in
training still has an id.
"""

import re
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from fourfold.definition import Category, Entity, Recommender, Text
from fourfold.definition.entities import Attribute
from fourfold.events.types import ContextValue
from fourfold.features.details import context_space
from fourfold.features.inputs import IdField, Ids, Schema
from fourfold.features.names import Names
from fourfold.features.numbers import early_features, late_features
from fourfold.features.table import Int
from fourfold.features.view import SEPARATOR, View

VALUES = 8
"""How many values of a category with several of them are read."""

_WORD = re.compile(r"\w+")


def schema_of(definition: Recommender) -> Schema:
    """The model inputs of a definition."""
    own_id = IdField(name="id", buckets=definition.item.buckets)
    return Schema(
        item=(own_id, *_fields(definition.item.attributes)),
        viewer=tuple(_fields(definition.viewer.attributes)),
        context=tuple(_fields(definition.context)),
        early=tuple(feature.name for feature in early_features(definition)),
        late=tuple(feature.name for feature in late_features(definition)),
        actions=tuple(action.name for action in definition.actions),
        values=definition.history.values,
        passive=tuple(action.passive for action in definition.actions),
        positive=tuple(action.utility > 0 for action in definition.actions),
    )


class Encoder:
    """Turns rows of a view into id columns; what was encoded once is kept per distinct string."""

    def __init__(self, definition: Recommender) -> None:
        self.definition = definition
        self.schema = schema_of(definition)
        self._own = _Codes(1, lambda text: [_bucket("id", text, definition.item.buckets)])
        self._codes = {
            (entity.name, attribute.name): _encoder(attribute)
            for entity in definition.entities
            for attribute in entity.attributes
            if isinstance(attribute, Category | Text)
        }
        self._context = {part.name: _encoder(part) for part in definition.context}

    def items(self, view: View, rows: Int, times: Int) -> Ids:
        """Id columns of items as of `times`: shape (N, W); an unknown item is 1 in its id column and 0 elsewhere."""
        own = self._own.of(view.names[f"entity/{self.definition.item.name}"], rows)
        own[rows < 0] = 1
        return np.concatenate([own, self._attributes(view, self.definition.item, rows, times)], axis=1)

    def viewers(self, view: View, rows: Int, times: Int) -> Ids:
        """Id columns of viewers as of `times`: shape (N, columns)."""
        return self._attributes(view, self.definition.viewer, rows, times)

    def context(self, view: View, codes: Int) -> Ids:
        """Id columns of requests' contexts, shape (N, X) like their codes."""
        parts = [np.zeros((len(codes), 0), np.int32)]
        for column, (name, encode) in enumerate(self._context.items()):
            parts.append(encode.of(view.names[context_space(name)], codes[:, column]))
        return np.concatenate(parts, axis=1)

    def request_context(self, given: Mapping[str, ContextValue]) -> Ids:
        """Id columns of one request's context, shape (X,); 0 for what is not given."""
        ids = [
            _bucket(part.name, str(given[part.name]), part.buckets) if part.name in given else 0
            for part in self.definition.context
        ]
        return np.array(ids, np.int32)

    def _attributes(self, view: View, entity: Entity, rows: Int, times: Int) -> Ids:
        parts = [np.zeros((len(rows), 0), np.int32)]
        for attribute in entity.attributes:
            if isinstance(attribute, Category | Text):
                codes = view.codes(entity.name, attribute.name, rows, times)
                names = view.names[f"value/{entity.name}/{attribute.name}"]
                parts.append(self._codes[entity.name, attribute.name].of(names, codes))
        return np.concatenate(parts, axis=1)


class _Codes:
    """The id columns of every string of one `Names`, extended as names come."""

    def __init__(self, width: int, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode, self._lock = encode, threading.Lock()
        self._ids: Ids = np.zeros((0, width), np.int32)

    def of(self, names: Names, codes: Int) -> Ids:
        """Id columns of codes: shape (N, width); zeros for -1."""
        ids = self._ids if len(self._ids) >= len(names) else self._extend(names)
        out: Ids = np.zeros((len(codes), ids.shape[1]), np.int32)
        known = codes >= 0
        out[known] = ids[codes[known]]
        return out

    def _extend(self, names: Names) -> Ids:
        with self._lock:
            fresh = names.since(len(self._ids))
            more = np.zeros((len(fresh), self._ids.shape[1]), np.int32)
            for row, text in enumerate(fresh):
                ids = self._encode(text)[: more.shape[1]]
                more[row, : len(ids)] = ids
            self._ids = np.concatenate([self._ids, more])
            return self._ids


def _fields(attributes: Iterable[Attribute]) -> Iterable[IdField]:
    for attribute in attributes:
        if isinstance(attribute, Text):
            yield IdField(name=attribute.name, buckets=attribute.buckets, width=attribute.words)
        elif isinstance(attribute, Category):
            yield IdField(name=attribute.name, buckets=attribute.buckets, width=VALUES if attribute.many else 1)


def _encoder(attribute: Category | Text) -> _Codes:
    name, buckets = attribute.name, attribute.buckets
    if isinstance(attribute, Text):
        return _Codes(attribute.words, lambda text: [_bucket(name, word, buckets) for word in _WORD.findall(text.lower())])
    if attribute.many:
        # An empty list is stored as "": no value, not one that is empty.
        return _Codes(VALUES, lambda text: [_bucket(name, value, buckets) for value in text.split(SEPARATOR) if value])
    return _Codes(1, lambda text: [_bucket(name, text, buckets)])


def _bucket(field: str, text: str, buckets: int) -> int:
    """A stable id from 2 to ``buckets + 1``: 0 pads and 1 is unknown."""
    return 2 + zlib.crc32(f"{field}\x1f{text}".encode()) % buckets
