"""A small benchmark on one's own rows: load speed, and searches per second at the recall they are measured to have.

It needs nothing but drift and NumPy (pyarrow for Parquet files); peers run beside it where they are installed.
Everything runs in this process, one engine after the other, so memory is not told: `benches/` compares engines process
by process, and `drift simulate` while rows change.

>>> from drift.bench import bench_source
>>> from drift.simulate.source import gaussian
>>> result = bench_source(gaussian(1_100, 8, 1), queries=100, targets=[0.9], seconds=0)
>>> [(line.engine, line.target, line.recall >= 0.8) for line in result.lines]
[('drift', 0.9, True)]
"""

from __future__ import annotations

from drift.bench.run import Line, Load, Result, bench_collection, bench_source

__all__ = ["Line", "Load", "Result", "bench_collection", "bench_source"]
