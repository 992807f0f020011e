"""``python -m benches.churn --data rows.parquet``: search after half of the rows were deleted and written again.

A database is bulk-loaded; a random half of its rows is deleted and upserted again under new ids, shuffled, in batches.
Jobs run as the engine starts them by itself. It is then compared with a database freshly loaded with the same rows: as
it stands when its jobs have come to rest, after `flush`, and after `optimize`. The two databases take turns, pass by
pass, so that a disturbance of the machine meets both. Prints tables; writes them to ``<out>/churn.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pyarrow.parquet as pq

from benches import data

if TYPE_CHECKING:
    from drift import Collection

ROOT = Path(__file__).resolve().parent.parent
PASSES = 9
REST_SECONDS = 2.0
"""Jobs are at rest when nothing that they change has changed for so long."""
REST_SECONDS_MAX = 120.0
REST_SIGNS = ("manifest", "segments", "buckets", "frozen_memtables", "memtable_rows", "flushes")


def churn(collection: Collection, vectors: Any, *, batch: int, seed: int) -> float:
    """Delete a random half and upsert it again, the row of id ``i`` as that of ``i + n``; return the seconds."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(vectors))[: len(vectors) // 2]
    start = time.perf_counter()
    for at in range(0, len(chosen), batch):
        collection.delete(chosen[at : at + batch])
    shuffled = random.permutation(chosen)
    for at in range(0, len(shuffled), batch):
        part = shuffled[at : at + batch]
        collection.upsert(part + len(vectors), vectors[part])
    return time.perf_counter() - start


def rest(collection: Collection) -> None:
    """Wait until jobs have stopped changing the collection."""
    end = time.perf_counter() + REST_SECONDS_MAX
    last: list[Any] = []
    while time.perf_counter() < end:
        stats = collection.stats()
        signs = [stats[key] for key in REST_SIGNS]
        if signs == last:
            return
        last = signs
        time.sleep(REST_SECONDS)
    raise TimeoutError(f"jobs are still at work after {REST_SECONDS_MAX} s")


def rate(collection: Collection, queries: data.F32, recall: float) -> float:
    """Return queries per second of one pass, one call and one thread each."""
    start = time.perf_counter()
    for query in queries:
        collection.search(query, k=data.K, recall=recall, threads=1)
    return len(queries) / (time.perf_counter() - start)


def compare(fresh: Collection, churned: Collection, folder: Path, asked: float) -> dict[str, float]:
    """Return the speeds and recalls of both collections at one ``recall=``."""
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    figures = {"asked": asked}
    pairs = (("fresh", fresh), ("churned", churned))
    rows = len(fresh)
    for name, collection in pairs:
        ids = np.asarray(collection.search(queries, k=data.K, recall=asked).ids, np.int64)
        figures[f"{name}_recall"] = data.recall(ids % rows, truth)
    rates = [[rate(collection, queries, asked) for _, collection in pairs] for _ in range(PASSES)]
    figures["fresh_qps"], figures["churned_qps"] = (statistics.median(column) for column in zip(*rates, strict=True))
    figures["ratio"] = figures["churned_qps"] / figures["fresh_qps"]
    return figures


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Load, churn and compare."""
    vectors = data.column(pq.read_table(folder / "rows.parquet"), data.VECTOR)
    raw = np.asarray(vectors.flatten()).reshape(len(vectors), -1)
    results: dict[str, Any] = {}
    with drift.connect(folder / "fresh") as one, drift.connect(folder / "churned") as other:
        fresh, churned = (db.create_collection("rows", dim=raw.shape[1], metric="cosine") for db in (one, other))
        fresh.load(folder / "rows.parquet", vector=data.VECTOR)
        churned.load(folder / "rows.parquet", vector=data.VECTOR)
        results["churn_seconds"] = churn(churned, raw, batch=options.batch, seed=options.seed)
        if len(churned) != len(fresh):
            raise AssertionError(f"{len(churned)} rows after the churn of {len(fresh)}")
        for state, step in (("as it stands", None), ("flushed", churned.flush), ("optimized", churned.optimize)):
            if step is not None:
                step()
            rest(churned)
            stats = churned.stats()
            shape = {key: stats[key] for key in ("memtable_rows", "segment_rows", "dead_rows", "segments", "buckets")}
            print(f"\n{state}: {', '.join(f'{key} {value:,}' for key, value in shape.items())}", flush=True)
            print("| recall= | fresh: found, q/s | churned: found, q/s | churned / fresh |\n|---|---|---|---|")
            points = [compare(fresh, churned, folder, asked) for asked in options.recalls]
            for p in points:
                print(
                    f"| {p['asked']:g} | {p['fresh_recall']:.4f}, {p['fresh_qps']:,.0f} "
                    f"| {p['churned_recall']:.4f}, {p['churned_qps']:,.0f} | {p['ratio']:.2f}x |",
                    flush=True,
                )
            results[state] = {"stats": shape, "points": points}
    return results


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benches.churn", description=__doc__)
    data.add_arguments(parser)
    parser.add_argument("--batch", type=int, default=1_000, help="rows of one delete or upsert")
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.9, 0.95, 0.99], help="recalls to ask for")
    parser.add_argument("--out", type=Path, default=ROOT / "target/benches", help="folder for churn.json")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drift-churn-", dir=options.out) as scratch:
        workload = data.prepared(options, Path(scratch))
        title = (
            f"{options.data.name}: {workload.rows:,} x {workload.dim}, half replaced in batches of {options.batch:,}"
        )
        print(f"{title}, seed {options.seed}", flush=True)
        results = measure(Path(scratch), options)
    (options.out / "churn.json").write_text(json.dumps({"title": title, "seed": options.seed, **results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
