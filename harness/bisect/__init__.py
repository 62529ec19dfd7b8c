"""Bisection for hangs that show in only some runs: candidates, log, loop, signature."""
