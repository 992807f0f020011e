"""Tests of `drift.adapters`: suites of other projects, and what those do not ask."""
