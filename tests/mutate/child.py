"""The process that opens mutated databases: whatever it meets must be an error of drift, never its end.

Reads from stdin one line of JSON per database (path, mode); after each it writes ``done`` and its peak memory in KiB.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

import drift
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from drift._types import Recovery

# Address space of the process: a length that was believed without a check ends here, not in the machine's swap.
ADDRESS_BYTES_MAX = 8 << 30


def use(path: str, mode: str) -> tuple[list[str], str]:
    """Open and ask everything; the kinds of the errors and problems, and a digest of all rows."""
    errors: list[str] = []
    content = hashlib.sha256()

    def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except drift.DriftError as error:
            errors.append(type(error).__name__)
            return None

    recovery: Recovery = "salvage" if mode == "salvage" else "strict"
    db = attempt(drift.connect, path, durability="os", read_only=mode == "read", recovery=recovery)
    if db is None:
        return errors, ""
    with db:
        for name in sorted(db.list_collections()):
            c = attempt(db.open_collection, name)
            if c is None:
                continue
            report = attempt(c.verify, repair=mode == "write")
            if report is not None and (report["problems"] or report["repaired"]):
                errors.append("problem")
            ids = attempt(c.ids)
            if ids is not None:
                rows = attempt(c.get, sorted(ids.tolist()), include=True)
                if rows is not None:
                    content.update(repr((name, rows.ids.tolist(), rows.metadata)).encode() + rows.vectors.tobytes())
            query = np.ones((2, c.dim), np.float32)
            for exact in (True, False):
                attempt(c.search, query, k=10, exact=exact)
            if mode != "read":
                attempt(c.upsert, [10**6] if c.id_type == "int" else ["new"], np.ones((1, c.dim), np.float32))
                attempt(c.flush)
                attempt(c.optimize)
            c.stats()
        if db.given_up:
            errors.append("given up")
    return errors, content.hexdigest()


def main() -> None:
    """Serve until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        orders = json.loads(line)
        errors, content = use(orders["path"], orders["mode"])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(1, (json.dumps({"errors": errors, "content": content, "peak": peak}) + "\n").encode())


if __name__ == "__main__":
    main()
