"""A board: text in shared memory, which any channel can read and write, with a first line that controls the script.

The first line is a control word. Only the script writes it until a reader may come, so no order is ever overwritten.
"""

from __future__ import annotations

import mmap
import os

WAIT, RUN, STOP = b"wait\n", b"run \n", b"stop"


class Board:
    """A board with `size` bytes below its first line."""

    def __init__(self, path: str, size: int) -> None:
        self.size = size
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, len(RUN) + size)
            self.memory = mmap.mmap(fd, len(RUN) + size)
        finally:
            os.close(fd)

    def say(self, word: bytes) -> None:
        """Write the first line."""
        self.memory[: len(word)] = word

    def says(self, word: bytes) -> bool:
        """Whether the first line is `word`."""
        return self.memory[: len(word)] == word

    def put(self, text: bytes, at: int = 0) -> None:
        """Write below the first line, at offset `at`."""
        begin = len(RUN) + at
        self.memory[begin : begin + len(text)] = text
