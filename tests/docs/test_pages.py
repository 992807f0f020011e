"""Every Python block of the documentation and the README runs, and the figures of the comparison are those of a run."""

from __future__ import annotations

import json
import os
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import drift.aio
import drift.bench
import drift.simulate
import pytest
from drift.simulate import paper

from tests.conftest import ROOT
from tests.docs.blocks import blocks, pages

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "__main__"}
    left_out = []
    for block in blocks(page):
        if block.missing():
            left_out.append(f"line {block.line} needs {', '.join(block.missing())}")
            continue
        # Line breaks before the code make tracebacks name the lines of the page.
        exec(compile("\n" * block.line + block.code, page, "exec"), scope)  # noqa: S102 - our own pages.
    if left_out:
        pytest.skip(f"the rest of {page.name} ran; {'; '.join(left_out)}")


def test_the_figures_of_the_comparison_were_printed_by_a_run() -> None:
    measured = (ROOT / "benches" / "RESULTS.md").read_text()
    page = (ROOT / "docs" / "comparison.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| [^|]+ \| [\d,]+ / ", line)]
    assert len(rows) >= 6
    for row in rows:
        assert row in measured, row
    # Running text is broken into lines elsewhere.
    words = " ".join(measured.split())
    replay = re.search(r"drift \.\d+ to \.\d+ at .*?rows/s\. ", " ".join(page.split()))
    assert replay is not None
    assert replay[0].strip() in words


def test_the_figures_of_the_concepts_are_those_of_the_pictures() -> None:
    figures = json.loads((ROOT / "docs" / "pictures" / "figures.json").read_text())
    page = (ROOT / "docs" / "concepts.md").read_text()
    kept, paused = figures["maintained"], figures["maintenance paused"]
    assert f"the largest {paused[-1]['largest']}" in " ".join(page.split())
    assert f"{paused[-1]['empty']} of {paused[-1]['buckets']} are empty" in " ".join(page.split())
    least = min(step["recall"] for step in kept)
    assert f"finds {least:.3f} or more at every step".replace("0.", ".") in page
    assert least >= 0.95
    scanned = (kept[-1]["codes"], paused[-1]["codes"])
    assert f"{scanned[0]} a query" in page
    assert f"scans {scanned[1]:,}: {scanned[1] / scanned[0]:.1f} times" in page
    assert kept[-1]["codes"] < kept[0]["codes"] / 2


def test_every_file_of_the_documentation_is_in_its_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in contents, page


@pytest.mark.parametrize("module", [drift, drift.aio, drift.bench, drift.simulate, paper], ids=lambda one: one.__name__)
def test_every_public_name_is_in_the_reference(module: ModuleType) -> None:
    pages = [page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md")]
    entries = [line.removeprefix("::: ") for page in pages for line in page.splitlines() if line.startswith("::: ")]
    assert len(entries) == len(set(entries)), "no name has two entries"
    # A number is no class or function: it has a sentence.
    sentences = [name for name in module.__all__ if name == "__version__" and f"`drift.{name}`" in "".join(pages)]
    missing = {f"{module.__name__}.{name}" for name in module.__all__ if name not in sentences} - set(entries)
    assert not missing


def test_every_entry_of_the_reference_is_there() -> None:
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        if page.name == "adapters.md":
            continue  # They import what their extras bring.
        for entry in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
            pkgutil.resolve_name(entry)


# mkdocs and its plugins warn of each other.
@pytest.mark.filterwarnings("ignore")
def test_the_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    reference = (tmp_path / "reference" / "database" / "index.html").read_text()
    for name in ("connect", "create_collection", "upsert", "search", "verify"):
        assert f">{name}<" in reference or f"{name}</" in reference, name
    assert "Parameters" in reference
    named = {"results": "cursor", "backup": "verify_backups", "aio": "open_collection", "bench": "bench_source"}
    for page, name in named.items():
        assert name in (tmp_path / "reference" / page / "index.html").read_text(), (page, name)
    assert (tmp_path / "results" / "packages_200k.png").is_file()
    assert os.path.getsize(tmp_path / "RESULTS" / "index.html") > 10_000  # noqa: PTH202
