"""How a collection does: the recall that its queries have, and the state of its buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from drift._errors import DriftError
from drift._show import count, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from drift._maintenance import JobRecord


class TargetRecall(NamedTuple):
    """Recall of the live queries that asked for the same, and for one target."""

    target: float
    """Recall asked for."""
    recall: float
    """Mean recall measured."""
    low: float
    """Lower end of the 95 % interval of the mean."""
    high: float
    """Upper end."""
    queries: int
    """Queries measured."""
    asked: Literal["nearest", "many", "filtered"]
    """What was asked for: up to 20 of the nearest rows; more of them; those that satisfy a filter."""


class TimelinePoint(NamedTuple):
    """What a group of live queries met."""

    time: float
    """Seconds since 1970 UTC."""
    recall: float
    """Their mean recall."""
    codes: float
    """Codes that queries scanned on average since the point before."""
    rows: int
    """Live rows."""
    buckets: int
    """Buckets."""


@dataclass(frozen=True)
class Health:
    """State of a collection: ``collection.health()``.

    A small share of the live queries (k up to 1,024, neither exact nor with ``nprobe``) is searched again in the
    background, through every row, which measures the recall that they had. Those with a filter, and those
    for more than 20 neighbours, are told apart from the others; the figures are of the newest thousand of each.
    Where drift measures every row anyway (collections of up to 1,000 rows, and rows that their codes do not tell
    apart) there is nothing to measure.
    The manifest keeps them, so they outlive the handle, and another process sees them.

    Attributes
    ----------
    recalls
        Measured recall by target and by what was asked for, that of most queries first; empty until queries have been
        measured.
    rows, dead_rows, segment_rows, segments
        Live rows, dead rows that still take room in segments, rows in segments (dead ones included), segments.
    bucket_rows, bucket_dead
        Live and dead rows of each bucket: uint32 arrays of shape (buckets,).
    bucket_drift
        Distance of the mean of each bucket's rows from its centre, in units of their root mean squared distance from
        the mean: float32, shape (buckets,).
    backlog
        What is due: buckets to ``split``, ``merge``, ``clear`` of dead entries and ``examine``, ``segments`` to be
        rewritten, ``memtables`` to be flushed. Amid a job or a load that takes long, what was due before it.
    jobs
        The newest 256 finished jobs, oldest first.
    timeline
        What live queries met over time, oldest first; the newest thousand groups.
    bytes_inserted, bytes_moved
        Bytes that flushes and bulk loads have written into segments since the collection was opened, and bytes that
        jobs have written.
    paused, degraded, poisoned
        Whether jobs are paused; why background work fails at present; why writes are refused.
    """

    recalls: list[TargetRecall]
    rows: int
    dead_rows: int
    segment_rows: int
    segments: int
    bucket_rows: NDArray[np.uint32]
    bucket_dead: NDArray[np.uint32]
    bucket_drift: NDArray[np.float32]
    backlog: dict[str, int]
    jobs: list[JobRecord]
    timeline: list[TimelinePoint]
    bytes_inserted: int
    bytes_moved: int
    paused: bool
    degraded: str | None
    poisoned: str | None

    @classmethod
    def read(cls, figures: dict[str, Any]) -> Health:
        """Build it from what the engine tells."""
        recalls = [TargetRecall(round(target, 6), *rest) for target, *rest in figures.pop("recalls")]
        timeline = [TimelinePoint(*point) for point in figures.pop("timeline")]
        return cls(recalls=recalls, timeline=timeline, **figures)

    @property
    def recall(self) -> float | None:
        """Mean measured recall of the first of :attr:`recalls`; None when none was measured."""
        return self.recalls[0].recall if self.recalls else None

    @property
    def recall_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of :attr:`recall`."""
        return (self.recalls[0].low, self.recalls[0].high) if self.recalls else None

    @property
    def dead_share(self) -> float:
        """Share of the rows in segments that are dead."""
        return self.dead_rows / self.segment_rows if self.segment_rows else 0.0

    @property
    def write_amplification(self) -> float:
        """Bytes that jobs have written per byte inserted."""
        return self.bytes_moved / self.bytes_inserted if self.bytes_inserted else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it: arrays become quantiles and a histogram of eight parts."""
        return {
            "recall": self.recall,
            "recall_interval": self.recall_interval,
            "recalls": [recall._asdict() for recall in self.recalls],
            "rows": self.rows,
            "dead_rows": self.dead_rows,
            "dead_share": self.dead_share,
            "segment_rows": self.segment_rows,
            "segments": self.segments,
            "buckets": len(self.bucket_rows),
            "bucket_rows": _spread(self.bucket_rows),
            "bucket_dead_share": _spread(self.bucket_dead / np.maximum(1, self.bucket_rows + self.bucket_dead)),
            "bucket_drift": _spread(self.bucket_drift),
            "backlog": dict(self.backlog),
            "jobs": [dict(job) for job in self.jobs],
            "timeline": [point._asdict() for point in self.timeline],
            "bytes_inserted": self.bytes_inserted,
            "bytes_moved": self.bytes_moved,
            "write_amplification": self.write_amplification,
            "paused": self.paused,
            "degraded": self.degraded,
            "poisoned": self.poisoned,
        }

    def __repr__(self) -> str:
        """Return the figures that matter on one line."""
        if self.recalls:
            target, recall, low, high, queries, asked = self.recalls[0]
            measured = f"recall {recall:.3f} ({low:.3f} to {high:.3f}, {queries} queries) for {target:g} asked"
            measured += "" if asked == "nearest" else f" of {asked}"
        else:
            measured = "no query measured yet"
        state = "poisoned" if self.poisoned else "degraded" if self.degraded else "paused" if self.paused else "well"
        return (
            f"<drift.Health {state}: {measured}; {self.rows:,} rows, {self.dead_share:.1%} dead, "
            f"{len(self.bucket_rows):,} buckets, {sum(self.backlog.values())} due>"
        )

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            (
                f"recall for {of.target:g}",
                f"{of.recall:.3f} ({of.low:.3f} to {of.high:.3f}, {count(of.queries, 'query', 'queries')})",
            )
            for of in self.recalls
        ]
        rows += [("rows", self.rows), ("dead share", f"{self.dead_share:.1%}"), ("segments", self.segments)]
        rows += [("buckets", len(self.bucket_rows))]
        # What is due of nothing, and states that are well, a notebook need not show.
        rows += [(f"due: {name}", due) for name, due in self.backlog.items() if due]
        states = (("paused", self.paused), ("degraded", self.degraded), ("poisoned", self.poisoned))
        rows += [(name, state) for name, state in states if state]
        return html_table(repr(self), ["", ""], rows)

    def plot(self) -> Figure:
        """Draw recall and work per query over time, and the sizes of the buckets (matplotlib, extra ``simulate``).

        Raises
        ------
        DriftError
            When matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise DriftError("plot() needs matplotlib: pip install 'drift-vector[simulate]'") from error
        figure = Figure(figsize=(8, 8), layout="constrained")
        recall, work, sizes = figure.subplots(3, 1)
        start = self.timeline[0].time if self.timeline else 0.0
        times = [point.time - start for point in self.timeline]
        recall.plot(times, [point.recall for point in self.timeline], ".-", label="measured")
        for target in {of.target for of in self.recalls}:
            recall.axhline(target, color="gray", linewidth=0.8, linestyle="--")
        recall.set(xlabel="seconds", ylabel="recall of 16 live queries")
        work.plot(times, [point.codes for point in self.timeline], ".-")
        work.set(xlabel="seconds", ylabel="codes scanned per query", ylim=(0, None))
        sizes.hist(self.bucket_rows, bins=40)
        sizes.set(xlabel="live rows of a bucket", ylabel="buckets")
        return figure


def _spread(values: NDArray[Any]) -> dict[str, Any]:
    if not len(values):
        return {"p5": None, "p50": None, "p95": None, "max": None, "histogram": [], "edges": []}
    p5, p50, p95 = (float(value) for value in np.percentile(values, [5, 50, 95]))
    counts, edges = np.histogram(values, bins=8)
    return {
        "p5": p5,
        "p50": p50,
        "p95": p95,
        "max": float(np.max(values)),
        "histogram": counts.tolist(),
        "edges": edges.tolist(),
    }
