"""Background maintenance and health, from outside: rows and recall through every kind of job."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest
from drift import _cli

from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path

DIM = 72
K = 10

# Seconds that background work is waited for: far more than it takes.
PATIENCE = 240


def rows_at(centre: float, count: int, seed: int) -> oracle.F32:
    """Rows around 40 centres, all shifted along one axis."""
    random = np.random.default_rng([oracle.run_seed(), seed])
    centres = np.random.default_rng(3).normal(size=(40, DIM))
    rows = centres[random.integers(0, 40, count)] + 0.5 * random.normal(size=(count, DIM))
    rows[:, 0] += centre
    return rows.astype(np.float32)


def settle(c: drift.Collection) -> list[Any]:
    """Flush, then run maintenance until nothing is due."""
    c.flush()
    done: list[Any] = []
    for _ in range(20):
        records = c.maintenance.run_once()
        done += records
        if not records:
            return done
    raise AssertionError(f"maintenance does not come to rest: {done[-4:]}")


def check(c: drift.Collection, rows: dict[int, Any], queries: oracle.F32) -> None:
    """Every row is there once with its vector, and searches reach their recall."""
    ids = np.array(sorted(rows))
    assert sorted(c.ids().tolist()) == ids.tolist()
    np.testing.assert_array_equal(c.get(ids).vectors, np.stack([rows[id_] for id_ in ids.tolist()]))
    found, exact = c.search(queries, k=K).ids, c.search(queries, k=K, exact=True).ids
    assert all(len(set(row)) == K for row in found.tolist()), "no id twice"
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]) / K >= 0.9
    assert c.verify()["problems"] == []


@pytest.mark.parametrize("precision", ["1bit", "sq8"])
def test_a_drifting_window_keeps_its_rows_and_recall_through_every_job(tmp_path: Path, precision: Any) -> None:
    rows: dict[int, Any] = {}
    with drift.connect(tmp_path / "db", durability="os") as db:
        c = db.create_collection("c", dim=DIM, metric="l2", precision=precision)
        for step in range(6):
            new = rows_at(step * 1.5, 3_000, step)
            ids = range(step * 3_000, step * 3_000 + 3_000)
            c.upsert(list(ids), new)
            rows.update(zip(ids, new, strict=True))
            if step >= 2:
                old = list(range((step - 2) * 3_000, (step - 1) * 3_000))
                assert c.delete(old) == 3_000
                for id_ in old:
                    del rows[id_]
            settle(c)
            check(c, rows, rows_at(step * 1.5, 100, 100 + step))
        health = c.health()
        assert {job["job"] for job in health.jobs} == {"restructure", "retrain", "compact"}
        assert health.rows == 6_000
        assert health.dead_share < 0.5
        assert health.bucket_rows.sum() <= 6_000
        assert sum(health.backlog.values()) == 0
        assert health.bytes_inserted > 0
    with drift.connect(tmp_path / "db") as db:
        check(db["c"], rows, rows_at(7.5, 100, 200))


def test_live_queries_are_measured(db: drift.Database) -> None:
    c = db.create_collection("c", dim=DIM, metric="l2")
    c.upsert(np.arange(6_000), rows_at(0, 6_000, 1))
    settle(c)
    assert c.health().recall is None
    queries = rows_at(0, 400, 2)
    for _ in range(2):
        for query in queries:
            c.search(query, k=K)
        c.maintenance.run_once()
    health = c.health()
    assert health.recall is not None
    assert health.recall_interval is not None
    low, high = health.recall_interval
    assert 0.85 <= low <= health.recall <= high <= 1
    assert [of.target for of in health.recalls] == [0.95]
    assert health.timeline
    assert health.timeline[-1].rows == 6_000
    assert "asked" in repr(health)
    assert health.to_dict()["recalls"][0]["queries"] == health.recalls[0].queries


@pytest.mark.parametrize("is_asked", [True, False])
def test_buckets_that_deletions_made_sparse_are_defined_anew_where_searches_read_few(
    db: drift.Database, is_asked: bool
) -> None:
    c = db.create_collection("c", dim=DIM, metric="l2")
    c.load([(np.arange(6_000), rows_at(0, 6_000, 1))])
    settle(c)
    buckets = len(c.health().bucket_rows)
    if is_asked:
        c.search(rows_at(0, 400, 2), k=K)
        settle(c)
    c.delete(np.arange(0, 6_000, 2))
    settle(c)
    health = c.health()
    assert ("retrain" in {job["job"] for job in health.jobs}) == is_asked
    assert (len(health.bucket_rows) < 0.75 * buckets) == is_asked
    assert c.health().bucket_rows.sum() == 3_000


def test_queries_with_a_filter_and_for_many_rows_are_measured_apart(db: drift.Database) -> None:
    c = db.create_collection("c", dim=DIM, metric="l2")
    c.upsert(np.arange(6_000), rows_at(0, 6_000, 1), metadata={"third": [row % 3 for row in range(6_000)]})
    settle(c)
    queries = rows_at(0, 150, 2)
    ways: dict[str, dict[str, Any]] = {
        "nearest": {"k": K},
        "many": {"k": 50},
        "filtered": {"k": K, "filter": "third = 1"},
    }

    def found(way: dict[str, Any]) -> float:
        answers = (c.search(queries, recall=0.8, threads=1, **way).ids, c.search(queries, exact=True, **way).ids)
        return float(
            np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(*map(np.ndarray.tolist, answers), strict=True)])
        )

    measured: dict[str, drift.TargetRecall] = {}
    truth: list[dict[str, float]] = []
    while measured.keys() != ways.keys() or min(of.queries for of in measured.values()) < 60:
        truth.append({name: found(way) for name, way in ways.items()})
        c.maintenance.run_once()
        measured = {of.asked: of for of in c.health().recalls}
    for name, of in measured.items():
        assert of.target == 0.8
        assert of.low <= of.recall <= of.high
        # Three standard errors of the mean of sixty.
        assert abs(of.recall - np.mean([then[name] for then in truth])) < 0.06, name
    while c.health().recalls == list(measured.values()):
        c.search(queries, k=50, recall=0.8)
        before = c.stats()["rows_refined"]
        c.maintenance.run_once()
    assert c.stats()["rows_refined"] == before, "what is read to measure is no work of searches"


def test_measured_recall_outlives_the_handle_and_other_processes_see_it(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def as_seen() -> dict[str, Any]:
        assert _cli.main(["health", path, "c", "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    queries = rows_at(0, 400, 2)
    with drift.connect(path, durability="os") as db:
        c = db.create_collection("c", dim=DIM, metric="l2")
        c.upsert(np.arange(6_000), rows_at(0, 6_000, 1))
        settle(c)
        assert as_seen()["recalls"] == []
        while not (recalls := c.health().recalls) or recalls[0].queries < 300:
            for query in queries:
                c.search(query, k=K)
            c.maintenance.run_once()
        seen = as_seen()
        assert seen["recalls"][0]["target"] == pytest.approx(0.95)
        # A commit follows 256 measured queries at the latest, and they are measured in groups of up to 384.
        behind = c.health().recalls[0].queries - seen["recalls"][0]["queries"]
        assert 0 <= behind < 256 + 384, "saved while the writer is at work"
        assert seen["timeline"]
        for query in queries[:200]:
            c.search(query, k=K, recall=0.8)
        c.maintenance.run_once()
        before = c.health()
    seen = as_seen()
    kept = {round(of["target"], 3): of["queries"] for of in seen["recalls"]}
    # The background may have measured a few more in between.
    for of in before.recalls:
        assert kept[round(of.target, 3)] >= of.queries, "what was measured last is saved at close"
    assert [tuple(point.values()) for point in seen["timeline"]][: len(before.timeline)] == before.timeline
    with drift.connect(path) as db:
        c = db["c"]
        assert c.health().to_dict()["recalls"] == seen["recalls"]
        for query in queries:
            c.search(query, k=K, recall=0.9)
        c.maintenance.run_once()
        after = {round(of.target, 3): of.queries for of in c.health().recalls}
        assert after[0.9] > 0
        assert after[0.95] >= before.recalls[0].queries, "as long as there is room for both"


def test_rules_are_measured_while_a_job_is_under_way(db: drift.Database) -> None:
    c = db.create_collection("c", dim=DIM, metric="l2")
    c.load([(np.arange(500), rows_at(0, 500, 1))])
    began, may_end = threading.Event(), threading.Event()

    def progress(done: int, _total: int | None) -> None:
        if done >= 2:
            began.set()
            assert may_end.wait(PATIENCE)

    job = threading.Thread(target=lambda: c.optimize(progress=progress))
    job.start()
    try:
        assert began.wait(PATIENCE)
        # Has the background look for a job, which waits for the one under way; too few rows for rules.
        c.upsert(np.arange(500, 900), rows_at(0, 400, 2))
        c.flush()
        # Fills a memtable.
        c.upsert(np.arange(900, 900 + 16_384), rows_at(1, 16_384, 3))
        query, deadline = rows_at(0, 1, 4)[0], time.monotonic() + PATIENCE
        while (told := c.explain(query)).difference is None and told.budget is None:
            assert time.monotonic() < deadline, "no rules were measured"
        assert not may_end.is_set()
    finally:
        may_end.set()
        job.join()


def test_copies_of_one_row_are_left_in_peace(db: drift.Database) -> None:
    c = db.create_collection("c", dim=DIM, metric="l2")
    c.upsert(np.arange(5_000), np.ones((5_000, DIM), np.float32))
    settle(c)
    assert c.search(np.ones(DIM, np.float32), k=K).distances.tolist() == [0.0] * K


def test_recall_does_not_depend_on_scale() -> None:
    rows, queries = rows_at(0, 6_000, 5), rows_at(0, 100, 6)
    recalls = []
    for scale in (1e-3, 1.0, 1e3):
        with drift.connect(f"memory://scale{scale}") as db:
            c = db.create_collection("c", dim=DIM, metric="l2")
            c.load([(np.arange(6_000), rows * np.float32(scale))])
            settle(c)
            found = c.search(queries * np.float32(scale), k=K).ids
            exact = c.search(queries * np.float32(scale), k=K, exact=True).ids
            recalls.append(np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))
    assert min(recalls) / K >= 0.9


def test_jobs_can_be_paused_and_budgeted(db: drift.Database) -> None:
    c = db.create_collection("c", dim=DIM)
    assert c.maintenance.budget == drift.Budget()
    c.maintenance.pause()
    assert c.maintenance.paused
    assert "paused" in repr(c.maintenance)
    assert c.health().paused
    c.maintenance.resume()
    assert not c.maintenance.paused
    budget = drift.Budget(share=0.25, rows_per_second=1_000, bytes_per_second=1 << 20, quiet_hours=(22, 6))
    c.maintenance.budget = budget
    assert c.maintenance.budget == budget
    for wrong in (
        drift.Budget(share=0),
        drift.Budget(share=1.5),
        drift.Budget(rows_per_second=0),
        drift.Budget(quiet_hours=(3, 3)),
        drift.Budget(quiet_hours=(0, 24)),
    ):
        with pytest.raises(drift.InvalidArgumentError):
            c.maintenance.budget = wrong
    others: list[tuple[Any, str]] = [
        (drift.Budget(rows_per_second=-1), "rows_per_second is -1"),
        (drift.Budget(bytes_per_second="x"), "bytes_per_second is 'x'"),
        (drift.Budget(share="x"), "share is 'x'"),
        (drift.Budget(quiet_hours=(7,)), "quiet_hours is"),
        (drift.Budget(quiet_hours=(7.5, 8)), "quiet_hours is 7.5"),
        (0.5, "budget is 0.5"),
    ]
    for other, named in others:
        with pytest.raises(drift.InvalidArgumentError, match=named):
            c.maintenance.budget = other
    assert c.maintenance.budget == budget


def test_health_draws_itself(db: drift.Database) -> None:
    pytest.importorskip("matplotlib")
    c = db.create_collection("c", dim=DIM)
    c.upsert(np.arange(100), rows_at(0, 100, 7))
    c.flush()
    assert len(c.health().plot().axes) == 3


def test_optimize_and_verify_report_their_progress(path: str) -> None:
    with drift.connect(path, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        rows = rows_at(0.0, 3_000, 1)
        c.load([(range(3_000), rows)])
        c.upsert(range(500), rows[:500])
        steps: list[tuple[int, int | None]] = []
        c.optimize(progress=lambda done, total: steps.append((done, total)))
        # Restructuring tells of itself once a round.
        assert steps == sorted(steps)
        assert list(dict.fromkeys(steps)) == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
        for repair in (False, True):
            read: list[tuple[int, int | None]] = []
            report = c.verify(repair=repair, progress=lambda done, total: read.append((done, total)))  # noqa: B023
            assert report["problems"] == []
            total = read[0][1]
            assert total is not None
            assert total > 3_000 * DIM * 4, "the bytes of all segments"
            assert (read[0], read[-1]) == ((0, total), (total, total))
            assert read == sorted(read)


@pytest.mark.parametrize("call", ["optimize", "verify"])
def test_what_a_progress_function_raises_ends_the_call(path: str, call: str) -> None:
    with drift.connect(path, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        rows = rows_at(0.0, 300, 1)
        c.upsert(range(300), rows)
        told = []

        def progress(done: int, _total: int | None) -> None:
            told.append(done)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            getattr(c, call)(progress=progress)
        assert told == [0]
        with pytest.raises(drift.InvalidArgumentError, match="progress is 'bar'"):
            getattr(c, call)(progress="bar")
        assert c.verify()["rows"] == 300
        c.optimize(progress=True)
        np.testing.assert_array_equal(c.get(range(300)).vectors, rows)
