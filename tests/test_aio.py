"""drift.aio: the same surface as drift, answers that are the same, threads that are bounded and end, cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest
from drift import aio
from drift.aio import _maintenance as aio_maintenance

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

DIM = 8
ROWS = oracle.vectors(60, DIM, 30)
IDS = list(range(60))

# What Python keeps for plain objects, and the names that it has here.
NAMED = {
    "Collection": {"__len__": "count", "__contains__": "contains"},
    "Database": {"__getitem__": "open_collection", "__contains__": "contains"},
}
OWN = {"Collection": {"contains"}, "Database": {"contains", "threads"}}
CLASSES = [(drift.Database, aio.Database), (drift.Collection, aio.Collection)]
# Functions that touch no file.
PURE = {"col", "fuse", "rank"}


def members(cls: type) -> dict[str, Any]:
    """Return the public attributes of a class."""
    own = [base for base in reversed(cls.__mro__) if base is not object]
    return {name: value for base in own for name, value in vars(base).items() if not name.startswith("_")}


@pytest.mark.parametrize(("sync", "mirror"), CLASSES, ids=lambda cls: cls.__name__)
def test_both_surfaces_have_the_same_names_and_signatures(sync: type, mirror: type) -> None:
    wanted, found = members(sync), members(mirror)
    assert found.keys() - OWN[sync.__name__] == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, property):
            assert isinstance(found[name], property), f"{name} stays a property"
            continue
        ours, theirs = inspect.signature(found[name]), inspect.signature(value)
        assert ours.parameters == theirs.parameters, name
        result = theirs.return_annotation
        assert ours.return_annotation in (
            {result} if inspect.iscoroutinefunction(found[name]) else {f"Opening[{result}]"}
        )


@pytest.mark.parametrize(("sync", "mirror"), CLASSES, ids=lambda cls: cls.__name__)
def test_what_python_keeps_for_plain_objects_has_a_name(sync: type, mirror: type) -> None:
    for special, name in NAMED[sync.__name__].items():
        assert hasattr(sync, special)
        assert not hasattr(mirror, special)
        assert hasattr(mirror, name)
    assert {"__aenter__", "__aexit__", "__reduce__", "_repr_html_"} <= vars(mirror).keys()


def test_both_modules_connect_alike() -> None:
    ours, theirs = inspect.signature(aio.connect), inspect.signature(drift.connect)
    extra = ours.parameters.keys() - theirs.parameters.keys()
    assert extra == {"threads"}
    assert [one for name, one in ours.parameters.items() if name not in extra] == list(theirs.parameters.values())
    assert ours.return_annotation == f"Opening[{theirs.return_annotation}]"


def test_every_function_that_works_is_awaitable_here() -> None:
    functions = {name for name in drift.__all__ if inspect.isfunction(getattr(drift, name))} - PURE
    assert functions == {name for name in aio.__all__ if inspect.isfunction(getattr(aio, name))}
    for name in functions - {"connect"}:
        ours, theirs = inspect.signature(getattr(aio, name)), inspect.signature(getattr(drift, name))
        assert inspect.iscoroutinefunction(getattr(aio, name))
        assert ours.parameters == theirs.parameters, name
        assert ours.return_annotation.replace("drift.", "") == theirs.return_annotation


def test_maintenance_has_the_same_names() -> None:
    assert members(aio_maintenance.Maintenance).keys() == members(drift.Maintenance).keys()


async def opened(path: str, threads: int | None = None) -> tuple[aio.Database, aio.Collection]:
    """Return a database and an empty collection."""
    db = await aio.connect(path, durability="os", threads=threads)
    return db, await db.create_collection("docs", dim=DIM, metric="l2")


def test_every_method_answers_as_its_counterpart_does(path: str) -> None:
    async def main() -> None:
        async with aio.connect(path, durability="os") as db:
            assert (db.uri, db.read_only, db.closed) == (path, False, False)
            async with db.create_collection("docs", dim=DIM, metric="l2") as c:
                assert (c.name, c.dim, c.metric, c.id_type, c.precision) == ("docs", DIM, "l2", "int", "1bit")
                assert c.database is db
                await c.add(IDS[:50], ROWS[:50])
                await c.upsert(IDS[40:], ROWS[40:])
                assert await c.delete([0, 99]) == 1
                assert (await c.get([5, 99], missing="skip")).vectors.tolist() == ROWS[5:6].tolist()
                oracle.assert_exact(await c.search(ROWS[:9], k=7, exact=True), "l2", ROWS[:9], IDS[1:], ROWS[1:], 7)
                assert (await c.load(iter([([100], ROWS[:1])])))["rows"] == 1
                assert await c.count() == 60
                assert [await c.contains(id_) for id_ in (100, 0, "x")] == [True, False, False]
                assert sorted((await c.ids()).tolist()) == [*IDS[1:], 100]
                await c.flush()
                explained = await c.explain(ROWS[3], k=1, nprobe=1)
                assert explained.result.ids.tolist() == (await c.search(ROWS[3], k=1, nprobe=1)).ids.tolist()
                await c.optimize()
                assert (await c.verify())["problems"] == []
                assert (await c.stats())["rows"] == 60
            assert await (await db.open_collection("docs")).count() == 60
            assert await db.list_collections() == ["docs"]
            assert (await db.refresh(), await (await db.open_collection("docs")).refresh()) == (False, False)
            assert (await db.backup(f"{path}-backups")).collections == ("docs",)
            async with aio.connect(path, read_only=True) as reader:
                seen = await reader.open_collection("docs")
                await (await db.open_collection("docs")).upsert([101], ROWS[:1])
                assert (await seen.count(), await seen.refresh(), await seen.count()) == (60, True, 61)
                assert await reader.refresh() is False
            assert [await db.contains(name) for name in ("docs", "ghost")] == [True, False]
            await db.drop_collection("docs")
            assert await db.list_collections() == []
        assert db.closed
        assert [backup.number for backup in await aio.backups(f"{path}-backups")] == [1]
        assert await aio.verify_backups(f"{path}-backups") == []
        seen_bytes: list[tuple[int, int | None]] = []
        progress = lambda done, total: seen_bytes.append((done, total))  # noqa: E731
        restored = await aio.restore(f"{path}-backups", f"{path}-again", progress=progress)
        assert (restored.number, seen_bytes[-1][0]) == (1, restored.bytes)
        async with aio.connect(f"{path}-again") as db:
            assert await (await db.open_collection("docs")).count() == 60

    asyncio.run(main())


def test_errors_are_those_of_drift(path: str) -> None:
    async def main() -> None:
        db, c = await opened(path)
        with pytest.raises(drift.InvalidArgumentError, match="columns"):
            await c.upsert([1], [[1.0, 2.0]])
        with pytest.raises(drift.NotFoundError, match="ghost"):
            await db.open_collection("ghost")
        with pytest.raises(drift.LockedError):
            await aio.connect(path)
        await db.close()
        await db.close()
        await c.close()
        for call in (c.count(), db.list_collections(), db.open_collection("docs")):
            with pytest.raises(drift.ClosedError, match="database"):
                await call

    asyncio.run(main())
    drift.connect(path).close()


@pytest.mark.parametrize("threads", [0, 257, 1.5, True])
def test_threads_out_of_range_are_refused_by_name(path: str, threads: Any) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="threads"):
        asyncio.run(_main(aio.connect(path, threads=threads)))


async def _main(awaitable: Any) -> Any:
    return await awaitable


class Held:
    """A method of `drift.Collection` or a function of `drift` whose calls wait for `release`."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.started, self.release = threading.Event(), threading.Event()
        self.calls = 0
        self.thread = threading.current_thread()
        real = getattr(owner, name)

        def held(*args: Any, **options: Any) -> Any:
            self.calls += 1
            self.thread = threading.current_thread()
            self.started.set()
            assert self.release.wait(60)
            return real(*args, **options)

        patch.setattr(owner, name, held)

    async def cancelled_after_its_start(self, call: Coroutine[Any, Any, Any]) -> None:
        """Start a call, cancel it in the middle, see its task cancelled at once, and let it go on."""
        task = asyncio.create_task(call)
        await asyncio.to_thread(self.started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        self.release.set()


def test_a_cancelled_search_ends_by_itself(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        db, c = await opened(path, threads=1)
        await c.upsert(IDS, ROWS)
        search = Held(monkeypatch, drift.Collection, "search")
        await search.cancelled_after_its_start(c.search(ROWS[0], k=1))
        assert (await c.search(ROWS[3], k=1)).ids.tolist() == [3]
        assert search.calls == 2
        await db.close()

    asyncio.run(main())


def test_a_cancelled_write_that_has_started_takes_effect(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        db, c = await opened(path, threads=1)
        await Held(monkeypatch, drift.Collection, "upsert").cancelled_after_its_start(c.upsert(IDS, ROWS))
        assert await c.count() == 60
        await db.close()

    asyncio.run(main())


def test_a_cancelled_call_that_waits_for_a_thread_never_starts(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        db, c = await opened(path, threads=1)
        search = Held(monkeypatch, drift.Collection, "search")
        first = asyncio.create_task(c.search(ROWS[0]))
        await asyncio.to_thread(search.started.wait, 60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await c.upsert(IDS, ROWS)
        search.release.set()
        assert len(await first) == 10
        assert await c.count() == 0
        await db.close()

    asyncio.run(main())


def test_a_cancelled_load_changes_nothing(path: str) -> None:
    started, release = threading.Event(), threading.Event()

    def batches() -> Iterator[tuple[list[int], oracle.F32]]:
        yield IDS[:30], ROWS[:30]
        started.set()
        assert release.wait(60)
        yield IDS[30:], ROWS[30:]

    async def main() -> None:
        db, c = await opened(path, threads=1)
        task = asyncio.create_task(c.load(batches()))
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await c.count() == 0
        assert (await c.load(iter([(IDS, ROWS)])))["rows"] == 60
        await db.close()

    asyncio.run(main())


def test_a_cancelled_restore_leaves_nothing(path: str) -> None:
    started, release = threading.Event(), threading.Event()

    def progress(_done: int, _total: int | None) -> None:
        started.set()
        assert release.wait(60)

    async def main() -> None:
        db, c = await opened(path)
        await c.upsert(IDS, ROWS)
        await db.backup(f"{path}-backups")
        await db.close()
        task = asyncio.create_task(aio.restore(f"{path}-backups", f"{path}-again", progress=progress))
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(main())  # It ends when its threads have.
    restored = drift.restore(f"{path}-backups", f"{path}-again")
    assert restored.collections == ("docs",)


def test_a_cancelled_verify_and_optimize_end_early(path: str) -> None:
    async def stopped(c: aio.Collection, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        started, release = threading.Event(), threading.Event()
        reports: list[int] = []

        def progress(done: int, _total: int | None) -> None:
            reports.append(done)
            started.set()
            assert release.wait(60)

        task = asyncio.create_task(call(progress=progress))
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await c.count() == 60, "one thread: it has ended"
        assert len(reports) == 1

    async def main() -> None:
        db, c = await opened(path, threads=1)
        await c.upsert(IDS, ROWS)
        await stopped(c, c.optimize)
        await stopped(c, c.verify)
        assert (await c.verify())["rows"] == 60
        await db.close()

    asyncio.run(main())


def test_a_cancelled_connect_closes_what_it_opens(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Held(monkeypatch, drift, "connect")
    asyncio.run(connect.cancelled_after_its_start(aio.connect(path)))
    connect.thread.join(60)
    drift.connect(path).close()


def test_a_cancelled_close_closes(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        db, _ = await opened(path)
        await Held(monkeypatch, drift.Database, "close").cancelled_after_its_start(db.close())
        await db.close()

    asyncio.run(main())
    drift.connect(path).close()


def test_at_most_so_many_calls_run_at_once_as_there_are_threads(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together, lock = threading.Barrier(3), threading.Lock()
    running = most = 0
    real = drift.Collection.search

    def search(*args: Any, **options: Any) -> drift.SearchResult:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(60)
        try:
            return real(*args, **options)
        finally:
            with lock:
                running -= 1

    async def main() -> None:
        db, c = await opened(path, threads=3)
        assert db.threads == 3
        await c.upsert(IDS, ROWS)
        monkeypatch.setattr(drift.Collection, "search", search)
        found = await asyncio.gather(*(c.search(row, k=1, exact=True) for row in ROWS))
        assert [one.ids[0] for one in found] == IDS
        await db.close()

    asyncio.run(main())
    assert most == 3


def test_calls_made_before_a_close_are_made_and_the_threads_end(path: str) -> None:
    names: list[threading.Thread] = []

    async def main() -> None:
        db, c = await opened(path, threads=1)
        before = asyncio.gather(*(c.upsert([id_], ROWS[:1]) for id_ in IDS))
        await asyncio.gather(before, db.close())
        names.extend(one for one in threading.enumerate() if one.name.startswith("drift-aio"))

    asyncio.run(main())
    for thread in names:
        thread.join(60)
        assert not thread.is_alive()
    with drift.connect(path) as db:
        assert len(db["docs"]) == 60


def test_handles_belong_to_no_event_loop(path: str) -> None:
    db, c = asyncio.run(opened(path))
    asyncio.run(c.upsert(IDS, ROWS))
    assert asyncio.run(c.count()) == 60
    asyncio.run(db.close())


def test_a_progress_function_sees_the_context_of_its_caller(path: str) -> None:
    request = contextvars.ContextVar("request", default="none")
    seen: set[str] = set()

    async def main() -> None:
        db, c = await opened(path)
        request.set("seven")
        await c.load(iter([(IDS, ROWS)]), progress=lambda _rows, _total: seen.add(request.get()))
        await db.close()

    asyncio.run(main())
    assert seen == {"seven"}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_fork_error_and_does_not_wait(path: str) -> None:
    db, c = asyncio.run(opened(path))
    child = os.fork()
    if child == 0:
        failed = 0
        calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [c.count, db.list_collections, db.close]
        for call in calls:
            try:
                asyncio.run(call())
                failed += 1
            except drift.ForkError:
                pass
            except BaseException:
                failed += 1
        os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(c.count()) == 0
    asyncio.run(db.close())


def test_handles_pickle_and_show_what_they_wrap(path: str) -> None:
    db, c = asyncio.run(opened(path, threads=2))
    asyncio.run(c.upsert([1], ROWS[:1]))
    assert repr(db).startswith("aio.Database(")
    assert repr(c).startswith("aio.Collection('docs', 1 row")
    assert "<table>" in db._repr_html_()
    assert "<table>" in c._repr_html_()
    again = pickle.loads(pickle.dumps(c))  # noqa: S301 - pickled here
    assert again.database.threads == 2
    np.testing.assert_array_equal(asyncio.run(again.ids()), [1])
    asyncio.run(again.database.close())
    asyncio.run(db.close())


def test_a_forgotten_await_is_named(path: str) -> None:
    async def main() -> None:
        opening: Any = aio.connect(path)
        with pytest.raises(AttributeError, match=r"'create_collection': await it"):
            opening.create_collection("docs", dim=DIM)
        await (await asyncio.create_task(opening)).close()

    asyncio.run(main())


def test_handles_are_not_made_by_hand() -> None:
    for cls in (aio.Database, aio.Collection):
        with pytest.raises(TypeError, match="await"):
            cls()
