"""``python -m benches.beside_load``: what a writer waits for beside a bulk load, and the jobs behind it.

One thread loads random rows, another writes batches at a steady rate from before the load until after it. Prints
the longest calls, and how long the load took.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time

import drift
import numpy as np


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows that are loaded (%(default)s)")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--batch", type=int, default=1_000, help="rows of a write (%(default)s)")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two writes (%(default)s)")
    parser.add_argument("--after", type=float, default=20.0, help="seconds to go on behind the load (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    loaded = random.standard_normal((arguments.rows, arguments.dim), dtype=np.float32)
    written = random.standard_normal((400 * arguments.batch, arguments.dim), dtype=np.float32)
    stop, times, failed = threading.Event(), [], []
    with tempfile.TemporaryDirectory() as folder, drift.connect(folder, durability="os") as db:
        c = db.create_collection("rows", arguments.dim, "l2")

        def write() -> None:
            at = 0
            while not stop.is_set():
                rows = written[at % len(written) :][: arguments.batch]
                start = time.perf_counter()
                try:
                    c.upsert(np.arange(at, at + arguments.batch) + arguments.rows, rows)
                except drift.DriftError as error:
                    failed.append(repr(error))
                times.append(time.perf_counter() - start)
                at += arguments.batch
                stop.wait(arguments.pause)

        writer = threading.Thread(target=write)
        writer.start()
        start = time.perf_counter()
        c.load([(np.arange(arguments.rows), loaded)])
        took = time.perf_counter() - start
        stop.wait(arguments.after)
        stop.set()
        writer.join()
    longest = ", ".join(f"{seconds:.2f}" for seconds in sorted(times)[-5:])
    print(f"load {took:.1f} s; {len(times)} writes, {np.median(times) * 1e3:.1f} ms the median, longest {longest} s")
    print("\n".join(failed) or "none failed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
