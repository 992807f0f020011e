"""``python -m tests.bugs``: applies each deliberate bug to a copy of the sources and shows which test catches it.

The copy is in the target folder and stays there, so that what does not change is compiled once. Without a bug the tests
must pass. tests/bugs/RESULTS.md gets the lines of the bugs that were tried.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bugs import catalog

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("Cargo.toml", "Cargo.lock", "crates", "rustfmt.toml", "clippy.toml", "rust-toolchain.toml")
HEAD = """# Deliberate bugs

`python -m tests.bugs` applies each to a copy of the sources and runs the named tests of the first tier, which pass
without it.

| bug | caught by | first test that fails |
|---|---|---|
"""


def copy(folder: Path) -> None:
    """Copy the sources; files that are the same keep their time, so cargo compiles what has changed alone."""
    for name in COPIED:
        source = ROOT / name
        if not source.exists():
            continue
        for path in [source] if source.is_file() else sorted(source.rglob("*")):
            target = folder / path.relative_to(ROOT)
            if path.is_file() and (not target.exists() or target.read_bytes() != path.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    for target in (folder / "crates").rglob("*"):
        if target.is_file() and not (ROOT / target.relative_to(folder)).exists():
            target.unlink()


def apply(bug: catalog.Bug, folder: Path) -> None:
    """Change the copy."""
    for file, old, new in bug.changes:
        path = folder / catalog.CORE / file
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{bug.name}: {file} has the text {text.count(old)} times, once is expected: {old!r}")
        path.write_text(text.replace(old, new))


def test(folder: Path, target: Path, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Run tests; whether they pass, and the first that does not."""
    command = ["cargo", "test", "--locked", "--profile", "ci", "--package", "drift_core", *tests]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.search(r"^failures:\n    (\S+)", done.stdout, re.MULTILINE)
    name = failed[1] if failed else ""
    if done.returncode and not name:
        raise SystemExit(f"the tests did not run:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.returncode == 0, name


def record(rows: dict[str, str]) -> None:
    """Put the lines of these bugs into the table; those of the others stay."""
    table = ROOT / "tests/bugs/RESULTS.md"
    lines = [line for line in table.read_text().splitlines() if line.startswith("| ")]
    known = {line.split(" | ")[0].removeprefix("| "): line for line in lines[1:]} | rows
    names = [bug.name for bug in catalog.BUGS]
    table.write_text(HEAD + "".join(f"{known[name]}\n" for name in names if name in known))


def main() -> int:
    """Try the bugs; 1 if one is not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.bugs", description=__doc__)
    parser.add_argument("--bug", type=int, action="append", help="number of a bug, from 1; default: all")
    arguments = parser.parse_args()
    # A target folder of its own: cargo takes two copies of a workspace for the same one.
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "bugs"
    target = folder / "target"
    numbers = arguments.bug or range(1, len(catalog.BUGS) + 1)
    chosen = [catalog.BUGS[number - 1] for number in numbers]
    copy(folder)
    every = {tests for bug in chosen for tests in [bug.tests]}
    for tests in sorted(every):
        passes, name = test(folder, target, tests)
        if not passes:
            raise SystemExit(f"without a bug {name} fails")
    missed = 0
    for bug in chosen:
        copy(folder)
        apply(bug, folder)
        passes, name = test(folder, target, bug.tests)
        missed += passes
        line = f"| {bug.name} | `{' '.join(bug.tests)}` | {'**not caught**' if passes else f'`{name}`'} |"
        print(line, flush=True)
        record({bug.name: line})
    copy(folder)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
