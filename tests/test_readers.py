"""Readers beside one writer, each in a process of its own: what they see, when, and what the writer may delete.

A child process opens the database with ``read_only=True`` and answers questions over a pipe. Rows follow from their
id and version, so a reader's answer shows which write it has seen last.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

DIM = 10
QUERIES = oracle.vectors(4, DIM, 80)
SPAWN = multiprocessing.get_context("spawn")


def contents(c: drift.Collection) -> tuple[list[Any], oracle.F32, list[str]]:
    """Ids, vectors and problems; the exact search is checked against them here."""
    ids = oracle.ids_of(c)
    rows = c.get(ids).vectors
    assert len(c) == len(ids)
    oracle.assert_exact(c.search(QUERIES, k=7, exact=True), "l2", QUERIES, ids, rows, 7)
    found = c.search(QUERIES, k=7).ids
    assert set(found[found >= 0].tolist()) <= set(ids)
    return ids, rows, oracle.problems(c)


QUESTIONS: dict[str, Callable[[drift.Database], Any]] = {
    "contents": lambda db: contents(db["docs"]),
    "names": lambda db: db.list_collections(),
    "refresh": lambda db: db.refresh(),
    "refresh collection": lambda db: db["docs"].refresh(),
    "write": lambda db: db["docs"].upsert([1], np.ones((1, DIM))),
    "stats": lambda db: db["docs"].stats(),
}


def reader(path: str, pipe: Connection) -> None:
    """Answer questions about a database until the pipe closes."""
    with drift.connect(path, read_only=True) as db:
        pipe.send(("ready", len(db["docs"])))
        while True:
            try:
                question = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send(("ok", QUESTIONS[question](db)))
            except drift.DriftError as error:
                pipe.send((type(error).__name__, str(error)))


class Reader:
    """A reader in another process."""

    def __init__(self, path: str) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=reader, args=(path, theirs))
        self.process.start()
        theirs.close()
        assert self.pipe.recv()[0] == "ready"

    def ask(self, question: str) -> Any:
        """Return the answer; a refusal is an assertion."""
        kind, answer = self.raw(question)
        assert kind == "ok", answer
        return answer

    def raw(self, question: str) -> tuple[str, Any]:
        """Return the kind of the answer and the answer."""
        self.pipe.send(question)
        kind, answer = self.pipe.recv()
        return kind, answer

    def check(self, versions: dict[int, int]) -> None:
        """Fail unless the reader sees these versions of these ids, and nothing else."""
        ids, rows, problems = self.ask("contents")
        assert ids == sorted(versions)
        np.testing.assert_array_equal(rows, oracle.vector_of(ids, [versions[id_] for id_ in ids], DIM))
        assert problems == []

    def end(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(60)
        assert self.process.exitcode == 0


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return an empty collection that is open for writing."""
    return db.create_collection("docs", dim=DIM, metric="l2")


@pytest.fixture
def read(path: str, c: drift.Collection) -> Iterator[Reader]:
    """Yield a reader in another process, opened on 50 rows of which some are flushed."""
    write(c, range(40))
    c.flush()
    write(c, range(30, 50))
    found = Reader(path)
    yield found
    found.end()


def write(c: drift.Collection, ids: range, version: int = 1) -> None:
    """Write rows that follow from their id and version."""
    c.upsert(ids, oracle.vector_of(ids, [version] * len(ids), DIM))


def test_a_reader_sees_what_was_acknowledged_flushed_or_not_and_more_after_a_refresh(
    c: drift.Collection, read: Reader
) -> None:
    versions = dict.fromkeys(range(50), 1)
    read.check(versions)
    assert read.ask("refresh") is False
    steps: list[tuple[Callable[[], object], dict[int, int]]] = [
        (lambda: write(c, range(45, 60), 2), dict.fromkeys(range(45, 60), 2)),
        (lambda: c.delete(range(10)), {}),
        (lambda: c.add([5], oracle.vector_of([5], [9], DIM)), {5: 9}),
        (c.flush, {}),
        (
            lambda: c.load([(range(100, 160), oracle.vector_of(range(100, 160), [3] * 60, DIM))]),
            dict.fromkeys(range(100, 160), 3),
        ),
        (lambda: write(c, range(150, 170), 4), dict.fromkeys(range(150, 170), 4)),
        (c.optimize, {}),
        (lambda: c.delete([100, 5]), {}),
    ]
    gone = [[], list(range(10)), [], [], [], [], [], [100, 5]]
    for (step, new), ids in zip(steps, gone, strict=True):
        step()
        read.check(versions)
        versions = {id_: version for id_, version in (versions | new).items() if id_ not in ids}
        read.ask("refresh")
        read.check(versions)
    assert read.ask("refresh") is False, "nothing is new"
    write(c, range(1))
    assert read.ask("refresh collection") is True
    read.check(versions | {0: 1})


