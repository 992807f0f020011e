"""Builds the wheel in release, audits it, and tries it in clean virtual environments: ``python -m tools.wheel``.

What must hold: one abi3 wheel for CPython 3.11 and newer, at most 20 MB, with NumPy as its only hard dependency, no
library of others inside or beside it, and types. Needs maturin, auditwheel and abi3audit (the extra ``wheel``) in the
interpreter that runs it. Every command that is run is printed; the first claim that fails ends it with status 1.
"""

from __future__ import annotations

import argparse
import email
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
BYTES_MAX = 20_000_000

# What a newcomer does first; it needs NumPy alone. Kept apart from the tests so that the wheel is tried without them.
SMOKE = """
import datetime as dt, subprocess, sys, tempfile
import numpy as np
import drift
random = np.random.default_rng(1)
rows = random.normal(size=(2_000, 64)).astype(np.float32)
with tempfile.TemporaryDirectory() as folder:
    with drift.connect(folder + "/db") as db:
        c = db.create_collection("docs", dim=64, metric="l2")
        c.load([(range(2_000), rows)])
        c.upsert([5], rows[:1] + 100)
        assert c.delete([7, 9_999]) == 1
        assert c.search(rows[42], k=3).ids[0] == 42
        news = db.create_collection("news", dim=64, metric="l2", time="at", ttl=100 * 365 * 86_400)
        years = [{"year": 2020 + row % 5, "at": dt.datetime(2020 + row % 5, 1, 1)} for row in range(1_000)]
        news.add(range(1_000), rows[:1_000], metadata=years)
        news.flush()
        assert news.count("year >= 2023") == news.count(since="2023-01-01") == 400
        found = news.search(rows[0], k=3, filter={"year": 2024}, until="2025-01-01", include=True)
        assert [row["year"] for row in found.metadata] == [2024] * 3
    with drift.connect(folder + "/db", read_only=True) as db:
        c = db["docs"]
        assert len(c) == 1_999 and 7 not in c
        assert c.search(rows[5] * 0 + rows[0] + 100, k=1).ids.tolist() == [5]
        assert c.verify()["problems"] == []
        assert str(drift.col("year") >= 2024) == "col('year') >= 2024"
        assert drift.fuse([c.search(rows[1]), c.search(rows[1], exact=True)]).ids[0] == 1
    command = [sys.prefix + "/bin/drift", "stats", folder + "/db", "--json"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0 and "1999" in shown.stdout, shown
foreign = {name.split(".")[0] for name in sys.modules} & {"pyarrow", "pandas", "polars", "tqdm", "matplotlib", "yaml"}
assert not foreign, foreign
print("drift", drift.__version__, "with NumPy", np.__version__, "on Python", sys.version.split()[0])
"""


def run(*command: str | Path) -> str:
    """Run a command and return what it prints; its failure ends the script."""
    print("$", *command, flush=True)
    done = subprocess.run([str(part) for part in command], cwd=ROOT, text=True, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nfailed with status {done.returncode}")
    return done.stdout + done.stderr


def claim(holds: bool, text: str) -> None:
    """Print a claim that holds; end the script with one that does not."""
    if not holds:
        sys.exit(f"WRONG: {text}")
    print("  ok:", text)


def build(out: Path, profile: str, jobs: int) -> Path:
    """Build the wheel and return its path."""
    run(sys.executable, "-m", "maturin", "build", "--profile", profile, "--locked", "--out", out, "-j", str(jobs))
    wheels = list(out.glob("drift_vector-*.whl"))
    claim(len(wheels) == 1, f"one wheel was built: {[wheel.name for wheel in wheels]}")
    return wheels[0]


def audit(wheel: Path) -> None:
    """Check name, size, dependencies, contents and binary interface."""
    claim(wheel.stat().st_size <= BYTES_MAX, f"{wheel.stat().st_size:,} bytes, at most {BYTES_MAX:,}")
    claim("-cp311-abi3-" in wheel.name, f"{wheel.name} is for the stable interface of CPython 3.11 and newer")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
    hard = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    claim([re.split(r"[^a-z-]", one)[0] for one in hard] == ["numpy"], f"hard dependencies: {hard}")
    claim({"drift/py.typed", "drift/_core.pyi"} <= set(names), "types are in it")
    libraries = [name for name in names if re.search(r"\.so($|\.)|\.dylib$|\.dll$|\.pyd$", name)]
    claim(len(libraries) == 1, f"one library is in it: {libraries}")
    bills = [json.loads(text) for text in bills_of(wheel)]
    parts = {part["name"] for bill in bills for part in bill.get("components", [])}
    claim(
        len(bills) > 0 and {"drift_core", "arrow-array"} <= parts, f"a bill of materials names its {len(parts)} parts"
    )
    outside = [name for name in names if not re.match(r"drift(_vector-[^/]*\.(dist-info|data))?/", name)]
    claim(not outside, f"nothing outside the package is in it: {outside}")
    report = run(sys.executable, "-m", "abi3audit", "--strict", "--summary", wheel)
    claim(" 0 ABI version mismatches" in report and " 0 ABI violations" in report, f"abi3audit: {report.strip()}")
    if sys.platform == "linux":
        shown = " ".join(run(sys.executable, "-m", "auditwheel", "show", wheel).split())
        tag = re.search(r'consistent with the following platform tag: "(manylinux\w+|musllinux\w+)"', shown)
        claim(tag is not None, f"auditwheel: it runs on {tag and tag[1]} and newer")


def bills_of(wheel: Path) -> list[str]:
    """Return the bills of materials (CycloneDX) that maturin has put into a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return [archive.read(name).decode() for name in archive.namelist() if name.endswith(".cyclonedx.json")]


def smoke(wheel: Path, interpreter: str) -> None:
    """Install the wheel into an empty virtual environment and use it there."""
    with tempfile.TemporaryDirectory() as folder:
        run(interpreter, "-m", "venv", folder)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
        listed = run(python, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check")
        installed = sorted({line.split("==")[0].split(" @")[0] for line in listed.split("\n") if line})
        claim(set(installed) - {"pip", "setuptools"} == {"drift-vector", "numpy"}, f"installed: {installed}")
        run(python, "-m", "pip", "check", "--disable-pip-version-check")
        claim(True, run(python, "-I", "-c", SMOKE).strip())


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, audit and try."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="audit this wheel instead of building one")
    parser.add_argument("--out", type=Path, help="keep the wheel in this folder (default: dist)", default=ROOT / "dist")
    parser.add_argument("--profile", default="release", help='profile of Cargo; "ci" builds sooner (%(default)s)')
    parser.add_argument("--jobs", type=int, default=2, help="processes of the build")
    parser.add_argument("--python", nargs="*", default=[sys.executable], help="interpreters to try it with")
    given = parser.parse_args(arguments)
    if given.wheel is None:
        given.out.mkdir(parents=True, exist_ok=True)
        for old in given.out.glob("drift_vector-*.whl"):
            old.unlink()
    wheel = given.wheel or build(given.out, given.profile, given.jobs)
    audit(wheel)
    for interpreter in given.python:
        smoke(wheel, interpreter)
    print(f"{wheel} is sound")


if __name__ == "__main__":
    main()
