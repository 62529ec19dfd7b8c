"""The headline: the console line that opens a finding."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.model.finding import FindingKind as Kind

__all__ = ["FUNCTION", "PLACE", "TASK", "Headline", "Match", "line"]

TASK = r"(?P<task>[^\n]{1,64}):(?P<pid>\d{1,9})"
PLACE = r"\S{1,160}:\d{1,6}"
FUNCTION = r"(?P<function>[A-Za-z_][\w.$]{0,127})\+0x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A line that opens a finding.

    `token` is a literal that every matching line contains. `regex` is matched at the start of a message, or searched
    within it if `anywhere`. Its groups `task`, `pid`, `cpu` and `function` fill the finding; `device` separates lines
    about different devices. The flags:
    - `single`: complete with its own line.
    - `prelude`: a remark that the kernel prints just before the report proper.
    - `continues`: may be the second line of another oops.
    - `stamped`: counts only with the kernel's time stamp, which shows that no program wrote it.
    - `fragment`: an inner line of a memory report; a headline only if the first line was lost.
    - `bare`: may come without a stack.
    - `echo`: a consequence, and no finding of its own right after its cause.
    """

    kind: Kind
    token: str
    regex: re.Pattern[str]
    anywhere: bool = False
    single: bool = False
    prelude: bool = False
    continues: bool = False
    stamped: bool = False
    fragment: bool = False
    bare: bool = False
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A headline and the match of its line."""

    headline: Headline
    title: str
    fields: dict[str, str | None]


_FLAGS = {
    "a": "anywhere", "s": "single", "p": "prelude", "c": "continues", "k": "stamped", "f": "fragment", "b": "bare",
    "e": "echo",
}  # fmt: skip


def line(kind: Kind, token: str, regex: str, flags: str = "") -> Headline:
    """A headline; `flags` are letters of `_FLAGS`."""
    return Headline(kind=kind, token=token, regex=re.compile(regex), **{_FLAGS[flag]: True for flag in flags})
