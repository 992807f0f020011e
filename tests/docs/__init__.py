"""Tests of the documentation: its code and its commands run, its figures were printed by a run, its site builds."""
