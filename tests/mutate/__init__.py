"""Mutated databases: files flipped, cut, swapped, deleted, renamed, foreign; opened by a process that may not crash."""
