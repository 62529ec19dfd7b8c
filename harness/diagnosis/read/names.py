"""Patterns of function names, written as one string."""

from __future__ import annotations

import re

__all__ = ["any_of"]


def any_of(patterns: str) -> re.Pattern[str]:
    """One pattern for all of the blank-separated `patterns`, anchored at the start of a name."""
    return re.compile("|".join(patterns.split()))
