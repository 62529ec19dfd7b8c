"""Reproduces kernel hangs under memory pressure on network storage, and says which kind of hang it is."""

__version__ = "0.2.0"  # pyproject.toml takes it from here
