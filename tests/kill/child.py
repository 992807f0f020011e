"""The process that gets killed: opens the database, then writes until it dies.

``python -m tests.kill.child`` imports what it needs, and then forks such a process for each line of orders from stdin
(JSON: path, durability, number of the life, seed, the model so far, the change of a file to die at). Lines on stdout:
``born <pid>``; ``open`` before the child opens the database, ``ready`` after, ``begin <operation>`` before each call,
``done <jobs>`` once the call returned and has done these; ``died <code>``, negative for a signal. A line is one
``os.write``, so none is ever half in the pipe.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import os
import sys
import threading  # noqa: F401
import traceback
from typing import Any

import drift
import numpy as np

# These, and threading above, are imported when they are first used, which otherwise each child would do anew.
import numpy.ma
import numpy.random

from tests import oracle
from tests.kill import plan


def tell(line: str) -> None:
    """Write one line to the parent."""
    os.write(1, (line + "\n").encode())


# Long before any run: rows that expire then are not there for readers.
PAST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def run(collection: drift.Collection, operation: plan.Operation) -> list[str]:
    """Perform one operation, and return the jobs that it did."""
    ids = list(operation.ids)
    vectors = oracle.vector_of(ids, [operation.version] * len(ids), plan.DIM)
    if operation.kind == "upsert":
        collection.upsert(ids, vectors)
    elif operation.kind == "lapse":
        collection.upsert(ids, vectors, expires=PAST)
    elif operation.kind == "add":
        collection.add(ids, vectors)
    elif operation.kind == "load":
        collection.load([(ids, vectors)])
    elif operation.kind == "delete":
        collection.delete(ids)
    elif operation.kind == "flush":
        collection.flush()
    elif operation.kind == "maintain":
        return [record["job"] for record in collection.maintenance.run_once()]
    else:
        collection.optimize()
    return []


def live(orders: dict[str, Any]) -> None:
    """Write until killed."""
    if orders["kill_at"] is not None:
        os.environ["DRIFT_KILL_AT"] = str(orders["kill_at"])
    model = {int(id_): version for id_, version in orders["model"].items()}
    random = np.random.default_rng(orders["seed"])
    version = orders["version"]
    life = plan.life_of(orders["life"])
    tell("open")
    db = drift.connect(orders["path"], durability=orders["durability"])
    collection = db.create_collection("docs", dim=plan.DIM, metric="l2", exist_ok=True)
    tell("ready")
    while True:
        version += 1
        operation = life.choose(random, model, version)
        tell("begin " + operation.line())
        jobs = run(collection, operation)
        tell("done " + " ".join(jobs))
        model = operation.apply(model)


def main() -> None:
    """Fork a child for each line of orders, and tell how it ended."""
    # Children share the pages of objects that their collections of garbage do not touch.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                live(json.loads(line))
            except BaseException:
                # Whatever it is, the parent must hear of it, and this process must not go on as the one that forks.
                traceback.print_exc()
            os._exit(1)
        tell(f"born {child}")
        tell(f"died {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    main()
