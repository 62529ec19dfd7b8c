"""The runs of a bisection: build the commit if necessary, then run the case on its side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.bisect.candidates import Candidate
from harness.bisect.record import Plan
from harness.bisect.tree import Builder, GitTree
from harness.results.store import TrialStore

RunOne = Callable[[str], TrialStore]


class CaseBench:
    """Runs the case of `plan` on one side after the other; `run_one` takes the text of a side."""

    def __init__(self, plan: Plan, run: Path, run_one: RunOne) -> None:
        self._run_one = run_one
        self._builder = Builder(GitTree(Path(plan.tree)), plan.build, plan.side, run) if plan.tree else None

    def run(self, side: Candidate) -> TrialStore:
        """See `Bench.run`."""
        text = side.side if self._builder is None else str(self._builder.side(side))
        return self._run_one(text)

    def clear(self) -> None:
        """Remove the worktree, which only the runs need."""
        if self._builder is not None:
            self._builder.clear()
