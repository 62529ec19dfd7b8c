"""Hooks of the harness, for a conftest.py or another pytest plugin.

An implementation is a function of the same name; it may leave out arguments that it does not need:

    def pytest_harness_verdict(plan, verdict):
        print(plan.name, verdict.kind)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.model.observe import Observer
    from harness.model.options import Options
    from harness.model.settings import Settings
    from harness.model.verdict import Verdict
    from harness.results.store import RunStore, TrialStore
    from harness.trial import Plan


@pytest.hookspec(firstresult=True)
def pytest_harness_options(config: pytest.Config) -> Options | None:
    """The harness's options for this session; raises harness.model.errors.UsageError.

    The `harness` command calls it too, so that both use the same folders; it reads no conftest.py.
    """


@pytest.hookspec(firstresult=True)
def pytest_harness_run_trial(
    plan: Plan, settings: Settings, store: RunStore, observers: Sequence[Observer]
) -> Verdict | None:
    """Run one trial and return its verdict; the first implementation that returns one ends the call.

    It is called in the process that runs the test: under `-n` that is an xdist worker. By default the trial
    runs on the guests of `plan.topology`. Another implementation may run it elsewhere. It writes all events
    to `store.trial(plan.name, expected=plan.expected)`, hands each event to every one of `observers`, and
    raises UsageError or InfraError if there can be no verdict.
    """


@pytest.hookspec(firstresult=True)
def pytest_harness_enough(store: TrialStore) -> str | None:
    """Whether the session may end before all its trials have run; a text is the reason, and ends it with exit code 0.

    It is called in the process that the user started, after each trial, with that trial as `store`. That includes
    trials that finished before the run was resumed. Under `-n`, running trials go on to their end; no other begins.
    """


@pytest.hookspec
def pytest_harness_verdict(plan: Plan, verdict: Verdict) -> None:
    """A trial has ended with `verdict`, of any kind; called in the process of the trial, once it is stored."""
