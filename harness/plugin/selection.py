"""Selection and order of cases: by profile, the longest first, so that workers end together."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.model.options import NIGHTLY, SMOKE, SOAK, Options
from harness.plugin.markers import Case

# The `profile` markers that each profile includes.
INCLUDED = {SMOKE: {SMOKE}, NIGHTLY: {SMOKE, NIGHTLY}, SOAK: {SMOKE, NIGHTLY, SOAK}}


def select(
    config: pytest.Config, items: list[pytest.Item], cases: Mapping[pytest.Item, Case], options: Options
) -> None:
    """Keep the `items` of the profile. Without a profile: all if a node id is named, else the nightly ones.

    The longest come first, unless the order of their trials is given.
    """
    profile = options.profile
    if profile is None and any("::" in argument for argument in config.args):
        profile = SOAK
    wanted = INCLUDED[profile or NIGHTLY]
    kept: list[pytest.Item] = []
    out: list[pytest.Item] = []
    for item in items:
        (out if item in cases and cases[item].profile not in wanted else kept).append(item)
    if options.repeat is None:
        kept.sort(key=lambda item: -cases[item].minutes if item in cases else 0.0)
    items[:] = kept
    if out:
        config.hook.pytest_deselected(items=out)
