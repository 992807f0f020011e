"""Whether this build of the engine has metadata, and the mark of the tests that wait for it."""

from __future__ import annotations

import inspect

import drift
import pytest

HAS_METADATA = "metadata" in inspect.signature(drift.Collection.upsert).parameters

needs_metadata = pytest.mark.skipif(not HAS_METADATA, reason="Collection.upsert of this build takes no metadata")
