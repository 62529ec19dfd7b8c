"""Profiles and costs: which cases run, and in which order."""

from __future__ import annotations

import pytest

CASES = """
import pytest

pytestmark = pytest.mark.topology("pair")

@pytest.mark.profile("smoke")
@pytest.mark.cost(1)
def test_quick(trial): pass

@pytest.mark.cost(3)
def test_usual(trial): pass

@pytest.mark.cost(30)
@pytest.mark.profile("soak")
def test_long(trial): pass

def test_unknown(trial): pass
"""


def names(result: pytest.RunResult) -> list[str]:
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ((), ["test_usual", "test_quick", "test_unknown"]),
        (("--harness-profile=smoke",), ["test_quick"]),
        (("--harness-profile=nightly",), ["test_usual", "test_quick", "test_unknown"]),
        (("--harness-profile=soak",), ["test_long", "test_usual", "test_quick", "test_unknown"]),
        (("-k", "test_long", "--harness-profile=soak"), ["test_long"]),
    ],
)
def test_a_profile_selects_and_the_longest_comes_first(
    project: pytest.Pytester, arguments: tuple[str, ...], selected: list[str]
) -> None:
    project.makepyfile(CASES)
    assert names(project.runpytest("--collect-only", "-q", *arguments)) == selected


def test_a_case_that_is_named_runs_whatever_its_profile(project: pytest.Pytester) -> None:
    path = project.makepyfile(CASES)
    assert names(project.runpytest("--collect-only", "-q", f"{path.name}::test_long")) == ["test_long"]


def test_a_profile_that_there_is_not(project: pytest.Pytester) -> None:
    project.makepyfile(CASES)
    result = project.runpytest("--harness-profile=nightl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--harness-profile: 'nightl' is none of *, did you mean 'nightly'[?]"])


def test_other_tests_are_left_alone(project: pytest.Pytester) -> None:
    project.makepyfile("def test_b(): pass\ndef test_a(): pass")
    assert names(project.runpytest("--collect-only", "-q", "--harness-profile=smoke")) == ["test_b", "test_a"]
