"""``python -m tests.kill``: the kill test at length, for one durability mode or for both that promise to survive it."""

from __future__ import annotations

import argparse
import sys

from tests import oracle
from tests.kill import harness


def main() -> int:
    """Run and print the figures; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills per durability mode")
    parser.add_argument(
        "--durability", choices=["always", "interval", "os"], action="append", help="default: always, os"
    )
    parser.add_argument("--seed", type=int, default=oracle.run_seed(), help="default: DRIFT_SEED, or 1")
    parser.add_argument("--operations", action="store_true", help="kill at changes of files, each in turn; needs cc")
    arguments = parser.parse_args()
    failed = False
    for durability in arguments.durability or ["always", "os"]:
        figures = harness.run(arguments.kills, durability, arguments.seed, at_operations=arguments.operations)
        failed |= bool(figures.failures)
        print(
            f"DRIFT_SEED={arguments.seed} durability={durability}: {figures.kills} kills"
            f"{' at changes of files' if arguments.operations else ''} "
            f"({figures.kills_while_opening} while opening, {figures.kills_within_a_call} within a call), "
            f"{figures.acknowledged} operations acknowledged, "
            f"{figures.unacknowledged_kept} unacknowledged ones kept whole, {len(figures.failures)} failures"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
