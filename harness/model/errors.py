"""Errors of the harness, sorted by who is to blame.

HarnessError
├── UsageError             the user's request cannot be met: one line, exit code 2
│   ├── InventoryError         an inventory file is wrong: the place, and the way out
│   └── HostEnvironmentError   this machine lacks something: names the command that fixes it
└── InfraError             the harness or its infrastructure failed; never evidence about a kernel
    ├── BootError              a guest did not become ready; carries its last console lines
    ├── ShellError             a command on a host could not be run, or failed
    │   └── DeadlineExceeded       the host did not answer in time
    └── LostHost               a host is gone on every channel

Verdicts as exceptions are in `model.verdict_errors`.
"""

from __future__ import annotations

__all__ = [
    "BootError",
    "DeadlineExceeded",
    "HarnessError",
    "HostEnvironmentError",
    "InfraError",
    "InventoryError",
    "LostHost",
    "ShellError",
    "UsageError",
]


class HarnessError(Exception):
    """Base of all errors that the harness raises on purpose, except verdicts."""


class UsageError(HarnessError):
    """The user's request cannot be met; the message names the place and the way out."""


class InventoryError(UsageError):
    """An inventory file is wrong at `place`; `hint` is the way out."""

    def __init__(self, *, path: str, place: str, problem: str, hint: str = "") -> None:
        self.path = path
        self.place = place
        self.problem = problem
        self.hint = hint
        where = f"{path}: {place}" if place else path
        super().__init__(f"{where}: {problem}" + (f"; {hint}" if hint else ""))


class HostEnvironmentError(UsageError):
    """This machine lacks something; `remedy` is the command or action that fixes it."""

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(problem + (f"; {remedy}" if remedy else ""))


class InfraError(HarnessError):
    """The harness or its infrastructure failed; never evidence about the kernel under test."""


class BootError(InfraError):
    """A guest did not become ready."""

    def __init__(self, *, host: str, problem: str, console_tail: str = "") -> None:
        self.host = host
        self.problem = problem
        self.console_tail = console_tail
        message = f"{host}: {problem}"
        if console_tail:
            message += "; last console lines:\n" + console_tail
        super().__init__(message)


COMMAND_SHOWN = 100  # characters of a command in a message; scripts are long


class ShellError(InfraError):
    """A command on a host could not be run, or failed."""

    def __init__(self, *, host: str, command: str, problem: str, output: str = "") -> None:
        self.host = host
        self.command = command
        self.problem = problem
        self.output = output
        message = f"{host}: `{_in_one_line(command)}`: {problem}"
        if output.strip():
            message += f"\n{output.strip()[-2000:]}"
        super().__init__(message)


def _in_one_line(command: str) -> str:
    """The beginning of a command, enough to recognise it."""
    first, rest, _ = command.strip().partition("\n")
    return first if not rest and len(first) <= COMMAND_SHOWN else f"{first[:COMMAND_SHOWN].rstrip()}…"


class DeadlineExceeded(ShellError):
    """The host did not answer within the deadline; what it was doing is unknown."""


class LostHost(InfraError):
    """A host is gone on every channel."""

    def __init__(self, *, host: str, problem: str) -> None:
        self.host = host
        self.problem = problem
        super().__init__(f"{host}: {problem}")
