"""``python -m tests.kill``: the kill test at length, for one durability mode or for all that promise to survive it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests import oracle
from tests.kill import harness

# A run is told of in parts, so that one that is ended can be gone on with.
PART = 40 * harness.LIFE


def main() -> int:
    """Run and print the figures; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills per durability mode (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help=f"number of the first, a multiple of {harness.LIFE}")
    parser.add_argument("--durability", choices=["always", "interval", "os"], action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=oracle.run_seed(), help="default: DRIFT_SEED, or 1")
    parser.add_argument("--operations", action="store_true", help="kill at changes of files, each in turn; needs cc")
    parser.add_argument("--beside", type=int, default=2 * (os.cpu_count() or 1), help="databases at a time")
    parser.add_argument("--folder", type=Path, help="where databases are made; default: in memory, if possible")
    arguments = parser.parse_args()
    if arguments.first % harness.LIFE:
        parser.error(f"--first must be a multiple of {harness.LIFE}: a database goes on for so many kills")
    for durability in arguments.durability or ["always", "interval", "os"]:
        total, start = harness.Figures(), time.monotonic()
        for first in range(arguments.first, arguments.first + arguments.kills, PART):
            figures = harness.run(
                min(PART, arguments.first + arguments.kills - first),
                durability,
                arguments.seed,
                first=first,
                at_operations=arguments.operations,
                beside=arguments.beside,
                where=arguments.folder,
            )
            total.add(figures)
            print(
                f"DRIFT_SEED={arguments.seed} durability={durability} --first {arguments.first}: {total.kills} kills"
                f"{' at changes of files' if arguments.operations else ''} ({total.kills_while_opening} while opening, "
                f"{total.kills_within_a_call} within a call, of these {total.kills_within_a_job} in a load or job, "
                f"{total.kills_within_large_jobs} in maintenance of many rows; {total.retrained} times buckets were "
                f"defined anew, {total.expired} times expired rows deleted), "
                f"{total.acknowledged} operations acknowledged, {total.unacknowledged_kept} unacknowledged ones kept "
                f"whole, {len(total.failures)} failures; {total.kills / (time.monotonic() - start):.0f} kills a second",
                *figures.failures,
                sep="\n  ",
                flush=True,
            )
            if figures.failures:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
