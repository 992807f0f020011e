"""``python -m tests.soak``: all rows in parts, the least advanced row first, until all are done or it is ended.

Parts that are done are remembered in the target folder, with what they printed, so the same command goes on. ``--gate``
runs the first parts of every row alone. Programs in Rust are copies: building meanwhile changes nothing. A part that
fails ends the run, and is run again by the next.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests import oracle
from tests.soak.rows import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, programs: Sequence[str]) -> None:
    """Compile tests in Rust and copy the programs into `folder`."""
    command = ["cargo", "test", "--locked", "--no-run", "--message-format", "json-render-diagnostics"]
    command += ["--package", "drift_core", "--all-features", "--profile", "ci"]
    for program in programs:
        command += ["--test", program]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            shutil.copy(message["executable"], folder / message["target"]["name"])


def run(row: Row, number: int, seed: int, folder: Path) -> bool:
    """Run a part, and print the line that it ended with; whether it passed."""
    part = row.part(number, seed, folder / row.program if row.program else None)
    start = time.monotonic()
    done = subprocess.run(
        part.command,
        # The corpus is found from the folder that cargo would run its tests in.
        cwd=ROOT / "crates/drift_core" if row.program else ROOT,
        env={**os.environ, **part.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log = folder / f"{row.name}.log"
    with log.open("a") as out:
        told = " ".join(f"{key}={value}" for key, value in part.environment.items())
        out.write(f"\n== {row.name} {number}: {told} {' '.join(part.command)}\n{done.stdout}")
    said = [line for line in done.stdout.splitlines() if "DRIFT_SEED=" in line or "test result" in line]
    outcome = "passed" if done.returncode == 0 else f"FAILED with {done.returncode}, see {log},"
    last = said[-1] if said else "nothing was printed"
    sys.stdout.write(f"{row.name} {number + 1}/{row.parts} {outcome} in {time.monotonic() - start:.0f} s: {last}\n")
    sys.stdout.flush()
    return done.returncode == 0


def advance(rows: Sequence[Row], seed: int, folder: Path, *, gate: bool) -> bool:
    """Run what is left of the rows; whether nothing has failed."""
    state = folder / "done.json"
    done: dict[str, int] = json.loads(state.read_text()) if state.exists() else {}
    while True:
        left = [row for row in rows if done.get(row.name, 0) < (row.gate if gate else row.parts)]
        if not left:
            return True
        row = min(left, key=lambda row: done.get(row.name, 0) / row.parts)
        number = done.get(row.name, 0)
        if not run(row, number, seed, folder):
            return False
        done[row.name] = number + 1
        state.write_text(json.dumps(done, indent=1))


def main() -> int:
    """Run what is left; 1 at the first failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--gate", action="store_true", help="the first parts of each row alone")
    parser.add_argument("--row", action="append", choices=[row.name for row in ROWS], help="default: all")
    parser.add_argument("--seed", type=int, default=oracle.run_seed(), help="default: DRIFT_SEED, or 1")
    parser.add_argument("--fresh", action="store_true", help="forget what is done with this seed, and build anew")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "soak" / str(arguments.seed)
    if arguments.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in ROWS if row.name in (arguments.row or [row.name])]
    missing = {row.program for row in rows if row.program and not (folder / row.program).exists()}
    if missing:
        build(folder, sorted(missing))
    passed = advance(rows, arguments.seed, folder, gate=arguments.gate)
    sys.stdout.write(f"What is done, and all that was printed, is in {folder}\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
