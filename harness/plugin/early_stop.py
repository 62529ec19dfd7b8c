"""EarlyStop a session early, with exit code 0: whoever implements `pytest_harness_enough` says when.

pytest's own `shouldstop` makes an interrupted session of it (exit code 2). So the controlling process leaves a word in
the run's folder, and no process begins a trial once it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.results.files import write_atomic

if TYPE_CHECKING:
    from harness.results.store import RunStore


class EarlyStop:
    """Plugin of every process of a run: leaves out the tests that come after the word."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool | None:
        """Take the next test off the list without running it, once there is enough."""
        return True if self._store.enough_path.exists() else None


class Asking:
    """Plugin of the controlling process: asks after each trial whether there is enough."""

    def __init__(self, store: RunStore, config: pytest.Config) -> None:
        self._store = store
        self._hook = config.hook

    @pytest.hookimpl(tryfirst=True)  # before xdist starts its workers
    def pytest_sessionstart(self) -> None:
        """Forget the word of an earlier session of this run."""
        self._store.enough_path.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Ask once a test is over."""
        if report.when == "teardown":
            self._ask(report.nodeid)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """A test of which the worker died has no more reports."""
        self._ask(crashitem)

    def _ask(self, name: str) -> None:
        trials = self._store.trials(name)
        if trials:
            reason = self._hook.pytest_harness_enough(store=trials[-1])
            if reason is not None and not self._store.enough_path.exists():
                write_atomic(self._store.enough_path, f"{reason}\n".encode())
