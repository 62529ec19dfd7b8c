"""All kinds of trials of the self-test, by name."""

from __future__ import annotations

from harness.selftest.bounds import BOUNDED
from harness.selftest.breaks import BREAKS
from harness.selftest.hangs import HANGS
from harness.selftest.truth import Truth

KINDS: dict[str, Truth] = {truth.name: truth for truth in (*HANGS, *BREAKS, *BOUNDED)}
