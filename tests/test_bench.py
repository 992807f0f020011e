"""`drift bench` and `drift.bench`: what is measured is measured against the truth, on files and on collections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import drift
import numpy as np
import pytest
from drift import _cli
from drift.bench import bench_collection, bench_source
from drift.simulate.source import gaussian

from tests import oracle

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "data" / "packages_5k.parquet"


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command in this process and return its output, or its errors when it is to fail."""
    assert _cli.main(["bench", *arguments]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_a_file_is_loaded_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (str(SAMPLE), "--queries", "50", "--seconds", "0", "--recall", "0.5,0.95")
    figures: dict[str, Any] = json.loads(call(capsys, *arguments, "--json"))
    assert (figures["rows"], figures["dim"], figures["metric"], figures["queries"]) == (4_950, 384, "cosine", 50)
    assert [load["engine"] for load in figures["loads"]] == ["drift"]
    assert figures["loads"][0]["rows_per_second"] > 0
    low, high = figures["lines"]
    assert (low["target"], high["target"]) == (0.5, 0.95)
    assert 0.3 <= low["recall"] <= high["recall"] <= 1
    assert high["recall"] >= 0.85
    assert low["codes"] < high["codes"] < 2 * 4_950 * 2
    text = call(capsys, *arguments)
    assert text.splitlines()[0] == "packages_5k.parquet: 4,950 x 384, cosine; 50 queries, k 10"
    assert sum(line.startswith("drift ") for line in text.splitlines()) == 2


def test_a_collection_is_searched_and_not_changed(capsys: pytest.CaptureFixture[str], path: str) -> None:
    rows = oracle.vectors(500, 8, 1)
    with drift.connect(path) as db:
        c = db.create_collection("docs", dim=8, metric="l2", id_type="str")
        c.upsert([f"row {at}" for at in range(500)], rows)
        result = bench_collection(c, queries=40, targets=[0.9], seconds=0)
        assert (result.rows, result.queries, result.loads) == (500, 40, [])
        assert result.lines[0].recall >= 0.9
        before = c.stats()["last_seq"]
    figures = json.loads(call(capsys, path, "docs", "--queries", "10000", "--seconds", "0", "--json"))
    assert figures["queries"] == 500, "as many as there are"
    assert [line["target"] for line in figures["lines"]] == [0.9, 0.95, 0.99]
    with drift.connect(path) as db:
        assert db["docs"].stats()["last_seq"] == before


def test_recall_is_that_of_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    source = gaussian(400, 8, 1)
    honest = bench_source(source, queries=20, targets=[0.9], seconds=0)
    assert honest.lines[0].recall >= 0.99
    search = drift.Collection.search

    def half(self: drift.Collection, *arguments: Any, **options: Any) -> drift.SearchResult:
        found = search(self, *arguments, **options)
        found.ids[..., 5:] = -1
        return found

    monkeypatch.setattr(drift.Collection, "search", half)
    assert bench_source(source, queries=20, targets=[0.9], seconds=0).lines[0].recall == pytest.approx(0.5, abs=0.01)


def test_progress_counts_the_steps_of_each_engine(db: drift.Database, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int | None]] = []
    source = gaussian(400, 8, 1)
    bench_source(
        source, queries=20, targets=[0.5, 0.9], seconds=0, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(0, 1), (1, 1), (0, 3), (1, 3), (2, 3), (3, 3)], "the neighbours; a load and two targets"
    c = db.create_collection("c", dim=8, metric="l2")
    c.upsert(range(400), source.vectors)
    bench_collection(c, queries=20, targets=[0.5], seconds=0, progress=True)
    shown = capsys.readouterr().err
    assert "exact neighbours" in shown
    assert "drift" in shown
    with pytest.raises(drift.InvalidArgumentError, match="progress is 'bar'"):
        bench_collection(c, progress="bar")  # type: ignore[arg-type]


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_a_terminal_shows_a_bar_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, terminal: bool, quiet: bool
) -> None:
    with drift.connect(path) as db:
        db.create_collection("docs", dim=8).upsert(range(100), oracle.vectors(100, 8, 1))
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert _cli.main(["bench", path, "docs", "--seconds", "0", *["--quiet"] * quiet]) == 0
    assert ("exact neighbours" in capsys.readouterr().err) == (terminal and not quiet)


def test_peers_reach_the_target_or_are_left_out() -> None:
    result = bench_source(gaussian(600, 8, 1), queries=20, targets=[0.9], seconds=0, peers=["hnswlib", "faiss-ivf"])
    assert {line.engine for line in result.lines} | result.left_out.keys() == {"drift", "hnswlib", "faiss-ivf"}
    assert all(line.recall >= 0.9 for line in result.lines)
    assert all("pip install" in reason for reason in result.left_out.values())


@pytest.mark.parametrize(
    ("arguments", "named", "code"),
    [
        (("nowhere",), "name a .npy or Parquet file", 2),
        ((str(SAMPLE), "docs"), "belongs to a database", 2),
        ((str(SAMPLE), "--recall", "high"), "--recall high", 2),
        ((str(SAMPLE), "--recall", "1.5"), "targets", 1),
        ((str(SAMPLE), "-k", "0"), "k is 0", 1),
        ((str(SAMPLE), "--queries", "5000"), "queries is 5000", 1),
        ((str(SAMPLE), "--seconds", "-1"), "seconds is -1", 1),
        ((str(SAMPLE), "--seed", "-1"), "seed is -1", 1),
        ((str(SAMPLE), "--peers", "ghost"), "no engine 'ghost'", 1),
    ],
)
def test_a_wrong_argument_is_named(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str, code: int
) -> None:
    assert named in call(capsys, *arguments, code=code)


def test_a_collection_must_have_more_rows_than_k(db: drift.Database) -> None:
    c = db.create_collection("few", dim=2)
    c.upsert(range(3), np.eye(3, 2) + 1)
    with pytest.raises(drift.InvalidArgumentError, match="'few' has 3 rows"):
        bench_collection(c)
