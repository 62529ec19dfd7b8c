"""Faults of a guest's kernel, by our module (vm-images/modules/harness-fault) or by sysrq."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, ShellError, UsageError
from harness.model.topology import Topology
from harness.site.addressing import own_module_path
from harness.site.needs import Needs
from harness.site.target import Site, Target

VARIANT = "harness-fault"
MODULE = "harness_fault"
LOADED = f"/sys/module/{MODULE}"
INJECT = f"{LOADED}/parameters/inject"

# By the module's names: faults that last until their time is over or they are stopped, and instant faults that stay.
LASTING = {
    "spin": "a processor that does not schedule",
    "spin_irqs_off": "a processor that does not schedule, interrupts off",
    "rcu_stall": "a reader that does not leave its RCU section",
    "workqueue": "a work item that does not end",
    "hung_task": "a task that waits uninterruptibly",
}
INSTANT = {
    "null": "NULL dereference in a kernel thread",
    "oops": "bad page fault in a kernel thread",
    "bug": "BUG() in a kernel thread",
    "panic": "panic",
}

LOAD_S = 15.0
WRITE_S = 3.0
SYSRQ_S = 1.0  # not scaled: a kernel that crashes never answers


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFault:
    """The kernel of the host that plays `role` suffers `what`, a key of LASTING or INSTANT, on processor `cpu`.

    A lasting fault ends after `seconds` (0: never) or when it is healed. The host must have the module:
    `modules=("harness-fault",)`.
    """

    role: str
    what: str
    cpu: int = 1
    seconds: float = 0.0
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a fault or a parameter that the module does not know."""
        if self.what not in LASTING | INSTANT:
            known = ", ".join([*LASTING, *INSTANT])
            raise UsageError(f"KernelFault: no fault {self.what!r}; there are: {known}")
        if self.cpu < 0 or self.seconds < 0:
            raise UsageError(f"KernelFault {self.what}: cpu and seconds are 0 or more")
        if self.what in INSTANT and (self.seconds or self.heal_after_s is not None):
            raise UsageError(f"KernelFault {self.what}: nothing undoes it; leave out seconds and heal_after_s")

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role}: {(LASTING | INSTANT)[self.what]}"

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.role: ("CONFIG_MODULES",)}

    def prepare(self, site: Site) -> None:
        """See `Prepared.prepare`; raises UsageError if the host lacks the module, ShellError if loading it fails."""
        target = site.role(self.role)
        if VARIANT not in site.topology.host(target.name).modules:
            raise UsageError(f"KernelFault: host {target.name!r} has no module {VARIANT}; add it to its modules")
        load = f"test -d {LOADED} || insmod %s this_host_is_disposable=1"
        target.shell.run(load, own_module_path(MODULE), deadline=site.deadline(LOAD_S))

    def inject(self, site: Site) -> None:
        """See `Fault.inject`; the fault begins 0.1 s after the order to the module."""
        _ask_module(site, site.role(self.role), f"{self.what} {self.cpu} {round(self.seconds * 1000)}")

    def heal(self, site: Site) -> None:
        """See `Fault.heal`; also ends other faults of this kind on the host."""
        _ask_module(site, site.role(self.role), "stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class SysrqCrash:
    """The kernel of the host that plays `role` crashes on request; nothing heals that."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} crashed by sysrq"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`; through the agent, which needs neither memory nor network."""
        with suppress(DeadlineExceeded):  # a crashed host does not answer
            site.role(self.role).agent.ask("sysrq", key="c", deadline=Deadline.after(SYSRQ_S))

    def heal(self, site: Site) -> None:
        """Nothing to undo: a crashed kernel does not come back within its trial."""


def _ask_module(site: Site, target: Target, order: str) -> None:
    """Write `order` to the module; raises ShellError if it refuses. A host that dies without an answer is no error."""
    done = _try_to_run(target, f"echo %s >{INJECT}", order, site.deadline(WRITE_S))
    if done is not None and done.exit_code != 0:
        raise ShellError(host=target.name, command=done.command, problem="refused by the module", output=done.stderr)


def _try_to_run(target: Target, command: str, argument: str, deadline: Deadline) -> Completed | None:
    try:
        return target.shell.run(command, argument, deadline=deadline, check=False)
    except ShellError:
        return None
