"""``python -m tests.processes``: fork, spawn, threads, Ctrl-C and the end of the interpreter, at length."""

from __future__ import annotations

import argparse
import sys

from tests import oracle
from tests.processes import harness


def main() -> int:
    """Run and print the figures; 1 if anything hung or was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.processes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the round to go on with, where a run was ended")
    parser.add_argument("--seed", type=int, default=oracle.run_seed(), help="default: DRIFT_SEED, or 1")
    arguments = parser.parse_args()
    step = 2 * len(harness.SCENES)
    failed = 0
    for first in range(arguments.first, arguments.rounds, step):
        end = min(first + step, arguments.rounds)
        figures = harness.run(end, arguments.seed, first)
        failed += len(figures.failures)
        print(
            f"DRIFT_SEED={arguments.seed} rounds {first} to {end}: {figures.interrupted} interrupted, "
            f"{figures.acknowledged} rows acknowledged, {len(figures.failures)} failures",
            *figures.failures,
            sep="\n",
            flush=True,
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
