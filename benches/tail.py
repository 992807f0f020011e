"""``python -m benches.tail --data rows.parquet``: search tails while rows come and go, and idle.

Half of the rows is loaded. Then phases of equal length take turns: *idle*, in which one thread searches and nothing
else runs, and *busy*, in which another thread inserts batches and deletes as many of the oldest rows, as fast as it
can or at a rate, and jobs run as the engine starts them. A disturbance of the machine so meets both. Prints a table.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
from drift.simulate.source import read

if TYPE_CHECKING:
    from drift import Collection

QUERIES = 1_000


class Writer:
    """Inserts batches and deletes the oldest rows until it is stopped; ids go on from one to the next."""

    def __init__(self, collection: Collection, rows: Any, live: int, batch: int, rate: float | None) -> None:
        self.collection = collection
        self.rows = rows
        self.at = live
        self.live = live
        self.batch = batch
        self.pause = 0.0 if rate is None else batch / rate

    def __enter__(self) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _run(self) -> None:
        while not self.stop.is_set():
            start = time.perf_counter()
            ids = np.arange(self.at, self.at + self.batch)
            first = self.at % (len(self.rows) - self.batch)
            # A view: copies made here would keep the interpreter's lock, which searches need.
            self.collection.add(ids, self.rows[first : first + self.batch])
            self.collection.delete(ids - self.live)
            self.at += self.batch
            self.stop.wait(max(0.0, self.pause - (time.perf_counter() - start)))


def phase(collection: Collection, queries: Any, seconds: float, recall: float) -> list[float]:
    """Search for so long; return the time of each call."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    at = 0
    while time.perf_counter() < end:
        start = time.perf_counter()
        collection.search(queries[at % len(queries)], recall=recall, threads=1)
        times.append(time.perf_counter() - start)
        at += 1
    return times


def settle(collection: Collection) -> None:
    """Do what is due."""
    collection.flush()
    while collection.maintenance.run_once():
        pass


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a Parquet or .npy file")
    parser.add_argument("--rows", type=int, help="use so many rows (all)")
    parser.add_argument("--rate", type=float, help="rows inserted, and deleted, per second (as fast as it goes)")
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--phases", type=int, default=4, help="of each kind (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a phase (%(default)s)")
    parser.add_argument("--durability", default="always")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    source = read(arguments.data, rows=arguments.rows, seed=arguments.seed, metric="cosine")
    order = np.random.default_rng(arguments.seed).permutation(len(source))
    queries, rows = source.vectors[order[:QUERIES]], source.vectors[order[QUERIES:]]
    live = len(rows) // 2
    times: dict[str, list[float]] = {"idle": [], "busy": []}
    with tempfile.TemporaryDirectory() as folder, drift.connect(folder, durability=arguments.durability) as db:
        c = db.create_collection("rows", rows.shape[1], source.metric)  # type: ignore[arg-type]
        c.load((np.arange(at, min(at + 1_000, live)), rows[at : min(at + 1_000, live)]) for at in range(0, live, 1_000))
        settle(c)
        phase(c, queries, 1.0, arguments.recall)
        writer = Writer(c, rows, live, arguments.batch, arguments.rate)
        for _ in range(arguments.phases):
            times["idle"] += phase(c, queries, arguments.seconds, arguments.recall)
            with writer:
                times["busy"] += phase(c, queries, arguments.seconds, arguments.recall)
            settle(c)
        health = c.health()
    print(
        f"{live:,} rows live; {writer.at - live:,} inserted and as many deleted; jobs: {len(health.jobs)}; {health!r}"
    )
    print("| phase | calls | q/s | p50 ms | p99 ms | p99.9 ms |")
    print("|---|---|---|---|---|---|")
    for name, values in times.items():
        p50, p99, p999 = np.quantile(values, [0.5, 0.99, 0.999]) * 1e3
        print(f"| {name} | {len(values):,} | {len(values) / sum(values):,.0f} | {p50:.3f} | {p99:.3f} | {p999:.3f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
