"""The experiment on hosts that are up: storage, baseline, load, faults, recovery probe, evidence, tear-down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.faults.base import Prepared
from harness.model.clock import Clock, Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.events import Baseline, LoadLimit, Note, Phase
from harness.model.opinion import State
from harness.model.power import PowerState
from harness.monitors.evidence import Collector
from harness.monitors.recorder import Recorder
from harness.site.provider import PreparedHost
from harness.site.target import Site
from harness.storage.base import StorageProbe
from harness.trial.event_router import EventRouter
from harness.trial.leftovers import Leftovers
from harness.trial.measures import measuring, record
from harness.trial.module_check import check_modules
from harness.trial.plan import Plan
from harness.trial.recovery import probe_recovery
from harness.trial.schedule import Schedule, Step
from harness.trial.ticker import LAG_S, Ticker
from harness.verdicts.watch import Watch
from harness.workloads.base import ProgressFile

TICK_S = 0.25
MOST_EXTENDED = 4.0  # steal time extends a load to at most so many times its time
AGENT_S = 5.0
BEGIN_S = 10.0  # time for a load to report its number of workers, on a host as fast as this machine
AFTER = ("/proc/vmstat", "/proc/meminfo")  # read again after the recovery probe, through files opened before the load
CRASH_QUIET_S = 4.0  # time for the rest of a panic to be printed
ENDED = (State.FINISHED, State.CRASHED, State.KILLED, State.GONE)
LEFT = (State.CRASHED, State.GONE)  # states in which no host is left to heal a fault on
EVIDENT = (State.STOPPED, State.SILENT, State.LOCKED, State.CRASHED, State.KILLED)
WAITING = (State.STOPPED, State.SILENT, State.LOCKED, State.AGENT_DEAD, State.PAUSED)


class Experiment:
    """Runs one plan on a site. The verdict follows from the recorded history alone."""

    def __init__(
        self,
        plan: Plan,
        site: Site,
        prepared: Mapping[str, PreparedHost],
        recorder: Recorder,
        watch: Watch,
        router: EventRouter,
        evidence: Path,
        clock: Clock,
        ticker: Ticker,
    ) -> None:
        self._plan, self._site, self._prepared = plan, site, prepared
        self._recorder, self._watch, self._router, self._clock = recorder, watch, router, clock
        self._ticker = ticker
        self._evidence = evidence
        self._schedule = Schedule(site, recorder)
        self._leftovers = Leftovers(recorder)
        self._collectors = {
            name: Collector(target, router.taps[name], evidence, recorder, clock)
            for name, target in site.targets.items()
        }

    def run(self) -> None:
        """Storage up, monitors on, baseline, load, faults; stop on done, limit or a hang; recovery, evidence, down.

        A host that hangs is reset, not cleaned up. Every other host is left as it was, even after a failure.
        """
        with self._ticker:
            try:
                self._run()
            except HarnessError:
                self._schedule.undo()
                raise

    def _run(self) -> None:
        with self._phase("storage"):
            self._leftovers.look(self._site)
            self._schedule.undo_later(self._leftovers.compare)
            self._schedule.tune(self._plan.tunings)
            self._schedule.undo_later(self._plan.storage.tear_down)
            probe = self._plan.storage.set_up(self._site)
            self._schedule.undo_later(self._let_go)
            check_modules(self._site, self._prepared)
        with self._phase("baseline"):
            self._recorder.emit(Baseline(ops_per_s=round(self._baseline(), 1)), probe.host)
            progress = self._prepare(probe)
        state = self._load(probe, progress)
        stop = self._watch.open_stop
        if state is State.STOPPED and stop is not None and stop.crawl is None:
            with self._phase("recovery"):
                probe_recovery(self._site.targets[progress.host], self._watch, self._recorder, self._clock)
            with self._phase("evidence"):
                after = [path for path in probe.evidence if path in AFTER]
                self._collectors[probe.host].files(after, label="after-")
        if telling := measuring(self._plan):
            with self._phase("measure"):
                for part in telling:
                    record(part, self._site, self._evidence, self._recorder)
        if state in (State.FINISHED, State.RUNNING):
            self._look_back(probe, progress)
            with self._phase("teardown"):
                if state is State.RUNNING:
                    self._end_workload(progress)
                self._schedule.undo()

    def _baseline(self) -> float:
        """Undisturbed operations of the workload a second: its own figure, or the storage's."""
        storage = self._plan.storage.baseline(self._site)
        own = self._plan.workload.baseline(self._site)
        return storage if own is None else own

    def _load(self, probe: StorageProbe, progress: ProgressFile) -> State:
        """Run the load until it is over or does not continue by itself; returns the watch's last state.

        The workload is left alone while evidence is collected, so a stop may still end in that time. Then the load
        continues, and the stop is a stall.
        """
        begun = self._recorder.now
        steps = self._schedule.steps(self._plan.faults, begun)
        for instrument in self._plan.instruments:
            instrument.launch(self._site)
        self._plan.workload.launch(self._site)
        while True:
            with self._phase("load"):
                self._supervise(begun, steps, progress)
            state = self._watch.opinion.state
            if state in EVIDENT:
                with self._phase("evidence"):
                    self._collect(probe, progress, state)
            if state is not State.STOPPED or self._watch.open_stop is not None:
                return state

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._recorder.emit(Phase(name=name, state="begin"))
        try:
            yield
        finally:
            self._recorder.emit(Phase(name=name, state="end"))

    def _prepare(self, probe: StorageProbe) -> ProgressFile:
        """Prepare everything that the agent will need, while memory is plentiful."""
        progress = self._plan.workload.prepare(self._site)
        watched = self._site.targets[probe.host].agent
        watched.ask("storage", **probe.spec, deadline=self._agent_deadline())
        watched.ask("stats", files=dict(probe.counters), deadline=self._agent_deadline())
        watched.ask("open", paths=list(probe.evidence), deadline=self._agent_deadline())
        worker = self._site.targets[progress.host].agent
        worker.ask("progress", path=progress.path, deadline=self._agent_deadline())
        for fault in self._plan.faults:
            if isinstance(fault, Prepared):
                fault.prepare(self._site)
        for instrument in self._plan.instruments:
            self._schedule.undo_later(instrument.end)
            instrument.prepare(self._site)
        self._collectors[probe.host].files(["/proc/vmstat", "/proc/meminfo"], label="before-")
        return progress

    def _agent_deadline(self) -> Deadline:
        return Deadline.after(self._site.deadline(AGENT_S).remaining, self._clock)

    def _supervise(self, begun: float, steps: list[Step], progress: ProgressFile) -> None:
        """Wait for the end of the load: done, its time over, or a certain hang that does not end by itself."""
        limit = self._plan.workload.limit_s
        crash_seen: float | None = None
        while True:
            self._clock.sleep(TICK_S)
            now = self._recorder.now
            if (failure := self._site.failure()) is not None:
                raise InfraError(f"what connects the hosts failed: {failure!r}") from failure
            self._ticker.check()
            self._check_begun(progress, now - begun)
            while steps and steps[0][0] <= now:
                steps.pop(0)[1]()
                limit = max(limit, self._spent(begun) + self._sight_s)
            if self._router.crashing:
                crash_seen = crash_seen or now
                if now - crash_seen > CRASH_QUIET_S:
                    self._router.close()
                    return
            if steps and self._watch.opinion.state not in LEFT:
                continue
            if self._is_over(now):
                return
            # Wait for the end of an open stop: cut short, it could not be judged.
            if self._spent(begun) > limit and self._watch.opinion.state not in (*WAITING, State.SUSPECT):
                self._recorder.emit(LoadLimit(seconds=limit))
                return

    def _spent(self, begun: float) -> float:
        """The time that a load has used since `begun`; steal time counts only if the load is time-limited."""
        now = self._recorder.now
        seconds = now - begun
        if self._watch.policy.time_limited:
            return seconds
        return max(self._watch.granted(now, seconds), seconds / MOST_EXTENDED)

    def _check_begun(self, progress: ProgressFile, seconds: float) -> None:
        """Raises InfraError if the host is healthy and the load never reported: that is no kernel hang."""
        target, seen = self._site.targets[progress.host], self._watch.hosts.get(progress.host)
        if seen is None or seen.workers or seconds < BEGIN_S * target.facts.slowdown:
            return
        if seen.unheard(self._recorder.now) > LAG_S:
            return
        log = target.shell.run("tail -n 1 %s", progress.log, deadline=self._site.deadline(BEGIN_S), check=False)
        raise InfraError(f"{progress.host}: the workload did not begin: {log.stdout.strip() or 'its log is empty'}")

    @property
    def _sight_s(self) -> float:
        """How long the watch may need to be sure of a fault's effect."""
        policy = self._plan.policy
        return max(2 * policy.livelock_s, 1.5 * policy.work_s)

    def _is_over(self, now: float) -> bool:
        opinion, stop = self._watch.opinion, self._watch.open_stop
        if opinion.state in ENDED:
            return True
        if opinion.state not in WAITING:
            return False
        since = opinion.since_s
        if opinion.state is State.STOPPED and stop is not None:
            if self._watch.within_bound(stop, now):
                return False
            since = max(stop.certain_s, stop.onset_s + self._plan.policy.bound_s)
        return now - max(since, self._schedule.entitled_s) >= self._plan.policy.patience_s

    def _collect(self, probe: StorageProbe, progress: ProgressFile, state: State) -> None:
        """Collect evidence, from that which needs least of the host to that which needs most."""
        collector = self._collectors[probe.host]
        collector.registers()
        if state is State.CRASHED:
            return
        collector.sysrq(self._plan.workload.critical_tasks, agent=state is not State.SILENT)
        if state is State.SILENT:
            collector.nmi()
        if state in (State.SILENT, State.LOCKED):
            return
        collector.files(probe.evidence)
        # A task that waits in the same place as some seconds ago is stuck; one that moved is slow.
        collector.sysrq(self._plan.workload.critical_tasks, keys=("w",), label="again-")
        if not self._watch.hosts[probe.host].blocked_for("shell", self._recorder.now):
            collector.command("workload-log", f"tail -c 20000 {progress.log}")

    def _look_back(self, probe: StorageProbe, progress: ProgressFile) -> None:
        self._collectors[probe.host].files(["/proc/vmstat"], label="after-")
        self._collectors[progress.host].command("workload-log", f"tail -c 20000 {progress.log}")

    def _let_go(self, site: Site) -> None:
        """Have the agents close their files, which would keep file systems and modules in use."""
        for target in site.targets.values():
            if target.power.state(deadline=self._agent_deadline()) is not PowerState.ON:
                continue
            try:
                target.agent.ask("storage", path=None, deadline=self._agent_deadline())
                target.agent.ask("close", deadline=self._agent_deadline())
            except HarnessError as error:
                self._recorder.emit(Note(text=f"the agent still has files open: {error}"), target.name)

    def _end_workload(self, progress: ProgressFile) -> None:
        """Kill a workload that still runs when its time is over, before its storage is taken down."""
        try:
            self._site.targets[progress.host].agent.ask("kill", deadline=self._agent_deadline())
        except HarnessError as error:
            self._recorder.emit(Note(text=f"the workload was not ended: {error}"))
