"""The fixture `trial`: the interface of a test case to the harness."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import pytest

from harness.inventory.inventory import require_role
from harness.model.errors import UsageError
from harness.model.observe import Observer
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.model.verdict import Verdict, VerdictKind
from harness.model.verdict_errors import error_of
from harness.results.text import plain, plain_line

if TYPE_CHECKING:
    from harness.faults.base import Fault
    from harness.model.measure import Measure
    from harness.monitors.instrument import Instrument
    from harness.results.store import RunStore, TrialStore
    from harness.storage.base import Storage
    from harness.trial import Plan
    from harness.workloads.base import Workload

VERDICT: pytest.StashKey[VerdictKind] = pytest.StashKey()
# Duration in seconds of a replayed trial, from when it ran.
WALL_S: pytest.StashKey[float] = pytest.StashKey()


class View(Observer, Protocol):
    """An observer that can also show single lines."""

    def write(self, line: str) -> None:
        """Show one line."""


@dataclass(slots=True, kw_only=True, repr=False)
class Trial:
    """One trial on the hosts of the test's topology.

    `budget` scales the time and passes of a case; it is the value of `--harness-budget`. `measures` are the figures of
    the trial by name, once it has run. In a run that is `resumed`, a trial that had finished before is not run again:
    it ends as it did.
    """

    item: pytest.Item
    topology: Topology
    expected: str
    settings: Settings
    store: RunStore
    view: AbstractContextManager[View]
    resumed: bool = False
    started: bool = False
    measures: dict[str, Measure] = field(default_factory=dict)

    @property
    def budget(self) -> float:
        """The factor by which to scale the time and passes of this case."""
        return self.settings.budget

    def host(self, role: str) -> str:
        """The name of the host that plays `role`; raises UsageError that lists the roles."""
        return require_role(self.topology, role).name

    def run(
        self,
        *,
        storage: Storage,
        workload: Workload,
        faults: Sequence[Fault] = (),
        tunings: Sequence[Fault] = (),
        instruments: Sequence[Instrument] = (),
        patience_s: float | None = None,
    ) -> Verdict:
        """Run the trial and return its verdict if the kernel survived; `harness.trial.Plan` explains the parameters.

        `patience_s` is for a case whose stops take longer to end by themselves than the policy waits (30 s).
        Any other verdict is raised: HangDetected, CrashDetected, KilledByOOM, IoFailed, or NoVerdict. Raises
        UsageError or InfraError if there can be no verdict; each test runs one trial.
        """
        __tracebackhide__ = True
        plan = replace(
            self._plan(storage, workload, patience_s),
            faults=tuple(faults),
            tunings=tuple(tunings),
            instruments=tuple(instruments),
        )
        finished = self.store.finished(plan.name) if self.resumed else None
        with self.view as view:
            verdict = self._verdict(plan, view) if finished is None else self._replay(finished, view)
            self.measures = _measures(self.store, plan.name)
            view.write(plain_line(f"verdict: {verdict.kind.value}: {verdict.summary}"))
        if finished is None:
            self.item.ihook.pytest_harness_verdict(plan=plan, verdict=verdict)
        error = error_of(replace(verdict, summary=plain(verdict.summary)))
        if error is not None:
            raise error
        return verdict

    def _plan(self, storage: Storage, workload: Workload, patience_s: float | None) -> Plan:
        from harness.trial import Plan
        from harness.verdicts.policy import Policy

        if self.started:
            raise UsageError("a test runs one trial; make another test, or parametrize this one")
        if patience_s is not None and not patience_s > 0:
            raise UsageError(f"patience_s: {patience_s} s is not above 0; give the seconds that a stop may last")
        self.started = True
        return Plan(
            name=self.item.nodeid,
            topology=self.topology,
            storage=storage,
            workload=workload,
            expected=self.expected,
            about=_about(self.item),
            policy=Policy() if patience_s is None else Policy(patience_s=patience_s),
        )

    def _verdict(self, plan: Plan, view: View) -> Verdict:
        try:
            verdict: Verdict = self.item.ihook.pytest_harness_run_trial(
                plan=plan, settings=self.settings, store=self.store, observers=(view,)
            )
        except Exception as error:
            problem = str(error).partition("\n")[0]
            self._note(VerdictKind.INCONCLUSIVE, f"{type(error).__name__}: {problem}")
            view.write(plain_line(f"no verdict: {problem}"))
            raise
        self._note(verdict.kind, verdict.summary)
        return verdict

    def _replay(self, finished: TrialStore, view: View) -> Verdict:
        from harness.plugin.resume import replay

        view.write("finished before the run was resumed")
        verdict, self.item.stash[WALL_S] = replay(finished)
        self._note(verdict.kind, verdict.summary)
        return verdict

    def _note(self, kind: VerdictKind, summary: str) -> None:
        self.item.stash[VERDICT] = kind
        record(self.item, kind, run=str(self.store.path), summary=summary)


def _measures(store: RunStore, name: str) -> dict[str, Measure]:
    """The figures of the newest trial of that name; a runner other than ours may have written none."""
    stores = store.trials(name)
    return {found.name: found for found in stores[-1].read_measures()} if stores else {}


def _about(item: pytest.Item) -> str:
    """The docstrings of the test and its file."""
    function, module = getattr(item, "obj", None), getattr(item, "module", None)
    texts = (inspect.getdoc(function) if function else None, module.__doc__ if module else None)
    return "\n\n".join(inspect.cleandoc(text) for text in texts if text)


def record(item: pytest.Item, kind: VerdictKind, *, run: str, summary: str) -> None:
    """Give `item` the properties for its report and JUnit; (str, str) only, or `-n` breaks."""
    item.user_properties += [
        ("harness.verdict", kind.value),
        ("harness.run", run),
        ("harness.summary", plain_line(summary)),
    ]
