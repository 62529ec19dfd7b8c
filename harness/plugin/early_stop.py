"""Early end of a session, with exit code 0, once `pytest_harness_enough` returns a reason.

pytest's own `shouldstop` would end it as interrupted (exit code 2). So the controlling process writes the reason to a
file in the run's folder. No process begins a trial once that file exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.results.files import write_atomic

if TYPE_CHECKING:
    from harness.results.store import RunStore


class EarlyStop:
    """Plugin of every process of a run: leaves out all tests once the reason is written."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool | None:
        """Take the next test off the list without running it, once the reason is written."""
        return True if self._store.enough_path.exists() else None


class Asking:
    """Plugin of the controlling process: calls the hook `pytest_harness_enough` after each trial."""

    def __init__(self, store: RunStore, config: pytest.Config) -> None:
        self._store = store
        self._hook = config.hook

    @pytest.hookimpl(tryfirst=True)  # before xdist starts its workers
    def pytest_sessionstart(self) -> None:
        """Remove the reason of an earlier session of this run."""
        self._store.enough_path.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Call the hook once a test is over."""
        if report.when == "teardown":
            self._ask(report.nodeid)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """Call it for a test whose worker died, as no more reports of it come."""
        self._ask(crashitem)

    def _ask(self, name: str) -> None:
        trials = self._store.trials(name)
        if trials:
            reason = self._hook.pytest_harness_enough(store=trials[-1])
            if reason is not None and not self._store.enough_path.exists():
                write_atomic(self._store.enough_path, f"{reason}\n".encode())
