"""Mistakes at the command line: one line on stderr that says what to do in its own words, and nothing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import drift
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import _cli

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.eye(4, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a database `db` of the collection `docs` and a Parquet file of odd columns."""
    with drift.connect(tmp_path / "db") as db:
        db.create_collection("docs", dim=4).add(range(4), ROWS, metadata={"price": [1, 2, 3, 4]})
    pq.write_table(pa.table({"Product ID": range(4), "Vector": list(ROWS)}), tmp_path / "odd.parquet")
    pq.write_table(pa.table({"id": ["a", "b"], "embedding": list(ROWS[:2])}), tmp_path / "texts.parquet")
    unnamed = {"id": range(4), "embedding": list(ROWS), "title": ["x"] * 4, "": ["y"] * 4}
    pq.write_table(pa.table(unnamed), tmp_path / "unnamed.parquet")
    (tmp_path / "rows.csv").write_text("id,embedding\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES: dict[str, tuple[int, tuple[str, ...]]] = {
    "serach db docs": (2, ("no command 'serach'", "did you mean search?")),
    "--install-completion": (2, ("give a command", "drift completion SHELL")),
    "xyz": (2, ("no command 'xyz'", "there are create, load")),
    "search db docs --id 1 --top-k 3": (2, ("no option --top-k", "did you mean -k?")),
    "search db docs --id 1 --where x": (2, ("no option --where", "did you mean --filter?")),
    "scroll db docs --top_k 3": (2, ("did you mean --limit?",)),
    "search db docs --id 1 --exakt": (2, ("did you mean --exact?",)),
    "search db docs --id 1 --embedding 3": (2, ("did you mean --vector?",)),
    "drop db docs --force": (2, ("did you mean --yes?",)),
    "search db docs --id 1 --output-fields a": (2, ("did you mean --include?",)),
    "create db d --dim 4 --fields a=int": (2, ("did you mean --field?",)),
    "create db d --dim 4 --metric euclid": (2, ("did you mean l2?",)),
    "create db d --dim x": (2, ("--dim is 'x'", "a whole number")),
    "search db docs --id 1 --recall high": (2, ("--recall is 'high'", "it must be a number")),
    "load db docs .": (1, ("folder '.'", "./*.parquet")),
    "search db docs --id 1 --filter=": (1, ("leave --filter out",)),
    "search db docs --id 1 --filter {'price':3}": (1, ("read as SQL", "year >= 2024")),
    "search db docs --id 1 --zzz=3": (2, ("no option --zzz=3", "--help lists what there is")),
    "search db docs --id 1 more": (2, ("too many arguments: more",)),
    "create db d --dim 4 --metric euclidean": (2, ("--metric is 'euclidean'", "did you mean l2?")),
    "create db d --dim 4 --id-type string": (2, ("did you mean str?",)),
    "create db d --dim 4 --metric xyz": (2, ("there are cosine, l2, dot",)),
    "create db docs --dim 4": (1, ("exists already", "--exist-ok")),
    "completion powershell": (2, ("SHELL is 'powershell'", "bash, zsh, fish")),
    "load db docs odd.parquet": (1, ('no column "id"', "--id and --vector", "--metadata all")),
    "load db docs unnamed.parquet --metadata all": (1, ('unnamed.parquet, column ""', "--metadata title")),
    "load db docs texts.parquet": (1, ("--id-type str",)),
    "load db docs rows.csv": (1, ("rows.csv is no Parquet file", "write it as Parquet first")),
    "load db nothing odd.parquet": (1, ('no collection "nothing"', "it has docs")),
    "get db docs 99": (1, ('id 99 is not in collection "docs"',)),
    "search db docs --id 99": (1, ('id 99 is not in collection "docs"',)),
    "search db docs --vector 1,2,3,4": (2, ("--vector 1,2,3,4 is no file", "a vector is written [1,2,3,4]")),
    "search db docs --vector nofile.npy": (2, ("nofile.npy is no file", "No such file")),
    "search db docs --vector odd.parquet": (2, ("odd.parquet is no JSON", ".npy")),
    "search db docs --id 1 --since 2024-01-01": (1, ("--time FIELD", "--filter")),
    'count db docs --filter price>"0"': (1, ("character 7", "a value must stand here")),
    "--json create db other --dim 4": (2, ("--json stands behind the command: drift create --json",)),
    "count db docs --filter prize>0": (1, ('"prize"', 'did you mean "price"?')),
}

# What writes to a database, which only `create` may make.
WRITERS = (
    "load absent docs odd.parquet",
    "delete absent docs 1",
    "optimize absent docs",
    "verify absent --repair",
    "drop absent docs --yes",
)


# What `create` refuses; none of it may leave a database behind.
REFUSED = {
    "create absent d --dim 0": ("dim is 0", "1 or more"),
    "create absent d --dim 16385": ("dim is 16385", "16384"),
    "create absent a/b --dim 4": ('"a/b" cannot name a collection',),
    "create absent d --dim 4 --ttl 60": ("--time",),
    "create absent d --dim 4 --time at --ttl -1": ("ttl is -1.0", "above 0"),
    "create absent d --dim 4 --field x=text": ("--field x=text", "str"),
    "create absent d --dim 4 --field x": ("x=int",),
    "create absent d --dim 4 --field x=int --time x": ("x", "timestamp"),
}


def run(command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code of a command, and its last line on stderr."""
    try:
        code = _cli.main(command.split())
    except SystemExit as end:  # argparse ends the process.
        code = end.code if isinstance(end.code, int) else 1
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.splitlines()[-1]


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_told_in_the_words_of_the_command_line(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, words = MISTAKES[command]
    found, message = run(command, capsys)
    assert found == code, message
    assert all(word in message for word in words), message
    for python in ("=True", "metadata=", "id=", 'id_type="', "missing=", "^"):
        assert python not in message, message
    with drift.connect(folder / "db") as db:
        assert len(db["docs"]) == 4
        assert db.list_collections() == ["docs"]


def test_a_backup_that_is_not_there_is_told_in_the_words_of_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _cli.main(["backup", "db", "backups"]) == 0
    capsys.readouterr()
    code, message = run("restore backups restored --at 2000-01-01", capsys)
    assert (code, "leave --at out to restore the newest one" in message) == (1, True), message
    code, message = run("restore backups restored --at 0", capsys)
    assert (code, "drift backups BACKUPS lists them" in message) == (1, True), message
    assert not (folder / "restored").exists()


@pytest.mark.parametrize("command", WRITERS)
def test_a_mistyped_database_is_not_made(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = run(command, capsys)
    assert code == 1
    assert "absent" in message
    assert "drift create DATABASE COLLECTION --dim N makes one" in message
    assert not (folder / "absent").exists()


@pytest.mark.parametrize("command", REFUSED)
def test_a_collection_that_is_refused_leaves_no_database(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = run(command, capsys)
    assert code in (1, 2)
    assert all(word in message for word in REFUSED[command]), message
    assert not (folder / "absent").exists()


def test_a_database_that_is_open_elsewhere_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with drift.connect(folder / "db"):
        code, message = run("delete db docs 1", capsys)
    assert code == 1
    assert "is locked" in message
    assert "close it first; what only reads works beside it" in message


@pytest.mark.usefixtures("folder")
def test_a_text_is_no_vector(capsys: pytest.CaptureFixture[str]) -> None:
    assert _cli.main(["search", "db", "docs", "--vector", "a red shoe"]) == 2
    assert "must be embedded first" in capsys.readouterr().err
