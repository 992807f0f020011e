"""The measurements of `drift bench`.

Queries of a file are rows of it that are held out; queries of a collection are rows of it that must not find
themselves, which is a little easier. The truth is NumPy's for a file, and an exact search for a collection. A peer's
effort is, for each target, the least that reaches it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drift._errors import InvalidArgumentError
from drift._progress import closing, display
from drift.simulate.engines import engine
from drift.simulate.measure import latency
from drift.simulate.settings import Settings
from drift.simulate.truth import K, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drift._collection import Collection
    from drift._types import Durability, Progress
    from drift.simulate.engines import Engine
    from drift.simulate.source import Source
    from drift.simulate.steps import F32, I64

    Search = Callable[[F32], Any]
    Update = Callable[[int, int | None, str], object]

__all__ = ["Line", "Load", "Result", "bench_collection", "bench_source"]

TARGETS = (0.9, 0.95, 0.99)
QUERIES = 1_000
SECONDS = 1.0


@dataclass(frozen=True)
class Load:
    """How long an engine took until all rows could be searched; drift writes them to disk, peers do not."""

    engine: str
    seconds: float
    rows_per_second: float


@dataclass(frozen=True)
class Line:
    """Searches of one engine for one recall target: one query a call, one thread."""

    engine: str
    target: float
    recall: float
    """Mean share of the true nearest rows that were found."""
    per_second: float
    """Queries per second."""
    p50_ms: float
    p99_ms: float
    batch_per_second: float | None = None
    """Queries per second when all are asked in one call, on all cores; None for peers."""
    codes: float | None = None
    """Codes scanned per query; None for peers."""
    effort: int | None = None
    """A peer's setting, the least that reaches the target; None for drift, and the largest where none does."""


