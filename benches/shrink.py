"""``python -m benches.shrink --data rows.parquet``: what a search reads after a random part of the rows was deleted.

A database is bulk-loaded, a random share of its rows is deleted, and the jobs that are due are done. Before the
deletion, behind it and behind the jobs, held-out queries are searched at several ``recall=``; codes and buckets a query
come from the engine's own counters, and are told as asked and at a true recall, interpolated. Last, a database freshly
loaded with the rows that are left is searched the same. Prints a table; writes it to ``<out>/shrink.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np

from benches import data

if TYPE_CHECKING:
    from drift import Collection

ROOT = Path(__file__).resolve().parent.parent
RECALLS = (0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
ASKED = 0.95
COUNTED = ("rows_scanned", "buckets_scanned")


def searched(collection: Collection, queries: data.F32, truth: data.I64, asked: float) -> list[float]:
    """Return the recall found, and codes, buckets and microseconds of processor time a query."""
    before, start = collection.stats(), time.thread_time()
    found = [collection.search(query, k=data.K, recall=asked, threads=1).ids for query in queries]
    spent, after = time.thread_time() - start, collection.stats()
    recall = data.recall(np.asarray(found, np.int64).reshape(len(queries), -1), truth)
    return [recall, *((after[key] - before[key]) / len(queries) for key in COUNTED), spent / len(queries) * 1e6]


def state(collection: Collection, queries: data.F32, truth: data.I64) -> dict[str, float]:
    """Return what searches of the collection read as it stands."""
    points = np.array([searched(collection, queries, truth, asked) for asked in RECALLS])
    missed = -np.log(np.maximum(1.0 - points[:, 0], 1e-9))
    order = np.argsort(missed)
    codes, buckets, micros = (
        float(np.exp(np.interp(-np.log(1.0 - ASKED), missed[order], np.log(points[order, at])))) for at in (1, 2, 3)
    )
    found, codes_asked = points[RECALLS.index(ASKED), :2]
    stats = collection.stats()
    figures = {"buckets": stats["buckets"], "found": found, "codes_asked": codes_asked}
    return {**figures, "codes_true": codes, "buckets_true": buckets, "microseconds_true": micros}


def measure(folder: Path, share: float, seed: int) -> dict[str, Any]:
    """Load, delete, do what is due, and compare."""
    rows, queries = np.load(folder / "rows.npy"), np.load(folder / "queries.npy")
    random = np.random.default_rng(seed)
    dead = np.sort(random.permutation(len(rows))[: int(share * len(rows))])
    left = np.setdiff1d(np.arange(len(rows)), dead)
    truth = left[data.true_neighbours(rows[left], queries, data.K)]
    results: dict[str, Any] = {}
    with drift.connect(folder / "db") as db:
        shrunk = db.create_collection("shrunk", dim=rows.shape[1], metric="cosine")
        shrunk.load([(np.arange(len(rows)), rows)])
        shrunk.maintenance.run_once()
        results["before"] = state(shrunk, queries, np.load(folder / "truth.npy"))
        for at in range(0, len(dead), 1_000):
            shrunk.delete(dead[at : at + 1_000])
        results["deleted"] = state(shrunk, queries, truth)
        results["jobs"] = [f"{job['job']}: {job['effect']}" for job in shrunk.maintenance.run_once()]
        results["after jobs"] = state(shrunk, queries, truth)
        fresh = db.create_collection("fresh", dim=rows.shape[1], metric="cosine")
        fresh.load([(left, rows[left])])
        fresh.maintenance.run_once()
        results["fresh"] = state(fresh, queries, truth)
    return results


def table(results: dict[str, Any]) -> None:
    """Print a line for each state, its codes beside those of before."""
    before = results["before"]
    print(f"| state | buckets | {ASKED} asked: found, codes, of before | at a true {ASKED}: codes, of before, us |")
    print("|---|---:|---|---|")
    for name, figures in results.items():
        if name != "jobs":
            asked, true = (figures[key] / before[key] for key in ("codes_asked", "codes_true"))
            print(
                f"| {name} | {figures['buckets']:,} "
                f"| {figures['found']:.4f}, {figures['codes_asked']:,.0f}, {asked:.2f} "
                f"| {figures['codes_true']:,.0f}, {true:.2f}, {figures['microseconds_true']:.1f} |"
            )


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benches.shrink", description=__doc__)
    data.add_arguments(parser)
    parser.add_argument("--share", type=float, default=0.5, help="share of the rows to delete")
    parser.add_argument("--out", type=Path, default=ROOT / "target/benches", help="folder for shrink.json")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drift-shrink-", dir=options.out) as scratch:
        workload = data.prepared(options, Path(scratch))
        print(
            f"{options.data.name}: {workload.rows:,} x {workload.dim}, {options.share:.0%} deleted, seed {options.seed}"
        )
        results = measure(Path(scratch), options.share, options.seed)
    table(results)
    (options.out / "shrink.json").write_text(json.dumps({"seed": options.seed, **results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
