"""Filtered searches on the packages: results, recall and speed beside the unfiltered search, by the share that matches.

``python -m benches.filters ../shared/data/packages_200k.parquet``

Speeds are searches in a second of this thread's processor time, one query at a time; each round asks all filters in
turn, and the ratios are medians over the rounds, so that what else runs on the machine falls on all of them alike.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import drift
import numpy as np
import pyarrow.parquet as pq

SEED = 5
QUERIES = 1_000
TIMED = 300
ROUNDS = 9


def rate(c: drift.Collection, queries: Any, filter: Any) -> float:  # noqa: A002
    """Return searches per second, one query at a time, at recall .95."""
    for query in queries[:50]:
        c.search(query, filter=filter)
    start = time.thread_time()
    for query in queries[:TIMED]:
        c.search(query, filter=filter)
    return TIMED / (time.thread_time() - start)


def main(path: str) -> None:
    """Load all but some rows, which are the queries, and print a line for each filter."""
    table = pq.read_table(path)
    vectors = np.asarray(table["embedding"].combine_chunks().flatten()).reshape(table.num_rows, -1)
    random = np.random.default_rng(SEED)
    held_out = random.permutation(table.num_rows)[:QUERIES]
    rows = np.setdiff1d(np.arange(table.num_rows), held_out)
    queries = vectors[held_out].astype(np.float32)
    c = drift.connect("memory://filters").create_collection("c", dim=vectors.shape[1])
    uniform, month = random.random(len(rows)), table["month"].take(rows).to_pylist()
    c.load([(rows, vectors[rows], {"u": uniform, "month": month})])
    newest = sorted(month)[len(month) // 2]
    filters = {f"{share:.1%}": drift.col("u") < share for share in (0.5, 0.1, 0.01, 0.001)}
    filters[f"month >= {newest}"] = drift.col("month") >= newest
    rates = np.array([[rate(c, queries, one) for one in (None, *filters.values())] for _ in range(ROUNDS)])
    ratios = np.median(rates[:, 1:] / rates[:, :1], axis=0)
    print(f"unfiltered: {np.median(rates[:, 0]):,.0f} searches/s")
    for (name, condition), ratio in zip(filters.items(), ratios, strict=True):
        before = c.stats()["rows_scanned"]
        found = c.search(queries, filter=condition).ids
        codes = (c.stats()["rows_scanned"] - before) / QUERIES
        exact = c.search(queries, filter=condition, exact=True).ids
        matching = c.count(condition)
        assert (found >= 0).sum(axis=1).tolist() == [min(10, matching)] * QUERIES, "min(k, m) results"
        recall = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
        print(f"{name}: {matching:,} rows, recall {recall:.4f}, {codes:,.0f} codes, {ratio:.2f} of the unfiltered rate")


if __name__ == "__main__":
    main(sys.argv[1])
