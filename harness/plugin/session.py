"""One pytest session as one run: its folder, its report, its summary and its exit status.

Lives in the process that the user started; xdist workers only get the run's folder from it. The summary is
read back from the run's folder, so that no verdict is lost when a worker dies.

Exit status: 1 if any expectation failed, else 2 if any trial ended without a verdict or the report could not be
written, else pytest's own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from harness.model.errors import HarnessError, UsageError
from harness.model.options import Options
from harness.model.verdict import VerdictKind
from harness.plugin import outcomes
from harness.plugin.settings import choose_options
from harness.plugin.summary import table
from harness.results.origin import origin
from harness.results.text import plain_line

if TYPE_CHECKING:
    from harness.results.store import RunStore

TROUBLE = 2


def open_store(config: pytest.Config, options: Options) -> tuple[RunStore, list[str]]:
    """The folder of this run, and notes for the user. Raises UsageError."""
    from harness.plugin.resume import begin, reopen
    from harness.results.run_lock import join

    if options.resume is not None:
        store, notes = reopen(options.resume, config)
    else:
        manifest = {**_manifest(options), **begin(config, choose_options(config))}
        store, notes = _make_store(options, manifest), []
    config.add_cleanup(join(store.path).close)
    return store, notes


def _make_store(options: Options, manifest: Mapping[str, Any]) -> RunStore:
    """The folder that `--harness-run` names, or a new one."""
    from harness.results.files import disk_errors, write_json
    from harness.results.store import MANIFEST, RunStore

    if options.run is None:
        return RunStore.create(options.settings.results, manifest=manifest)
    with disk_errors(options.run):
        options.run.mkdir(parents=True, exist_ok=True)
    if (options.run / MANIFEST).exists():
        RunStore(options.run).merge_manifest(manifest)
    else:
        write_json(options.run / MANIFEST, manifest)
    return RunStore.open(options.run)


def _manifest(options: Options) -> dict[str, Any]:
    return {
        **origin(),
        "inventory": str(options.inventory),
        "settings": {key: str(value) for key, value in asdict(options.settings).items()},
    }


class RunSession:
    """Plugin of the controlling process for one run."""

    def __init__(self, store: RunStore, options: Options, key: str, notes: Sequence[str]) -> None:
        self._store = store
        self._notes = notes
        self._is_new = options.run is None and options.resume is None
        self._is_plain = options.repeat is None
        self._settings = options.settings
        self._key = key
        self._removed: list[str] = []
        self._interrupted = False
        self._failures = 0
        self._without_verdict = 0
        self._report = ""
        self._ran_something = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Remove the remains of killed runs."""
        try:
            self._removed = self._reap()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error

    def pytest_keyboard_interrupt(self) -> None:
        """Remember to clean up after workers that are killed because they do not end in time."""
        self._interrupted = True

    def pytest_unconfigure(self) -> None:
        """Clean up after an interrupt; the workers are gone by now."""
        if self._interrupted:
            for line in self._reap():
                print(f"harness: {plain_line(line)}", file=sys.stderr)

    def pytest_report_header(self) -> list[str]:
        """Print where the results go, and what was removed."""
        lines = (f"results in {self._store.path}", *self._notes, *self._removed)
        return [f"harness: {plain_line(line)}" for line in lines]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give an xdist worker the folder of the run."""
        node.workerinput[self._key] = str(self._store.path)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A worker died: an error of the harness, unless the trial already had its verdict."""
        verdicts = [
            record["verdict"]
            for trial in self._store.trials()
            if trial.name == crashitem and (record := _readable(trial)) is not None
        ]
        report.when = "setup"
        report.user_properties.append(("harness.verdict", VerdictKind.INCONCLUSIVE.value))
        known = f"; before that its verdict was {verdicts[-1]}, see {self._store.path}" if verdicts else ""
        report.longrepr = f"{report.longrepr}{known}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count failures and missing verdicts, on which the exit status depends."""
        self._ran_something = True
        if outcomes.is_no_verdict(report):
            self._without_verdict += 1
        elif report.failed:
            self._failures += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected is the user's mistake, not an error of the infrastructure."""
        self._failures += report.failed

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report; set exit status 2 if tests failed only because they had no verdict."""
        if self._store.trials():
            if not self._write_report() and exitstatus == pytest.ExitCode.OK:
                session.exitstatus = TROUBLE
        elif not self._ran_something and self._is_new:
            shutil.rmtree(self._store.path)
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self._without_verdict and not self._failures:
            session.exitstatus = TROUBLE

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table of verdicts, and the paths of report and results."""
        trials = self._store.trials()
        if not trials:
            if not self._store.path.exists():
                terminalreporter.write_line(f"harness: nothing ran, so {self._store.path} was removed again")
            return
        terminalreporter.section("harness verdicts")
        for line in table(trials):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"report: {self._report}")
        if self._store.enough_path.exists():
            terminalreporter.write_line(f"ended early: {plain_line(self._store.enough_path.read_text())}")
        if self._interrupted and self._is_plain:
            terminalreporter.write_line(f"to go on: harness run --resume {self._store.path}")

    def _reap(self) -> list[str]:
        from harness.providers import clean

        return clean(self._settings)

    def _write_report(self) -> bool:
        from harness.report import write_report

        try:
            self._report = str(write_report(self._store.path))
        except Exception as error:  # verdicts must be printed even if drawing fails
            self._report = plain_line(f"not written: {type(error).__name__}: {error}")
            return False
        return True


def _readable(trial: Any) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] | None = trial.read_verdict()
    except HarnessError:
        return None
    return record
