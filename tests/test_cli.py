"""The rest of the `drift` command: JSON of every command, help of every argument, completion, wrong usage."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import drift
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import _cli, _completion

DIM = 8
ROWS = np.eye(DIM, dtype=np.float32)
COMMANDS = [
    "create",
    "load",
    "drop",
    "get",
    "count",
    "scroll",
    "delete",
    "search",
    "stats",
    "health",
    "verify",
    "optimize",
    "backup",
    "backups",
    "restore",
    "explain",
    "bench",
    "simulate",
    "completion",
]


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command in this process, check its exit code, and return its output (its errors, when it is to fail)."""
    try:
        found = _cli.main(arguments)
    except SystemExit as end:  # argparse ends the process.
        found = end.code if isinstance(end.code, int) else 1
    out, err = capsys.readouterr()
    assert found == code, out + err
    return out if code == 0 else err


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return a Parquet file of eight rows."""
    table = pa.table({"id": range(8), "embedding": list(ROWS), "name": [f"row {at}" for at in range(8)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    return str(tmp_path / "rows.parquet")


def test_every_command_speaks_json(capsys: pytest.CaptureFixture[str], path: str, file: str) -> None:
    def as_json(*arguments: str) -> Any:
        text = call(capsys, *arguments, "--json")
        assert text.count("\n") == 1
        return json.loads(text)

    created = as_json("create", path, "docs", "--dim", "8", "--metric", "l2", "--precision", "sq8")
    assert created == {"collection": "docs", "dim": 8, "metric": "l2", "id_type": "int", "rows": 0}
    with drift.connect(path) as db:
        assert db["docs"].precision == "sq8"
    assert as_json("load", path, "docs", file)["rows"] == 8
    assert as_json("get", path, "docs", "3", "5") == [
        {"id": 3, "vector": ROWS[3].tolist()},
        {"id": 5, "vector": ROWS[5].tolist()},
    ]
    assert as_json("search", path, "docs", "--id", "3", "-k", "1") == [{"id": 3, "distance": 0.0}]
    both = as_json("search", path, "docs", "--vector", json.dumps(ROWS[:2].tolist()), "-k", "1", "--exact")
    assert both == [{"query": 0, "id": 0, "distance": 0.0}, {"query": 1, "id": 1, "distance": 0.0}]
    shown = as_json("search", path, "docs", "--id", "3", "-k", "1", "--show", "name", "--from", file)
    assert shown == [{"id": 3, "distance": 0.0, "name": "row 3"}]
    explained = as_json("explain", path, "docs", "--id", "3", "-k", "1", "--nprobe", "1")
    assert (explained["results"], explained["k"]) == ([{"id": 3, "distance": 0.0}], 1)
    assert as_json("delete", path, "docs", "7", "99") == {"deleted": 1}
    assert as_json("stats", path) == [{**created, "rows": 7} | {"collection": "docs"}]
    assert as_json("stats", path, "docs")["rows"] == 7
    assert as_json("verify", path)[0]["problems"] == []
    assert "seconds" in as_json("optimize", path, "docs")
    health = as_json("health", path, "docs")
    assert (health["rows"], health["recalls"]) == (7, [])
    kept, again = f"{path}-backups", f"{path}-again"
    taken = as_json("backup", path, kept)
    assert (taken["number"], taken["incremental"], taken["collections"]) == (1, True, ["docs"])
    full = as_json("backup", path, kept, "--full")
    assert (full["number"], full["incremental"], full["files_copied"]) == (2, False, taken["files"])
    assert as_json("backups", kept) == [taken, full]
    assert as_json("backups", kept, "--verify") == {"backups": [taken, full], "problems": []}
    assert as_json("restore", kept, again, "--at", "1") == taken
    assert as_json("restore", kept, f"{again}-2", "--at", full["time"]) == full
    assert as_json("stats", again) == as_json("stats", path)


def test_metadata_and_filters_reach_every_command(capsys: pytest.CaptureFixture[str], path: str, file: str) -> None:
    def as_json(*arguments: str) -> Any:
        return json.loads(call(capsys, *arguments, "--json"))

    as_json("create", path, "docs", "--dim", "8", "--metric", "l2", "--field", "name=str")
    assert as_json("load", path, "docs", file, "--metadata", "all")["rows"] == 8
    named = ("--filter", "name IN ('row 3', 'row 5')")
    assert as_json("count", path, "docs") == {"rows": 8}
    assert as_json("count", path, "docs", *named) == {"rows": 2}
    assert as_json("get", path, "docs", "3", "99", "--skip-missing", "--include", "name") == [
        {"id": 3, "vector": ROWS[3].tolist(), "metadata": {"name": "row 3"}}
    ]
    found = as_json("search", path, "docs", "--id", "3", *named, "--include", "all")
    assert [(hit["id"], hit["metadata"]) for hit in found] == [(3, {"name": "row 3"}), (5, {"name": "row 5"})]
    assert as_json("explain", path, "docs", "--id", "3", *named)["results"][1]["id"] == 5
    first = as_json("scroll", path, "docs", *named, "--limit", "1")
    assert first == {"rows": [{"id": 3, "metadata": {"name": "row 3"}}], "cursor": 3}
    after = as_json("scroll", path, "docs", *named, "--cursor", "3", "--vectors")
    assert after == {"rows": [{"id": 5, "vector": ROWS[5].tolist(), "metadata": {"name": "row 5"}}], "cursor": None}
    assert call(capsys, "scroll", path, "docs", "--limit", "1").splitlines()[-1] == "more rows follow: --cursor 0"
    assert call(capsys, "search", path, "docs", "--id", "3", *named, "--include", "name").split()[-2:] == ["row", "5"]
    assert as_json("delete", path, "docs", *named) == {"deleted": 2}
    assert "--yes" in call(capsys, "drop", path, "docs", code=2)
    assert as_json("count", path, "docs") == {"rows": 6}
    assert as_json("drop", path, "docs", "--yes") == {"dropped": "docs"}
    assert as_json("stats", path) == []


def test_json_has_null_where_it_has_no_number(capsys: pytest.CaptureFixture[str], path: str) -> None:
    with drift.connect(path) as db:
        c = db.create_collection("docs", dim=2, metric="l2")
        c.add([1], [[0.0, 1.0]], [{"price": math.nan, "bound": -math.inf, "size": 2.5}])
    for command in (["get", path, "docs", "1", "--include", "all"], ["scroll", path, "docs"]):
        text = call(capsys, *command, "--json")
        row = json.loads(text, parse_constant=pytest.fail)
        row = row[0] if command[0] == "get" else row["rows"][0]
        assert row["metadata"] == {"price": None, "bound": None, "size": 2.5}
    figures = {"ratio": np.float32("nan"), "all": (np.float64("inf"), np.array([1.5, np.nan])), "path": Path("db")}
    assert json.loads(_cli.as_json(figures), parse_constant=pytest.fail) == {
        "ratio": None,
        "all": [None, [1.5, None]],
        "path": "db",
    }
    assert _cli.as_json({"count": np.int64(3)}) == '{"count": 3}'


@pytest.mark.parametrize("columns", [0, 12])
def test_tables_end_at_the_edge_of_a_terminal_that_knows_its_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, columns: int
) -> None:
    with drift.connect(path) as db:
        db.create_collection("a name beyond the edge", dim=2)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((columns, 24)))
    line = call(capsys, "stats", path).splitlines()[2]
    assert line[:12] == "a name beyon"
    assert len(line) == 12 if columns else line.endswith("int")


def test_a_filter_that_cannot_match_says_why(capsys: pytest.CaptureFixture[str], path: str, file: str) -> None:
    call(capsys, "create", path, "docs", "--dim", "8")
    call(capsys, "load", path, "docs", file, "--metadata", "name")
    for command in (["count"], ["scroll"], ["search", "--id", "3"], ["explain", "--id", "3"], ["delete"]):
        asked = [command[0], path, "docs", *command[1:], "--filter"]
        if command[0] != "explain":
            assert _cli.main([*asked, "name = 3"]) == 0
            assert "'name' is str and is compared with the number 3" in capsys.readouterr().err
        error = call(capsys, *asked, "nmae = 'row 3'", code=1)
        assert 'the field "nmae", which no row has: did you mean "name"?' in error
    assert _cli.main(["count", path, "docs", "--filter", "name = 'row 99'"]) == 0
    assert capsys.readouterr().err == "", "every field and type fits"


def test_every_command_speaks_to_people(capsys: pytest.CaptureFixture[str], path: str, file: str) -> None:
    call(capsys, "create", path, "docs", "--dim", "8", "--metric", "l2")
    call(capsys, "load", path, "docs", file)
    lines = call(capsys, "get", path, "docs", "3").splitlines()
    assert lines[0].split() == ["id", "vector", "(8", "values)"]
    assert lines[2].split() == ["3", "0", "0", "0", "1", "0", "0", "..."]
    assert call(capsys, "search", path, "docs", "--id", "3", "-k", "1").split()[-2:] == ["3", "0.000000"]
    for command in ("stats", "verify"):
        assert "docs" in call(capsys, command, path)
    explained = call(capsys, "explain", path, "docs", "--vector", json.dumps(ROWS[3].tolist()), "--nprobe", "1000")
    assert "stopped by  all: everything is scanned" in explained
    assert call(capsys, "delete", path, "docs", "3").split() == ["deleted", "1"]
    assert "seconds" in call(capsys, "optimize", path, "docs")
    kept = f"{path}-backups"
    assert "docs" in call(capsys, "backup", path, kept)
    assert call(capsys, "backups", kept, "--verify").splitlines()[2].split()[0] == "1"
    assert "docs" in call(capsys, "restore", kept, f"{path}-again")
    assert "is not empty" in call(capsys, "restore", kept, path, code=1)
    victim = next(file for file in Path(kept, "files").rglob("*.drift"))
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(AssertionError, match=victim.name):
        call(capsys, "backups", kept, "--verify")


def test_the_help_explains_every_command_and_argument(capsys: pytest.CaptureFixture[str]) -> None:
    text = call(capsys, "--help")
    assert call(capsys, code=2) == text, "no arguments: the help"
    assert [command.name for command in _completion.commands(_cli._parser())] == COMMANDS
    for command in _completion.commands(_cli._parser()):
        assert command.help in " ".join(text.split())
        own = call(capsys, command.name, "--help")
        assert "example" in own or "to use it" in own
        assert all(option.help and option.help in " ".join(own.split()) for option in command.options), own


def test_wrong_usage_ends_with_two_and_one_clear_line(capsys: pytest.CaptureFixture[str], path: str, file: str) -> None:
    call(capsys, "create", path, "docs", "--dim", "8")
    call(capsys, "load", path, "docs", file)
    wrong = {
        ("explode",): "explode",
        ("search", path, "docs"): "--vector",
        ("search", path, "docs", "--id", "3", "--show", "name"): "--from",
        ("search", path, "docs", "--id", "three"): "three",
        ("search", path, "docs", "--id", "3", "--show", "nam", "--from", file): "'nam'",
        ("search", path, "docs", "--vector", "[1, 2"): "JSON",
        ("create", path, "other", "--dim", "8", "--metric", "euclidean"): "euclidean",
        ("completion", "powershell"): "powershell",
        ("delete", path, "docs"): "--filter",
        ("delete", path, "docs", "3", "--filter", "id = 3"): "--filter",
        ("create", path, "other", "--dim", "8", "--field", "year"): "year=int",
    }
    for arguments, named in wrong.items():
        assert named in call(capsys, *arguments, code=2).splitlines()[-1]


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_output_that_nobody_reads_is_no_failure(tmp_path: Path, closed: str) -> None:
    drift.connect(str(tmp_path / "db")).create_collection("docs", dim=8).close()
    sh = shutil.which("sh")
    assert sh is not None
    command = f'"{sys.executable}" -m drift stats "{tmp_path / "db"}" docs {closed}'
    done = subprocess.run([sh, "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def completed(line: str, folder: Path) -> list[str]:
    """Return what bash offers for the last word of a line."""
    words = line.split(" ")
    bash = shutil.which("bash")
    assert bash is not None
    (folder / "drift.bash").write_text(_completion.script("bash", _cli._parser()))
    program = (
        f'. ./drift.bash; COMP_WORDS=("$@"); COMP_CWORD={len(words) - 1}; _drift; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        [bash, "--norc", "-euc", program, "bash", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    assert completed("drift ", tmp_path) == [*COMMANDS, "--help", "--version"]
    assert completed("drift s", tmp_path) == ["scroll", "search", "stats", "simulate"]
    assert completed("drift create db docs --m", tmp_path) == ["--metric"]
    assert completed("drift create db docs --metric ", tmp_path) == ["cosine", "l2", "dot"]
    assert completed("drift completion z", tmp_path) == ["zsh"]
    assert completed("drift load db docs ro", tmp_path) == [], "bash itself offers files"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_has_every_command_option_and_choice(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    text = call(capsys, "completion", shell)
    for command in _completion.commands(_cli._parser()):
        assert command.name in text
        for option in command.options:
            assert " ".join(option.choices) in text
            for flag in option.flags:
                assert (flag if shell != "fish" else f"-l {flag[2:]}" if flag[:2] == "--" else f"-s {flag[1:]}") in text


def test_help_texts_with_quotes_and_brackets_stay_whole() -> None:
    parser = argparse.ArgumentParser(prog="drift")
    command = parser.add_subparsers().add_parser("run", help="what's [run]")
    command.add_argument("--vector", help="""JSON such as "[0.1]", or a file's name""")
    assert r"-d 'what\'s [run]'" in _completion.script("fish", parser)
    zsh = _completion.script("zsh", parser)
    assert """'--vector[JSON such as "\\[0.1\\]", or a file'"'"'s name]:value:_files'""" in zsh
