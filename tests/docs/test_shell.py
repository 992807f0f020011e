"""Every line of the documentation's shell blocks that calls `drift` runs, in its page's order."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import ROOT, SAMPLE
from tests.docs.blocks import shell_lines, shell_pages

if TYPE_CHECKING:
    from pathlib import Path

# Lines that do not call drift, by their first word, and why they are not run.
OTHERS = {
    "make": "it builds, or runs this very test; CI runs it",
    ".": "it enters the environment that make builds, and this test has one",
    "cd": "it belongs to the lines of cargo",
    "export": "it belongs to the lines of cargo",
    "cargo": "it builds the engine with other flags, for minutes",
    "python": "it is a module of an adapter, which tests/adapters runs with these options",
}
# As the page has them, simulations take minutes. argparse takes the last of an option.
SMALL = "--rows 1500 --steps 2 --queries 20 --passes 1 --durability os"
RUNBOOK = "rows:\n  1: {operation: insert, start: 0, end: 300}\n  2: {operation: search}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with the files that the lines name, and `drift` in the path."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "drift"
    python = shlex.quote(sys.executable)
    command.write_text(
        f'#!/bin/sh\n[ "$1" = simulate ] && exec {python} -m drift "$@" {SMALL}\nexec {python} -m drift "$@"\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copy(SAMPLE, tmp_path / "packages.parquet")
    (tmp_path / "final_runbook.yaml").write_text(RUNBOOK)
    random = np.random.default_rng(1)
    np.save(tmp_path / "vectors.npy", random.normal(size=(320, 8)).astype(np.float32))
    np.save(tmp_path / "queries.npy", random.normal(size=(20, 8)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", shell_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    for number, line in shell_lines(page):
        first = line.split()[0]
        if first in OTHERS:
            continue
        assert first == "drift", f"{page.name}, line {number}: neither drift nor a command of which it is known why not"
        done = subprocess.run([sh, "-euc", line], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page.name}, line {number}: {line}\n{done.stderr}"
        assert done.stdout, f"{page.name}, line {number}: {line} says nothing"


def test_blocks_are_found_and_their_lines_counted() -> None:
    lines = shell_lines(ROOT / "README.md")
    text = (ROOT / "README.md").read_text().splitlines()
    assert any(line.startswith("drift search ") for _, line in lines)
    assert all(text[number - 1] == line for number, line in lines)
    assert {ROOT / "docs" / "simulate.md", ROOT / "docs" / "howto" / "load.md"} <= set(shell_pages())
