"""Reproduces kernel hangs under memory pressure on network storage, and says which kind of hang it is."""

__version__ = "0.1.0"
