"""``drift explain``: why a search goes as far as it does, from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import drift
from drift import _cli, _cli_rows

if TYPE_CHECKING:
    import argparse

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    command = _cli._command(
        commands,
        _explain,
        "explain",
        "explain how far a search goes, and why",
        "drift explain ./db packages --id 17 --recall 0.99",
    )
    _cli_rows.add_query(command, "explain a search")
    _cli_rows.add_filter(command, "search only rows that match it")
    _cli_rows.add_window(command)
    command.add_argument("--nprobe", metavar="N", type=int, help="scan so many buckets instead")
    command.add_argument("--target-confidence", metavar="C", type=float, help="stop at this confidence instead")
    command.add_argument("--routing", choices=["density", "geometric"], help="what estimates the confidence (density)")
    command.add_argument("--lambda", dest="lambda_", metavar="L", type=float, help="fall of likelihood with distance")
    command.add_argument("--tau", metavar="T", type=float, help="live rows at which a bucket counts for 63 %%")


def _explain(arguments: argparse.Namespace) -> int:
    with drift.connect(arguments.database, read_only=True) as db:
        c = db[arguments.collection]
        if arguments.id is not None:
            query = c.get(_cli._ids(c, [arguments.id])).vectors[0]
        else:
            query = np.asarray(_cli._read_vector(arguments.vector), dtype=np.float32)
        found = c.explain(
            query,
            arguments.k,
            recall=arguments.recall,
            filter=arguments.filter,
            **_cli_rows.window(arguments),
            nprobe=arguments.nprobe,
            target_confidence=arguments.target_confidence,
            routing=arguments.routing,
            lambda_=arguments.lambda_,
            tau=arguments.tau,
        )
    if arguments.json:
        return _cli._print_json(found.to_dict())
    sys.stdout.write(f"{found}\n")
    return 0
