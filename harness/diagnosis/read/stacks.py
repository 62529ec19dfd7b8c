"""A stack being read, with its header."""

from __future__ import annotations

import re
from sys import intern

from harness.diagnosis.read.facts import Stall, Step, Task
from harness.verdicts.console.frames import Frame

__all__ = ["Stack"]

MOST_STEPS = 64
MOST_GUESSES = 48
"""Maximum number of frames of one stack: reliable ones, and unreliable ones."""
LAPSE_LINES = 100
"""A stack ends after so many lines without a frame; registers and re-wrapped text take some forty."""

_SCHEDULER = re.compile(r"_*schedule|io_schedule|__switch_to|context_switch")


class Stack:
    """The frames after the header of a task or a stall, possibly none yet; `named` if there was a header."""

    def __init__(self, line: int, *, task: Task | None = None, stall: Stall | None = None, named: bool = True) -> None:
        self.task, self.stall, self.named = task, stall, named
        self._last = line
        self.steps: list[Step] = []
        self._called = False
        self._left = {True: MOST_STEPS, False: MOST_GUESSES}

    def add(self, frame: Frame, line: int, module: str) -> None:
        """Add a frame; `a from b`, `b from c` name every caller twice."""
        self._last = line
        if self._called and self.steps and self.steps[-1].name == frame.name:
            self.steps.pop()
        self._called = frame.caller is not None
        names = [frame.name, frame.caller] if frame.caller else [frame.name]
        self._left[frame.sure] -= len(names)
        if self._left[frame.sure] >= 0:
            self.steps += [Step(intern(name), line, intern(module), frame.sure) for name in names]

    def lapsed(self, line: int) -> bool:
        """Whether too many lines have passed without a frame."""
        return line - self._last > LAPSE_LINES

    @property
    def counts(self) -> bool:
        """Whether the task is worth keeping: it has a header, or a stack with the scheduler on top."""
        top = [step for step in self.steps if step.sure] or self.steps
        return self.named or bool(top and _SCHEDULER.match(top[0].name))
