"""Tests of drift from outside: only the public Python API, small seeded data, no sleeps and no timing assertions."""
