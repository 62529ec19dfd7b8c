"""Pytest outcomes of verdicts.

| what happened | outcome |
| --- | --- |
| SURVIVED | passed |
| a hang, crash, OOM kill or failed storage | failed |
| the same, marked `reproduces` with its word | xfailed |
| any other verdict about the kernel, marked `reproduces` | failed: the expected verdict did not occur |
| any verdict about the kernel, in a session with `--harness-repeat` | passed: the comparison judges |
| INCONCLUSIVE, LOST, or no verdict at all | error, marked or not: no evidence about the kernel |

pytest and JUnit have errors only outside of a test's call, so the report of one is filed under `setup`. The
property `harness.verdict` is always authoritative.
"""

from __future__ import annotations

import pytest

from harness.model.errors import HarnessError
from harness.model.verdict import OR, VerdictKind, kinds_of
from harness.model.verdict_errors import NoVerdict, VerdictError
from harness.plugin.trials import VERDICT, WALL_S, record
from harness.results.store import ABOUT_THE_KERNEL, ANYTHING, SURVIVES
from harness.results.text import plain

NO_VERDICT = frozenset(VerdictKind) - ABOUT_THE_KERNEL


def judge(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, expected: str) -> None:
    """Give `report`, one phase of a harness test, the outcome of the table above."""
    error = None if call.excinfo is None else call.excinfo.value
    if call.excinfo is not None and isinstance(error, HarnessError | NoVerdict):
        # The message may quote a guest's console, and the report writes it to a terminal. No traceback: the
        # place in the harness does not help the user.
        error.args = (plain(str(error)),)
        report.longrepr = call.excinfo.getrepr(style="value", chain=False)
    if isinstance(error, HarnessError | VerdictError):
        _shorten(report, str(error).partition("\n")[0])
    if report.when == "setup" and isinstance(error, HarnessError):
        record(item, VerdictKind.INCONCLUSIVE, run="", summary=str(error))
        report.user_properties = list(item.user_properties)
    if report.when == "call":
        report.duration += item.stash.get(WALL_S, 0.0)
        _judge_call(report, error, expected, item.stash.get(VERDICT, None))


def _shorten(report: pytest.TestReport, message: str) -> None:
    """Make the short summary and JUnit quote `message`, without the exception's class name before it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = message


def is_no_verdict(report: pytest.TestReport) -> bool:
    """Whether `report` is an error of the harness or its infrastructure, not a verdict about the kernel."""
    kinds = {str(value) for name, value in report.user_properties if name == "harness.verdict"}
    return report.failed and report.when == "setup" and bool(kinds & NO_VERDICT)


def _judge_call(
    report: pytest.TestReport, error: BaseException | None, expected: str, kind: VerdictKind | None
) -> None:
    if isinstance(error, HarnessError) or kind in NO_VERDICT:
        report.when = "setup"
        report.outcome = "failed"
        report.longrepr = report.longrepr or f"the trial ended without a verdict: {kind}"
    elif expected == ANYTHING:
        if isinstance(error, VerdictError):
            report.outcome, report.longrepr = "passed", None
    elif expected != SURVIVES and not report.skipped:
        _judge_reproduction(report, error, expected, kind)


def _judge_reproduction(
    report: pytest.TestReport, error: BaseException | None, expected: str, kind: VerdictKind | None
) -> None:
    kinds = kinds_of(expected)
    wanted = OR.join(kinds)
    if kind in kinds and (error is None or isinstance(error, VerdictError)):
        report.outcome = "skipped"
        report.wasxfail = f"reproduced: {kind.value}"
    elif report.passed:
        report.outcome = "failed"
        seen = f"the verdict is {kind.value}" if kind else "the test ran no trial"
        report.longrepr = f"not reproduced: {wanted} was expected, {seen}"
    else:
        report.sections.append(("harness", f"{wanted} was expected (reproduces: {expected})"))
