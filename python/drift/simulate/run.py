"""Runs a workload on an engine: applies the steps in order and measures at each search step.

Nothing is tuned during a run and `optimize` is never called. Writes go in batches, each call timed; before a search the
engine settles (`Settings.settle`); the search itself is one query a call in one thread, with nothing else running.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drift._errors import InvalidArgumentError
from drift.simulate import fresh
from drift.simulate.ask import Asked, ask
from drift.simulate.engines import engine as engine_of
from drift.simulate.measure import Spent, latency, resident_mb, searching, timed
from drift.simulate.progress import telling
from drift.simulate.record import Record, Report
from drift.simulate.settings import Settings
from drift.simulate.steps import F32, F64, I64, Delete, Insert, Live, Replace, Search
from drift.simulate.truth import K, hits

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from drift.simulate.engines import Engine
    from drift.simulate.progress import Telling, Told
    from drift.simulate.workload import Workload

__all__ = ["run"]

WARM_ROWS = 1_000


def run(
    workload: Workload,
    engine: str = "drift",
    settings: Settings | None = None,
    *,
    progress: Told = None,
) -> Report:
    """Run a workload on an engine, in this process.

    Parameters
    ----------
    workload : Workload
        What to run.
    engine : str
        Which engine; see `ENGINES`.
    settings : Settings, optional
        How to run it.
    progress : bool or callable, optional
        True shows a bar over the steps (tqdm or rich when installed); a callable gets a line of text after each search
        step.

    Returns
    -------
    Report
        The figures.

    Raises
    ------
    InvalidArgumentError
        When there is no such engine, it cannot run here, or the workload does not begin with an insertion.

    Examples
    --------
    >>> from drift.simulate import Settings, generate, run
    >>> workload = generate("churn", rows=400, dim=8, steps=2, queries=20)
    >>> report = run(workload, "drift", Settings(durability="os"))
    >>> [record.rows for record in report.records]
    [200, 200, 200]
    """
    settings = Settings() if settings is None else settings
    kind = engine_of(engine)
    reason = kind.unavailable()
    if reason is not None:
        raise InvalidArgumentError(f"engine {engine}: {reason}")
    if not workload.searches or not isinstance(workload.steps[0], Insert):
        raise InvalidArgumentError("a workload must begin with an insertion and have a search step")
    workload.truth(progress)
    _warm(kind, workload, settings)
    memory = resident_mb()
    with tempfile.TemporaryDirectory(prefix="drift-simulate-") as folder:
        index = kind(len(workload.vectors), workload.rows_max, workload.dim, workload.metric, settings, Path(folder))
        try:
            with telling(progress) as told:
                return _Runner(workload, index, memory, told).report()
        finally:
            index.close()


def _warm(kind: type[Engine], workload: Workload, settings: Settings) -> None:
    """Make, search and drop a small index, so that libraries and thread pools do not count as memory of the index."""
    vectors = workload.vectors[:WARM_ROWS]
    with tempfile.TemporaryDirectory(prefix="drift-simulate-") as folder:
        index = kind(len(vectors), len(vectors), workload.dim, workload.metric, settings, Path(folder))
        try:
            index.build(np.arange(len(vectors)), vectors)
            index.search(workload.queries[0], min(K, len(vectors)))
        finally:
            index.close()


class _Runner:
    """The state of a run."""

    def __init__(
        self,
        workload: Workload,
        index: Engine,
        memory: float | None,
        told: Telling,
    ) -> None:
        self.workload = workload
        self.index = index
        self.settings = index.settings
        self.memory = memory
        self.told = told
        self.live = Live(len(workload.vectors))
        self.effort: int | None = None
        self.records: list[Record] = []
        first = next(step for step in workload.steps if isinstance(step, Search))
        self.asked = first
        """The queries that searchers ask: those of the last search step, before it those of the first."""
        self._begin(None)

    def _begin(self, written: int | None) -> None:
        """Start counting what comes before the next search step."""
        self.rows: dict[str, int] = defaultdict(int)
        self.spent: dict[str, Spent] = defaultdict(Spent)
        self.busy: list[float] = []
        self.written = written

    def report(self) -> Report:
        """Run everything."""
        workload, index = self.workload, self.index
        truths = iter(workload.truth())
        self.told.bar(index.key, 0, len(workload.steps))
        for number, step in enumerate(workload.steps):
            if isinstance(step, Search):
                self._search(number, step, next(truths))
            elif number == 0:
                with timed(self.spent["built"]):
                    index.build(step.ids, workload.vectors[step.ids])
                self.rows["built"] = len(step.ids)
            else:
                self._write(step)
            self.live.apply(step, number)
            self.told.bar(index.key, number + 1, len(workload.steps))
        compared = fresh.compare(workload, index, self.live, self.effort) if self.settings.optimize_at_end else None
        return Report(
            engine=index.key,
            version=index.version(),
            setup=index.describe(),
            effort=self.effort,
            workload=facts(workload),
            settings=asdict(self.settings),
            records=self.records,
            fresh=compared,
        )

    def _searchers(self) -> AbstractContextManager[list[float]]:
        threads = self.settings.searchers if self.index.concurrent else 0
        queries = self.workload.queries[self.asked.start : self.asked.end]
        return searching(lambda query: self.index.search(query, K), queries, threads)

    def _write(self, step: Insert | Delete | Replace) -> None:
        """Apply a write in batches, while searchers search."""
        vectors = self.workload.vectors
        with self._searchers() as seconds:
            for at in range(0, len(step.ids), self.settings.batch):
                part = slice(at, at + self.settings.batch)
                ids = step.ids[part]
                if isinstance(step, Delete):
                    name = "deleted"
                    with timed(self.spent[name]):
                        self.index.delete(ids)
                elif isinstance(step, Insert):
                    name, rows = "inserted", vectors[ids]
                    with timed(self.spent[name]):
                        self.index.insert(ids, rows)
                else:
                    name, rows = "replaced", vectors[step.rows[part]]
                    with timed(self.spent[name]):
                        self.index.replace(ids, rows)
                self.rows[name] += len(ids)
        self.busy += seconds

    def _search(self, number: int, step: Search, truth: I64) -> None:
        """Settle, search and take the record."""
        queries = self.workload.queries[step.start : step.end]
        if self.settings.settle:
            with self._searchers() as seconds, timed(self.spent["settled"]):
                self.index.settle()
            self.busy += seconds
        if not self.records:
            self._choose_effort(step, queries, truth)
        first = ask(self.index, queries)
        seconds = list(first.seconds)
        for _ in range(self.settings.passes - 1):
            seconds += ask(self.index, queries).seconds
        recall, dead = hits(self.workload, self.live, step, truth, first.found)
        self.records.append(self._record(number, recall, dead, first, seconds))
        self.asked = step
        last = self.records[-1]
        self.told.line(
            f"{self.index.key}: search {len(self.records)} of {self.workload.searches}, {last.rows:,} rows, "
            f"recall {last.recall:.3f}, {last.search.per_second:,.0f} q/s"
        )

    def _choose_effort(self, step: Search, queries: F32, truth: I64) -> None:
        """Set the least effort whose mean recall reaches the target, or the largest."""
        for effort in self.index.efforts:
            self.effort = effort
            self.index.set_effort(effort)
            recall, _ = hits(self.workload, self.live, step, truth, ask(self.index, queries).found)
            if recall.mean() >= self.settings.recall:
                return

    def _record(self, number: int, recall: F64, dead: int, first: Asked, seconds: list[float]) -> Record:
        """Return the record of a search step, and start counting anew."""
        rows, spent, alive, codes = self.rows, self.spent, len(self.live), first.codes
        search = latency(seconds)
        if search is None:
            raise AssertionError("a search step has queries")
        memory, written = resident_mb(), self.index.counters().get("bytes_written")
        writes = ("built", "inserted", "deleted", "replaced")
        jobs = spent["settled"].cpu
        if self.index.background:
            jobs += sum(spent[name].cpu_others for name in writes[1:])
        found = Record(
            step=number,
            rows=alive,
            inserted=rows["built"] + rows["inserted"],
            deleted=rows["deleted"],
            replaced=rows["replaced"],
            recall=float(recall.mean()),
            recall_p5=float(np.quantile(recall, 0.05)),
            dead_found=dead,
            codes=codes,
            refined=first.refined,
            share=codes / alive if codes is not None and alive else None,
            search=search,
            busy=latency(self.busy),
            insert_rps=_rate(rows["built"] + rows["inserted"], spent["built"].seconds + spent["inserted"].seconds),
            delete_rps=_rate(rows["deleted"], spent["deleted"].seconds),
            replace_rps=_rate(rows["replaced"], spent["replaced"].seconds),
            settle_seconds=spent["settled"].seconds,
            write_cpu_seconds=sum(spent[name].cpu for name in writes),
            job_cpu_seconds=jobs,
            bytes_written=None if written is None else written - (self.written or 0),
            rss_mb=None if memory is None or self.memory is None else memory - self.memory,
            gauges=dict(self.index.gauges()),
        )
        self._begin(written)
        return found


def facts(workload: Workload) -> dict[str, Any]:
    """Return what identifies a workload in a report."""
    return {
        "name": workload.name,
        "rows": len(workload.vectors),
        "rows_max": workload.rows_max,
        "dim": workload.dim,
        "metric": workload.metric,
        "seed": workload.seed,
        "parameters": dict(workload.parameters),
        "digest": workload.digest(),
    }


def _rate(rows: int, seconds: float) -> float | None:
    return rows / seconds if rows and seconds > 0 else None
