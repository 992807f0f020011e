"""Runs the coroutines among the tests of other projects' suites, which leave that to a plugin's mode, and counts each.

What is counted apart are the tests that others wrote, and those in which their programs call drift.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import tempfile
from collections import Counter
from importlib.metadata import PackageNotFoundError, version

import pytest

# Before they are imported: Haystack reports its use over the network, and VectorDBBench writes a log where it is run.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LOG_FILE"] = os.path.join(tempfile.gettempdir(), "vectordb_bench.log")  # noqa: PTH118 - it must be text.


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine and not marked for pytest-asyncio."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or pyfuncitem.get_closest_marker("asyncio"):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


# The tests of each outside suite, by the start of their names, and the distribution that it comes with.
SUITES = {
    "test_langchain.py::TestLangChainsSuite": ("LangChain: VectorStoreIntegrationTests", "langchain-tests"),
    "test_haystack.py::TestHaystacksSuite": ("Haystack: document-store mixins", "haystack-ai"),
    "test_haystack.py::TestHaystacksAsyncSuite": ("Haystack: the same, async", "haystack-ai"),
    "test_sklearn.py::test_scikit_learns_checks": ("scikit-learn: check_estimator", "scikit-learn"),
    "test_llama_index_beside_simple.py": ("LlamaIndex: beside SimpleVectorStore", "llama-index-core"),
    "test_mcp.py": ("MCP: under the official client", "mcp"),
    "test_vectordb_bench.py": ("VectorDBBench: under its runners", "vectordb-bench"),
    "test_ann_benchmarks.py": ("ann-benchmarks: calls as its runner's", None),
}


def packaged(package: str | None) -> str:
    """Return a package with its version, if it is installed, in brackets."""
    try:
        return f" ({package} {version(package)})" if package else ""
    except PackageNotFoundError:
        return f" ({package} is not installed)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how the tests of each outside suite ended."""
    ended = {name: Counter[str]() for name in SUITES}
    for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name in SUITES:
                ended[name][outcome] += f"tests/adapters/{name}" in report.nodeid
    if any(counts.total() for counts in ended.values()):
        terminalreporter.section("outside suites")
    for name, counts in ended.items():
        title, package = SUITES[name]
        words = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        if words:
            terminalreporter.line(f"{title}{packaged(package)}: {words}")
