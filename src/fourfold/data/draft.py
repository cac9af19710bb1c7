"""A mapping file drafted from files: valid TOML that can be imported as it stands, every guess with a comment that says why."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import escape
from itertools import groupby
from pathlib import Path

import msgspec
import pyarrow.compute as pc

from fourfold.data.guess import EdgeGuess, EntityGuess, Guess, LogGuess, NoGuess, Said, guess_file, named
from fourfold.data.guess_values import Attribute
from fourfold.data.reading import DataError
from fourfold.data.sample import ColumnSample, FileSample, sample_file, words_of

VIEWER, ITEM = "member", "post"
"""What the ready-made definitions call the types of viewers and items."""

AT = 946_684_800_000
"""1 January 2000: the time that a draft gives where no file has times."""


def draft_mapping(paths: Sequence[Path]) -> str:
    """The text of a mapping file for some files.

    Parameters
    ----------
    paths : sequence of Path
        CSV, TSV, JSON Lines or Parquet files; those that are alike in their columns become one table.

    Raises
    ------
    DataError
        If one is not there, is empty, or has no rows; or if nothing can be made of any.
    """
    folder = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    guesses = [guess_file(sample_file(path)) for path in paths]
    made = [guess for guess in guesses if not isinstance(guess, NoGuess)]
    if not made:
        reasons = "; ".join(f"{guess.sample.path}: {guess.why}" for guess in guesses if isinstance(guess, NoGuess))
        raise DataError(f"{reasons}; add what is missing, or write the mapping by hand")
    return "\n".join(_document(folder, guesses)) + "\n"


def _document(folder: Path, guesses: Sequence[Guess]) -> Iterator[str]:
    logs = [guess for guess in guesses if isinstance(guess, LogGuess)]
    yield "# Drafted from the names of columns and the first rows of each file. Read every line, correct what is wrong, then:"
    yield f"#   fourfold import MAPPING.toml --from {folder}"
    yield "# What is commented out was not sure enough, or is not used. Types, actions, attributes and context count once your"
    yield "# definition declares them under the names on the left."
    yield ""
    yield f"name = {_toml(named(folder.name))}  # event ids begin with it"
    yield 'surface = "feed"  # the surface of your definition'
    if not logs and not any(isinstance(guess, EdgeGuess) and guess.time for guess in guesses):
        yield f"at = {AT}  # UNSURE: no file has times; write when this was collected, in milliseconds since 1970"
    described = {_type_of(guess, guesses) for guess in guesses if isinstance(guess, EntityGuess)}
    for _, group in groupby(sorted(guesses, key=_alike), key=_alike):
        same = list(group)
        files = [_relative(guess.sample.path, folder) for guess in same]
        yield ""
        match same[0]:
            case LogGuess() as log:
                yield from _log(log, files, inline=ITEM not in described)
            case EntityGuess() as entity:
                yield from _entity(entity, files, _type_of(entity, guesses))
            case EdgeGuess() as edge:
                yield from _edge(edge, files)
            case NoGuess() as none:
                yield f"# {', '.join(files)}: {none.why}."
                yield f"# Its columns: {', '.join(none.sample.names)}"


def _alike(guess: Guess) -> tuple[int, tuple[str, ...], str]:
    """Logs first; files of the same columns and suffix are parts of one."""
    order = [LogGuess, EntityGuess, EdgeGuess, NoGuess].index(type(guess))
    return order, guess.sample.names, guess.sample.path.suffix


def _relative(path: Path, folder: Path) -> str:
    return escape(str(path.resolve().relative_to(folder)))


def _log(guess: LogGuess, files: Sequence[str], *, inline: bool) -> Iterator[str]:
    yield "[[logs]]"
    yield from _file(guess.sample, files)
    yield from _lines(guess.lines)
    if not guess.actions and not any(line.key == "action" for line in guess.lines):
        yield "# No column tells of an action: every row is an impression, and nothing is learned from it."
    for column, why in guess.unused.items():
        yield f"# not used: {_comment(column)}: {_comment(why)}"
    if any(why.startswith("numbers") for why in guess.unused.values()):
        yield '# Numbers may be the value of an action: NAME = { column = "...", value = "..." }'
    yield from _table("logs.context", guess.context)
    yield from _table("logs.actions", guess.actions)
    if inline and any(not attribute.skipped for attribute in guess.inline):
        yield ""
        yield "[[entities]]"
        yield "# Rows of one item agree in these columns, so they describe the item; where some do not, any of them may win."
        yield f"type = {_toml(ITEM)}"
        yield from _file(guess.sample, files)
        yield f"key = {_toml(guess.item.name)}"
        yield from _attributes(guess.inline)
    elif guess.inline:
        columns = ", ".join(attribute.column for attribute in guess.inline)
        yield f"# not used: {_comment(columns)}: said of the item, which another file describes"


def _entity(guess: EntityGuess, files: Sequence[str], type_: str) -> Iterator[str]:
    yield "[[entities]]"
    doubt = "" if guess.side else "  # UNSURE: neither a name nor a log says so"
    yield f"type = {_toml(type_)}{doubt}"
    yield from _file(guess.sample, files)
    yield f"key = {_toml(guess.key.name)}  # no two of the first rows share one"
    yield from _attributes(guess.attributes)


def _edge(guess: EdgeGuess, files: Sequence[str]) -> Iterator[str]:
    yield "[[edges]]"
    yield f"kind = {_toml(_kind(guess.sample.path))}  # the edge of your definition"
    yield from _file(guess.sample, files)
    yield f"source = {_toml(guess.source)}"
    yield f"target = {_toml(guess.target)}"
    if guess.time is not None:
        yield f"time = {_toml(guess.time.described)}  # {_comment(guess.time.why)}"
    yield "undirected = false  # UNSURE: true if a row and its reverse are the same link"
    yield f"nodes = {_toml(VIEWER)}  # makes an entity of each end"


def _kind(path: Path) -> str:
    """The kind of the edges in a file: its name, where that says more than that it holds edges."""
    return named(path.stem) if set(words_of(path.stem)) - {"edge", "edges", "list"} else "follows"


def _type_of(guess: EntityGuess, guesses: Sequence[Guess]) -> str:
    """The type of an entity file: by the log that has its key's name or values, else by the name of its key."""
    logs = [other for other in guesses if isinstance(other, LogGuess)]
    sides = [(column, type_) for log in logs for column, type_ in ((log.viewer, VIEWER), (log.item, ITEM))]
    same = [type_ for column, type_ in sides if column.name == guess.key.name]
    if same or guess.side is not None:
        return same[0] if same else VIEWER if guess.side == "viewer" else ITEM
    if not logs and any(isinstance(other, EdgeGuess) for other in guesses):
        return VIEWER
    return max(((_shared(column, guess.key), type_) for column, type_ in sides), default=(0.0, ITEM))[1]


