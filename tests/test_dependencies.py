"""What drift is built from: licences that may be passed on, one registry, no crate that is known to be unsafe to use.

It reads `cargo metadata`, which knows Cargo.lock; nothing is downloaded. Advisories that are newer than this file are
not known to it: see CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"

# Licences under which a crate may stand in a wheel that is Apache-2.0.
LICENCES = {
    *("Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("Unicode-3.0", "Unlicense", "Zlib"),
}

# Unmaintained, or second ways of doing what is done already.
BANNED = {"bincode", "openssl", "openssl-sys", "native-tls", "lazy_static_include", "failure", "memmap"}

# First versions without a known advisory (RustSec, as of 2026).
MINIMA = {"pyo3": (0, 29, 0), "memmap2": (0, 9, 11), "crossbeam-epoch": (0, 9, 20), "h2": (0, 4, 16)}


@pytest.fixture(scope="module")
def packages() -> list[dict[str, Any]]:
    """Return all packages that Cargo.lock names."""
    cargo = shutil.which("cargo")
    assert cargo is not None, "the tests need cargo, as the build does"
    command = [cargo, "metadata", "--format-version", "1", "--locked", "--offline"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["packages"]
    assert len(found) > 20
    return found


def allowed(expression: str) -> bool:
    """Whether a licence expression can be met: of each AND both, of each OR one."""
    expression = expression.replace("/", " OR ").strip()
    while grouped := re.search(r"\(([^()]*)\)", expression):
        name = "MIT" if allowed(grouped[1]) else "none"
        expression = expression[: grouped.start()] + name + expression[grouped.end() :]
    return all(any(one.strip() in LICENCES for one in part.split(" OR ")) for part in expression.split(" AND "))


def test_licences_may_be_passed_on(packages: list[dict[str, Any]]) -> None:
    refused = {package["name"]: package["license"] for package in packages if not allowed(package["license"] or "")}
    assert refused == {}
    assert not allowed("GPL-3.0-only")
    assert allowed("(MIT OR GPL-2.0) AND Zlib")
    assert not allowed("MIT AND GPL-2.0")


def test_crates_come_from_one_registry(packages: list[dict[str, Any]]) -> None:
    elsewhere = {package["name"] for package in packages if package["source"] not in (None, REGISTRY)}
    assert elsewhere == set()
    own = {package["name"] for package in packages if package["source"] is None}
    assert own == {"drift_core", "drift_py"}


def test_no_crate_is_banned_or_older_than_its_last_advisory(packages: list[dict[str, Any]]) -> None:
    assert {package["name"] for package in packages} & BANNED == set()
    for package in packages:
        version = tuple(int(part) for part in re.findall(r"\d+", package["version"])[:3])
        assert version >= MINIMA.get(package["name"], (0,)), f"{package['name']} {package['version']}"
