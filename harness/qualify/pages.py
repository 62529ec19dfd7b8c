"""The pages of a qualification: HTML that prints, JSON, and JUnit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.outcome import Decision, decide
from harness.qualify.qualification import Asked, checks_of, ended
from harness.report.environment import page_environment, stylesheet
from harness.results.files import write_atomic
from harness.results.store import RunStore
from harness.results.text import plain_line

TEMPLATES = Path(__file__).parent / "templates"
TONES = {Grade.PASS: "good", Grade.FAIL: "bad", Grade.NOT_SHOWN: "unknown"}
NAMES = ("qualification.html", "qualification.json", "qualification-junit.xml")


def write(store: RunStore) -> Decision:
    """Write all pages into the run's folder; raises HostEnvironmentError if that fails."""
    asked, checks = Asked.of(store), checks_of(store)
    decision = decide(checks, asked.hosts, asked.stages, ended(store))
    page, data, junit = (store.path / name for name in NAMES)
    write_atomic(page, html(store, asked, decision).encode())
    write_atomic(data, json.dumps({**asked.to_dict(), **decision.to_dict()}, indent=1, ensure_ascii=True).encode())
    write_atomic(junit, junit_of(checks))
    return decision


def html(store: RunStore, asked: Asked, decision: Decision) -> str:
    """The page: what is decided first, then what is to be repaired, then every check."""
    manifest = store.read_manifest()
    stages = manifest["qualify"]["stages"]
    return (
        page_environment(TEMPLATES)
        .get_template("qualification.html.j2")
        .render(
            run=store.name,
            asked=asked,
            decision=decision,
            failed=[check for subject in decision.subjects for check in subject.checks if check.grade is Grade.FAIL],
            excluded=[check for subject in decision.subjects for check in subject.checks if check.excluded],
            tones=TONES,
            times=[(name, stages[name]["seconds"]) for name in StageName if name in stages],
            started=manifest.get("started", ""),
            harness=manifest.get("harness", ""),
            css=stylesheet(),
        )
    )


def junit_of(checks: Sequence[Check]) -> bytes:
    """One test suite a stage, one test a check: failed, or skipped if nothing was shown."""
    report: Any = JUnitXml("harness qualify")  # junitparser annotates only some of its methods
    for stage in StageName:
        suite = TestSuite(stage.value)
        for check in checks:
            if check.stage is stage:
                suite.add_testcase(_test(check))
        report.add_testsuite(suite)
    text: bytes = report.tostring()
    return text


def _test(check: Check) -> TestCase:
    test = TestCase(plain_line(check.what), classname=plain_line(check.subject))
    words = plain_line("; ".join(filter(None, (check.measured, check.reason, check.excluded))))
    if check.grade is Grade.FAIL:
        test.result = [Failure(words, "harness.qualify")]
    elif check.grade is Grade.NOT_SHOWN:
        test.result = [Skipped(words or "not shown")]
    else:
        test.system_out = words
    return test
