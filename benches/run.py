"""``python -m benches.run --data rows.parquet``: build, memory, recall and speed of drift and its peers, side by side.

Each engine runs in a process of its own, one after the other in the order given, with the same threads. Prints tables;
writes them with all points to ``<out>/search.json`` and a plot to ``<out>/search.png``. An engine that is not installed
or cannot run on this processor is named as such and left out. Only ratios between engines of one run count: the same
binary differs by a fifth between minutes on a shared machine.
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
from typing import TYPE_CHECKING, Any

from benches import data, report
from benches.engines import ENGINES
from benches.measure import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LOG_TAIL = 2_000
"""Characters of a failed engine's own output to show."""


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__)
    data.add_arguments(parser)
    parser.add_argument(
        "--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES), metavar="ENGINE", help=", ".join(ENGINES)
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of builds and of batch searches")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each figure, or three passes if longer")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "target/benches", help="folder for search.json and search.png"
    )
    return parser.parse_args()


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def measure_engine(key: str, folder: Path, options: argparse.Namespace) -> Outcome | str:
    """Run one worker and return its figures, or why there are none."""
    print(f"{key}:", file=sys.stderr, flush=True)
    target, log = folder / f"{key}.json", folder / f"{key}.log"
    command = [sys.executable, "-m", "benches.worker", key, str(folder)]
    command += [str(options.threads), str(options.seconds), str(target)]
    # The engine sets its own threads; BLAS would add its own to those of a build.
    env = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "OPENBLAS_NUM_THREADS": "1"}
    with log.open("w") as output:
        done = subprocess.run(  # noqa: S603 - our own worker
            command, cwd=ROOT, env={**env, **ENGINES[key].environment}, stdout=output, check=False
        )
    if done.returncode != 0:
        print(log.read_text(errors="replace")[-LOG_TAIL:], file=sys.stderr)
        return f"FAILED with exit code {done.returncode}"
    raw = json.loads(target.read_text())
    return str(raw["unavailable"]) if "unavailable" in raw else Outcome.of_json(raw)


def each(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Outcome | str]]:
    """Measure every engine, in order."""
    for key in options.engines:
        found = measure_engine(key, folder, options)
        if isinstance(found, str):
            print(f"  {found}", file=sys.stderr, flush=True)
        yield key, found


def main() -> int:
    """Run everything; 1 if an engine failed."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drift-bench-", dir=options.out) as scratch:
        folder = Path(scratch)
        workload = data.prepared(options, folder)
        title = f"{options.data.name}: {workload.rows:,} x {workload.dim}, {workload.queries:,} queries, k {data.K}"
        machine = f"{processor()}, {os.cpu_count()} cores"
        print(f"{title}, transform {options.transform}, seed {options.seed}, {machine}", flush=True)
        found = dict(each(options, folder))
    outcomes = [outcome for outcome in found.values() if isinstance(outcome, Outcome)]
    missing = {key: reason for key, reason in found.items() if isinstance(reason, str)}
    print(f"\n{report.text(outcomes, missing, options.threads)}")
    results: dict[str, Any] = {
        "title": title,
        "machine": machine,
        "command": sys.argv[1:],
        "transform": options.transform,
        "seed": options.seed,
        "threads": options.threads,
        "engines": [outcome.as_json() for outcome in outcomes],
        "unavailable": missing,
        "ratios": report.ratios(outcomes),
    }
    (options.out / "search.json").write_text(json.dumps(results, indent=1))
    report.plot(outcomes, options.out / "search.png", title, options.threads)
    print(f"\nwrote {options.out / 'search.json'} and search.png")
    return int(any(reason.startswith("FAILED") for reason in missing.values()))


if __name__ == "__main__":
    sys.exit(main())
