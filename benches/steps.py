"""``python -m benches.steps results.json ...``: how recall and work hold over the steps of simulated workloads.

For each run of drift made with ``--optimize-at-end``, sorted by recall asked, seed and workload: the lowest, mean and
standard deviation of the steps' mean recall, what `health()` told at the end less the mean truth of the steps, and the
codes scanned per query divided by those of a new index of the same rows, with the recall of both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np


def row(run: dict[str, Any]) -> list[str]:
    """Return the cells of one run."""
    steps = np.array([record["recall"] for record in run["records"]])
    told = [record["gauges"]["health_recall"] for record in run["records"] if "health_recall" in record["gauges"]]
    fresh = run["fresh"]
    return [
        f"{run['settings']['recall']:g}",
        str(run["workload"]["seed"]),
        run["workload"]["name"],
        f"{steps.min():.3f}",
        f"{steps.mean():.3f}",
        f"{steps.std():.4f}",
        f"{told[-1] - steps.mean():+.4f}" if told else "-",
        f"{fresh['fresh_ratio']:.3f} ({fresh['recall']:.3f}, {fresh['fresh_recall']:.3f})",
    ]


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="results.json")
    runs = [run for file in parser.parse_args().files for run in json.loads(file.read_text())["runs"]]
    print("| asked | seed | workload | lowest step | mean | sd over steps | told, less the truth | codes, of fresh |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for cells in sorted(row(run) for run in runs if run["engine"] == "drift"):
        print(f"| {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
