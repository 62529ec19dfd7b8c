"""The log of a bisection, in the format of `git bisect log`; a bisection resumes from it.

    git bisect start
    # testing: [1a2b3c] nbd: send less
    # bad: [1a2b3c] nbd: send less; DEADLOCKED, swap_over_network (trials/test_nbd_swap.test_stock)
    git bisect bad 1a2b3c

Every run is one `# good:`, `# bad:` or `# skip:` line, written whole and synced before the next run starts. The
`git bisect` lines are the decisions that follow; they are for readers and for `git bisect replay`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bisect.candidates import Candidate
from harness.results.files import disk_errors

NAME = "bisect.log"
NO_TRIAL = "-"  # of a side that cannot be run
LOST_TRIAL = "?"  # of a run without a trial
_RUN = re.compile(r"# (good|bad|skip): \[(\S+)\] .*; ([^;]*) \(([^()]+)\)")
_TESTING = re.compile(r"# testing: \[(\S+)\] ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: `word` is good, bad or skip, `why` the observation, `trial` its folder's name."""

    word: str
    key: str
    why: str
    trial: str


class BisectLog:
    """The log file `path`; a last line cut short by a kill is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.touch()
            whole = path.read_bytes()
            kept = whole.rfind(b"\n") + 1
            if kept < len(whole):
                os.truncate(path, kept)
        if not kept:
            self._write("git bisect start")

    def runs(self) -> list[Run]:
        """All runs, in their order."""
        found = (_RUN.fullmatch(line) for line in self._lines())
        return [Run(word=run[1], key=run[2], why=run[3], trial=run[4]) for run in found if run]

    @property
    def interrupted(self) -> str | None:
        """The key of the side whose last run was begun but not logged as ended, or None."""
        for line in reversed(self._lines()):
            if _RUN.fullmatch(line):
                return None
            if testing := _TESTING.match(line):
                return testing[1]
        return None

    def testing(self, side: Candidate) -> None:
        """Record that a run of `side` begins."""
        self._write(f"# testing: {_named(side)}")

    def add(self, side: Candidate, run: Run) -> Run:
        """Record a run that has ended; returns it as it will be read back."""
        run = replace(run, why=re.sub(r"[;\s]+", " ", run.why).strip())
        self._write(f"# {run.word}: {_named(side)}; {run.why} ({run.trial})")
        return run

    def decided(self, side: Candidate, word: str) -> None:
        """Record that `side` is now good, bad or skipped; written once."""
        command = f"git bisect {word} {side.key}"
        if command not in self._lines():
            self._write(command)

    def finish(self, text: str, culprit: Candidate | None) -> None:
        """Record the answer; once, even if a finished bisection is resumed again."""
        lines = [f"# {line}" for line in text.splitlines()]
        if culprit is not None:
            lines.append(f"# first bad commit: {_named(culprit)}")
        if self._lines()[-len(lines) - 1 : -1] != lines:
            self._write("\n".join(lines))

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8", errors="replace").split("\n")

    def _write(self, text: str) -> None:
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _named(side: Candidate) -> str:
    return f"[{side.key}] {' '.join(side.title.split())}"
