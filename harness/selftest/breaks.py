"""Kinds in which the kernel breaks, tasks are killed, or the harness's own instruments fail."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from harness.faults.base import Fault
from harness.faults.controller_load import Overload
from harness.faults.guest import KillHypervisor, ManagementCut, Pause
from harness.faults.kernel import VARIANT, KernelFault, SysrqCrash
from harness.faults.process import ClockJump, FreezeAgent, KillAgent, OomKill, OomKillAgent
from harness.model.verdict import VerdictKind
from harness.selftest.plans import AFTER_S, LIVE_S, ROLE, SERVER, alone, instant, pair, plan, steady, thrash, until
from harness.selftest.truth import STOP_S, Truth
from harness.storage.nbd import NbdSwap
from harness.trial.plan import Plan

JUMP_S = 3600
BUSY_S, CUT_S = 20.0, 30.0

Maker = Callable[[float], Fault]


def _kernel(name: str, about: str, what: str, verdict: VerdictKind, within_s: float | None = STOP_S) -> Truth:
    """A fault injected by the harness's kernel module, on any processor."""

    def make(random: Random) -> Plan:
        fault = KernelFault(role=ROLE, what=what, cpu=random.randrange(2), at_s=instant(random))
        return plan(alone(modules=(VARIANT,)), None, steady(until(fault)), [fault])

    return Truth(name=name, about=about, accepted=(verdict,), plan=make, within_s=within_s)


def _local(
    name: str, about: str, verdict: VerdictKind, make_fault: Maker, *, within_s: float | None = None, solo: bool = False
) -> Truth:
    """A fault on a guest that writes to its own disk."""

    def make(random: Random) -> Plan:
        fault = make_fault(instant(random))
        return plan(alone(), None, steady(until(fault, after_s)), [fault])

    after_s = LIVE_S if verdict is VerdictKind.SURVIVED else AFTER_S
    return Truth(name=name, about=about, accepted=(verdict,), plan=make, within_s=within_s, solo=solo)


def _server_killed(random: Random) -> Plan:
    fault = OomKill(role=SERVER, comm="nbd-server", at_s=instant(random))
    return plan(pair(), NbdSwap(client=ROLE, server=SERVER), thrash(until(fault)), [fault])


LOCKUP = (
    _kernel("lockup.spin", "a processor that does not schedule", "spin", VerdictKind.LOCKED_UP),
    _kernel("lockup.spin-irqs-off", "the same, its interrupts off", "spin_irqs_off", VerdictKind.LOCKED_UP),
    # The rest of the guest continues; only the kernel's own watchdog notices, after its own time.
    _kernel("lockup.rcu", "a reader that does not leave its RCU section", "rcu_stall", VerdictKind.LOCKED_UP, None),
    _kernel("lockup.workqueue", "a work item that does not end", "workqueue", VerdictKind.LOCKED_UP, None),
)
CRASH = (
    _local(
        "crash.panic",
        "crash by sysrq",
        VerdictKind.CRASHED,
        lambda at_s: SysrqCrash(role=ROLE, at_s=at_s),
        within_s=STOP_S,
    ),
    _kernel("crash.null", "a NULL dereference in a kernel thread", "null", VerdictKind.CRASHED),
    _kernel("crash.oops", "a bad page fault in a kernel thread", "oops", VerdictKind.CRASHED),
    _kernel("crash.bug", "BUG() in a kernel thread", "bug", VerdictKind.CRASHED),
)
OOM = (
    _local(
        "oom.workload",
        "the OOM killer takes a worker of the load",
        VerdictKind.OOM_KILLED,
        lambda at_s: OomKill(role=ROLE, comm="steady", at_s=at_s),
    ),
    Truth(
        name="oom.server",
        about="the OOM killer takes the nbd-server that the swap depends on",
        accepted=(VerdictKind.OOM_KILLED,),
        plan=_server_killed,
    ),
    _local(
        "oom.agent",
        "the OOM killer takes the harness's own agent",
        VerdictKind.INCONCLUSIVE,
        lambda at_s: OomKillAgent(role=ROLE, at_s=at_s),
    ),
)
INSTRUMENT = (
    _local(
        "instrument.agent-killed",
        "the agent is killed, the kernel healthy",
        VerdictKind.INCONCLUSIVE,
        lambda at_s: KillAgent(role=ROLE, at_s=at_s),
    ),
    _local(
        "instrument.agent-frozen",
        "the agent is stopped, the kernel healthy",
        VerdictKind.INCONCLUSIVE,
        lambda at_s: FreezeAgent(role=ROLE, at_s=at_s),
    ),
    _local(
        "instrument.guest-paused",
        "the hypervisor pauses the guest",
        VerdictKind.INCONCLUSIVE,
        lambda at_s: Pause(role=ROLE, at_s=at_s),
    ),
    _local(
        "instrument.qemu-killed",
        "the guest's QEMU is killed",
        VerdictKind.LOST,
        lambda at_s: KillHypervisor(role=ROLE, at_s=at_s),
    ),
    _local(
        "instrument.management-cut",
        f"the management network is cut for {CUT_S:.0f} s",
        VerdictKind.SURVIVED,
        lambda at_s: ManagementCut(role=ROLE, at_s=at_s, heal_after_s=CUT_S),
    ),
    _local(
        "instrument.clock-forward",
        f"the guest's clock jumps forward by {JUMP_S} s",
        VerdictKind.SURVIVED,
        lambda at_s: ClockJump(role=ROLE, seconds=JUMP_S, at_s=at_s),
    ),
    _local(
        "instrument.clock-back",
        f"the guest's clock jumps back by {JUMP_S} s",
        VerdictKind.SURVIVED,
        lambda at_s: ClockJump(role=ROLE, seconds=-JUMP_S, at_s=at_s),
    ),
    _local(
        "instrument.machine-overloaded",
        f"every processor of the harness's machine is busy for {BUSY_S:.0f} s",
        VerdictKind.SURVIVED,
        lambda at_s: Overload(processes=64, at_s=at_s, heal_after_s=BUSY_S),
        solo=True,
    ),
)
BREAKS = (*LOCKUP, *CRASH, *OOM, *INSTRUMENT)
