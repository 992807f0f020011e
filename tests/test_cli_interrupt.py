"""Ctrl-C in the `drift` command: what it says about the database is what became of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import _cli, _completion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = np.eye(4, dtype=np.float32)

# Each command that changes something, and the call that Ctrl-C reaches.
CHANGES: dict[str, tuple[Any, str]] = {
    "create db new --dim 4": (drift.Database, "create_collection"),
    "load db docs rows.parquet": (drift.Collection, "load"),
    "drop db docs --yes": (drift.Database, "drop_collection"),
    "delete db docs 1": (drift.Collection, "delete"),
    "optimize db docs": (drift.Collection, "optimize"),
    "verify db --repair": (drift.Collection, "verify"),
    "backup db kept": (drift.Database, "backup"),
    "restore kept again": (drift, "restore"),
}
READS: dict[str, tuple[Any, str]] = {
    "search db docs --id 1": (drift.Collection, "search"),
    "get db docs 1": (drift.Collection, "get"),
    "scroll db docs": (drift.Collection, "scroll"),
    "count db docs": (drift.Collection, "count"),
    "explain db docs --id 1": (drift.Collection, "explain"),
    "stats db docs": (drift.Collection, "stats"),
    "health db docs": (drift.Collection, "health"),
    "verify db": (drift.Collection, "verify"),
    "backups kept": (drift, "backups"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a database, a backup of it and a Parquet file."""
    with drift.connect(tmp_path / "db") as db:
        db.create_collection("docs", dim=4).add(range(4), ROWS)
        db.backup(tmp_path / "kept")
    pq.write_table(pa.table({"id": range(10, 14), "embedding": list(ROWS)}), tmp_path / "rows.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    """Let a call raise what Ctrl-C does, before it begins or once it is done."""
    call: Callable[..., Any] = getattr(owner, name)

    def interrupted(*args: Any, **options: Any) -> Any:
        if after:
            call(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("line", READS)
def test_what_only_reads_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    interrupt(monkeypatch, *READS[line], after=True)
    assert _cli.main(line.split()) == 1
    assert capsys.readouterr().err == "drift: error: interrupted: nothing was changed\n"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("line", CHANGES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_what_changes_something_does_not_say_that_nothing_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, after: bool
) -> None:
    with monkeypatch.context() as patched:
        interrupt(patched, *CHANGES[line], after=after)
        assert _cli.main(line.split()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nothing was changed" not in error
    # Whatever it names to find out with is a command, and runs.
    named = re.search(r"drift ((?:verify|stats|count|backups)(?: [A-Z]+)+)", error)
    if named is not None:
        words = {"DATABASE": "again" if line.startswith("restore") else "db", "COLLECTION": "docs", "BACKUPS": "kept"}
        gone = not after and line.startswith("restore")
        assert _cli.main([words.get(word, word) for word in named[1].split()]) == (1 if gone else 0)


def test_every_command_has_been_thought_of() -> None:
    thought = {line.split()[0] for line in (*CHANGES, *READS)}
    # They change no database; simulate writes the files that its options name.
    assert thought | {"bench", "simulate", "completion"} == {
        command.name for command in _completion.commands(_cli._parser())
    }


def test_ctrl_c_in_a_load_leaves_all_or_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("drift._progress._Plain.update", stop)
    monkeypatch.setattr("drift._progress._Tqdm.update", stop)
    monkeypatch.setattr("drift._cli._wants_progress", lambda _: True)
    assert _cli.main(["load", "db", "docs", "rows.parquet"]) == 1
    assert "all rows of the files are in or none is" in capsys.readouterr().err
    with drift.connect(folder / "db") as db:
        assert len(db["docs"]) == 4
