"""The run of a comparison: its trials, those without a verdict once more, and the result."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from harness.compare.outcomes import read_outcomes
from harness.compare.question import Question
from harness.compare.record import read_question, write_question, write_result
from harness.compare.result import Comparison, compare
from harness.compare.watch import Watch, reason
from harness.model.errors import UsageError
from harness.plugin.invoke import INTERRUPTED, PLUGIN, pytest_arguments
from harness.plugin.marker_specs import runs_trial
from harness.plugin.repeat import run_session
from harness.plugin.resume import go_on
from harness.report.read.comparison import COMPARISON
from harness.results.store import MANIFEST, RunStore

Tell = Callable[[str], None]
Session = Callable[[Watch], int]


def one_case(argument: str, given: Mapping[str, str | None]) -> str:
    """The case that `argument` selects, as an argument for pytest here; raises UsageError unless it is just one."""
    looker, reported = _Looker(), io.StringIO()
    with redirect_stderr(reported):
        quiet = ("--collect-only", "-p", "no:terminal")
        status = pytest.main([*PLUGIN, *quiet, *pytest_arguments(given), argument], plugins=[looker])
    if looker.problem or status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        problem = looker.problem or reported.getvalue().strip().partition("\n")[0].removeprefix("ERROR: ")
        raise UsageError(f"{argument}: {problem or 'pytest cannot collect it; see `pytest --collect-only`'}")
    if len(looker.cases) != 1:
        some = ", ".join(looker.cases[:3]) + (" …" if len(looker.cases) > 3 else "")
        several = f"it selects {len(looker.cases)} cases ({some})" if looker.cases else "it selects no case"
        raise UsageError(f"{argument}: {several}; name one, as file.py::test or file.py::test[row]")
    return looker.cases[0]


def begin(store: RunStore, question: Question, given: Mapping[str, str | None], workers: str | None, tell: Tell) -> int:
    """Run the comparison in the folder of a new run; exit codes as of `harness.plugin.invoke.run_pytest`."""
    write_question(store, question)

    def session(watch: Watch) -> int:
        return run_session(
            [question.case],
            sides=question.sides,
            trials=question.plan(),
            given_options=given,
            workers=workers,
            run_folder=store.path,
            plugins=[watch],
        )

    return _to_the_end(store, session, tell)


def resume(store: RunStore, given: Mapping[str, str | None], workers: str | None, tell: Tell) -> int:
    """Go on with a comparison where it stopped; `given` and exit codes as of `begin`.

    Raises UsageError if the run is no comparison.
    """
    read_question(store)
    return _to_the_end(store, lambda watch: _again(store, watch, given, workers), tell)


def result(store: RunStore) -> Comparison:
    """The result of the run's trials; raises UsageError if the run is no comparison."""
    question, repeated = read_question(store)
    return compare(question, read_outcomes(store, question), repeated)


def _to_the_end(store: RunStore, session: Session, tell: Tell) -> int:
    question, repeated = read_question(store)
    status = session(Watch(store, question, repeated))
    vain = _vain(store)
    if status != INTERRUPTED and vain and not repeated and reason(result(store)) is None:
        tell(f"once more, as there was no verdict about the kernel: {', '.join(vain)}")
        write_question(store, question, vain)
        status = _again(store, Watch(store, question, vain))
    if (store.path / MANIFEST).is_file() and store.trials():
        _finish(store)
    return status


def _again(
    store: RunStore, watch: Watch, given: Mapping[str, str | None] | None = None, workers: str | None = None
) -> int:
    parallel = [] if workers is None else ["-n", workers]
    return go_on(store.path, extra=[*parallel, *pytest_arguments(given or {})], plugins=[watch])


def _finish(store: RunStore) -> None:
    """Write the final result, and the report again if the result has changed since the session wrote it."""
    path = store.path / COMPARISON
    before = path.read_bytes()
    write_result(store, result(store))
    if path.read_bytes() != before:
        from harness.report import write_report  # draws, so it takes a second to load

        write_report(store.path)


def _vain(store: RunStore) -> list[str]:
    """The trials that ended without a verdict about the kernel."""
    found = result(store)
    return [f"{side.key}-{number}" for side in found.sides for number in side.vain]


class _Looker:
    """Plugin that collects the cases a session would run."""

    def __init__(self) -> None:
        self.cases: list[str] = []
        self.problem = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.cases = [_argument(item) for item in session.items if runs_trial(item)]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.problem:
            self.problem = str(report.longrepr).strip().rpartition("\n")[2]


def _argument(item: pytest.Item) -> str:
    """`item` as an argument: relative to the working directory, not to the folder of the ini file as its node id."""
    path = item.path
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path}::{item.nodeid.partition('::')[2]}"
