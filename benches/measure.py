"""Time, memory and interpolation: how the figures are taken.

Speed is the median over passes of all queries, so that a disturbed pass does not count. Memory is resident memory
after the build, with the raw rows released and freed pages given back to the system, less what was resident before.
"""

from __future__ import annotations

import ctypes
import gc
import math
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PASSES_MIN = 3
PASSES_MAX = 100


@dataclass(frozen=True)
class Point:
    """One setting of one engine."""

    setting: dict[str, float]
    recall: float
    one_qps: float
    batch_qps: float
    counters: dict[str, float]
    """What the engine counted of its own work, per query."""


@dataclass
class Outcome:
    """All figures of one engine."""

    key: str
    name: str
    version: str
    setup: str
    rows: int
    build_seconds: float
    memory_mb: float
    points: list[Point]

    @classmethod
    def of_json(cls, raw: dict[str, Any]) -> Outcome:
        """Read what `as_json` wrote."""
        return cls(**{**raw, "points": [Point(**point) for point in raw["points"]]})

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def resident_mb() -> float:
    """Resident memory of this process, after freed pages were given back, in MiB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def median_rate(work: Callable[[], object], count: int, seconds: float) -> float:
    """Median of ``count`` per second over passes of ``work``: at least three, then until ``seconds`` are spent."""
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < PASSES_MIN or (time.perf_counter() < end and len(rates) < PASSES_MAX):
        start = time.perf_counter()
        work()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates)


def front(points: Sequence[Point], rate: Callable[[Point], float]) -> list[Point]:
    """Points that no other one beats in both recall and speed, from accurate to fast."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, -rate(point))):
        if not best or rate(point) > rate(best[-1]):
            best.append(point)
    return best


def rate_at(points: Sequence[Point], target: float, rate: Callable[[Point], float]) -> float | None:
    """Return queries per second at a recall, between the two points around it; none if no point reaches it.

    Only the `front` counts. Between two of its points the logarithm of speed is taken as linear in the logarithm of the
    share missed, which is how these curves run near 1.
    """
    best = front(points, rate)
    above = [point for point in best if point.recall >= target]
    below = [point for point in best if point.recall < target]
    if not above:
        return None
    high = above[-1]
    if not below or high.recall == target:
        return rate(high)
    low = below[0]
    x = [math.log(max(1 - recall, 1e-6)) for recall in (low.recall, high.recall, target)]
    share = (x[2] - x[0]) / (x[1] - x[0])
    return math.exp(math.log(rate(low)) * (1 - share) + math.log(rate(high)) * share)
