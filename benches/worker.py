"""One engine in a process of its own: builds, weighs, sweeps, and writes its figures as JSON.

Started by `benches.run`. Baseline memory is taken after the engine's library has been imported and has answered on a
few rows, so that libraries and thread pools do not count as index.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benches import data, measure
from benches.engines import ENGINES, Engine

WARM_ROWS = 1_000
RECALL_ENOUGH = 0.997


def warm(engine: type[Engine], folder: Path, threads: int) -> None:
    """Build and ask a small index, for its libraries, threads and code to be loaded."""
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch)
        queries = np.load(folder / "queries.npy")[:100]
        rows = np.load(folder / "rows.npy", mmap_mode="r")[:WARM_ROWS]
        np.save(small / "rows.npy", rows)
        np.save(small / "queries.npy", queries)
        import pyarrow.parquet as pq

        reader = pq.ParquetFile(folder / "rows.parquet").iter_batches(batch_size=WARM_ROWS)
        batch = next(reader)
        with pq.ParquetWriter(small / "rows.parquet", batch.schema) as writer:
            writer.write_batch(batch)
        index = engine()
        index.build(small, threads)
        index.set_effort(engine.efforts[0])
        index.batch(queries, threads)
        index.one(queries[0])
        for left in small.glob("drift-*"):
            shutil.rmtree(left)


def ask_one_by_one(index: Engine, queries: data.F32) -> None:
    """All queries, one call each."""
    for query in queries:
        index.one(query)


def sweep(index: Engine, folder: Path, threads: int, seconds: float) -> list[measure.Point]:
    """Return the figures at each effort, up to the recall that is enough."""
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    points: list[measure.Point] = []
    for effort in index.efforts:
        index.set_effort(effort)
        recall = data.recall(index.batch(queries, threads), truth)
        index.batch(queries[:10], 1)
        one = measure.median_rate(lambda: ask_one_by_one(index, queries), len(queries), seconds)
        batch = measure.median_rate(lambda: index.batch(queries, threads), len(queries), seconds)
        points.append(measure.Point(effort, recall, one, batch))
        print(
            f"  {index.effort_name} {effort:g}: recall {recall:.4f}, {one:,.0f} q/s, batch {batch:,.0f} q/s", flush=True
        )
        if recall >= RECALL_ENOUGH:
            break
    return points


def main() -> None:
    """Run one engine: ``worker <engine> <folder> <threads> <seconds> <target file>``."""
    name, folder, threads, seconds, target = (
        sys.argv[1],
        Path(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
        sys.argv[5],
    )
    engine = ENGINES[name]
    warm(engine, folder, threads)
    before = measure.resident_mb()
    index = engine()
    start = time.perf_counter()
    index.build(folder, threads)
    build_seconds = time.perf_counter() - start
    memory_mb = measure.resident_mb() - before
    rows = len(np.load(folder / "rows.npy", mmap_mode="r"))
    print(f"  built in {build_seconds:.1f} s ({rows / build_seconds:,.0f} rows/s), {memory_mb:,.0f} MB", flush=True)
    points = sweep(index, folder, threads, seconds)
    outcome = measure.Outcome(engine.name, index.describe(), engine.effort_name, rows, build_seconds, memory_mb, points)
    Path(target).write_text(json.dumps(outcome.as_json()))


if __name__ == "__main__":
    main()
