"""What a run finds: one record for each search step, and a report of them all that goes to JSON and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from drift.simulate.measure import Latency

__all__ = ["Fresh", "Record", "Report"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One search step, and the writes since the one before it.

    Attributes
    ----------
    step : int
        Position of the search step among all steps, from 0.
    rows : int
        Living rows.
    inserted, deleted, replaced : int
        Rows written since the search step before.
    recall, recall_p5 : float
        Mean and 5th percentile over queries of recall@10; see `truth.hits` for ties.
    dead_found : int
        Ids in answers that do not live: 0 for a correct engine.
    codes : float or None
        Codes compared per query as the engine counts them (drift stores two of each flushed row), and rows of drift's
        memtable, each of which a search compares; None for an engine that does not count.
    refined : float or None
        Rows per query whose finer code drift read, those of the first threshold included; None for other engines.
    share : float or None
        `codes` divided by `rows`.
    search : Latency
        Of one query a call, one thread, nothing else running.
    busy : Latency or None
        Of searches in `searchers` threads while the writes and the maintenance before this step ran.
    insert_rps, delete_rps, replace_rps : float or None
        Rows per second of the calls alone; None where there were none. The first insertion, a bulk load, counts.
    settle_seconds : float
        Elapsed time of flush and maintenance before this step.
    write_cpu_seconds : float
        Processor time of the writes, all threads.
    job_cpu_seconds : float
        Processor time of maintenance: all while settling, and of drift also that of other threads during writes after
        the bulk load. With searchers, their time is in both.
    bytes_written : int or None
        Bytes of segments written since the step before; None for an engine that writes none.
    rss_mb : float or None
        Resident memory beyond what the process had before the engine was made, MiB.
    gauges : dict of str to float
        What the engine says of itself: buckets, segments, dead_rows, memtable_rows, disk_bytes, memory_bytes and, where
        drift measures its own recall, health_recall.
    """

    step: int
    rows: int
    inserted: int
    deleted: int
    replaced: int
    recall: float
    recall_p5: float
    dead_found: int
    codes: float | None
    refined: float | None
    share: float | None
    search: Latency
    busy: Latency | None
    insert_rps: float | None
    delete_rps: float | None
    replace_rps: float | None
    settle_seconds: float
    write_cpu_seconds: float
    job_cpu_seconds: float
    bytes_written: int | None
    rss_mb: float | None
    gauges: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """The index at the end of a run beside a new one of the same rows, with the queries of the last search step.

    Attributes
    ----------
    recall, fresh_recall : float
        Mean recall@10 of the two.
    codes, fresh_codes : float or None
        Codes compared per query.
    fresh_ratio : float or None
        `codes` over `fresh_codes`, at one recall *asked*. Beside equal recalls, above 1 is rot; below 1 with a lower
        `recall` is no gain but an index that looks at too little. None when either count is below 10, the number of
        results, and so cannot be all that was read.
    speed_ratio : float
        Queries per second of the index over those of the new one, in turns.
    """

    recall: float
    fresh_recall: float
    codes: float | None
    fresh_codes: float | None
    fresh_ratio: float | None
    speed_ratio: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole run of one engine.

    Attributes
    ----------
    engine, version, setup : str
        Which engine, which version, with which parameters.
    effort : int or None
        The peer's setting that was chosen at the first search step, or None for an engine that finds its own.
    workload : dict
        Name, rows, dim, metric, seed, parameters, digest.
    settings : dict
        Those of the run.
    records : list of Record
        One for each search step.
    fresh : Fresh or None
        The comparison at the end, when asked for.
    """

    engine: str
    version: str
    setup: str
    effort: int | None
    workload: dict[str, Any]
    settings: dict[str, Any]
    records: list[Record]
    fresh: Fresh | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with a summary of the records."""
        return {**asdict(self), "summary": self.summary()}

    @classmethod
    def of_json(cls, raw: dict[str, Any]) -> Report:
        """Read what `as_json` returned."""
        records = [
            Record(
                **{
                    **record,
                    "search": Latency(**record["search"]),
                    "busy": None if record["busy"] is None else Latency(**record["busy"]),
                }
            )
            for record in raw["records"]
        ]
        fields = {name: value for name, value in raw.items() if name != "summary"}
        fresh = None if raw["fresh"] is None else Fresh(**raw["fresh"])
        return cls(**{**fields, "records": records, "fresh": fresh})

    def summary(self) -> dict[str, Any]:
        """Return the figures of the run as a whole; rates are means weighted by the number of rows."""
        records = self.records
        shares = [record.share for record in records if record.share is not None]
        busy = [record.busy.p999_ms for record in records if record.busy is not None]
        return {
            "recall_mean": sum(record.recall for record in records) / len(records),
            "recall_min": min(record.recall for record in records),
            "recall_p5_min": min(record.recall_p5 for record in records),
            "dead_found": sum(record.dead_found for record in records),
            "share_first": shares[0] if shares else None,
            "share_last": shares[-1] if shares else None,
            "qps_first": records[0].search.per_second,
            "qps_last": records[-1].search.per_second,
            "p99_ms_max": max(record.search.p99_ms for record in records),
            "busy_p999_ms_max": max(busy) if busy else None,
            "insert_rps": _rate(records, "inserted", "insert_rps"),
            "delete_rps": _rate(records, "deleted", "delete_rps"),
            "replace_rps": _rate(records, "replaced", "replace_rps"),
            "write_cpu_seconds": sum(record.write_cpu_seconds for record in records),
            "job_cpu_seconds": sum(record.job_cpu_seconds for record in records),
            "bytes_written": sum(record.bytes_written or 0 for record in records),
            "rss_mb_max": max((record.rss_mb for record in records if record.rss_mb is not None), default=None),
        }


def _rate(records: list[Record], rows: str, rate: str) -> float | None:
    """Return all rows divided by the time of all their calls; the first step, a bulk load, is left out if it can be."""
    pairs = [(getattr(record, rows), getattr(record, rate)) for record in records if getattr(record, rate) is not None]
    pairs = pairs[1:] if rows == "inserted" and len(pairs) > 1 else pairs
    seconds = sum(count / speed for count, speed in pairs)
    return sum(count for count, _ in pairs) / seconds if seconds > 0 else None
