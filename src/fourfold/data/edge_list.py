"""A graph in a file of two columns, such as the MUSAE networks."""

from pathlib import Path

from fourfold.data.entities import EdgeColumns
from fourfold.data.files import TextFormat, columns_of
from fourfold.data.reading import DataError
from fourfold.data.tabular import EdgeFile, TabularReader


def edge_list_reader(
    path: Path,
    *,
    at: int,
    kind: str = "follows",
    node: str = "member",
    undirected: bool = False,
    columns: tuple[str, str] | None = None,
    text: TextFormat | None = None,
    name: str = "edges",
) -> TabularReader:
    """A reader of a graph: an upsert of each node, then an edge per row.

    Parameters
    ----------
    path : Path
        The file, or a folder with an ``edges.parquet`` or ``edges.csv``.
    at : int
        When the nodes and edges came to be, in milliseconds: such files do not say. Ids do not depend on it.
    kind, node : str
        The kind of the edges and the type of the nodes.
    undirected : bool
        Whether a row and its reverse are the same edge.
    columns : tuple of str, optional
        Source and target; by default the file's only two.

    Raises
    ------
    DataError
        If there is no such file, or `columns` is not given and it has other than two.
    """
    if path.is_dir():
        path = _edges_in(path)
    names = columns_of(path, text)
    if columns is None and len(names) != 2:
        raise DataError(f"{path} has {len(names)} columns ({', '.join(names)}); say which are source and target")
    source, target = columns or names
    described = EdgeColumns(kind=kind, source=source, target=target, undirected=undirected)
    return TabularReader(name=name, edges=(EdgeFile(path=path, columns=described, text=text, nodes=node),), at=at)


def _edges_in(folder: Path) -> Path:
    expected = ("edges.parquet", "edges.csv", "musae_git_edges.csv")
    for name in expected:
        if (folder / name).exists():
            return folder / name
    there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise DataError(f"{folder} lacks a file of edges; expected one of {', '.join(expected)}, found {there}")