@dataclass(frozen=True)
class Result:
    """What was measured, and on what."""

    source: str
    rows: int
    dim: int
    metric: str
    queries: int
    k: int
    loads: list[Load]
    lines: list[Line]
    left_out: dict[str, str]
    """Peers that could not run, with the reason."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {**vars(self), "loads": list(map(vars, self.loads)), "lines": list(map(vars, self.lines))}


def bench_source(
    source: Source,
    *,
    k: int = K,
    queries: int = QUERIES,
    targets: Sequence[float] = TARGETS,
    seconds: float = SECONDS,
    peers: Sequence[str] = (),
    durability: Durability = "always",
    seed: int = 0,
    progress: Progress = None,
) -> Result:
    """Load rows into a new database, search, and forget it.

    Parameters
    ----------
    source : Source
        The rows, as `drift.simulate.source.read` returns them.
    k : int
        Results per query, 1 or more.
    queries : int
        Rows that are held out and asked for, 1 or more; fewer than there are rows.
    targets : sequence of float
        Recall targets, in (0, 1].
    seconds : float
        Least time to ask queries for each target; every query is asked once at least.
    peers : sequence of str
        Other engines of `drift.simulate.engines`; those that are not installed are left out, with the reason.
    durability : {"always", "interval", "os", "none"}
        Of drift's database.
    seed : int
        What the choice of queries follows from.
    progress : bool or callable, optional
        True shows a bar (tqdm or rich when installed) for the exact neighbours and for each engine, whose steps are its
        load and its targets; a callable gets the steps so far and in all of each of these.

    Raises
    ------
    InvalidArgumentError
        When an option is out of its bounds, or there is no such engine.
    """
    _check(k, queries, targets, seconds, seed)
    if queries >= len(source):
        raise InvalidArgumentError(f"queries is {queries}: it must be less than the {len(source)} rows there are")
    kinds = {key: engine(key) for key in peers if key != "drift"}
    order = np.random.default_rng(seed).permutation(len(source))
    asked, kept = source.vectors[order[:queries]], source.vectors[np.sort(order[queries:])]
    ids = np.arange(len(kept))
    loads: list[Load] = []
    lines: list[Line] = []
    left_out: dict[str, str] = {}
    with closing(display(progress, "steps")) as update:
        steps = _Steps(update, "exact neighbours", 1)
        truth = nearest(source.metric, asked, kept, ids, k)
        steps.next()
        for key, kind in {"drift": engine("drift"), **kinds}.items():
            reason = kind.unavailable()
            if reason is not None:
                left_out[key] = reason
                continue
            steps = _Steps(update, key, 1 + len(targets))
            with tempfile.TemporaryDirectory(prefix="drift-bench-") as folder:
                settings = Settings(durability=durability)
                index = kind(len(kept), len(kept), kept.shape[1], source.metric, settings, Path(folder))
                try:
                    loads.append(_load(index, ids, kept))
                    steps.next()
                    for target in targets:
                        lines.append(_searched(index, asked, truth, k, target, seconds))
                        steps.next()
                finally:
                    index.close()
    facts = (source.name, len(kept), kept.shape[1], source.metric, len(asked), k)
    return Result(*facts, loads=loads, lines=lines, left_out=left_out)


def bench_collection(
    collection: Collection,
    *,
    k: int = K,
    queries: int = QUERIES,
    targets: Sequence[float] = TARGETS,
    seconds: float = SECONDS,
    seed: int = 0,
    progress: Progress = None,
) -> Result:
    """Search a collection as it is; nothing is written.

    Parameters
    ----------
    collection : Collection
        It must have more rows than `k`.
    k, targets, seconds, seed, progress
        As in `bench_source`.
    queries : int
        Rows of the collection that are asked for, without themselves; as many as there are when there are fewer.

    Raises
    ------
    InvalidArgumentError
        When an option is out of its bounds, or there are too few rows.
    """
    _check(k, queries, targets, seconds, seed)
    everything = collection.ids()
    if len(everything) <= k:
        raise InvalidArgumentError(f"{collection.name!r} has {len(everything)} rows: k is {k}, it must be less")
    chosen = np.random.default_rng(seed).permutation(len(everything))[:queries]
    own = everything[chosen]
    asked = collection.get(own).vectors
    lines: list[Line] = []
    with closing(display(progress, "steps")) as update:
        steps = _Steps(update, "exact neighbours", 1)
        truth = collection.search(asked, k + 1, exact=True).ids
        steps.next()
        steps = _Steps(update, "drift", len(targets))
        for target in targets:
            lines.append(_drift(collection, asked, truth, own, k, target, seconds))
            steps.next()
    facts = (collection.name, len(everything), collection.dim, collection.metric, len(asked), k)
    return Result(*facts, loads=[], lines=lines, left_out={})


class _Steps:
    """Tells how many steps of a stage are done."""

    def __init__(self, update: Update | None, stage: str, total: int) -> None:
        self._update, self._stage, self._total, self._done = update, stage, total, -1
        self.next()

    def next(self) -> None:
        """Count one more step, and tell."""
        self._done += 1
        if self._update is not None:
            self._update(self._done, self._total, self._stage)


def _check(k: int, queries: int, targets: Sequence[float], seconds: float, seed: int) -> None:
    if k < 1 or queries < 1:
        raise InvalidArgumentError(f"k is {k} and queries is {queries}: both must be 1 or more")
    bad = [target for target in targets if not 0 < target <= 1]
    if bad or not targets:
        raise InvalidArgumentError(f"targets are {list(targets)}: give one or more in (0, 1]")
    if not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(f"seconds is {seconds}: it must be 0 or more, and finite")
    if seed < 0:
        raise InvalidArgumentError(f"seed is {seed}: it must be 0 or more")


def _ask(search: Search, queries: F32, seconds: float) -> tuple[list[Any], list[float]]:
    """Ask all queries once, and round and round until `seconds` have passed; the first answers and all times."""
    found: list[Any] = []
    times: list[float] = []
    end = time.perf_counter() + seconds
    at = 0
    while at < len(queries) or time.perf_counter() < end:
        start = time.perf_counter()
        ids = search(queries[at % len(queries)])
        times.append(time.perf_counter() - start)
        if at < len(queries):
            found.append(ids)
        at += 1
    return found, times


def _recall(found: Sequence[Any], truth: Any, own: Any, k: int) -> float:
    """Share of the true neighbours found; with `own`, of those that are not the query itself."""
    total = hits = 0
    for at, (ids, true) in enumerate(zip(found, truth, strict=True)):
        # What is no row: padding, and the query itself.
        none = (-1, None) if own is None else (-1, None, own[at])
        wanted = set([id_ for id_ in true.tolist() if id_ not in none][:k])
        total += len(wanted)
        hits += len(wanted.intersection([id_ for id_ in ids.tolist() if id_ not in none][:k]))
    return hits / total if total else 1.0


def _load(index: Engine, ids: I64, rows: F32) -> Load:
    start = time.perf_counter()
    index.build(ids, rows)
    took = time.perf_counter() - start
    if index.key == "drift":
        index.settle()
    return Load(index.key, took, len(rows) / took)


def _searched(index: Engine, queries: F32, truth: Any, k: int, target: float, seconds: float) -> Line:
    if index.key != "drift":
        return _peer(index, queries, truth, k, target, seconds)
    collection: Collection = index.collection  # type: ignore[attr-defined]
    return _drift(collection, queries, truth, None, k, target, seconds)


def _drift(collection: Collection, queries: F32, truth: Any, own: Any, k: int, target: float, seconds: float) -> Line:
    wanted = k if own is None else k + 1
    before = collection.stats()
    found, times = _ask(lambda query: collection.search(query, wanted, recall=target, threads=1).ids, queries, seconds)
    after = collection.stats()
    start = time.perf_counter()
    collection.search(queries, wanted, recall=target)
    batch = len(queries) / (time.perf_counter() - start)
    codes = (after["rows_scanned"] - before["rows_scanned"]) / len(times)
    return _line("drift", target, _recall(found, truth, own, k), times, batch_per_second=batch, codes=codes)


def _peer(index: Engine, queries: F32, truth: Any, k: int, target: float, seconds: float) -> Line:
    effort = None
    for effort in index.efforts:
        index.set_effort(effort)
        found, _ = _ask(lambda query: index.search(query, k), queries, 0)
        if _recall(found, truth, None, k) >= target:
            break
    found, times = _ask(lambda query: index.search(query, k), queries, seconds)
    return _line(index.key, target, _recall(found, truth, None, k), times, effort=effort)


def _line(key: str, target: float, recall: float, times: list[float], **more: Any) -> Line:
    figures = latency(times)
    if figures is None:
        raise AssertionError("there is at least one query")
    return Line(key, target, recall, figures.per_second, figures.p50_ms, figures.p99_ms, **more)
