"""Deliberate bugs: each alone, applied to a copy of the sources, must be caught by the first tier."""
