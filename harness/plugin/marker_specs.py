"""The markers of the harness and the tests that use them; cheap to import, for every pytest session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.model.verdict import REPRODUCIBLE
from harness.plugin.features import FEATURES

PLUGIN = "harness.plugin"

FORMS = {
    "topology": "topology(name, *, modules={role: [...]}, memory={role: '256M'}, kernel=, cpus=, cmdline=, scratch=)",
    "reproduces": "reproduces(word, *others)",
    "requires": "requires(*features)",
    "cost": "cost(minutes)",
    "profile": "profile(name)",
}
_MEANINGS = {
    "topology": "the hosts of the trial, by role, from the inventory, with the changes that this case needs",
    "reproduces": f"one of these verdicts is expected of this case; the words are {', '.join(REPRODUCIBLE)}",
    "requires": f"skip if this machine lacks one of these features: {', '.join(FEATURES)}",
    "cost": "how long one trial of this case takes under emulation; the longest begin first",
    "profile": "smoke: also in the quick selection; soak: only in the long one; without marker: nightly",
}


def register(config: pytest.Config) -> None:
    """Make the markers known to pytest."""
    for name, form in FORMS.items():
        config.addinivalue_line("markers", f"{form}: {_MEANINGS[name]}")


def runs_trial(item: pytest.Item) -> bool:
    """Whether `item` requests this plugin's fixture `trial`, not another fixture of that name."""
    info = getattr(item, "_fixtureinfo", None)
    definitions: Sequence[Any] = info.name2fixturedefs.get("trial", ()) if info is not None else ()
    return bool(definitions) and definitions[-1].func.__module__ == PLUGIN


def is_case(item: pytest.Item) -> bool:
    """Whether `item` runs a trial or has a marker of the harness."""
    return runs_trial(item) or any(item.get_closest_marker(name) for name in FORMS)
