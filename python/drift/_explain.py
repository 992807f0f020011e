"""Why a search went as far as it did: what `Collection.explain` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from drift._result import SearchResult
from drift._show import count, html_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Explanation", "SearchWork", "StageSeconds"]

# Buckets that the table of `str()` shows beyond the scanned ones: what the search would have read next.
NEXT_SHOWN = 3
# A screen holds this many buckets.
BUCKETS_SHOWN = 24

STOPS = {
    "difference": "the next bucket's score is more than the difference beyond the k-th distance",
    "budget": "the budget of codes is spent",
    "confidence": "the confidence asked for is reached",
    "nprobe": "nprobe buckets are scanned",
    "all": "everything is scanned",
}


class SearchWork(NamedTuple):
    """What one search read."""

    buckets: int
    """Buckets scanned."""
    codes: int
    """Codes scanned: 1-bit entries, or 8-bit codes of rows."""
    first_codes: int
    """Entries estimated for a first threshold, of buckets that were not scanned then: beside `codes`."""
    rows_refined: int
    """Rows whose 8-bit codes were read after their entry had passed."""
    rows_exact: int
    """Rows whose exact vectors were read."""
    rows_memory: int
    """Rows in memtables, all of which were looked at."""


class StageSeconds(NamedTuple):
    """Where the time of one search went, seconds."""

    prepare: float
    """Rotating and coding the query."""
    scan: float
    """Ranking and scanning buckets, and refining what passed."""
    exact: float
    """Reading and measuring exact vectors."""
    memory: float
    """Memtables."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """One search, and why it went as far as it did: ``collection.explain(query)``.

    Arrays are by bucket, in the order in which the search ranked them, and hold the buckets that it looked at: buckets
    are ranked chunk by chunk, and those of chunks that were not needed are missing. Scores and centroid distances are
    in the engine's own unit: squared L2 (under cosine between unit vectors, hence twice the reported distance), and
    minus the inner product under dot.

    Attributes
    ----------
    result
        What the search found: the same as ``collection.search`` with these options.
    k, recall
        What was asked; `recall` is None when ``nprobe`` or ``target_confidence`` took its place.
    stop
        What ended the search: ``"difference"`` (the next bucket's score exceeded the k-th distance by more than
        `difference`), ``"budget"`` (`budget` codes were scanned), ``"confidence"``, ``"nprobe"`` or ``"all"``.
    difference, budget
        The rule that was in force, None where there was no limit. `difference` is in the unit of `scores`.
    threshold
        Distance of the k-th row, by its 8-bit code, when the search ended; None while there were fewer rows.
    confidence
        Sum of the likelihoods of the scanned buckets by the density model. It is a model's word: recall is measured,
        and told by ``collection.health()``.
    geometric
        Share of the k-th neighbour's ball within the scanned buckets by geometry (Quake's estimate); None under dot.
    spread
        Standard deviation of the distances between centroids: the unit in which ``lambda_`` counts.
    bucket_ids, scores, centroid_distances
        uint32, float32 and float32, shape (buckets,).
    live_rows, codes
        Live rows that are in each bucket (uint32), and codes that a scan of it reads (uint64): with 1-bit codes those
        of rows that have their second entry in it, too, and room that is not in use.
    likelihoods
        Likelihood of each bucket by the density model, those of all buckets of the collection summing up to 1: float64.
    scanned
        Whether each bucket was scanned: bool.
    buckets_total
        Buckets of the collection.
    results_in_memory
        How many results came from memtables.
    work, seconds
        What was read, and where the time went.
    """

    result: SearchResult
    k: int
    recall: float | None
    stop: str
    difference: float | None
    budget: int | None
    threshold: float | None
    confidence: float
    geometric: float | None
    spread: float
    bucket_ids: NDArray[np.uint32]
    scores: NDArray[np.float32]
    centroid_distances: NDArray[np.float32]
    live_rows: NDArray[np.uint32]
    codes: NDArray[np.uint64]
    likelihoods: NDArray[np.float64]
    scanned: NDArray[np.bool_]
    buckets_total: int
    results_in_memory: int
    work: SearchWork
    seconds: StageSeconds

    @classmethod
    def read(cls, k: int, figures: dict[str, Any]) -> Explanation:
        """Build it from what the engine tells."""
        result = SearchResult(figures.pop("ids"), figures.pop("distances"))
        work, seconds = SearchWork(**figures.pop("work")), StageSeconds(**figures.pop("seconds"))
        recall = figures.pop("recall")
        recall = None if recall is None else round(recall, 6)
        return cls(result=result, k=k, recall=recall, work=work, seconds=seconds, **figures)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it: ``buckets`` is a list of dictionaries, in order of rank."""
        columns: dict[str, NDArray[Any]] = {
            "id": self.bucket_ids,
            "score": self.scores,
            "centroid_distance": self.centroid_distances,
            "live_rows": self.live_rows,
            "codes": self.codes,
            "likelihood": self.likelihoods,
            "scanned": self.scanned,
        }
        lists = {name: values.tolist() for name, values in columns.items()}
        return {
            "results": self.result.to_list(),
            "k": self.k,
            "recall": self.recall,
            "stop": self.stop,
            "difference": self.difference,
            "budget": self.budget,
            "threshold": self.threshold,
            "confidence": self.confidence,
            "geometric": self.geometric,
            "spread": self.spread,
            "buckets": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)],
            "buckets_total": self.buckets_total,
            "results_in_memory": self.results_in_memory,
            "work": self.work._asdict(),
            "seconds": self.seconds._asdict(),
        }

    def _asked(self) -> str:
        return f"k={self.k}" if self.recall is None else f"k={self.k}, recall={self.recall:g}"

    def __repr__(self) -> str:
        """Return what the search did on one line."""
        return (
            f"<drift.Explanation {self._asked()}: {self.work.buckets:,} of {count(self.buckets_total, 'bucket')}, "
            f"{count(self.work.codes, 'code')}, stopped by {self.stop}, {1e6 * sum(self.seconds):.0f} us>"
        )

    def _rows(self, most: int) -> list[tuple[object, ...]]:
        """Return the first buckets as cells: rank, id, score, live rows, codes, likelihood, cumulated, scanned."""
        shown = min(most, self.work.buckets + NEXT_SHOWN, len(self.bucket_ids))
        cumulated = self.likelihoods.cumsum()
        return [
            (
                rank + 1,
                int(self.bucket_ids[rank]),
                float(self.scores[rank]),
                int(self.live_rows[rank]),
                int(self.codes[rank]),
                float(self.likelihoods[rank]),
                float(cumulated[rank]),
                "yes" if self.scanned[rank] else "no",
            )
            for rank in range(shown)
        ]

    def __str__(self) -> str:
        """Return the whole story: rule, end, work, times and a table of the first buckets."""
        work = self.work
        limit = "no rule" if self.difference is None and self.budget is None else "rule"
        if self.difference is not None:
            limit += f": score - k-th distance <= {self.difference:.6g}"
        if self.budget is not None:
            limit += f"{',' if self.difference is not None else ':'} at most {count(self.budget, 'code')}"
        distance = "-" if self.threshold is None else f"{self.threshold:.6g}"
        geometric = "-" if self.geometric is None else f"{self.geometric:.3f}"
        stages = ", ".join(f"{name} {1e6 * seconds:.0f}" for name, seconds in self.seconds._asdict().items())
        lines = [
            f"asked       {self._asked()}",
            f"limit       {limit}",
            f"stopped by  {self.stop}: {STOPS[self.stop]}",
            f"k-th        {distance} by 8-bit code",
            f"confidence  {self.confidence:.3f} by density, {geometric} by geometry (health() tells measured recall)",
            f"buckets     {work.buckets:,} of {self.buckets_total:,} scanned",
            f"codes       {work.codes:,} scanned, {work.first_codes:,} more for a first threshold",
            f"rows        {work.rows_refined:,} refined by 8-bit codes, {work.rows_exact:,} read exactly",
            f"memory      {count(work.rows_memory, 'row')}, {count(self.results_in_memory, 'result')} from there",
            f"time        {1e6 * sum(self.seconds):.0f} us: {stages}",
        ]
        head = ("rank", "bucket", "score", "live", "codes", "likelihood", "cumulated", "scanned")
        rows = self._rows(BUCKETS_SHOWN)
        if rows:
            cells = [head, *(tuple(_cell(value) for value in row) for row in rows)]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            lines += ["", *("  ".join(map(str.rjust, row, widths)) for row in cells)]
        if len(self.bucket_ids) > len(rows):
            lines.append(f"and {len(self.bucket_ids) - len(rows):,} more that were ranked")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = ("rank", "bucket", "score", "live", "codes", "likelihood", "cumulated", "scanned")
        return html_table(repr(self), head, self._rows(BUCKETS_SHOWN), len(self.bucket_ids))


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