def test_a_new_reader_needs_no_refresh(path: str, c: drift.Collection, read: Reader) -> None:
    write(c, range(200, 210), 5)
    other = Reader(path)
    other.check(dict.fromkeys(range(50), 1) | dict.fromkeys(range(200, 210), 5))
    read.check(dict.fromkeys(range(50), 1))
    other.end()


def test_files_that_the_writer_deletes_stay_readable(path: str, c: drift.Collection, read: Reader) -> None:
    before = {file.name for file in Path(path).rglob("segments/*")}
    for version in range(2, 12):
        write(c, range(50), version)
        c.flush()
        c.optimize()
    assert before.isdisjoint({file.name for file in Path(path).rglob("segments/*")}), "the writer has deleted them"
    read.check(dict.fromkeys(range(50), 1))
    assert read.ask("refresh") is True
    read.check(dict.fromkeys(range(50), 11))


def test_collections_come_and_go_with_a_refresh(db: drift.Database, c: drift.Collection, read: Reader) -> None:
    db.create_collection("more", dim=3)
    assert read.ask("names") == ["docs"]
    assert read.ask("refresh") is True
    assert read.ask("names") == ["docs", "more"]
    db.drop_collection("docs")
    read.check(dict.fromkeys(range(50), 1))
    kind, message = read.raw("refresh collection")
    assert kind == "NotFoundError"
    assert "dropped" in message
    assert read.ask("refresh") is False, "the refresh of the collection has read the newest catalog"
    kind, message = read.raw("contents")
    assert (kind, "docs" in message) == ("NotFoundError", True)
    write(db.create_collection("docs", dim=DIM, metric="l2"), range(3), 8)
    assert read.ask("refresh") is True
    read.check(dict.fromkeys(range(3), 8))
    assert c.name == "docs"


def test_a_reader_cannot_write_and_a_writer_is_never_behind(
    db: drift.Database, c: drift.Collection, read: Reader
) -> None:
    assert read.raw("write")[0] == "ReadOnlyError"
    assert db.refresh() is False
    assert c.refresh() is False
    c.close()
    with pytest.raises(drift.ClosedError):
        c.refresh()
    db.close()
    with pytest.raises(drift.ClosedError):
        db.refresh()
    read.check(dict.fromkeys(range(50), 1))
    assert read.ask("stats")["rows"] == 50


def churn(path: str, rounds: int, met: Event) -> None:
    """Write, flush, load and optimize; each round gives all of 0..200 one version. Half way it waits for `met`."""
    with drift.connect(path, durability="os") as db:
        c = db["docs"]
        for version in range(2, rounds + 2):
            write(c, range(200), version)
            if version % 2:
                c.flush()
            if version % 5 == 0:
                c.optimize()
            if version % 3 == 0:
                ids = range(1000 + version, 1001 + version)
                c.load([(ids, oracle.vector_of(ids, [1], DIM))])
            if version == rounds // 2:
                met.wait()


def test_readers_see_whole_states_in_order_while_another_process_writes(path: str) -> None:
    rounds = 80
    with drift.connect(path) as db:
        write(db.create_collection("docs", dim=DIM, metric="l2"), range(200))
    met = SPAWN.Event()
    writer = SPAWN.Process(target=churn, args=(path, rounds, met))
    writer.start()
    seen = [1]
    loads = 0
    try:
        with drift.connect(path, read_only=True) as db:
            c = db["docs"]
            ended = False
            while not ended:
                ended = writer.exitcode is not None
                # Every other time as a new reader does.
                if len(seen) % 2:
                    c.refresh()
                    ids = oracle.ids_of(c)
                    rows = c.get(range(200)).vectors
                else:
                    with drift.connect(path, read_only=True) as other:
                        ids = oracle.ids_of(other["docs"])
                        rows = other["docs"].get(range(200)).vectors
                version = next(
                    v for v in range(seen[-1], rounds + 2) if (oracle.vector_of([7], [v], DIM) == rows[7]).all()
                )
                np.testing.assert_array_equal(rows, oracle.vector_of(range(200), [version] * 200, DIM))
                loaded = [id_ - 1000 for id_ in ids if id_ >= 1000]
                assert loaded == list(range(3, version + 1, 3))[: len(loaded)], "loads come in order, without gaps"
                assert len(loaded) >= max(loads, len(range(3, version, 3))), "a write after a load comes with it"
                loads = len(loaded)
                seen.append(version)
                if version > 1:
                    met.set()
    finally:
        met.set()
        writer.join(120)
    assert writer.exitcode == 0
    assert seen[-1] == rounds + 1
    assert seen == sorted(seen)
    assert len(set(seen)) > 2, "states in between were seen"


