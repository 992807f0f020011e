"""Tests of the documentation: its code runs, its figures were printed by a run, its site builds."""
