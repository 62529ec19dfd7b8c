"""Commits of a git tree, and their builds in the run's own worktree."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.artifacts.run_tool import CommandFailed, read_tool, run_tool
from harness.bisect.candidates import Candidate, Candidates
from harness.bisect.loop import Untestable
from harness.model.errors import HarnessError, UsageError
from harness.model.overrides import MachineOverrides, parse_overrides

# The table of ancestors takes n² / 8 bytes.
MOST = 40_000


class GitTree:
    """The git repository in `folder`; raises UsageError if there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._git("rev-parse", "--git-dir")
        except CommandFailed as error:
            raise UsageError(f"--tree {folder}: {error.last}") from error

    def candidates(self, good: str, bad: str, *, first_parent: bool) -> Candidates:
        """The commits from `good` to `bad`, parents before children; raises UsageError.

        With `first_parent`, only those on the line of first parents of `bad`: a merge stands for its whole branch.
        """
        first, last = self._commit("--good", good), self._commit("--bad", bad)
        base = self._git("merge-base", first, last).strip()
        if base != first:
            raise UsageError(f"--good {good} is no ancestor of --bad {bad}; give their merge base: --good {base[:12]}")
        chosen = ["--first-parent"] if first_parent else []
        lines = self._git("rev-list", "--topo-order", "--reverse", "--parents", *chosen, f"{first}..{last}")
        rows = [line.split() for line in lines.splitlines()]
        if len(rows) >= MOST and not first_parent:
            raise UsageError(f"{len(rows)} commits between {good} and {bad}; bisect the merges first: --first-parent")
        shas = [first, *(row[0] for row in rows)]
        titles = self._titles(first, last)
        sides = tuple(Candidate(key=sha, title=titles.get(sha, "")) for sha in shas)
        places = {sha: place for place, sha in enumerate(shas)}
        merges = any(len(row) > 2 for row in rows) and not first_parent
        # Commits older than the good end count as the good end.
        parents = ((), *(tuple(places.get(parent, 0) for parent in row[1:]) for row in rows)) if merges else ()
        return Candidates(sides=sides, parents=parents)

    def add_worktree(self, path: Path) -> None:
        """Make a worktree at `path`, unless it is there; it starts with the tree's own .config."""
        if not path.exists():
            self._git("worktree", "prune")
            self._git("worktree", "add", "--detach", "--no-checkout", str(path))
            config = self.folder / ".config"
            if config.is_file():
                shutil.copyfile(config, path / ".config")

    def remove_worktree(self, path: Path) -> None:
        """Remove the worktree at `path`, with all builds in it."""
        self._git("worktree", "remove", "--force", str(path))

    def _commit(self, flag: str, revision: str) -> str:
        try:
            return self._git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()
        except CommandFailed as error:
            raise UsageError(f"{flag} {revision}: no such commit in {self.folder}") from error

    def _titles(self, first: str, last: str) -> dict[str, str]:
        lines = self._git("log", "--format=%H %s", f"{first}..{last}") + self._git("log", "-1", "--format=%H %s", first)
        return {sha: title for sha, _, title in (line.partition(" ") for line in lines.splitlines())}

    def _git(self, *arguments: str) -> str:
        return read_tool(["git", "-C", str(self.folder), *arguments])


class Builder:
    """Builds commits of `tree` with the user's `command`, in the folder `run`/tree; logs go to `run`/builds.

    `side` is the text of a built commit's side; paths in it are relative to the worktree.
    """

    def __init__(self, tree: GitTree, command: str, side: str, run: Path) -> None:
        self._tree = tree
        self._command = command
        self._side = side
        self._worktree = run / "tree"
        self._logs = run / "builds"
        self._built: str | None = None

    def side(self, commit: Candidate) -> MachineOverrides:
        """The side of a commit, built now unless it was built last; raises Untestable."""
        if self._built != commit.key:
            self._built = None
            self._build(commit)
            self._built = commit.key
        try:
            return parse_overrides(self._side, base=self._worktree, place="--side")
        except UsageError as error:
            raise Untestable(str(error)) from error

    def clear(self) -> None:
        """Remove the worktree."""
        if self._worktree.exists():
            self._tree.remove_worktree(self._worktree)

    def _build(self, commit: Candidate) -> None:
        self._logs.mkdir(exist_ok=True)
        log = self._logs / f"{commit.key[:12]}.log"
        self._tree.add_worktree(self._worktree)
        try:
            run_tool(["git", "checkout", "--detach", "--force", commit.key], log=log, cwd=self._worktree)
        except CommandFailed as error:
            raise HarnessError(f"{self._worktree}: {error.last}; see {log}") from error
        try:
            run_tool(["sh", "-c", self._command], log=log, cwd=self._worktree)
        except CommandFailed as error:
            raise Untestable(f"does not build: {error.last} (see builds/{log.name})") from error