def test_searches_go_on_while_a_reader_refreshes(path: str, c: drift.Collection) -> None:
    write(c, range(300))
    c.flush()
    with drift.connect(path, read_only=True) as db:
        mine, stop, problems = db["docs"], threading.Event(), []

        def search() -> None:
            while not stop.is_set():
                found = mine.search(QUERIES, k=300, exact=True)
                ids = [sorted(row) for row in found.ids.tolist()]
                if any(row != list(range(300)) for row in ids):
                    problems.append(ids)

        thread = threading.Thread(target=search)
        thread.start()
        try:
            for version in range(2, 30):
                write(c, range(300), version)
                if version % 2:
                    c.flush()
                assert mine.refresh() is True
                assert (mine.get([7]).vectors == oracle.vector_of([7], [version], DIM)).all()
        finally:
            stop.set()
            thread.join()
        assert problems == [], "every id once, in every state"


def test_a_refresh_after_flushes_reads_only_what_is_new(path: str, c: drift.Collection) -> None:
    random = oracle.rng(81)
    c.maintenance.pause()
    write(c, range(400))
    c.flush()
    versions = dict.fromkeys(range(400), 1)
    with drift.connect(path, read_only=True) as db:
        mine = db["docs"]
        mine.search(QUERIES, k=1)
        for version in range(2, 40):
            for _ in range(int(random.integers(1, 4))):
                first = int(random.integers(0, 400))
                ids = range(first, first + int(random.integers(1, 60)))
                if random.random() < 0.4:
                    c.delete(ids)
                    versions = {id_: v for id_, v in versions.items() if id_ not in ids}
                else:
                    write(c, ids, version)
                    versions |= dict.fromkeys(ids, version)
                if random.random() < 0.5:
                    c.flush()
            mine.refresh()  # A delete of what is gone is nothing new.
            ids_now, rows, _ = contents(mine)
            assert ids_now == sorted(versions)
            np.testing.assert_array_equal(rows, oracle.vector_of(ids_now, [versions[id_] for id_ in ids_now], DIM))
            assert mine.verify()["problems"] == []
        assert mine.stats()["queries"] > 4 * 38, "the state was never replaced"
        c.maintenance.resume()
        c.optimize()
        assert mine.refresh() is True
        assert contents(mine)[0] == sorted(versions)
        assert mine.stats()["queries"] < 4 * 38, "it was opened anew"


def unpickled(frozen: bytes) -> tuple[bool, int, str]:
    """In another process: what a pickled collection is there."""
    c = pickle.loads(frozen)  # noqa: S301 - pickled by the test
    refused = ""
    try:
        c.upsert([1], np.ones((1, DIM)))
    except drift.DriftError as error:
        refused = type(error).__name__
    return c.database.read_only, len(c), refused


def count_of(c: drift.Collection) -> int:
    """Return the number of rows of a handle that came as an argument."""
    return len(c)


def test_handles_that_go_to_other_processes_read_beside_the_writer(db: drift.Database, c: drift.Collection) -> None:
    write(c, range(20))
    with SPAWN.Pool(1) as pool:
        assert pool.apply(unpickled, (pickle.dumps(c),)) == (True, 20, "ReadOnlyError")
        assert pool.apply(count_of, (c,)) == 20, "as an argument of multiprocessing"
    write(c, range(20, 30))
    assert pickle.loads(pickle.dumps(db)) is db  # noqa: S301 - pickled here
    assert pickle.loads(pickle.dumps(c)).database is db  # noqa: S301
    assert len(c) == 30


def test_a_handle_unpickled_after_its_database_was_closed_is_for_reading(path: str) -> None:
    with drift.connect(path) as db:
        write(db.create_collection("docs", dim=DIM, metric="l2"), range(5))
        frozen = pickle.dumps((db, db["docs"]))
    db, c = pickle.loads(frozen)  # noqa: S301 - pickled above
    assert (db.read_only, c.database is db, len(c)) == (True, True, 5)
    again = pickle.loads(frozen)[0]  # noqa: S301
    assert again is db, "one handle for reading is enough"
    with drift.connect(path) as writer:
        write(writer["docs"], range(5, 9))
        assert c.refresh() is True
        assert len(c) == 9
    db.close()


def test_a_database_in_memory_does_not_go_to_other_processes() -> None:
    with drift.connect("memory://not-shared") as db, SPAWN.Pool(1) as pool:
        write(db.create_collection("docs", dim=DIM, metric="l2"), range(5))
        with pytest.raises(drift.NotFoundError, match=r"memory://not-shared in this process"):
            pool.apply(unpickled, (pickle.dumps(db["docs"]),))
