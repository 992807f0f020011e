"""Processes and threads: the lock, forks, many threads on one handle, and settings from the environment."""

from __future__ import annotations

import os
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import drift
import pytest

from tests import oracle
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 8


def run(python: str, code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run ``code`` in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [python, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


OPEN = """
    import sys, drift
    try:
        drift.connect(sys.argv[1]).close()
        print("opened")
    except drift.DriftError as error:
        print(type(error).__name__, error)
"""


def test_a_second_open_is_locked_out(path: str, python: str) -> None:
    with drift.connect(path):
        with pytest.raises(drift.LockedError, match=Path(path).name):
            drift.connect(path)
        assert run(python, OPEN, path).startswith("LockedError")
    assert run(python, OPEN, path) == "opened"
    drift.connect(path).close()


def test_the_lock_ends_with_its_process(path: str, python: str) -> None:
    run(python, "import os, sys, drift; db = drift.connect(sys.argv[1]); os._exit(0)", path)
    drift.connect(path).close()


def test_a_database_left_open_does_not_hang_or_spoil_the_interpreters_exit(path: str, python: str) -> None:
    code = """
        import sys, drift
        db = drift.connect(sys.argv[1])
        c = db.create_collection("docs", dim=2)
        c.upsert([1, 2], [[1, 0], [0, 1]])
        print("done")
    """
    assert run(python, code, path) == "done"
    with drift.connect(path) as db:
        assert oracle.ids_of(db["docs"]) == [1, 2]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_fork_error_at_once_and_the_parent_goes_on(path: str) -> None:
    with drift.connect(path) as db:
        c = db.create_collection("docs", dim=2, metric="l2")
        c.upsert([1], [[1, 0]])
        calls: list[Callable[[], object]] = [
            lambda: c.search([1, 0], k=1),
            lambda: c.upsert([2], [[1, 0]]),
            lambda: c.get([1]),
            lambda: len(c),
            lambda: c.flush(),
            lambda: db.list_collections(),
        ]
        child = os.fork()
        if child == 0:
            failed = 0
            for call in calls:
                try:
                    call()
                    failed += 1
                except drift.ForkError:
                    pass
                except BaseException:
                    failed += 1
            os._exit(failed)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        c.upsert([3], [[0, 1]])
        assert oracle.ids_of(c) == [1, 3]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_lock_ends_with_close_though_a_forked_child_lives_on(path: str, python: str) -> None:
    db = drift.connect(path)
    db.create_collection("docs", dim=2)
    to_child, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.read(to_child, 1)
        os._exit(0)
    os.close(to_child)
    try:
        db.close()
        with drift.connect(path) as again:
            assert again.list_collections() == ["docs"]
            assert run(python, OPEN, path).startswith("LockedError")
        assert run(python, OPEN, path) == "opened"
    finally:
        os.close(end)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_that_gives_up_its_handle_leaves_the_lock_to_its_parent(path: str, python: str) -> None:
    code = """
        import os, subprocess, sys, drift
        db = drift.connect(sys.argv[1])
        child = os.fork()
        if child == 0:
            del db
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print(subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], capture_output=True, text=True).stdout)
    """
    assert run(python, code, path, textwrap.dedent(OPEN)).startswith("LockedError")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_can_open_another_database(path: str, tmp_path: Path) -> None:
    with drift.connect(path) as db:
        db.create_collection("docs", dim=2)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with drift.connect(tmp_path / "child") as own:
                    own.create_collection("docs", dim=2).upsert([1], [[1, 0]])
                    code = 0 if len(own["docs"]) == 1 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_one_handle_serves_many_threads(docs: drift.Collection) -> None:
    rows = oracle.vectors(800, DIM, 20)

    def work(thread: int) -> None:
        mine = list(range(thread * 100, thread * 100 + 100))
        for start in range(0, 100, 10):
            part = mine[start : start + 10]
            docs.add(part, rows[part])
            assert docs.search(rows[part[0]], k=1, exact=True).ids.tolist() == [part[0]], "an acknowledged row is found"
            assert docs.get(part).ids.tolist() == part
        assert docs.delete(mine[:50]) == 50

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    left = [id_ for id_ in range(800) if id_ % 100 >= 50]
    assert oracle.ids_of(docs) == left
    oracle.assert_exact(docs.search(rows[:9], k=20, exact=True), "l2", rows[:9], left, rows[left], 20)


def test_one_id_is_added_by_one_of_many_threads(docs: drift.Collection) -> None:
    def add(version: int) -> int:
        try:
            docs.add([5], oracle.vector_of([5], [version], DIM))
        except drift.AlreadyExistsError:
            return 0
        return version

    with ThreadPoolExecutor(8) as pool:
        winners = [version for version in pool.map(add, range(1, 33)) if version]
    assert len(winners) == 1
    assert (docs.get([5]).vectors == oracle.vector_of([5], winners, DIM)).all()


def test_an_unknown_drift_simd_is_refused_by_name(path: str, python: str) -> None:
    printed = run(python, OPEN, path, env={"DRIFT_SIMD": "abacus"})
    assert printed.startswith("InvalidArgumentError")
    assert "abacus" in printed
