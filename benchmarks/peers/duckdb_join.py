"""DuckDB's side of `fourfold bench features`: a bare ASOF join of labels with the features before them, on one thread.

Both tables are in its memory before the clock starts; the answer is an Arrow table.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

_JOIN = """
SELECT label, {features}
FROM labels ASOF LEFT JOIN events ON labels.post = events.post AND labels.time > events.time
ORDER BY label
"""


def main(asked: dict[str, Any]) -> dict[str, float]:
    """Load the Parquet files, join them, and write the answer as Parquet."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    for name in ("events", "labels"):
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet(?)", [asked[name]])
    query = _JOIN.format(features=", ".join(asked["features"]))
    began = time.perf_counter()
    answer = connection.execute(query).to_arrow_table()
    seconds = time.perf_counter() - began
    pq.write_table(answer, asked["answer"])
    return {"seconds": seconds}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
