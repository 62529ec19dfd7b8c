"""Reading JUnit files that pytest itself wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.files import DamagedResult
from harness.results.junit import JUnitRow, read_junit

SUITE = """
import pytest

@pytest.fixture
def verdict(request):
    return lambda word: request.node.user_properties.append(("harness.verdict", word))

@pytest.fixture
def broken():
    raise RuntimeError("no guest")

@pytest.fixture
def breaks_later():
    yield
    raise RuntimeError("no tear-down")

def test_survives(verdict):
    verdict("SURVIVED")

def test_hangs(verdict):
    verdict("DEADLOCKED")
    raise AssertionError("\\x1b[31m<script>]]>\\x00 \\u202e")

@pytest.mark.xfail(strict=True)
def test_reproduces(verdict):
    verdict("DEADLOCKED")
    assert False

@pytest.mark.xfail(strict=True)
def test_not_reproduced(verdict):
    verdict("SURVIVED")

def test_skipped():
    pytest.skip("needs a tool")

def test_error(broken):
    pass

class TestGroup:
    @pytest.mark.parametrize("row", ["a<b", 'q"'])
    def test_row(self, row, verdict):
        verdict("SURVIVED")

def test_teardown(verdict, breaks_later):
    verdict("LOST")
"""


@pytest.fixture(scope="module")
def junit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", os.devnull]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    result = subprocess.run(
        [*command, "--junitxml=junit.xml", "test_suite.py"], cwd=folder, env=environment, capture_output=True
    )
    assert result.returncode == 1, result.stdout
    return folder / "junit.xml"


def test_outcomes_and_verdicts(junit: Path) -> None:
    rows = {row.name.removeprefix("test_suite").lstrip(".:"): (row.outcome, row.verdict) for row in read_junit(junit)}
    assert rows == {
        "test_survives": ("passed", "SURVIVED"),
        "test_hangs": ("failed", "DEADLOCKED"),
        "test_reproduces": ("xfailed", "DEADLOCKED"),
        "test_not_reproduced": ("failed", "SURVIVED"),
        "test_skipped": ("skipped", None),
        "test_error": ("error", None),
        "TestGroup::test_row[a<b]": ("passed", "SURVIVED"),
        'TestGroup::test_row[q"]': ("passed", "SURVIVED"),
        "test_teardown": ("error", "LOST"),
    }


def test_a_row_is_a_plain_tuple(junit: Path) -> None:
    assert read_junit(junit)[0] == ("test_suite::test_survives", "passed", "SURVIVED")
    assert isinstance(read_junit(junit)[0], JUnitRow)


@pytest.mark.parametrize("content", ["", "<testsuites><testsuite", "<html></html>"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "junit.xml").write_text(content)
    with pytest.raises(DamagedResult, match=r"junit\.xml: damaged"):
        read_junit(tmp_path / "junit.xml")


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_junit(tmp_path / "junit.xml")
