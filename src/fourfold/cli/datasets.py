"""Data sets and definitions by the names that commands take."""

from collections.abc import Callable
from pathlib import Path

from fourfold.data.edge_list import edge_list_reader
from fourfold.data.exported import ExportedReader
from fourfold.data.fetch import movielens_100k
from fourfold.data.kuairand import kuairand_reader
from fourfold.data.mapping import Mapping
from fourfold.data.movielens import movielens_reader
from fourfold.data.reading import DataError, Reader
from fourfold.definition import DefinitionError, Recommender
from fourfold.surfaces.presets import PRESETS

DATASETS = ("movielens-100k", "movielens-latest-small", "movielens", "kuairand", "musae-github", "events")
GRAPH_MADE = 1_559_347_200_000
"""When the edges of MUSAE GitHub were collected (June 2019), in milliseconds: the file has no times."""


def preset_of(data: str) -> str:
    """The preset that goes with a data set."""
    return "movielens" if data.startswith("movielens") else data.replace("-", "_")


def definition_from(source: str) -> Recommender:
    """A preset by name, or a definition from a JSON file."""
    if source in PRESETS:
        return PRESETS[source]()
    path = Path(source)
    if not path.is_file():
        raise DefinitionError(source, "is neither a preset nor a file", f"one of {', '.join(PRESETS)}, or a JSON file's path")
    try:
        return Recommender.from_json(path.read_bytes())
    except DefinitionError as error:
        raise DefinitionError(f"{source}: {error.field}", error.problem, error.write) from None


def reader_of(data: str, source: Path | None, cache: Path, say: Callable[[str], None]) -> Reader:
    """The reader of a data set in a folder, or of files that a mapping file describes."""
    if data not in DATASETS:
        return _mapped(data, source)
    if source is None:
        if data != "movielens-100k":
            raise DataError(f"{data} is not fetched for you; pass the folder that holds it with --from")
        source = movielens_100k(cache, say)
    if data == "events":
        return ExportedReader(source)
    if data == "kuairand":
        return kuairand_reader(source)
    if data == "musae-github":
        return edge_list_reader(source, at=GRAPH_MADE, undirected=True, name="musae-github")
    return movielens_reader(source)


def _mapped(data: str, source: Path | None) -> Reader:
    path = Path(data)
    if path.suffix != ".toml" or not path.is_file():
        raise DataError(f"{data!r} is neither a data set ({', '.join(DATASETS)}) nor a mapping file ending in .toml")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no TOML file: {error}; save the mapping as UTF-8 text") from None
    return Mapping.from_toml(text, str(path)).reader(source or path.parent)
