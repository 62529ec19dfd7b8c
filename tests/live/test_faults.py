"""Faults whose truth is known, and the verdict that they must give."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_trials import guests_of, one_guest, quiet_plan

from harness.faults.guest import Pause, PowerOff
from harness.model.errors import BootError, UsageError
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.model.verdict import VerdictKind
from harness.report import write_report
from harness.results.store import RunStore
from harness.state.state import StateDir
from harness.trial import Plan, run_trial
from harness.verdicts.judge import judge


def _run(settings: Settings, plan: Plan) -> tuple[VerdictKind, RunStore]:
    store = RunStore.create(settings.results, manifest={})
    verdict = run_trial(plan, settings=settings, store=store)
    (trial,) = store.trials()
    assert judge(trial.read_history()) == verdict, "the verdict is a function of the history"
    assert write_report(store.path).stat().st_size > 0
    return verdict.kind, store


def _left_over(state: Path) -> list[str]:
    """Guests, switches and run folders of a state folder, but for the one that this process keeps (targets/home.py)."""
    return [str(pid) for pid in guests_of(state)] + [path.name for path in StateDir(state).runs()][1:]


def test_a_healthy_guest_survives(settings: Settings, state: Path) -> None:
    kind, store = _run(settings, quiet_plan("healthy", limit_s=15.0))
    assert kind is VerdictKind.SURVIVED
    (trial,) = store.trials()
    assert b"Linux version" in trial.console("client").read_bytes(), "captured from the first byte"
    assert not _left_over(state)


def test_a_guest_that_is_powered_off_is_lost(settings: Settings, state: Path) -> None:
    kind, _ = _run(settings, quiet_plan("powered off", PowerOff(role="client", at_s=4.0)))
    assert kind is VerdictKind.LOST
    assert not _left_over(state)


def test_a_guest_that_is_paused_says_nothing_about_its_kernel(settings: Settings, state: Path) -> None:
    kind, _ = _run(settings, quiet_plan("paused", Pause(role="client", at_s=4.0)))
    assert kind is VerdictKind.INCONCLUSIVE
    assert not _left_over(state)


def test_a_short_pause_is_not_held_against_the_kernel(settings: Settings) -> None:
    kind, _ = _run(settings, quiet_plan("short pause", Pause(role="client", at_s=4.0, heal_after_s=3.0), limit_s=20.0))
    assert kind is VerdictKind.SURVIVED


def test_a_guest_that_never_boots_shows_its_last_lines(settings: Settings, state: Path) -> None:
    plan = quiet_plan("no boot", topology=one_guest(cmdline="rdinit=/no/such/init root=/dev/null"))
    with pytest.raises(BootError, match=r"client: .*\n(.*\n)*.*Kernel panic"):
        _run(settings, plan)
    assert not _left_over(state)


def test_a_module_for_another_kernel_is_refused_before_anything_starts(
    settings: Settings, state: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "nbd.ko"
    fake.write_bytes(b"\x7fELF" + b"\0" * 100)
    topology = one_guest()
    host = topology.hosts[0]
    changed = Topology(
        name=topology.name,
        hosts=(type(host)(name=host.name, memory=host.memory, cpus=host.cpus, modules=(str(fake),)),),
        roles=topology.roles,
    )
    with pytest.raises(UsageError, match=str(fake)):
        _run(settings, quiet_plan("wrong module", topology=changed))
