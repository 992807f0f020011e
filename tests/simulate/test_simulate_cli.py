"""``drift simulate``: it lists, runs, saves and draws, and names mistakes in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drift.simulate import ENGINES, FAMILIES, generate

from tests.conftest import ROOT, SAMPLE
from tests.test_contract_cli import as_json, call

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--rows", "600", "--dim", "8", "--steps", "2", "--queries", "20", "--durability", "os", "--passes", "1")


def test_the_list_names_every_workload_and_engine() -> None:
    text, raw = call("simulate", "--list"), as_json("simulate", "--list")
    for name in (*FAMILIES, *ENGINES):
        assert name in text
    assert [one["workload"] for one in raw["workloads"]] == list(FAMILIES)


def test_a_run_prints_tables_and_writes_results(tmp_path: Path) -> None:
    text = call("simulate", "moving", *SMALL, "--set", "speed=0.3", "--out", str(tmp_path))
    for word in ("moving", "recall", "codes/query", "q/s", "p99 ms"):
        assert word in text
    results = json.loads((tmp_path / "results.json").read_text())
    (found,) = results["runs"]
    assert found["workload"]["parameters"]["speed"] == 0.3
    assert len(found["records"]) == 3
    assert results["failed"] == {}
    if (tmp_path / "steps.png").exists():
        assert (tmp_path / "steps.png").read_bytes().startswith(b"\x89PNG")


def test_repeats_are_runs_of_one_workload() -> None:
    runs = as_json("simulate", "churn", *SMALL, "--repeats", "2")["runs"]
    assert [one["engine"] for one in runs] == ["drift", "drift"]
    assert runs[0]["workload"] == runs[1]["workload"]


def test_a_saved_workload_runs_again(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    first = as_json("simulate", "churn", *SMALL, "--save", str(tmp_path / "w"))
    again = as_json("simulate", str(tmp_path / "w"), "--durability", "os", "--passes", "1", "--recall", "0.9")
    digests = [results["runs"][0]["workload"]["digest"] for results in (first, again)]
    assert digests[0] == digests[1]
    assert again["runs"][0]["settings"]["recall"] == 0.9


def test_options_that_a_saved_workload_ignores_are_named(tmp_path: Path) -> None:
    generate("churn", rows=600, dim=8, steps=2, queries=20).save(tmp_path / "w")
    command = [sys.executable, "-m", "drift", "simulate", str(tmp_path / "w"), "--rows", "5", "--passes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0
    assert f"--rows does nothing here: {tmp_path / 'w'} is a saved workload" in done.stderr


def test_a_runbook_runs_over_a_file(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "r.yaml").write_text(
        "d:\n  1: {operation: insert, start: 0, end: 300}\n  2: {operation: search}\n"
        "  3: {operation: delete, start: 0, end: 100}\n  4: {operation: search}\n"
    )
    np.save(tmp_path / "v.npy", np.random.default_rng(1).normal(size=(320, 8)))
    found = as_json(
        *("simulate", "--runbook", str(tmp_path / "r.yaml"), "--source", str(tmp_path / "v.npy")),
        *("--queries", "20", "--durability", "os"),
    )
    assert [record["rows"] for record in found["runs"][0]["records"]] == [300, 200]


def test_mistakes_get_one_clear_line(tmp_path: Path) -> None:
    mistakes = {
        ("moving", "--rows", "-5"): "rows is -5: it must be 1 or more",
        ("moving", "--rows", "0"): "rows is 0",
        ("churn", "--dim", "0"): "dim is 0",
        ("paper", "--rows", "0"): "rows is 0",
        ("paper", "--queries", "0"): "queries is 0",
        ("ghost",): "ghost",
        (): "--runbook",
        ("churn", "--engines", "ghost"): "ghost",
        ("churn", "--set", "speed"): "NAME=VALUE",
        ("churn", "--recall", "2"): "recall",
        ("churn", "--repeats", "0"): "repeats",
        ("churn", "--source", str(tmp_path / "absent.npy")): "absent.npy",
        ("replay", "--source", str(SAMPLE), "--time", "ghost"): "ghost",
    }
    for arguments, named in mistakes.items():
        text = call("simulate", *arguments, code=1)
        assert named in text
        assert len(text.strip().splitlines()) == 1
