"""Workloads and runbooks on disk: what was written is read, and what does not belong is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest
from drift.simulate import Delete, Insert, Replace, Search, Workload, read, runbook
from drift.simulate.replayed import of_runbook

from tests.simulate.cases import NAMES, plain, replayed, small

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("yaml")

ORIGINAL = """\
random-xs:
  max_pts: 100
  1:
    operation: insert
    start: 0
    end: 100
  2:
    operation: search
  3:
    end: 20
    operation: delete
    start: 10
  4:
    operation: replace
    tags_start: 20
    tags_end: 30
    ids_start: 100
    ids_end: 110
  5:
  - operation: search
  gt_url: none
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    workload = small(name)
    runbook.write(workload, tmp_path / "runbook.yaml")
    steps = runbook.read(tmp_path / "runbook.yaml", len(workload.queries))
    again = Workload(name=name, vectors=workload.vectors, queries=workload.queries, steps=steps)
    assert plain(again) == plain(workload)
    assert runbook.text(again) == runbook.text(workload)
    assert runbook.names(tmp_path / "runbook.yaml") == [name]


def test_ids_with_gaps_become_several_operations() -> None:
    rows = np.eye(8, dtype=np.float32)
    steps = (
        Insert(np.arange(6)),
        Delete(np.array([0, 1, 3])),
        Replace(np.array([2, 4]), np.array([6, 7])),
        Search(0, 8),
    )
    text = runbook.text(Workload(name="gaps", vectors=rows, queries=rows, steps=steps))
    assert text.count("operation: delete") == 2
    assert text.count("operation: replace") == 2
    assert "max_pts: 6" in text
    assert text.endswith("operation: search\n")


def test_a_runbook_of_big_ann_benchmarks_runs_over_any_source(tmp_path: Path) -> None:
    (tmp_path / "runbook.yaml").write_text(ORIGINAL)
    np.save(tmp_path / "vectors.npy", np.random.default_rng(1).normal(size=(130, 4)))
    source = read(tmp_path / "vectors.npy")
    workload = of_runbook(tmp_path / "runbook.yaml", source, queries=20)
    assert workload.name == "random-xs"
    (first, all_rows), (_, changed) = replayed(workload)
    assert (first.start, first.end, len(all_rows)) == (0, 20, 100)
    assert 15 not in changed
    assert changed[25] == 105
    known = {row.tobytes() for row in source.vectors[110:]}
    assert all(query.tobytes() in known for query in workload.queries), "queries are rows that the runbook leaves out"


def test_wrong_runbooks_are_refused_with_their_operation(tmp_path: Path) -> None:
    wrong = {
        "no mapping": "a: [1]",
        "must be a mapping": "[1, 2]",
        "no YAML": "a: {",
        "operation 2 is 'merge'": "a: {1: {operation: search}, 2: {operation: merge}}",
        "operation 1: end is 'x'": "a: {1: {operation: insert, start: 0, end: x}}",
        "before start": "a: {1: {operation: insert, start: 5, end: 1}}",
        "3 tags the vectors of 2": (
            "a: {1: {operation: replace, tags_start: 0, tags_end: 3, ids_start: 0, ids_end: 2}}"
        ),
        "several datasets": "a: {1: {operation: search}}\nb: {1: {operation: search}}",
        "no operation 1": "a: {max_pts: 3}",
    }
    for message, text in wrong.items():
        (tmp_path / "wrong.yaml").write_text(text)
        with pytest.raises(drift.InvalidArgumentError, match=message):
            runbook.read(tmp_path / "wrong.yaml", 1)
    with pytest.raises(drift.NotFoundError):
        runbook.read(tmp_path / "absent.yaml", 1)


def test_a_saved_workload_is_loaded_with_its_truth(tmp_path: Path) -> None:
    workload = small("skewed-walk")
    workload.save(tmp_path / "w")
    again = Workload.load(tmp_path / "w")
    assert plain(again) == plain(workload)
    assert again.digest() == workload.digest()
    assert (again.name, again.seed, dict(again.parameters)) == (workload.name, 7, dict(workload.parameters))
    for found, expected in zip(again.truth(), workload.truth(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    small("churn").save(tmp_path)
    np.save(tmp_path / "vectors.npy", small("churn").vectors + 1)
    with pytest.raises(drift.InvalidArgumentError, match="not those"):
        Workload.load(tmp_path)
    (tmp_path / "queries.npy").unlink()
    with pytest.raises(drift.NotFoundError, match=r"queries\.npy"):
        Workload.load(tmp_path)


def test_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros(3))
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(drift.InvalidArgumentError, match="matrix"):
        read(tmp_path / "flat.npy")
    with pytest.raises(drift.InvalidArgumentError, match="no Parquet"):
        read(tmp_path / "text.parquet")
    with pytest.raises(drift.NotFoundError):
        read(tmp_path / "absent.npy")