def _shared(column: ColumnSample, key: ColumnSample) -> float:
    return float(pc.mean(pc.is_in(column.texts, value_set=key.texts)).as_py() or 0.0)


def _file(sample: FileSample, files: Sequence[str]) -> Iterator[str]:
    yield f"file = {_toml(files[0])}" if len(files) == 1 else f"files = {_toml(list(files))}"
    if sample.text is None:
        return
    if sample.text.delimiter != ",":
        yield f"delimiter = {_toml(sample.text.delimiter)}"
    if sample.text.encoding != "utf8":
        yield f"encoding = {_toml(sample.text.encoding)}"
    if sample.text.names:
        yield f"columns = {_toml(list(sample.text.names))}  # the file has no header line: name its columns"


def _attributes(attributes: Sequence[Attribute]) -> Iterator[str]:
    lines = [
        Said(named(one.column), one.described, one.skipped or one.reading.why, unsure=bool(one.skipped)) for one in attributes
    ]
    yield from _table("entities.attributes", lines)


def _table(name: str, lines: Sequence[Said]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"[{name}]"
        yield from _lines(_apart(lines))


def _apart(lines: Iterable[Said]) -> Iterator[Said]:
    """The same lines under keys that differ."""
    taken: set[str] = set()
    for line in lines:
        key = next(key for key in _numbered(line.key) if key not in taken)
        taken.add(key)
        yield Said(key, line.value, line.why, line.unsure)


def _numbered(key: str) -> Iterator[str]:
    yield key
    number = 2
    while True:
        yield f"{key}_{number}"
        number += 1


def _lines(lines: Iterable[Said]) -> Iterator[str]:
    for line in lines:
        yield f"{'# ' if line.unsure else ''}{line.key} = {_toml(line.value)}  # {_comment(line.why)}"


def _comment(text: str) -> str:
    """Text on one line, without what a comment in TOML may not hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    # JSON's strings are TOML's, but for the letter that deletes.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _toml(key)
