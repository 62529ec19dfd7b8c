"""Standard output of a command: how wide it is, and what happens when its reader has had enough."""

from __future__ import annotations

import os
import select
import sys

from rich.console import Console

__all__ = ["Terminal", "discard_output", "reader_is_gone", "wide"]

WIDTH = 160  # of tables where there is no terminal whose width they could take


class Terminal(Console):
    """A console that leaves it to the command line what becomes of a closed pipe."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError: rich's own way ends with exit code 1, which says that an expectation failed."""
        raise BrokenPipeError


def wide() -> Terminal:
    """A console for tables: as wide as the terminal, or 160 columns where there is none."""
    return Terminal(width=None if sys.stdout.isatty() else WIDTH)


def reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def discard_output() -> None:
    """Let what is still to be written go nowhere, so that the interpreter can end without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
