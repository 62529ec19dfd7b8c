"""The campaign of a self-test: many trials in random order, on processes of their own, in one run.

Finished trials are on disk; an interrupted or killed campaign is resumed with the missing ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any, Protocol

from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.history import Event, Kind
from harness.model.settings import Settings
from harness.results.store import RunStore
from harness.selftest.kinds import KINDS
from harness.selftest.lanes import Job, Lane, Outcome, Runner
from harness.selftest.rack import Rack
from harness.selftest.score import ERROR, kind_of
from harness.selftest.truth import Group, Truth

SECTION = "selftest"  # of the run's manifest
LOOK_S = 0.5


class Watcher(Protocol):
    """An observer of a campaign, called on the campaign's thread."""

    def began(self, trial: str) -> None:
        """A process has been given a trial."""

    def ended(self, outcome: Outcome) -> None:
        """A trial is over, and its result is on disk."""

    def waiting(self) -> None:
        """Called about twice a second."""


def choose(globs: Sequence[str]) -> list[Truth]:
    """The kinds that match any of the globs, all without a glob; raises UsageError for a glob without a match."""
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in KINDS):
            raise UsageError(f"--kinds: no kind fits '{glob}'; `harness selftest --list` shows them all")
    return [truth for name, truth in KINDS.items() if not globs or any(fnmatchcase(name, glob) for glob in globs)]


def schedule(truths: Sequence[Truth], *, repeats: int, live: int, seed: int) -> list[str]:
    """Names of the trials in random order: each kind `repeats` times, the live kinds `live` times in total."""
    alive = [truth for truth in truths if truth.group is Group.LIVE]
    counts = {truth.name: repeats for truth in truths if truth.group is not Group.LIVE}
    counts |= {truth.name: live // len(alive) + (place < live % len(alive)) for place, truth in enumerate(alive)}
    trials = [f"{name}/{number}" for name, count in counts.items() for number in range(1, count + 1)]
    Random(seed).shuffle(trials)
    return trials


def begin(
    results: Path, trials: Sequence[str], seed: int, facts: Mapping[str, Any], *, rack: Rack | None = None
) -> RunStore:
    """A new run with its list of trials, on hosts of a rack if there is one."""
    section = {"seed": seed, "trials": list(trials), "errors": {}}
    if rack is not None:
        section["inventory"] = str(rack.path.resolve())
    return RunStore.create(results, manifest={**facts, SECTION: section})


def rack_of(store: RunStore) -> Rack | None:
    """The hosts of a run, read again from its inventory; None: guests. Raises UsageError."""
    path = _section(store).get("inventory")
    return Rack.read(Path(path)) if path else None


def errors_of(store: RunStore) -> dict[str, str]:
    """Errors that a run's trials raised in place of a verdict, by name of the trial."""
    return {str(trial): str(error) for trial, error in _section(store).get("errors", {}).items()}


def seed_of(store: RunStore) -> int:
    """The seed of a run's plans."""
    return int(_section(store)["seed"])


def finished(store: RunStore) -> Iterator[tuple[str, list[Event]]]:
    """Name and history of every finished trial of a run; not of those that raised or were cut short."""
    for trial in store.trials():
        if trial.verdict_path.exists():
            events, _ = trial.scan_history()
            if not any(event.kind is Kind.INFRA for event in events):
                yield trial.name, events


def missing(store: RunStore) -> list[str]:
    """The remaining trials of a run, in order."""
    done = {name for name, _ in finished(store)} | errors_of(store).keys()
    return [trial for trial in _section(store)["trials"] if trial not in done]


def _section(store: RunStore) -> dict[str, Any]:
    section = store.read_manifest().get(SECTION)
    if not isinstance(section, dict) or not {"seed", "trials"} <= section.keys():
        raise UsageError(f"{store.path}: not a run of `harness selftest`")
    return section


class Campaign:
    """Runs the missing trials of a run on `lanes`."""

    def __init__(
        self,
        store: RunStore,
        settings: Settings,
        lanes: Sequence[Lane],
        watcher: Watcher,
        runner: Runner | None = None,
    ) -> None:
        self._store, self._settings, self._watcher, self._runner = store, settings, watcher, runner
        self._rack = rack_of(store)
        self._idle = list(lanes)
        self._lanes = tuple(lanes)
        self._seed = seed_of(store)
        self._left = missing(store)
        if unknown := {kind_of(trial) for trial in self._left} - KINDS.keys():
            raise UsageError(f"{store.path}: this version has no kind {', '.join(sorted(unknown))}; begin a new run")
        self._busy: dict[Future[Outcome], tuple[Lane, str]] = {}

    def run(self) -> None:
        """Run all missing trials; raises HostEnvironmentError if this machine cannot run any trial."""
        try:
            while self._left or self._busy:
                self._give_out()
                done, _ = wait(self._busy, timeout=LOOK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take_in(future)
                self._watcher.waiting()
        finally:
            for lane in self._lanes:
                lane.interrupt()
            for lane in self._lanes:
                lane.close()

    def _give_out(self) -> None:
        while self._idle and (trial := next(filter(self._may_begin, self._left), None)) is not None:
            lane = self._idle.pop()
            self._left.remove(trial)
            job = Job(
                trial=trial,
                seed=self._seed,
                settings=self._settings,
                run=self._store.path,
                rack=self._rack,
                runner=self._runner,
            )
            self._busy[lane.submit(job)] = (lane, trial)
            self._watcher.began(trial)

    def _may_begin(self, trial: str) -> bool:
        """Whether it can run beside the running trials; others overtake one that must be alone, so no lane waits."""
        solo = any(KINDS[kind_of(name)].solo for name in (trial, *(name for _, name in self._busy.values())))
        return not (solo and self._busy)

    def _take_in(self, future: Future[Outcome]) -> None:
        lane, trial = self._busy.pop(future)
        try:
            outcome = future.result()
        except BrokenProcessPool as error:
            lane.close()
            outcome = Outcome(trial=trial, outcome=ERROR, summary=f"the process that ran it died: {error}")
        self._idle.append(lane)
        if outcome.fatal:
            raise HostEnvironmentError(outcome.summary, remedy=f"then go on with --resume {self._store.name}")
        if outcome.outcome == ERROR:
            self._store.merge_manifest({SECTION: {"errors": {trial: outcome.summary}}})
        self._watcher.ended(outcome)
