"""Tests of `drift.simulate`: generators, truth, files, runs and the command."""
