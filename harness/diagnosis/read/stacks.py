"""A stack that is being read, with the header that it belongs to."""

from __future__ import annotations

import re
from sys import intern

from harness.diagnosis.read.facts import Stall, Step, Task
from harness.verdicts.console.frames import Frame

__all__ = ["Stack"]

MOST_STEPS = 64
MOST_GUESSES = 48
"""Frames of one stack: those that the unwinder vouches for, and those that it found lying on the stack."""
LAPSE_LINES = 100
"""Lines without a frame after which a stack has ended; registers and re-wrapped text take some forty."""

_SCHEDULER = re.compile(r"_*schedule|io_schedule|__switch_to|context_switch")


class Stack:
    """The frames after the header of a task or a stall, which may have none yet; `named` if there was a header."""

    def __init__(self, line: int, *, task: Task | None = None, stall: Stall | None = None, named: bool = True) -> None:
        self.task, self.stall, self.named = task, stall, named
        self._last = line
        self.steps: list[Step] = []
        self._called = False
        self._left = {True: MOST_STEPS, False: MOST_GUESSES}

    def add(self, frame: Frame, line: int, module: str) -> None:
        """Take in a frame; `a from b`, `b from c` name every caller twice."""
        self._last = line
        if self._called and self.steps and self.steps[-1].name == frame.name:
            self.steps.pop()
        self._called = frame.caller is not None
        names = [frame.name, frame.caller] if frame.caller else [frame.name]
        self._left[frame.sure] -= len(names)
        if self._left[frame.sure] >= 0:
            self.steps += [Step(intern(name), line, intern(module), frame.sure) for name in names]

    def lapsed(self, line: int) -> bool:
        """Whether no frame has come for so long that none will."""
        return line - self._last > LAPSE_LINES

    @property
    def counts(self) -> bool:
        """Whether this is a task worth keeping: one with a header, or a stack with the scheduler on top."""
        top = [step for step in self.steps if step.sure] or self.steps
        return self.named or bool(top and _SCHEDULER.match(top[0].name))
