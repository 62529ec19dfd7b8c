"""Which cases run, and in which order: by profile, the longest first, so that workers end together."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.model.options import NIGHTLY, SMOKE, SOAK
from harness.plugin.markers import Case

# What each profile runs, of cases that say so themselves.
INCLUDED = {SMOKE: {SMOKE}, NIGHTLY: {SMOKE, NIGHTLY}, SOAK: {SMOKE, NIGHTLY, SOAK}}


def select(
    config: pytest.Config, items: list[pytest.Item], cases: Mapping[pytest.Item, Case], profile: str | None
) -> None:
    """Leave those of `items` that `profile` runs, the longest first; without one whatever was named, or the nightly."""
    if profile is None and any("::" in argument for argument in config.args):
        profile = SOAK
    wanted = INCLUDED[profile or NIGHTLY]
    kept: list[pytest.Item] = []
    out: list[pytest.Item] = []
    for item in items:
        (out if item in cases and cases[item].profile not in wanted else kept).append(item)
    kept.sort(key=lambda item: -cases[item].minutes if item in cases else 0.0)
    items[:] = kept
    if out:
        config.hook.pytest_deselected(items=out)
