"""Simulations: workloads that change an index step by step, and what becomes of recall, work and speed.

A workload is a table of vectors, a table of queries and a sequence of insertions, deletions, replacements and searches,
with exact neighbours at each search. `generate` makes one from a seed, `Workload.load` and `runbook.read` read one;
`run` applies it to drift or a peer under one setting and returns a `Report`. ``drift simulate`` is the same on the
command line. Generating and running need NumPy alone; the extra ``simulate`` reads Parquet and YAML and draws plots,
the extra ``peers`` brings the other engines.

>>> from drift.simulate import Settings, generate, run
>>> report = run(generate("churn", rows=400, dim=8, steps=2, queries=20), settings=Settings(durability="os"))
>>> report.summary()["dead_found"]
0
"""

from __future__ import annotations

from drift.simulate.apart import run_apart
from drift.simulate.engines import ENGINES, Engine
from drift.simulate.families import FAMILIES, Family
from drift.simulate.generate import generate
from drift.simulate.measure import Latency
from drift.simulate.record import Fresh, Record, Report
from drift.simulate.run import run
from drift.simulate.settings import Settings
from drift.simulate.source import Source, gaussian, read
from drift.simulate.steps import Delete, Insert, Replace, Search, Step
from drift.simulate.workload import Workload

__all__ = [
    "ENGINES",
    "FAMILIES",
    "Delete",
    "Engine",
    "Family",
    "Fresh",
    "Insert",
    "Latency",
    "Record",
    "Replace",
    "Report",
    "Search",
    "Settings",
    "Source",
    "Step",
    "Workload",
    "gaussian",
    "generate",
    "read",
    "run",
    "run_apart",
]
