"""The peers' side of `fourfold bench retrieval`: graphs of faiss (HNSW) and usearch, built once, then searched at each setting.

A build takes all cores, a search one thread and one query at a time, as a request would.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LINKS, BUILD_WIDTH = 16, 64


Search = Callable[[Any, int], Any]
"""From a query and how many are kept to the rows that are nearest."""


def build_faiss(vectors: Any, path: str) -> None:
    """Build faiss's IndexHNSWFlat and save it."""
    import faiss  # noqa: PLC0415  # either library may be missing

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    index.add(vectors)
    faiss.write_index(index, path)


def load_faiss(path: str, _vectors: Any) -> Callable[[int], Search]:
    """A search of a given width with one thread."""
    import faiss  # noqa: PLC0415

    faiss.omp_set_num_threads(1)
    index = faiss.read_index(path)

    def of_width(width: int) -> Search:
        index.hnsw.efSearch = width
        return lambda query, keep: index.search(query[None], keep)[1][0]

    return of_width


def build_usearch(vectors: Any, path: str) -> None:
    """Build usearch's Index and save it."""
    from usearch.index import Index  # noqa: PLC0415

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=BUILD_WIDTH)
    index.add(np.arange(len(vectors)), vectors, threads=os.cpu_count() or 1)
    index.save(path)


def load_usearch(path: str, vectors: Any) -> Callable[[int], Search]:
    """A search of a given width with one thread: a width is given when an index is made."""
    from usearch.index import Index  # noqa: PLC0415

    def of_width(width: int) -> Search:
        index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_search=width)
        index.load(path)
        return lambda query, keep: index.search(query, keep, threads=1).keys.astype(np.int64)

    return of_width


BUILD = {"faiss": build_faiss, "usearch": build_usearch}
LOAD = {"faiss": load_faiss, "usearch": load_usearch}


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Build the graph, or search it for all queries at every width: an array of shape (widths, queries, keep)."""
    began = time.perf_counter()
    if asked["step"] == "build":
        BUILD[asked["library"]](np.load(asked["vectors"]), asked["index"])
        return {"seconds": time.perf_counter() - began}
    queries, keep = np.load(asked["queries"]), asked["keep"]
    of_width = LOAD[asked["library"]](asked["index"], queries)
    found = np.full((len(asked["widths"]), len(queries), keep), -1)
    medians = []
    for place, width in enumerate(asked["widths"]):
        search = of_width(width)
        search(queries[0], keep)
        taken = []
        for number, query in enumerate(queries):
            began = time.perf_counter()
            rows = search(query, keep)
            taken.append(time.perf_counter() - began)
            found[place, number, : len(rows)] = rows
        medians.append(statistics.median(taken))
    np.save(asked["found"], found)
    return {"seconds": medians}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
