"""`run_trial`: prepare, lease, boot, experiment, verdict. Whatever happens on the way, nothing is left running."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.guests.boot_spec import Machine, machines_for
from harness.guests.lab import Lab, destroy_domains
from harness.model.clock import SYSTEM_CLOCK
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.history import Event, Kind
from harness.model.observe import Observer, Steps
from harness.model.settings import Settings
from harness.model.verdict import Verdict
from harness.monitors.recorder import Recorder
from harness.results.store import RunStore, TrialStore
from harness.state.domains import Domain
from harness.state.lease import lease_for
from harness.state.reaper import reap
from harness.state.state import StateDir
from harness.trial.event_router import EventRouter
from harness.trial.experiment import Experiment
from harness.trial.plan import Plan
from harness.trial.preflight import kernel_needs
from harness.trial.ticker import Ticker
from harness.verdicts.judge import judge
from harness.verdicts.measures import measures_of
from harness.verdicts.watch import Watch
from harness.workloads.base import TimeLimited


def clean(state: StateDir) -> list[str]:
    """Remove what dead runs left behind; one line for each thing."""

    def destroy(run: Path, domains: tuple[Domain, ...]) -> None:
        for uri in {domain.uri for domain in domains}:
            destroy_domains(run, uri, [domain.uuid for domain in domains if domain.uri == uri])

    return reap(state, hypervisor_cleanup=destroy)


def run_trial(plan: Plan, *, settings: Settings, store: RunStore, observers: Sequence[Observer] = ()) -> Verdict:
    """Run one trial and return its verdict, which is in the run store by then.

    Raises UsageError or InfraError where there is no verdict to be had; INCONCLUSIVE is in the store then.
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
    """The verdict first, and then why: what explains must not cost what it explains."""
    history = list(trial.read_history())
    verdict = judge(history)
    trial.write_verdict(verdict, {"wall_s": round(time.monotonic() - started, 1)})
    explain(trial, history, verdict)
    return verdict


def explain(trial: TrialStore, history: Sequence[Event], verdict: Verdict) -> None:
    """Write what follows from a trial's history and verdict, unless it is there; raises HostEnvironmentError."""
    # Here, since it brings a library of graphs along: no trial's start should wait for what its end needs.
    from harness.diagnosis import diagnose_trial

    if not trial.measures_path.exists():
        trial.write_measures(measures_of(history, verdict))
    if not trial.diagnosis_path.exists():
        trial.write_diagnosis(diagnose_trial(history, trial.texts()))


def _record_failure(recorder: Recorder, trial: TrialStore, error: Exception, started: float) -> None:
    try:
        recorder.emit(Kind.INFRA, getattr(error, "host", ""), error=f"{type(error).__name__}: {error}")
        _conclude(trial, started)
    except UsageError:
        pass  # the disk is full; the first error says so
    finally:
        trial.close()


def _check_disk(error: Exception, *folders: Path) -> None:
    """A full disk shows in many disguises; say what it is."""
    for folder in folders:
        if shutil.disk_usage(folder).free < 1024 * 1024:
            raise HostEnvironmentError(
                f"the disk of {folder} is full", remedy="free some space, or name another folder"
            ) from error


def _run(plan: Plan, settings: Settings, store: RunStore, trial: TrialStore, recorder: Recorder, watch: Watch) -> None:
    def note(text: str) -> None:
        recorder.emit(Kind.NOTE, text=text)

    recorder.emit(Kind.TRIAL, **facts_of(plan))
    for line in clean(StateDir.of(settings)):
        note(f"left by a dead run, removed: {line}")
    notes = Steps(note)
    machines = machines_for(settings, plan.topology.hosts, notes, kernel_needs(plan))
    store.merge_manifest({"trials": {trial.slug: _manifest(plan, machines)}})
    with ExitStack() as stack:
        lease = lease_for(
            plan.topology, settings, purpose=plan.name, on_wait=lambda line: note(f"waiting for memory: {line}")
        )
        stack.enter_context(lease)
        recorder.emit(Kind.PHASE, name="boot", state="begin")
        router = EventRouter(plan.topology, recorder, SYSTEM_CLOCK)
        stack.callback(router.close)
        lab = Lab(settings, machines, listener=router, console_path=trial.console, notes=notes)
        stack.callback(lab.close)
        site = lab.start(plan.topology)
        recorder.emit(Kind.PHASE, name="boot", state="end")
        slowest = max(target.slowdown for target in site.targets.values())
        plan = replace(plan, policy=plan.policy.scaled(slowest))
        watch.policy = plan.policy
        recorder.emit(Kind.TRIAL, **facts_of(plan), slowdown=slowest)
        ticker = Ticker.of(site, router.agents, recorder, SYSTEM_CLOCK)
        Experiment(
            plan, site, machines, recorder, watch, router, trial.evidence, SYSTEM_CLOCK, ticker, lab.failure
        ).run()


def facts_of(plan: Plan) -> dict[str, Any]:
    """What the event `trial` says of a plan."""
    return {
        "name": plan.name,
        "started": time.time(),
        "policy": plan.policy.to_dict(),
        "topology": plan.topology.name,
        "roles": dict(plan.topology.roles),
        "storage": plan.storage.describe(),
        "protocol": plan.storage.protocol.name if plan.storage.protocol else "",
        "served_by": {host: list(servers) for host, servers in plan.storage.served_by(plan.topology).items()},
        "workload": plan.workload.describe(),
        "faults": [fault.describe() for fault in plan.faults],
        "tunings": [tuning.describe() for tuning in plan.tunings],
        "instruments": [instrument.describe() for instrument in plan.instruments],
        "about": plan.about,
    }


def _manifest(plan: Plan, machines: dict[str, Machine]) -> dict[str, Any]:
    return {
        "name": plan.name,
        "hosts": {
            host.name: {
                "kernel": machines[host.name].kernel.release,
                "kernel_from": machines[host.name].kernel.name,
                "kernel_package": machines[host.name].kernel.version,
                "kernel_digest": machines[host.name].kernel.digest,
                "image_digest": machines[host.name].image.digest,
                "modules": {path: file.name for path, file in machines[host.name].modules.items()},
                "variants": list(host.modules),
                "patches": list(host.patches),
                "accelerator": machines[host.name].accelerator,
                "memory": host.memory,
                "cpus": host.cpus,
                "scratch": host.scratch,
            }
            for host in plan.topology.hosts
        },
    }
