"""No pattern backtracks without bound: by its structure, and by what hostile lines cost at two sizes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from harness.verdicts.console import blame, boot, frames, patterns, report, storage_lines, text
from harness.verdicts.console.frames import plain_name
from harness.verdicts.console.patterns import HEADLINES
from harness.verdicts.console.text import LINE_CAP

parser: Any = re._parser  # type: ignore[attr-defined]
REPEATS = {parser.MAX_REPEAT, parser.MIN_REPEAT, parser.POSSESSIVE_REPEAT}
LONG = 1000
SEARCHED = {"text._STAMP", "text._ESCAPE", "frames._SUFFIX"} | {
    f"headline {number}: {headline.token}" for number, headline in enumerate(HEADLINES) if headline.anywhere
}
"""What is looked for within a message; every other pattern is matched at its start."""


def in_module(module: ModuleType) -> Iterator[tuple[str, str]]:
    name = module.__name__.rpartition(".")[2]
    for key, value in vars(module).items():
        if isinstance(value, re.Pattern):
            yield f"{name}.{key}", value.pattern


PATTERNS = dict(
    [pair for module in (blame, boot, frames, patterns, report, storage_lines, text) for pair in in_module(module)]
    + [(f"headline {number}: {headline.token}", headline.regex.pattern) for number, headline in enumerate(HEADLINES)]
)


def repeats(tree: Any, outer: int = 1) -> Iterator[tuple[int, int, Any]]:
    """Every repeat in a parsed pattern: how often those around it may repeat, how often it may, and its body."""
    for code, value in tree:
        inside = outer
        if code in REPEATS:
            yield outer, int(value[1]), value[2]
            inside = outer * int(value[1])
        for part in value if isinstance(value, (tuple, list)) else (value,):
            for one in part if isinstance(part, list) else (part,):
                if isinstance(one, parser.SubPattern):
                    yield from repeats(one, inside)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_repeat_without_bound_is_of_one_character_and_not_inside_another(name: str) -> None:
    for outer, most, body in repeats(parser.parse(PATTERNS[name])):
        if most > LONG:
            assert len(body) == 1
            assert body[0][0] not in (parser.SUBPATTERN, parser.BRANCH, *REPEATS)
            assert outer <= 4


@pytest.mark.parametrize("name", PATTERNS)
def test_long_repeats_are_not_nested(name: str) -> None:
    """Two spans of 100 inside each other are 10,000 ways to fail; a group of a few words is not."""
    for outer, most, _ in repeats(parser.parse(PATTERNS[name])):
        assert outer == 1 or min(outer, most) <= 12


def literals(tree: Any) -> str:
    """The characters that a pattern asks for, in order, alternatives one after the other: what nearly matches it."""
    out = ""
    for code, value in tree:
        if code is parser.LITERAL:
            out += chr(value)
        elif code is parser.IN:
            out += "1a"
        elif code is parser.BRANCH:
            out += "".join(literals(branch) for branch in value[1])
        elif code is parser.SUBPATTERN:
            out += literals(value[3])
        elif code in REPEATS:
            out += literals(value[2]) * 2
    return out


def cpu_s(look: Callable[[str], object], line: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        look(line)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("name", PATTERNS)
def test_four_times_the_line_costs_no_more_than_its_square(name: str) -> None:
    """Twice the square, for the clock's sake; less than 2 ms is not measured. Backtracking costs thousands of times."""
    regex = re.compile(PATTERNS[name])
    look = regex.search if name in SEARCHED else regex.match
    begin = literals(parser.parse(PATTERNS[name]))
    for seed in (begin, begin[:-1] + " ", begin[: len(begin) // 2], "a", "a ", "a:1", " (", "[<0", "possible ", "] ["):
        small, large = ((seed * LINE_CAP)[:size] for size in (LINE_CAP // 4, LINE_CAP))
        took = cpu_s(look, large)
        assert took < 0.002 or took < 32 * cpu_s(look, small), seed


def test_a_name_made_of_what_compilers_add_is_read() -> None:
    """Here there were two ways to read every `.isra.1`, so that the whole took 2 to the power of their number."""
    name = "f" + ".isra.1" * 34 + ".x"
    assert plain_name(name) == name
    assert plain_name("f" + ".isra.1" * 3) == "f"
