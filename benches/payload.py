"""Bytes on disk and times of metadata: load, lookups and searches that return it, filters over it.

``python -m benches.payload --data packages.parquet --metadata name month summary`` loads a file twice, without and with
its metadata, and asks for rows with and without them; ``--json FILE`` keeps the figures. Times are medians in
microseconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPEATS = 300
IDS_EACH = 100


def micros(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of the times that a call takes."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return round(float(np.median(taken)) * 1e6, 1)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all segments below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*.drift"))


def measure(data: Path, metadata: list[str], folder: Path, seed: int) -> dict[str, Any]:
    """Return the figures of a file."""
    dim = pq.read_schema(data).field("embedding").type.list_size
    found: dict[str, Any] = {}
    for name, columns in (("without", None), ("with", metadata)):
        with drift.connect(folder / name) as db:
            c = db.create_collection("rows", dim=dim)
            start = time.perf_counter()
            c.load(data, metadata=columns)
            found[f"load_s_{name}"] = round(time.perf_counter() - start, 1)
        found[f"segment_bytes_{name}"] = folder_bytes(folder / name)
    found["payload_bytes"] = found["segment_bytes_with"] - found["segment_bytes_without"]
    random = np.random.default_rng(seed)
    with drift.connect(folder / "with") as db:
        c = db["rows"]
        ids = c.ids()
        queries = c.get(random.choice(ids, REPEATS)).vectors
        chosen = [random.choice(ids, IDS_EACH, replace=False) for _ in range(REPEATS)]
        for label, include in (("nothing", None), ("all", True), *((one, one) for one in metadata)):
            asked, looked = iter(queries), iter(chosen)
            found[f"search_us_include_{label}"] = micros(lambda: c.search(next(asked), 10, include=include))  # noqa: B023
            found[f"get_us_include_{label}"] = round(
                micros(lambda: c.get(next(looked), include=include)) / IDS_EACH,  # noqa: B023
                2,
            )
        start = time.perf_counter()
        c.count("month >= 202001")
        found["first_range_filter_us"] = round((time.perf_counter() - start) * 1e6)
        start = time.perf_counter()
        c.count(drift.col("name") == "numpy")
        found["first_text_filter_us"] = round((time.perf_counter() - start) * 1e6)
        words = iter(f"word{number}" for number in range(9))
        found["contains_filter_us"] = micros(lambda: c.count(drift.col("summary").contains(next(words))), 9)
        cursor, rows = None, 0
        start = time.perf_counter()
        while rows < 20_000:
            page = c.scroll(limit=1_000, cursor=cursor)
            rows, cursor = rows + len(page.ids), page.cursor
        found["scroll_us_a_row"] = round((time.perf_counter() - start) / rows * 1e6, 1)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Parquet file with the columns id and embedding")
    parser.add_argument("--metadata", nargs="+", default=["name", "month", "summary"], help="columns of metadata")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given.data, given.metadata, Path(folder), given.seed)
    for name, value in found.items():
        print(f"{name:32} {value:,}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
