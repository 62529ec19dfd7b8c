"""Reader of the JUnit file that pytest wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

from junitparser import Error, Failure, JUnitXmlError, Skipped, TestCase, xunit2

from harness.results.files import DamagedResult

VERDICT_PROPERTY = "harness.verdict"
_XFAIL = "pytest.xfail"


class JUnitRow(NamedTuple):
    """One test case: its `class::name`, an outcome word, and the verdict, which is authoritative.

    `outcome` is passed, failed, error, skipped or xfailed; `verdict` is None where no trial was judged.
    """

    name: str
    outcome: str
    verdict: str | None


def read_junit(path: Path) -> list[JUnitRow]:
    """The test cases of a JUnit file, in its order.

    Raises DamagedResult if it is not JUnit XML, FileNotFoundError if it is missing.
    """
    try:
        report = xunit2.JUnitXml.fromfile(str(path))
    except (ParseError, JUnitXmlError) as error:
        raise DamagedResult(path=path, problem=f"not JUnit XML ({error})") from error
    return [_row(case) for suite in report for case in suite]


def _row(case: TestCase) -> JUnitRow:
    name = "::".join(part for part in (case.classname, case.name) if part)
    return JUnitRow(name, _outcome(case), _verdict(case))


def _outcome(case: TestCase) -> str:
    """One word; a failure outweighs an error in tear-down, which outweighs a skip."""
    results = list(case.result)
    if any(isinstance(result, Failure) for result in results):
        return "failed"
    if any(isinstance(result, Error) for result in results):
        return "error"
    for result in results:
        if isinstance(result, Skipped):
            return "xfailed" if result.type == _XFAIL else "skipped"
    return "passed"


def _verdict(case: TestCase) -> str | None:
    untyped: Any = case  # junitparser annotates its attributes, but not this method
    for entry in untyped.properties():
        if entry.name == VERDICT_PROPERTY:
            return str(entry.value)
    return None
