"""One engine in a process of its own: builds, weighs, sweeps, and writes its figures as JSON.

Started by `benches.run`, with the standard output in a log file, for libraries that report there; progress goes to the
standard error. Baseline memory is taken after the engine's library has been imported and has answered on a few rows, so
that libraries and thread pools do not count as index. An engine that cannot run here writes why, and that is all.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from benches import data, measure
from benches.engines import ENGINES, Engine

if TYPE_CHECKING:
    from benches.engines import Setting, Sweep

WARM_ROWS = 1_000
RECALL_ENOUGH = 0.997
GAIN_LEAST = 0.0002
"""Three steps in a row that gain less recall have met the ceiling of an index; the rest of the sweep says nothing."""


def progress(text: str) -> None:
    """Print to whoever watches the run."""
    print(f"  {text}", file=sys.stderr, flush=True)


def warm(engine: type[Engine], folder: Path, threads: int) -> None:
    """Build and ask a small index, for its libraries, threads and code to be loaded."""
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch)
        queries = np.load(folder / "queries.npy")[:100]
        np.save(small / "rows.npy", np.load(folder / "rows.npy", mmap_mode="r")[:WARM_ROWS])
        np.save(small / "queries.npy", queries)
        batch = next(pq.ParquetFile(folder / "rows.parquet").iter_batches(batch_size=WARM_ROWS))
        with pq.ParquetWriter(small / "rows.parquet", batch.schema) as writer:
            writer.write_batch(batch)
        index = engine()
        index.convert(small)
        index.build(small, threads)
        index.set(engine.sweeps[0][0])
        index.set_threads(threads)
        index.batch(queries)
        index.set_threads(1)
        index.one(queries[0])
        index.close()
        for left in small.glob("drift-*"):
            shutil.rmtree(left)


def ask_one_by_one(index: Engine, queries: data.F32) -> None:
    """All queries, one call each."""
    for query in queries:
        index.one(query)


def point(index: Engine, setting: Setting, folder: Path, threads: int, seconds: float) -> measure.Point:
    """Return the figures at one setting."""
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    index.set(setting)
    index.set_threads(threads)
    before = index.counters()
    recall = data.recall(index.batch(queries), truth)
    spent = {key: (value - before[key]) / len(queries) for key, value in index.counters().items()}
    batch = measure.median_rate(lambda: index.batch(queries), len(queries), seconds)
    index.set_threads(1)
    one = measure.median_rate(lambda: ask_one_by_one(index, queries), len(queries), seconds)
    counted = {key: share for key, share in spent.items() if share > 0 and key != "queries"}
    return measure.Point(setting, recall, one, batch, counted)


def sweep(index: Engine, settings: Sweep, folder: Path, threads: int, seconds: float) -> list[measure.Point]:
    """Return the figures along one sweep, up to the recall that is enough or that the index can reach."""
    points: list[measure.Point] = []
    for setting in settings:
        points.append(point(index, setting, folder, threads, seconds))
        last = points[-1]
        named = ", ".join(f"{key} {value:g}" for key, value in setting.items())
        counted = "".join(f", {key} {value:,.1f}" for key, value in last.counters.items())
        progress(
            f"{named}: recall {last.recall:.4f}, {last.one_qps:,.0f} q/s, batch {last.batch_qps:,.0f} q/s{counted}"
        )
        at_ceiling = len(points) > 3 and last.recall - points[-4].recall < GAIN_LEAST
        if last.recall >= RECALL_ENOUGH or at_ceiling:
            break
    return points


def measured(key: str, folder: Path, threads: int, seconds: float) -> measure.Outcome:
    """Build the engine's index and measure it."""
    engine = ENGINES[key]
    warm(engine, folder, threads)
    index = engine()
    index.convert(folder)
    before = measure.resident_mb()
    start = time.perf_counter()
    index.build(folder, threads)
    build_seconds = time.perf_counter() - start
    memory_mb = measure.resident_mb() - before
    rows = len(np.load(folder / "rows.npy", mmap_mode="r"))
    progress(f"built in {build_seconds:.1f} s ({rows / build_seconds:,.0f} rows/s), {memory_mb:,.0f} MB")
    points = [found for settings in index.sweeps for found in sweep(index, settings, folder, threads, seconds)]
    return measure.Outcome(key, engine.name, engine.version(), index.describe(), rows, build_seconds, memory_mb, points)


def main() -> None:
    """Run one engine: ``worker <engine> <folder> <threads> <seconds> <target file>``."""
    key, folder, threads, seconds, target = sys.argv[1:]
    reason = ENGINES[key].unavailable()
    result = (
        {"unavailable": reason}
        if reason is not None
        else measured(key, Path(folder), int(threads), float(seconds)).as_json()
    )
    Path(target).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
