"""Standard output of a command: its width, and what happens when its reader closes it."""

from __future__ import annotations

import os
import select
import sys

from rich.console import Console

__all__ = ["Terminal", "discard_output", "reader_is_gone", "wide"]

WIDTH = 160  # of tables without a terminal


class Terminal(Console):
    """A console that leaves a closed pipe to the command line."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError: rich would end with exit code 1, which means that an expectation failed."""
        raise BrokenPipeError


def wide() -> Terminal:
    """A console for tables: as wide as the terminal, or 160 columns without one."""
    return Terminal(width=None if sys.stdout.isatty() else WIDTH)


def reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def discard_output() -> None:
    """Discard buffered output, so that the interpreter can end without an error message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
