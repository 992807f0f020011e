"""``drift bench``: load speed and searches per second at measured recall, on one's own rows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
from drift._cli import UsageError, _add_quiet, _print_json, _print_table, _wants_progress

if TYPE_CHECKING:
    from drift.bench.run import Result

__all__ = ["add_to"]

DESCRIPTION = """\
Measure drift on your own rows: how fast they load, and how many searches a second it answers at the recall that the
answers are measured to have. SOURCE is a .npy or Parquet file, of which some rows are held out as queries, or a
database, whose COLLECTION is searched as it is and not changed. Only figures of one run can be compared: the same
program differs by a fifth between minutes on a shared machine.
"""
EXAMPLES = """\
examples:
  drift bench packages.parquet --recall 0.9,0.95,0.99
  drift bench packages.parquet --rows 50000 --peers hnswlib,faiss-ivf --json
  drift bench ./db packages
"""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    command = commands.add_parser(
        "bench",
        help="measure load speed, and searches per second at measured recall",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_run)
    command.add_argument("source", metavar="SOURCE", help="a .npy or Parquet file, or a database")
    command.add_argument("collection", metavar="COLLECTION", nargs="?", help="collection of the database")
    command.add_argument("--json", action="store_true", help="print JSON for machines")
    _add_quiet(command)
    command.add_argument("-k", metavar="N", type=int, default=10, help="results per query (%(default)s)")
    command.add_argument(
        "--recall", metavar="LIST", default="0.9,0.95,0.99", help="targets, with commas between them (%(default)s)"
    )
    command.add_argument("--queries", metavar="N", type=int, default=1_000, help="queries (%(default)s)")
    command.add_argument(
        "--seconds", metavar="S", type=float, default=1.0, help="least time for each target (%(default)s)"
    )
    command.add_argument("--seed", type=int, default=0, help="what the choice of queries follows from (%(default)s)")
    file = command.add_argument_group("of a file")
    file.add_argument("--vector", metavar="COLUMN", default="embedding", help="column of the vectors (%(default)s)")
    file.add_argument("--rows", metavar="N", type=int, help="use so many rows (all)")
    file.add_argument("--metric", choices=["cosine", "l2", "dot"], default="cosine", help="distance (%(default)s)")
    file.add_argument(
        "--durability", choices=["always", "interval", "os", "none"], default="always", help="of drift (%(default)s)"
    )
    file.add_argument("--peers", metavar="LIST", default="", help="other engines beside it: drift simulate --list")


def _run(arguments: argparse.Namespace) -> int:
    from drift.bench.run import bench_collection, bench_source

    options = {
        "k": arguments.k,
        "queries": arguments.queries,
        "targets": _targets(arguments.recall),
        "seconds": arguments.seconds,
        "seed": arguments.seed,
        "progress": _wants_progress(arguments),
    }
    if Path(arguments.source).is_file():
        if arguments.collection is not None:
            raise UsageError(f"{arguments.source} is a file: COLLECTION belongs to a database")
        from drift.simulate.source import read

        source = read(
            arguments.source,
            vector=arguments.vector,
            rows=arguments.rows,
            seed=arguments.seed,
            metric=arguments.metric,
        )
        peers = [key.strip() for key in arguments.peers.split(",") if key.strip()]
        result = bench_source(source, peers=peers, durability=arguments.durability, **options)
    else:
        if arguments.collection is None:
            raise UsageError(
                f"{arguments.source} is no file: name a .npy or Parquet file, or a database and COLLECTION"
            )
        with drift.connect(arguments.source, read_only=True) as db:
            result = bench_collection(db[arguments.collection], **options)
    if arguments.json:
        return _print_json(result.to_dict())
    _print(result)
    return 0


def _targets(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--recall {text}: give numbers in (0, 1] with commas between them") from None


def _print(result: Result) -> None:
    sys.stdout.write(
        f"{result.source}: {result.rows:,} x {result.dim}, {result.metric}; {result.queries:,} queries, k {result.k}\n"
    )
    for load in result.loads:
        sys.stdout.write(f"{load.engine}: loaded in {load.seconds:.2f} s, {load.rows_per_second:,.0f} rows/s\n")
    columns = ["engine", "asked", "recall", "q/s", "p50 ms", "p99 ms", "q/s in a batch", "codes"]
    rows = [
        [
            line.engine,
            f"{line.target:g}",
            f"{line.recall:.4f}",
            f"{line.per_second:,.0f}",
            line.p50_ms,
            line.p99_ms,
            None if line.batch_per_second is None else f"{line.batch_per_second:,.0f}",
            None if line.codes is None else f"{line.codes:,.0f}",
        ]
        for line in result.lines
    ]
    _print_table(columns, rows)
    for key, reason in result.left_out.items():
        sys.stdout.write(f"left out: {key}: {reason}\n")
