"""``python -m benches.run --data rows.parquet``: build, memory, recall and speed of drift and its peers, side by side.

Each engine runs in a process of its own, one after the other in the order given, with the same threads. Prints one
table; writes it with all points to ``<out>/search.json`` and a plot to ``<out>/search.png``. Only ratios between
engines of one run count: the same binary differs by a fifth between minutes on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benches import data, report
from benches.engines import ENGINES
from benches.measure import Outcome, Point

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "examples/data/packages_5k.parquet", help="Parquet file")
    parser.add_argument("--vector", default="embedding", help="name of the vector column")
    parser.add_argument("--rows", type=int, help="use only this many rows, chosen by the seed")
    parser.add_argument("--queries", type=int, default=1_000, help="rows held out as queries")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--threads", type=int, default=2, help="threads of builds and of batch searches")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each point, after three passes")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DRIFT_SEED", "1")), help="default: DRIFT_SEED")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "target/benches", help="folder for search.json and search.png"
    )
    return parser.parse_args()


def environment(threads: int) -> dict[str, str]:
    """One thread for libraries that read their number from the environment, unless the engine sets its own."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}


def measure_engine(name: str, folder: Path, options: argparse.Namespace) -> Outcome | None:
    """Run one worker and return its figures; none (and a message) if it failed."""
    print(f"{name}:", flush=True)
    target = folder / f"{name}.json"
    command = [
        sys.executable,
        "-m",
        "benches.worker",
        name,
        str(folder),
        str(options.threads),
        str(options.seconds),
        str(target),
    ]
    env = {**environment(options.threads), "BENCH_VECTOR": options.vector}
    done = subprocess.run(command, cwd=ROOT, env=env, check=False)  # noqa: S603 - our own worker
    if done.returncode != 0:
        print(f"  {name} FAILED; the table is without it", flush=True)
        return None
    raw = json.loads(target.read_text())
    return Outcome(**{**raw, "points": [Point(**point) for point in raw["points"]]})


def main() -> int:
    """Run everything; 1 if an engine failed."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drift-bench-", dir=options.out) as scratch:
        folder = Path(scratch)
        workload = data.prepare(
            options.data,
            folder,
            queries=options.queries,
            seed=options.seed,
            vector=options.vector,
            rows_max=options.rows,
        )
        title = f"{options.data.name}: {workload.rows:,} x {workload.dim}, {workload.queries:,} queries, k {data.K}"
        print(f"{title}, seed {options.seed}, {platform.machine()}, {os.cpu_count()} cores", flush=True)
        found = [measure_engine(name, folder, options) for name in options.engines]
    outcomes = [outcome for outcome in found if outcome is not None]
    print(f"\n{report.table(outcomes, options.threads)}\n\n{report.ratios(outcomes)}")
    results = {
        "title": title,
        "seed": options.seed,
        "threads": options.threads,
        "engines": [o.as_json() for o in outcomes],
    }
    (options.out / "search.json").write_text(json.dumps(results, indent=1))
    report.plot(outcomes, options.out / "search.png", title)
    print(f"wrote {options.out / 'search.json'} and search.png")
    return int(len(outcomes) < len(found))


if __name__ == "__main__":
    sys.exit(main())
