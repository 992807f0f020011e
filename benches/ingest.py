"""``python -m benches.ingest``: rows per second of bursts, upserts, replacements, deletes and flushes, per durability.

Batches of 1,000 rows by default, one writer thread, rows of a Parquet file. A burst is 10,000 rows in an empty
database, which no flush meets; the median of eight counts. The figure of a phase is rows divided by the time of its
calls alone. A write counts once it is acknowledged and searchable; jobs run as they would in use. Figures under
`always` depend on the disk: the time of a 4 KiB fdatasync in the same folder is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
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
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
BURST_ROWS = 10_000
BURSTS = 8


def fdatasync_ms(folder: Path) -> float:
    """Median time of a 4 KiB append and fdatasync, milliseconds."""
    times: list[float] = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(50):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def rate(call: Callable[[Sequence[Any]], object], batches: Sequence[Sequence[Any]], rows: int) -> float:
    """Rows per second of calling ``call`` on every batch."""
    start = time.perf_counter()
    for batch in batches:
        call(batch)
    return rows / (time.perf_counter() - start)


def burst(folder: Path, rows: data.F32, batch: int, durability: Any) -> float:
    """Rows per second of the first rows of an empty database."""
    pairs = [(np.arange(at, min(at + batch, len(rows))), rows[at : at + batch]) for at in range(0, len(rows), batch)]
    with drift.connect(folder, durability=durability) as db:
        c = db.create_collection("rows", dim=rows.shape[1], metric="cosine")
        return rate(lambda pair: c.upsert(*pair), pairs, len(rows))


def measure(folder: Path, rows: data.F32, batch: int, durability: Any, seed: int) -> dict[str, float]:
    """Return the figures of one durability mode."""
    random = np.random.default_rng(seed)
    ids = random.permutation(len(rows))
    pairs = [(ids[at : at + batch], rows[at : at + batch]) for at in range(0, len(rows), batch)]
    with drift.connect(folder / durability, durability=durability) as db:
        c = db.create_collection("rows", dim=rows.shape[1], metric="cosine")
        figures = {"upsert": rate(lambda pair: c.upsert(*pair), pairs, len(rows))}
        start = time.perf_counter()
        c.flush()
        figures["flush_seconds"] = time.perf_counter() - start
        tenth = pairs[: max(1, len(pairs) // 10)]
        count = sum(len(pair[0]) for pair in tenth)
        figures["replace"] = rate(lambda pair: c.upsert(*pair), tenth, count)
        figures["delete"] = rate(lambda pair: c.delete(pair[0]), tenth, count)
        if len(c) != len(rows) - count:
            raise AssertionError(f"{len(c)} rows are left of {len(rows)} less {count}")
    return figures


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benches.ingest", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "examples/data/packages_5k.parquet", help="Parquet file")
    parser.add_argument("--vector", default="embedding", help="name of the vector column")
    parser.add_argument("--batch", type=int, default=1_000, help="rows of one call")
    parser.add_argument("--durability", nargs="+", default=["os", "always"], help="modes, in this order")
    parser.add_argument("--folder", type=Path, default=ROOT / "target/benches", help="where the databases are made")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DRIFT_SEED", "1")), help="default: DRIFT_SEED")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = data.normalised(data.read_vectors(pq.read_table(options.data, columns=[options.vector]), options.vector))
    print(f"{options.data.name}: {len(rows):,} x {rows.shape[1]}, batches of {options.batch:,}, seed {options.seed}")
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="drift-ingest-", dir=options.folder) as scratch:
        print(f"fdatasync of 4 KiB: {fdatasync_ms(Path(scratch)):.2f} ms")
        print("| durability | burst rows/s | upsert rows/s | replace rows/s | delete rows/s | flush s |")
        print("|---|---|---|---|---|---|")
        for durability in options.durability:
            found = measure(Path(scratch), rows, options.batch, durability, options.seed)
            folders = [Path(scratch) / f"burst-{durability}-{number}" for number in range(BURSTS)]
            bursts = [burst(folder, rows[:BURST_ROWS], options.batch, durability) for folder in folders]
            results[durability] = {"burst": statistics.median(bursts), **found}
            rates = (f"{results[durability][key]:,.0f}" for key in ("burst", "upsert", "replace", "delete"))
            print(f"| {durability} | {' | '.join(rates)} | {found['flush_seconds']:.2f} |", flush=True)
    (options.folder / "ingest.json").write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
