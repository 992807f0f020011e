"""``python -m benches.upkeep results.json ...``: simulated recall beside health's.

For each run of drift: the recall that `health()` told at each search step beside the truth of the step, and the bytes
that jobs wrote for each byte inserted. `health()` tells of the newest thousand measured queries, of earlier steps too,
so it is also set beside the mean truth of the steps that it has measured so far.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np


def summary(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the figures of one run, or None where nothing was measured."""
    records = [record for record in run["records"] if "health_recall" in record["gauges"]]
    if not records:
        return None
    truth = np.array([record["recall"] for record in records])
    told = np.array([record["gauges"]["health_recall"] for record in records])
    last = run["records"][-1]["gauges"]
    so_far = np.cumsum(truth) / np.arange(1, len(truth) + 1)
    return {
        "workload": run["workload"]["name"],
        "asked": run["settings"]["recall"],
        "truth, mean": float(truth.mean()),
        "told, mean": float(told.mean()),
        "told - truth, last": float(told[-1] - so_far[-1]),
        "largest of a step": float(np.abs(told - truth).max()),
        "moved / inserted": last["bytes_moved"] / max(1, last["bytes_inserted"]),
    }


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="FILE", nargs="+", type=Path, help="results.json of drift simulate")
    runs = [run for path in parser.parse_args().results for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
    lines = [line for run in runs if run["engine"] == "drift" and (line := summary(run)) is not None]
    if not lines:
        print("no run of drift has measured its recall")
        return 1
    print("| " + " | ".join(lines[0]) + " |")
    print("|" + "---|" * len(lines[0]))
    for line in lines:
        print(
            "| "
            + " | ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in line.values())
            + " |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
