"""Runs the coroutines among the tests of other projects' suites, which leave that to a plugin's mode."""

from __future__ import annotations

import asyncio
import inspect
import os
import tempfile

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
