"""The tables of drift's sources: what is paused, what is replaced, and what the figures are of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from drift import _cli
from drift.simulate.paper import CHURNS, paper, summarize

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 7_500


def test_churn_leaves_dead_rows_only_without_healing() -> None:
    lines: list[str] = []
    cells = paper([3], rows=ROWS, dim=16, queries=30, progress=lines.append)
    assert len(lines) == 5
    assert {cell.churn for cell in cells} == set(CHURNS)
    replaced = {churn: ROWS // 3 if churn != "none" else 0 for churn in CHURNS}
    for cell in cells:
        # Rows that are asked for are never loaded.
        if cell.healing:
            assert cell.dead_rows < ROWS // 6, "dead rows go when they are too many"
        else:
            assert cell.dead_rows == pytest.approx(replaced[cell.churn], abs=30)
        assert 0 < cell.recall <= 1
        assert 1 <= cell.buckets <= cell.buckets_total
        assert cell.codes > 0
    found = {(cell.churn, cell.healing, cell.method): cell for cell in cells}
    emptied, blind = (found["regional", False, method] for method in ("density", "distance alone"))
    assert emptied.buckets <= blind.buckets, "the density term keeps a search out of emptied buckets"


def test_the_bar_counts_runs(capsys: pytest.CaptureFixture[str]) -> None:
    paper([1], rows=900, dim=8, queries=5, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_figures_of_seeds_are_put_together() -> None:
    cells = paper([1, 2], rows=900, dim=8, queries=10)
    summaries = summarize(cells)
    assert 2 * len(summaries) == len(cells)
    first = summaries[0]
    both = [cell for cell in cells if (cell.churn, cell.healing, cell.method) == (first.churn, False, first.method)]
    assert first.recall == pytest.approx(sum(cell.recall for cell in both) / 2)
    assert first.recall_sd == pytest.approx(abs(both[0].recall - both[1].recall) / 2)


def test_the_command_prints_and_writes_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["simulate", "paper", "--rows", "900", "--dim", "8", "--queries", "10", "--out", str(tmp_path)]
    assert _cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert text.split()[:3] == ["churn", "healing", "method"]
    assert len(text.splitlines()) == 2 + 5 * 4
    written = json.loads((tmp_path / "paper.json").read_text(encoding="utf-8"))
    assert len(written["summary"]) == len(written["cells"]) == 20
    assert _cli.main(["simulate", "paper", "--repeats", "0"]) == 1
