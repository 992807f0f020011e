"""The soak goes on where it was ended, runs each part once, and does not pass over one that fails."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.soak.__main__ import advance
from tests.soak.rows import ROWS, Part, Row

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def row(name: str, parts: int, log: Path, *, fails_at: int = -1) -> Row:
    """Return a row whose parts write their numbers into a file."""

    def part(number: int, seed: int, _program: Path | None) -> Part:
        code = f"open({str(log)!r}, 'a').write('{name}{number} '); print('DRIFT_SEED={seed}'); "
        return Part([sys.executable, "-c", code + f"raise SystemExit({int(number == fails_at)})"], {})

    return Row(name, parts, 1, part)


def test_parts_run_once_the_least_advanced_row_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    rows = [row("a", 4, log), row("b", 2, log)]
    assert advance(rows, 7, tmp_path, gate=True)
    assert log.read_text() == "a0 b0 "
    assert "a 1/4 passed" in capsys.readouterr().out
    assert advance(rows, 7, tmp_path, gate=False)
    assert log.read_text().split() == ["a0", "b0", "a1", "a2", "b1", "a3"]
    assert advance(rows, 7, tmp_path, gate=False)
    assert len(log.read_text().split()) == 6


def test_a_part_that_fails_ends_the_run_and_is_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert not advance([row("a", 3, log, fails_at=1)], 7, tmp_path, gate=False)
    assert json.loads((tmp_path / "done.json").read_text()) == {"a": 1}
    assert advance([row("a", 3, log)], 7, tmp_path, gate=False)
    assert log.read_text().split() == ["a0", "a1", "a1", "a2"]
    assert "DRIFT_SEED=7" in (tmp_path / "a.log").read_text()


def test_no_two_parts_of_a_row_are_the_same(tmp_path: Path) -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for of in ROWS:
        parts = [of.part(number, 1, tmp_path) for number in range(of.parts)]
        told = {(*part.command, *sorted(part.environment.items())) for part in parts}
        assert len(told) == of.parts
        assert 0 < of.gate <= of.parts
