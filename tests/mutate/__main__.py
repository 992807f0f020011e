"""``python -m tests.mutate``: opens mutated databases at length; ``--first`` goes on where an earlier run ended."""

from __future__ import annotations

import argparse
import os
import sys

from tests import oracle
from tests.mutate import harness

# A run is told of in parts, so that one that is ended can be gone on with.
PART = 1_000


def main() -> int:
    """Run and print the figures; 1 if a process crashed, hung or took too much memory."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="mutated databases (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (%(default)s)")
    parser.add_argument("--seed", type=int, default=oracle.run_seed(), help="default: DRIFT_SEED, or 1")
    parser.add_argument("--beside", type=int, default=2 * (os.cpu_count() or 1), help="databases at a time")
    arguments = parser.parse_args()
    failures = 0
    end = arguments.first + arguments.count
    for first in range(arguments.first, end, PART):
        figures = harness.run(min(PART, end - first), arguments.seed, first, beside=arguments.beside)
        failures += len(figures.failures)
        print(
            f"DRIFT_SEED={arguments.seed} --first {first}: {figures.mutated} mutated databases, "
            f"{figures.with_errors} with errors, {len(figures.failures)} crashes, hangs or excesses; "
            f"peak {figures.peak_kib >> 10} MiB, sound {figures.clean_kib >> 10} MiB",
            *figures.failures,
            sep="\n  ",
            flush=True,
        )
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
