"""Runs: drift over every workload, the form of a report, the modes of a run, and peers where they are installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import drift
import pytest
from drift.simulate import ENGINES, Report, Settings, generate, run, run_apart
from drift.simulate.engines.drift import Drift
from drift.simulate.report import overview, steps

from tests.simulate.cases import NAMES, replayed, small

if TYPE_CHECKING:
    from pathlib import Path

    from drift.simulate import Workload

QUICK = Settings(durability="os", passes=1)
RECALL_LEAST = 0.85
"""Floor of each search step when .95 is asked for, with 30 queries: a mean of 300 neighbours.

Twelve runs of each workload stayed above .93. Most of these collections are so small that drift scans all of their
rows, so this checks that no row is lost or comes back, and hardly the stop rules.
"""
PEERS = [(key, kind.module) for key, kind in ENGINES.items() if key != "drift"]


@pytest.mark.parametrize("name", NAMES)
def test_drift_holds_its_recall_and_finds_no_dead_row(name: str) -> None:
    workload = small(name)
    report = run(workload, settings=QUICK)
    assert [record.rows for record in report.records] == [len(live) for _, live in replayed(workload)]
    assert report.summary()["dead_found"] == 0
    assert report.summary()["recall_mean"] >= 0.92
    assert min(record.recall for record in report.records) >= RECALL_LEAST
    assert all(record.share is not None and record.share > 0 for record in report.records)
    assert report.effort is None


def test_where_drift_filters_by_single_bits_its_work_is_counted_too() -> None:
    # Below 64 dimensions there is no filter, so the small workloads do not come here.
    report = run(generate("churn", rows=3_000, dim=64, steps=3, queries=50), settings=QUICK)
    assert report.summary()["dead_found"] == 0
    assert report.summary()["recall_mean"] >= 0.9
    # Every result was measured by its finer code, but for those of a scan of everything, which has no filter.
    for record in report.records:
        assert record.codes is not None
        assert record.refined is not None
        assert record.refined >= 10 or record.codes >= record.rows


def test_counts_too_small_for_the_results_give_no_ratio() -> None:
    settings = Settings(durability="os", passes=1, optimize_at_end=True)
    workload = generate("needles", rows=6_000, dim=64, steps=3, queries=30)
    fresh = run(workload, settings=settings).fresh
    assert fresh is not None
    assert fresh.codes is not None
    assert fresh.fresh_codes is not None
    assert (fresh.fresh_ratio is None) == (min(fresh.codes, fresh.fresh_codes) < 10)


def test_progress_is_a_bar_or_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def tiny() -> Workload:
        return generate("churn", rows=400, dim=8, steps=2, queries=20)

    lines: list[str] = []
    workload = tiny()
    run(workload, settings=QUICK, progress=lines.append)
    searches = workload.searches
    assert lines[:searches] == [f"exact neighbours: {at + 1} of {searches} searches" for at in range(searches)]
    assert [line.split(",")[0] for line in lines[searches:]] == [
        f"drift: search {at + 1} of {searches}" for at in range(searches)
    ]
    assert capsys.readouterr().err == ""
    run(tiny(), settings=QUICK, progress=True)
    shown = capsys.readouterr().err
    assert "exact neighbours" in shown
    assert "drift" in shown
    with pytest.raises(drift.InvalidArgumentError, match="progress is 'bar'"):
        run(tiny(), settings=QUICK, progress="bar")  # type: ignore[arg-type]


def test_a_report_goes_to_json_and_back() -> None:
    report = run(small("replace"), settings=QUICK)
    raw = json.loads(json.dumps(report.as_json()))
    assert Report.of_json(raw) == report
    assert set(raw) == {
        *("engine", "version", "setup", "effort", "workload", "settings", "records", "fresh", "summary"),
    }
    record = raw["records"][1]
    assert record["replaced"] > 0
    assert record["replace_rps"] > 0
    assert record["delete_rps"] is None
    assert record["bytes_written"] > 0
    assert set(record["search"]) == {"calls", "per_second", "p50_ms", "p99_ms", "p999_ms"}
    assert record["search"]["calls"] == 30
    assert {"buckets", "segments", "memory_bytes"} <= set(record["gauges"])
    assert raw["workload"]["name"] == "replace"


def test_tables_have_one_row_a_search_and_one_an_engine() -> None:
    report = run(small("churn"), settings=QUICK)
    table = steps(report)
    assert len(table.rows) == len(report.records)
    assert {"recall", "codes/query", "q/s", "delete/s"} <= set(table.names)
    assert "replace/s" not in table.names, "columns without values are left out"
    assert [row[0] for row in overview([report, report]).rows] == ["drift", "drift"]


def test_searches_run_beside_writes_when_asked_for() -> None:
    records = run(small("churn"), settings=Settings(durability="os", passes=1, searchers=2, batch=50)).records
    busy = [record.busy for record in records if record.busy is not None]
    assert busy
    assert all(0 < one.p50_ms <= one.p99_ms <= one.p999_ms for one in busy)
    assert all(record.busy is None for record in run(small("churn"), settings=QUICK).records)


def test_without_settling_new_rows_stay_in_memory_and_are_counted() -> None:
    # Of inserts alone: where rows are deleted, a compaction in the background may flush.
    last = run(small("needles"), settings=Settings(durability="os", passes=1, settle=False)).records[-1]
    assert last.gauges["memtable_rows"] > 0
    assert last.codes is not None
    assert last.codes >= last.gauges["memtable_rows"]
    assert last.settle_seconds == 0


def test_the_end_can_be_compared_with_a_new_index() -> None:
    fresh = run(small("random-deletion"), settings=Settings(durability="os", passes=1, optimize_at_end=True)).fresh
    assert fresh is not None
    assert fresh.fresh_recall >= RECALL_LEAST
    assert fresh.fresh_ratio is not None
    assert fresh.fresh_ratio > 0
    assert fresh.speed_ratio > 0


class Jobs:
    """Maintenance that is due three times."""

    def __init__(self) -> None:
        self.due = 3
        self.calls = 0

    def run_once(self) -> list[dict[str, str]]:
        self.calls += 1
        self.due -= self.due > 0
        return [{"job": "restructure"}] * (self.due > 0)


class Maintained:
    """A collection with maintenance and a measured recall, the rest drift's."""

    def __init__(self, collection: drift.Collection) -> None:
        self.collection = collection
        self.maintenance = Jobs()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)

    def health(self) -> Any:
        class Health:
            recall = 0.97
            bytes_inserted = 100
            bytes_moved = 30

        return Health()


