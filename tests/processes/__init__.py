"""Handles and the life of a process: fork, spawn, threads, Ctrl-C and the end of the interpreter, round after round."""
