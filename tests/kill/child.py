"""The process that gets killed: opens the database, then writes until it dies.

Reads its orders (path, durability, seed, the model so far) as one line of JSON from stdin. Writes lines to stdout:
``open`` before it opens, ``ready`` after, ``begin <operation>`` before each call and ``done`` once the call returned.
A line is one ``os.write``, so none is ever half in the pipe.
"""

from __future__ import annotations

import json
import os
import sys

import drift
import numpy as np

from tests import oracle
from tests.kill import plan


def tell(line: str) -> None:
    """Write one line to the parent."""
    os.write(1, (line + "\n").encode())


def run(collection: drift.Collection, operation: plan.Operation) -> None:
    """Perform one operation."""
    ids = list(operation.ids)
    vectors = oracle.vector_of(ids, [operation.version] * len(ids), plan.DIM)
    if operation.kind == "upsert":
        collection.upsert(ids, vectors)
    elif operation.kind == "add":
        collection.add(ids, vectors)
    elif operation.kind == "delete":
        collection.delete(ids)
    elif operation.kind == "flush":
        collection.flush()
    else:
        collection.optimize()


def main() -> None:
    """Write until killed."""
    orders = json.loads(sys.stdin.readline())
    model = {int(id_): version for id_, version in orders["model"].items()}
    random = np.random.default_rng(orders["seed"])
    version = orders["version"]
    tell("open")
    db = drift.connect(orders["path"], durability=orders["durability"])
    collection = db.create_collection("docs", dim=plan.DIM, metric="l2", exist_ok=True)
    tell("ready")
    while True:
        version += 1
        operation = plan.choose(random, model, version)
        tell("begin " + operation.line())
        run(collection, operation)
        tell("done")
        model = operation.apply(model)


if __name__ == "__main__":
    main()
