"""Tables out of reports: one over the steps of each engine, one of all engines side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drift.simulate.record import Record, Report

__all__ = ["Table", "overview", "steps"]


class Table(NamedTuple):
    """Names of columns, and rows of as many values: ints, floats, texts or None."""

    names: list[str]
    rows: list[list[Any]]


def steps(report: Report) -> Table:
    """Return one row for each search step, without the columns that the engine has nothing for."""
    return _without_empty([_step(number, record) for number, record in enumerate(report.records, start=1)])


def _step(number: int, record: Record) -> dict[str, Any]:
    return {
        "search": number,
        "rows": record.rows,
        "recall": record.recall,
        "p5": record.recall_p5,
        "codes/query": _whole(record.codes),
        "share": record.share,
        "refined": _whole(record.refined),
        "q/s": _whole(record.search.per_second),
        "p50 ms": record.search.p50_ms,
        "p99 ms": record.search.p99_ms,
        "busy p99.9": None if record.busy is None else record.busy.p999_ms,
        "insert/s": _whole(record.insert_rps),
        "delete/s": _whole(record.delete_rps),
        "replace/s": _whole(record.replace_rps),
        "job CPU s": record.job_cpu_seconds,
        "written MB": None if record.bytes_written is None else record.bytes_written / 1e6,
        "buckets": _whole(record.gauges.get("buckets")),
        "segments": _whole(record.gauges.get("segments")),
        "RSS MB": _whole(record.rss_mb),
        "health": record.gauges.get("health_recall"),
    }


def overview(reports: Sequence[Report]) -> Table:
    """Return one row for each engine, without the columns that none has anything for."""
    return _without_empty([_whole_run(report) for report in reports])


def _whole_run(report: Report) -> dict[str, Any]:
    found, fresh = report.summary(), report.fresh
    return {
        "engine": report.engine,
        "effort": report.effort,
        "recall": found["recall_mean"],
        "least": found["recall_min"],
        "p5 least": found["recall_p5_min"],
        "share first": found["share_first"],
        "share last": found["share_last"],
        "q/s first": _whole(found["qps_first"]),
        "q/s last": _whole(found["qps_last"]),
        "p99 ms": found["p99_ms_max"],
        "busy p99.9": found["busy_p999_ms_max"],
        "insert/s": _whole(found["insert_rps"]),
        "delete/s": _whole(found["delete_rps"]),
        "replace/s": _whole(found["replace_rps"]),
        "job CPU s": found["job_cpu_seconds"],
        "RSS MB": _whole(found["rss_mb_max"]),
        "dead found": found["dead_found"] or None,
        "end recall": None if fresh is None else fresh.recall,
        "fresh recall": None if fresh is None else fresh.fresh_recall,
        "fresh ratio": None if fresh is None else fresh.fresh_ratio,
        "speed ratio": None if fresh is None else fresh.speed_ratio,
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _without_empty(rows: list[dict[str, Any]]) -> Table:
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    return Table(names, [[row[name] for name in names] for row in rows])
