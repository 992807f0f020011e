"""Fixtures: a fresh database per test, the 5,000-row sample, the seed in the header and hypothesis's settings.

Every random choice follows from ``DRIFT_SEED`` (default 1), which is printed, so that a failure can be run again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import drift
import hypothesis
import hypothesis.core
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "examples" / "data" / "packages_5k.parquet"

hypothesis.settings.register_profile(
    "drift",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("drift")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the subset that runs once per instruction set, and draw hypothesis's cases by the seed."""
    if config.getoption("--hypothesis-seed") is None:
        hypothesis.core.global_force_seed = oracle.run_seed()  # type: ignore[assignment]
    config.addinivalue_line("markers", "core: run under each DRIFT_SIMD value that this machine has")


def pytest_report_header() -> str:
    """Names the seed."""
    return f"DRIFT_SEED={oracle.run_seed()} (set it to run the same choices again)"


@dataclass(frozen=True)
class Sample:
    """The 5,000-row sample in memory, with 1,000 of its rows held out as queries."""

    table: pa.Table
    ids: oracle.I64
    names: list[str]
    rows: oracle.F32
    queries: oracle.F32


@pytest.fixture(scope="session")
def sample() -> Sample:
    """Return the sample of real embeddings, split by the run's seed."""
    table = pq.read_table(SAMPLE)
    embeddings = table["embedding"].combine_chunks()
    matrix = np.asarray(embeddings.flatten()).reshape(len(table), -1).astype(np.float32)
    order = oracle.rng(5_000).permutation(len(table))
    held_out, kept = order[:1_000], np.sort(order[1_000:])
    part = table.take(pa.array(kept))
    ids = part["id"].to_numpy().astype(np.int64)
    return Sample(part, ids, part["name"].to_pylist(), matrix[kept], matrix[held_out])


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a test keeps its database."""
    return str(tmp_path / "database")


@pytest.fixture
def db(path: str) -> Iterator[drift.Database]:
    """Return an open, empty database."""
    with drift.connect(path, durability="os") as database:
        yield database


@pytest.fixture
def docs(db: drift.Database) -> drift.Collection:
    """Return an empty collection of 8-dimensional vectors under squared L2, ids int."""
    return db.create_collection("docs", dim=8, metric="l2")


@pytest.fixture
def python() -> str:
    """Return the interpreter, for tests that need another process."""
    return sys.executable
