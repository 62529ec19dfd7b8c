"""`run_trial`: prepare, provide, experiment, verdict. Nothing is left running, whatever happens."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.model.clock import SYSTEM_CLOCK
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.events import HostRecord, InfraFailure, Note, Phase, TrialFacts
from harness.model.history import Event
from harness.model.observe import Observer, Steps
from harness.model.settings import Settings
from harness.model.verdict import Verdict
from harness.monitors.recorder import Recorder
from harness.providers import clean, provider_of
from harness.results.store import RunStore, TrialStore
from harness.site.provider import PreparedHost
from harness.site.target import Target
from harness.trial.event_router import EventRouter
from harness.trial.experiment import Experiment
from harness.trial.plan import Plan
from harness.trial.preflight import host_needs
from harness.trial.ticker import Ticker
from harness.verdicts.judge import judge
from harness.verdicts.measures import measures_of
from harness.verdicts.watch import Watch
from harness.workloads.base import TimeLimited


def run_trial(plan: Plan, *, settings: Settings, store: RunStore, observers: Sequence[Observer] = ()) -> Verdict:
    """Run one trial and return its verdict, which is already in the run store.

    Raises UsageError or InfraError if there is no verdict; the store then has INCONCLUSIVE.
    """
    trial = store.trial(plan.name, expected=plan.expected)
    critical_tasks = tuple(
        dict.fromkeys((*plan.policy.critical_tasks, *plan.storage.critical_tasks, *plan.workload.critical_tasks))
    )
    time_limited = plan.policy.time_limited or (isinstance(plan.workload, TimeLimited) and plan.workload.time_limited)
    policy = replace(
        plan.policy, critical_tasks=critical_tasks, bound_s=plan.storage.bound_s, time_limited=time_limited
    )
    plan = replace(plan, policy=policy)
    started = time.monotonic()
    watch = Watch(plan.policy)
    recorder = Recorder(trial.append, watch.feed, observers, SYSTEM_CLOCK)
    try:
        _run(plan, settings, store, trial, recorder, watch)
    except UsageError as error:
        _record_failure(recorder, trial, error, started)
        raise
    except Exception as error:
        _record_failure(recorder, trial, error, started)
        _check_disk(error, trial.path, settings.state)
        raise
    verdict = _conclude(trial, started)
    trial.close()
    return verdict


def _conclude(trial: TrialStore, started: float) -> Verdict:
    """Write the verdict first, then its explanation: a failure to explain must not lose the verdict."""
    history = list(trial.read_history())
    verdict = judge(history)
    trial.write_verdict(verdict, {"wall_s": round(time.monotonic() - started, 1)})
    explain(trial, history, verdict)
    return verdict


def explain(trial: TrialStore, history: Sequence[Event], verdict: Verdict) -> None:
    """Write the files that follow from a trial's history and verdict, unless present; raises HostEnvironmentError."""
    # Imported here, since it loads a graph library that only the end of a trial needs.
    from harness.diagnosis import diagnose_trial

    if not trial.measures_path.exists():
        trial.write_measures(measures_of(history, verdict))
    if not trial.diagnosis_path.exists():
        trial.write_diagnosis(diagnose_trial(history, trial.texts()))


def _record_failure(recorder: Recorder, trial: TrialStore, error: Exception, started: float) -> None:
    try:
        recorder.emit(InfraFailure(error=f"{type(error).__name__}: {error}"), getattr(error, "host", ""))
        _conclude(trial, started)
    except UsageError:
        pass  # the disk is full; the first error reports it
    finally:
        trial.close()


def _check_disk(error: Exception, *folders: Path) -> None:
    """Report a full disk as such; it shows as many different errors."""
    for folder in folders:
        if shutil.disk_usage(folder).free < 1024 * 1024:
            raise HostEnvironmentError(
                f"the disk of {folder} is full", remedy="free some space, or name another folder"
            ) from error


def _run(plan: Plan, settings: Settings, store: RunStore, trial: TrialStore, recorder: Recorder, watch: Watch) -> None:
    def note(text: str) -> None:
        recorder.emit(Note(text=text))

    recorder.emit(facts_of(plan))
    for line in clean(settings):
        note(f"left by a dead run, removed: {line}")
    notes = Steps(note)
    provider = provider_of(settings, plan.topology)
    prepared = provider.prepare(plan.topology, host_needs(plan), notes)
    store.merge_manifest({"trials": {trial.slug: _manifest(plan, prepared.hosts)}})
    with ExitStack() as stack:
        router = EventRouter(plan.topology, recorder, SYSTEM_CLOCK)
        stack.callback(router.close)
        provided = provider.provide(
            plan.topology,
            prepared,
            purpose=plan.name,
            listener=router,
            console_path=trial.console,
            notes=notes,
            on_wait=note,
            on_begin=lambda: recorder.emit(Phase(name="boot", state="begin")),
        )
        site = stack.enter_context(provided)
        recorder.emit(Phase(name="boot", state="end"))
        for target in site.targets.values():
            recorder.emit(host_record(target), target.name)
        slowest = max(target.facts.slowdown for target in site.targets.values())
        plan = replace(plan, policy=plan.policy.scaled(slowest))
        watch.policy = plan.policy
        recorder.emit(replace(facts_of(plan), slowdown=slowest))
        ticker = Ticker.of(site, router.agents, recorder, SYSTEM_CLOCK)
        Experiment(plan, site, prepared.hosts, recorder, watch, router, trial.evidence, SYSTEM_CLOCK, ticker).run()


def facts_of(plan: Plan) -> TrialFacts:
    """The facts of a plan for the history."""
    return TrialFacts(
        name=plan.name,
        started=time.time(),
        policy=plan.policy.to_dict(),
        topology=plan.topology.name,
        roles=dict(plan.topology.roles),
        storage=plan.storage.describe(),
        protocol=plan.storage.protocol.name if plan.storage.protocol else "",
        served_by=plan.storage.served_by(plan.topology),
        workload=plan.workload.describe(),
        faults=tuple(fault.describe() for fault in plan.faults),
        tunings=tuple(tuning.describe() for tuning in plan.tunings),
        instruments=tuple(instrument.describe() for instrument in plan.instruments),
        about=plan.about,
    )


def host_record(target: Target) -> HostRecord:
    """The record of a host for the history."""
    return HostRecord(
        facts=target.facts.to_dict(),
        capabilities=tuple(sorted(kind.__name__ for kind in target.drivers)),
        transport=target.agent.transport.name,
        silence_is_proof=target.agent.transport.silence_is_proof,
        power_source=target.power.source,
    )


def _manifest(plan: Plan, prepared: Mapping[str, PreparedHost]) -> dict[str, Any]:
    return {
        "name": plan.name,
        "hosts": {
            host.name: {
                **prepared[host.name].facts,
                "variants": list(host.modules),
                "patches": list(host.patches),
                "memory": host.memory,
                "cpus": host.cpus,
                "scratch": host.scratch,
            }
            for host in plan.topology.hosts
        },
    }
