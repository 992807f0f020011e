"""The client of VectorDBBench under its own runners, and whole cases under its own task runner, over local files."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

pytest.importorskip("vectordb_bench", reason="the extra suites is not installed")

from drift.adapters.vectordb_bench import DriftCaseConfig, DriftClient, DriftConfig
from vectordb_bench.backend.clients.api import MetricType
from vectordb_bench.backend.filter import IntFilter, LabelFilter, NonFilter

from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path

DIM = 16
ROWS = oracle.vectors(2_000, DIM, 95)
QUERIES = ROWS[::100] + 0.5 * oracle.rng(96).normal(size=(20, DIM)).astype(np.float32)


def client(path: str) -> DriftClient:
    return DriftClient(DIM, DriftConfig(uri=path).to_dict(), DriftCaseConfig(metric_type=MetricType.L2), drop_old=True)


def filled(path: str, **options: Any) -> DriftClient:
    made = client(path)
    with made.init():
        for start in range(0, 2_000, 500):
            part = range(start, start + 500)
            assert made.insert_embeddings(ROWS[part].tolist(), list(part), **options) == (500, None)
        made.optimize(2_000)
    return made


def search(made: DriftClient) -> list[list[int]]:
    with made.init():
        return [made.search_embedding(query.tolist(), 10) for query in QUERIES]


def test_a_copy_in_another_process_finds_the_true_neighbours(path: str) -> None:
    made = filled(path)
    expected, _ = oracle.nearest("l2", QUERIES, ROWS, 10)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for found in pool.map(search, [made, made]):
            assert oracle.recall(found, expected) > 0.9
    assert search(made) == found


def test_the_serial_runner_measures_recall_against_its_ground_truth(path: str) -> None:
    from vectordb_bench.backend.runner import SerialSearchRunner

    made = filled(path)
    expected, _ = oracle.nearest("l2", QUERIES, ROWS, 10)
    runner = SerialSearchRunner(made, QUERIES.tolist(), expected.tolist(), 10, NonFilter())
    measured = runner.search((QUERIES.tolist(), expected.tolist()))
    assert measured[0] > 0.9


def test_filters_of_the_benchmark_are_applied(path: str) -> None:
    labels = ["label_25p" if at % 4 == 0 else "label_other" for at in range(500)]
    made = filled(path, labels_data=labels)
    made.prepare_filter(IntFilter(filter_rate=0.99, int_value=1_980))
    assert all(len(ids) == 10 and min(ids) >= 1_980 for ids in search(made))
    made.prepare_filter(LabelFilter(label_percentage=0.25))
    assert all(len(ids) == 10 and all(row_id % 4 == 0 for row_id in ids) for ids in search(made))
    made.prepare_filter(NonFilter())
    assert any(row_id % 4 for ids in search(made) for row_id in ids)


def test_what_cannot_be_inserted_is_returned_and_not_raised(path: str) -> None:
    made = client(path)
    with made.init():
        count, error = made.insert_embeddings([[0.0] * 3], [1])
    assert count == 0
    assert "dim" in str(error) or "shape" in str(error)


def test_the_first_insertions_may_come_from_several_threads(path: str) -> None:
    made = client(path)
    results: list[tuple[int, Exception | None]] = []
    together = threading.Barrier(4)

    def insert(part: range) -> None:
        together.wait()
        results.append(made.insert_embeddings(ROWS[part].tolist(), list(part)))

    with made.init():
        threads = [threading.Thread(target=insert, args=(range(at, at + 500),)) for at in range(0, 2_000, 500)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [(500, None)] * 4
    with drift.connect(path, read_only=True) as db:
        assert len(db["vectordb_bench"]) == 2_000


def dataset(folder: Path) -> dict[str, Any]:
    """Write a data set as VectorDBBench reads those of its users, and return its description."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    labels = np.where(np.arange(2_000) % 2 == 0, "label_50p", "label_other")
    for name, rows in (("neighbors.parquet", ROWS), ("neighbors_labels_label_50p.parquet", ROWS[::2])):
        places, _ = oracle.nearest("l2", QUERIES, rows, 10)
        ids = places * (2 if len(rows) < 2_000 else 1)
        pq.write_table(pa.table({"id": np.arange(20), "neighbors_id": ids.tolist()}), folder / name)
    pq.write_table(pa.table({"id": np.arange(2_000), "emb": ROWS.tolist()}), folder / "train.parquet")
    pq.write_table(pa.table({"id": np.arange(20), "emb": QUERIES.tolist()}), folder / "test.parquet")
    pq.write_table(pa.table({"id": np.arange(2_000), "labels": labels}), folder / "scalar_labels.parquet")
    return {"name": "small", "dir": str(folder), "size": 2_000, "dim": DIM, "metric_type": "L2", "file_count": 1}


def test_the_command_line_runs_a_case_of_ones_own_data(path: str, tmp_path: Path) -> None:
    described = dataset(tmp_path)
    options = {f"--custom-dataset-{name.replace('_', '-')}": str(value) for name, value in described.items()}
    options |= {
        "--uri": path,
        "--results": str(tmp_path / "results"),
        "--case-type": "PerformanceCustomDataset",
        "--custom-case-name": "small",
        "--k": "10",
        "--num-concurrency": "1",
        "--concurrency-duration": "1",
    }
    command = [sys.executable, "-m", "drift.adapters.vectordb_bench"]
    words = [word for option in options.items() for word in option]
    done = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["recall"] > 0.9
    assert printed["qps"] > 0
    assert printed["load_duration"] > 0
    assert [file.parent.name for file in (tmp_path / "results").rglob("*.json")] == ["drift"]
    assert "--case-type" in subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout


def test_a_case_with_labels_runs_and_a_case_that_fails_says_so(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drift.adapters._vectordb_bench_run import DriftTask, run
    from vectordb_bench.models import CaseConfig, CaseType, TaskStage

    # Set by what is tested; what is set here is put back.
    monkeypatch.setenv("RESULTS_LOCAL_DIR", str(tmp_path))
    custom = {"name": "labels", "description": "", "load_timeout": 60, "optimize_timeout": 60}
    custom |= {"dataset_config": dataset(tmp_path), "use_filter": True, "label_percentage": 0.5}
    task = DriftTask(
        db_config=DriftConfig(uri=path),
        db_case_config=DriftCaseConfig(),
        case_config=CaseConfig(case_id=CaseType.PerformanceCustomDataset, k=10, custom_case=custom),
        stages=[TaskStage.DROP_OLD, TaskStage.LOAD, TaskStage.SEARCH_SERIAL],
    )
    found = run(task, tmp_path / "results")
    assert found["label"] == ":)"
    assert found["metrics"]["recall"] > 0.9
    # The ground truth has ten neighbours of each query.
    asked = task.case_config.model_copy(update={"k": 11})
    wrong = task.model_copy(update={"case_config": asked, "stages": [TaskStage.SEARCH_SERIAL]})
    assert run(wrong, tmp_path / "results", "more than there are")["label"] == "x"
