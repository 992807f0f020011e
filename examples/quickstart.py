"""The main job of drift on real data: create, load, search by example, restart the process, search again.

5,000 Python packages, each with the embedding of its one-line summary. ``python examples/quickstart.py`` loads them and
searches, then starts itself anew with ``--again``, which finds everything where it was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import drift
import numpy as np
import pyarrow.parquet as pq

SAMPLE = Path(__file__).resolve().parent / "data" / "packages_5k.parquet"


def names_of() -> dict[int, str]:
    """Names and summaries by id: what the vectors stand for; drift itself keeps ids and vectors."""
    table = pq.read_table(SAMPLE, columns=["id", "name", "summary"]).to_pydict()
    rows = zip(table["id"], table["name"], table["summary"], strict=True)
    return {id_: f"{name:<28.28} {summary:.60}" for id_, name, summary in rows}


def search(packages: drift.Collection, names: dict[int, str]) -> None:
    """Take a few packages as examples and print what is near them."""
    examples = packages.get(np.array(list(names))[[7, 1234, 4321]])
    result = packages.search(examples.vectors, k=5)
    for example, hits in zip(examples.ids.tolist(), result.to_list(), strict=True):
        print(f"\nlike {names[example]}")
        for hit in hits:
            if hit["id"] != example:
                print(f"  {hit['distance']:.3f}  {names[hit['id']]}")


def recall(packages: drift.Collection) -> float:
    """Share of the exact ten nearest that a default search finds, over 200 rows."""
    queries = packages.get(packages.ids()[:200]).vectors
    found = packages.search(queries).ids
    exact = packages.search(queries, exact=True).ids
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact, strict=True)]))


def first(path: Path) -> None:
    """Create the database, load the sample, search, and delete a row."""
    with drift.connect(path) as db:
        packages = db.create_collection("packages", dim=384, metric="cosine")
        report = packages.load(SAMPLE)
        print(f"loaded {report['rows']:,} rows in {report['seconds']:.2f} s: {packages!r}")
        search(packages, names_of())
        print(f"\nrecall@10 of the default search: {recall(packages):.3f}")
        removed = packages.ids()[-1:]
        packages.delete(removed)
        print(f"deleted package {removed[0]}; {len(packages):,} rows are left")


def again(path: Path) -> None:
    """Show what a new process finds."""
    with drift.connect(path) as db:
        packages = db["packages"]
        print(f"\nafter a restart: {packages!r}")
        search(packages, names_of())
        problems = packages.verify()["problems"]
        print(f"\nverify: {problems or 'every byte is sound'}")


def main() -> None:
    """Run the first part here and the second one in a new process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, help="where to keep the database (default: a temporary folder)")
    parser.add_argument("--again", action="store_true", help="only open what is there and search it")
    arguments = parser.parse_args()
    if arguments.again and arguments.path:
        again(arguments.path)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.path or Path(scratch) / "packages.db"
        first(path)
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, str(path), "--again"], check=True)  # noqa: S603 - this very file


if __name__ == "__main__":
    main()
