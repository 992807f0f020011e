"""``python -m benches.large --rows 10000000``: load and search many rows that are made as they are read.

Rows are float16, of unit length, from clusters of very different sizes on fewer dimensions than they have, with noise.
True neighbours of the queries are found while rows are made; that time is told apart. Prints what it saw.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from typing import TYPE_CHECKING, Any

import drift
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 100_000
QUERIES = 1_000
K = 10
CLUSTERS, INNER = 20_000, 48


class Source:
    """Batches of rows, and the nearest of them to the queries so far."""

    def __init__(self, rows: int, dim: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rows = rows
        self.basis = rng.standard_normal((INNER, dim), dtype=np.float32)
        self.centres = rng.standard_normal((CLUSTERS, INNER), dtype=np.float32)
        weights = rng.pareto(1.2, CLUSTERS) + 0.2
        self.weights = weights / weights.sum()
        self.rng = np.random.default_rng(seed + 1)
        self.queries = self.draw(QUERIES, np.random.default_rng(seed + 2)).astype(np.float32)
        self.near = np.full((QUERIES, K), -9.0, np.float32)
        self.ids = np.zeros((QUERIES, K), np.int64)
        self.seconds = 0.0

    def draw(self, count: int, rng: np.random.Generator) -> Any:
        """Return so many rows."""
        cluster = rng.choice(CLUSTERS, count, p=self.weights)
        inner = self.centres[cluster] + 0.45 * rng.standard_normal((count, INNER), dtype=np.float32)
        rows = inner @ self.basis
        rows += 0.8 * rng.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows.astype(np.float16)

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Yield ids and rows."""
        for start in range(0, self.rows, BATCH):
            begun = time.perf_counter()
            rows = self.draw(min(BATCH, self.rows - start), self.rng)
            products = self.queries @ rows.astype(np.float32).T
            best = np.argpartition(-products, K, axis=1)[:, :K]
            near = np.concatenate([self.near, np.take_along_axis(products, best, 1)], axis=1)
            ids = np.concatenate([self.ids, best + start], axis=1)
            order = np.argsort(-near, axis=1)[:, :K]
            self.near, self.ids = np.take_along_axis(near, order, 1), np.take_along_axis(ids, order, 1)
            self.seconds += time.perf_counter() - begun
            yield np.arange(start, start + len(rows)), rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.9, 0.95, 0.99])
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    source = Source(arguments.rows, arguments.dim, arguments.seed)
    with tempfile.TemporaryDirectory() as folder, drift.connect(folder) as db:
        c = db.create_collection("rows", arguments.dim)
        begun = time.perf_counter()
        c.load(source.batches())
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        stats = c.stats()
        print(f"{arguments.rows:,} x {arguments.dim}: loaded in {seconds:.1f} s, {source.seconds:.1f} s making rows;")
        print(f"{stats['buckets']:,} buckets, {stats['memory_bytes'] / 2**30:.2f} GiB, at most {peak:.2f} GiB in all")
        c.maintenance.pause()
        for recall in arguments.recalls:
            found, times, before = 0, [], c.stats()["rows_scanned"]
            for query, truth in zip(source.queries, source.ids, strict=True):
                begun = time.perf_counter()
                ids = c.search(query, k=K, recall=recall).ids
                times.append(time.perf_counter() - begun)
                found += len(np.intersect1d(np.asarray(ids), truth))
            p50, p99 = np.quantile(times, [0.5, 0.99]) * 1e3
            codes = (c.stats()["rows_scanned"] - before) / QUERIES
            print(f"recall {recall}: {found / (QUERIES * K):.4f}, {codes:,.0f} codes, p50 {p50:.3f}, p99 {p99:.3f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
