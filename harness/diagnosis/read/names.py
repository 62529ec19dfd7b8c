"""Patterns of function names, written one after the other."""

from __future__ import annotations

import re

__all__ = ["any_of"]


def any_of(patterns: str) -> re.Pattern[str]:
    """A pattern that matches what one of the blank-separated `patterns` does, from the start of a name on."""
    return re.compile("|".join(patterns.split()))
