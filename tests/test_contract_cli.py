"""The `drift` command: create, load, search, stats, verify, with help for people and JSON for machines."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT, SAMPLE

COMMANDS = ("create", "load", "search", "stats", "verify")


def call(*arguments: str, code: int = 0) -> str:
    """Run the command, check its exit code, and return its output (its errors, when it is to fail)."""
    command = [sys.executable, "-m", "drift", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def as_json(*arguments: str) -> Any:
    """Run the command with --json and return what it printed."""
    return json.loads(call(*arguments, "--json"))


@pytest.fixture
def packages(path: str) -> str:
    """Make a database with the sample by the command itself."""
    call("create", path, "packages", "--dim", "384")
    call("load", path, "packages", str(SAMPLE), "--quiet")
    return path


def test_help_names_every_command_and_each_has_its_own() -> None:
    text = call("--help")
    for command in COMMANDS:
        assert command in text
        assert command in call(command, "--help")


def test_searches_by_example(packages: str) -> None:
    text = call("search", packages, "packages", "--id", "7", "-k", "3", "--show", "name", "--from", str(SAMPLE))
    assert "lpo" in text
    assert "7" in json.dumps(as_json("search", packages, "packages", "--id", "7", "-k", "3"))


def test_stats_and_verify_speak_json(packages: str) -> None:
    assert "5000" in json.dumps(as_json("stats", packages, "packages"))
    assert "problems" in json.dumps(as_json("verify", packages, "packages"))


def test_verify_of_a_damaged_database_fails_and_names_the_file(packages: str, tmp_path: Any) -> None:
    segment = next(tmp_path.rglob("segments/*"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    code = subprocess.run(
        [sys.executable, "-m", "drift", "verify", packages, "packages"], capture_output=True, text=True, check=False
    )
    assert code.returncode != 0
    assert segment.stem in code.stdout + code.stderr


def test_likely_mistakes_get_one_clear_line(packages: str, tmp_path: Any) -> None:
    mistakes = {
        ("search", packages, "ghost", "--id", "7"): "ghost",
        ("stats", str(tmp_path / "absent"), "packages"): "absent",
        ("load", packages, "packages", "absent.parquet"): "absent.parquet",
        ("create", packages, "packages", "--dim", "3"): "packages",
        ("search", packages, "packages", "--id", "999999"): "999999",
    }
    for arguments, named in mistakes.items():
        text = call(*arguments, code=1)
        assert named in text
        assert len(text.strip().splitlines()) <= 3