def test_maintenance_runs_until_nothing_is_due_and_measured_recall_is_kept(tmp_path: Path) -> None:
    index = Drift(10, 10, 4, "l2", QUICK, tmp_path)
    maintained = Maintained(index.collection)
    index.collection = maintained  # type: ignore[assignment]
    index.settle()
    assert maintained.maintenance.calls == 3
    gauges = index.gauges()
    assert (gauges["health_recall"], gauges["bytes_inserted"], gauges["bytes_moved"]) == (0.97, 100, 30)
    index.close()


@pytest.mark.parametrize(("engine", "module"), PEERS)
def test_a_peer_runs_in_a_process_of_its_own(engine: str, module: str) -> None:
    pytest.importorskip(module)
    if ENGINES[engine].unavailable() is not None:
        pytest.skip(f"{engine}: {ENGINES[engine].unavailable()}")
    report = run_apart(small("churn"), engine, QUICK)
    assert report.engine == engine
    assert report.effort in ENGINES[engine].efforts
    assert report.records[0].recall >= 0.95
    assert report.summary()["recall_min"] >= 0.7
    assert report.summary()["dead_found"] == 0


def test_engines_and_settings_that_are_none_are_refused() -> None:
    with pytest.raises(drift.InvalidArgumentError, match="ghost"):
        run(small("churn"), "ghost")
    for wrong in ({"recall": 0.0}, {"batch": 0}, {"passes": 0}, {"searchers": -1}, {"durability": "maybe"}):
        with pytest.raises(drift.InvalidArgumentError, match=next(iter(wrong))):
            Settings(**wrong)
