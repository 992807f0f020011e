"""``python -m tests.bugs``: turns on each deliberate bug, alone, and shows which test of the first tier catches it.

One build of a copy of the sources has all the bugs, each behind a switch that the environment sets, so that trying
them costs one compilation and ten runs of one test. The tests must pass with no bug on. Where the test that is named
for a bug passes with it, all tests of its program are run. The copy is in the target folder and stays there.
tests/bugs/RESULTS.md gets the lines of the bugs that were tried.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

from tests.bugs import catalog

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("Cargo.toml", "Cargo.lock", "crates")
SWITCH = """
/// Whether the deliberate bug of this number is on.
pub(crate) fn bug(number: u64) -> bool {
    static ON: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *ON.get_or_init(|| std::env::var("DRIFT_BUG").ok()?.parse().ok()) == Some(number)
}
"""

# A bug may let a test go on without end, or fill the memory: the tests themselves take far less than this.
MEMORY_BYTES_MAX = 4 << 30
SECONDS_MAX = 900

HEAD = """# Deliberate bugs

`python -m tests.bugs` builds a copy of the sources that has them all, turns on each alone, and runs the test of the
first tier that is named for it, which passes without it.

| bug | test that catches it | program |
|---|---|---|
"""


def sources() -> dict[Path, bytes]:
    """Return the files of the copy, below its folder: the sources with all bugs behind their switch."""
    files = {
        path.relative_to(ROOT): path.read_bytes()
        for name in COPIED
        for path in ([ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*")))
        if path.is_file()
    }
    library = Path(catalog.CORE) / "lib.rs"
    files[library] += SWITCH.encode()
    for number, bug in enumerate(catalog.BUGS, 1):
        for file, old, new in bug.changes:
            path = Path(catalog.CORE) / file
            text = files[path].decode()
            if text.count(old) != 1:
                raise SystemExit(f"{bug.name}: {file} has the text {text.count(old)} times, once is expected: {old!r}")
            files[path] = text.replace(old, new.replace(catalog.ON, f"crate::bug({number})")).encode()
    return files


def copy(folder: Path) -> None:
    """Write the copy; files that are the same keep their time, so that cargo compiles what has changed alone."""
    files = sources()
    for path, content in files.items():
        target = folder / path
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for target in (folder / "crates").rglob("*"):
        if target.is_file() and target.relative_to(folder) not in files:
            target.unlink()


def build(folder: Path, programs: set[str]) -> dict[str, Path]:
    """Compile the copy; the path of each test program."""
    command = ["cargo", "test", "--locked", "--no-run", "--message-format", "json-render-diagnostics"]
    command += ["--package", "drift_core", "--profile", "ci"]
    for program in sorted(programs):
        command += ["--lib"] if program == catalog.UNITS else ["--test", program]
    # A target folder of its own: cargo takes two copies of a workspace for the same one.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target")}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("the copy does not compile")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    built = {
        message["target"]["name"]: Path(message["executable"]) for message in messages if message.get("executable")
    }
    return {program: built[program] for program in programs}


def limit() -> None:
    """Bound the memory of the process, which a bug may let grow without end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


def first_failure(program: Path, folder: Path, number: int, tests: list[str]) -> str:
    """Run tests of a program, all if none is named, with a bug on, none if 0; the first that fails, or nothing.

    A run that a signal ends, or that does not end, is a failure of the last test that it says it has begun.
    """
    # One thread, so that a run that does not end says in which test.
    command = [str(program), "--test-threads", "1", *(["--exact", *tests] if tests else [])]
    with subprocess.Popen(
        command,
        cwd=folder / "crates/drift_core",
        env={**os.environ, "DRIFT_BUG": str(number)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=limit,
    ) as running:
        try:
            output, _ = running.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            running.kill()
            output, _ = running.communicate()
    ran = re.search(r"^running (\d+) tests?$", output, re.MULTILINE)
    if ran is None or int(ran[1]) < max(1, len(tests)):
        raise SystemExit(f"{program.name} does not have all of {tests}:\n{output[-4000:]}")
    failed = re.search(r"^failures:\n    (\S+)", output, re.MULTILINE)
    if failed is None and running.returncode:
        failed = re.search(r"(?s:.*)^test (\S+) \.\.\.", output, re.MULTILINE)
    if failed is None and running.returncode:
        raise SystemExit(f"{program.name} ended with {running.returncode}:\n{output[-4000:]}")
    return failed[1] if failed else ""


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
    parser.add_argument("--all-tests", action="store_true", help="run all tests of the programs, not the named alone")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "bugs"
    numbers = arguments.bug or range(1, len(catalog.BUGS) + 1)
    chosen = {number: catalog.BUGS[number - 1] for number in numbers}
    copy(folder)
    programs = build(folder, {bug.program for bug in chosen.values()})
    for name, program in sorted(programs.items()):
        tests = sorted({bug.test for bug in chosen.values() if bug.program == name})
        failed = first_failure(program, folder, 0, [] if arguments.all_tests else tests)
        if failed:
            raise SystemExit(f"without a bug {failed} fails")
    missed = 0
    for number, bug in chosen.items():
        program = programs[bug.program]
        caught = "" if arguments.all_tests else first_failure(program, folder, number, [bug.test])
        caught = caught or first_failure(program, folder, number, [])
        missed += not caught
        line = f"| {bug.name} | {f'`{caught}`' if caught else '**none**'} | `{bug.program}` |"
        print(line, flush=True)
        record({bug.name: line})
    print(f"{len(chosen) - missed} of {len(chosen)} are caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
