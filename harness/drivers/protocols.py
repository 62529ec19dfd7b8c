"""What the harness needs of a host, whatever stands behind it. Every role has a fake in tests/unit/fakes.py.

Every host has a shell, an agent and a source of power. All else is a capability, a protocol of one to three methods
(from `Power` and `Console` on down to `VmmProcess`): a host offers some of them, and `Target.find` knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.model.clock import Deadline
from harness.model.power import PowerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that came to its end on a host."""

    command: str
    exit_code: int
    stdout: str
    stderr: str


class Shell(Protocol):
    """Runs commands on a host."""

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        """Run `command % quoted arguments`; return within the deadline even if the host is dead.

        Raises DeadlineExceeded, or ShellError if it cannot be run, or if it fails and `check` is set.
        """

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        """Write a file on the host."""

    def close(self) -> None:
        """Let go of the connection; never blocks, never raises."""


@runtime_checkable
class Power(Protocol):
    """Controls the power of one host from outside; needs nothing of the host."""

    @property
    def source(self) -> str:
        """Who is asked, in a word for the reader of a verdict, such as "libvirt"."""

    def state(self, *, deadline: Deadline) -> PowerState:
        """Ask for the state; never raises, and returns within the deadline: UNKNOWN where there is no answer."""

    def off(self, *, deadline: Deadline) -> None:
        """Take the power away at once; a host that has none is no error."""

    def cycle(self, *, deadline: Deadline) -> None:
        """Take the power away and give it back; raises InfraError where that cannot be."""


@runtime_checkable
class Console(Protocol):
    """The serial console of a host, as far as it takes input; what it prints goes to a listener."""

    def send(self, data: bytes) -> None:
        """Type on it; raises InfraError where no host reads it."""

    def send_break(self, key: str) -> None:
        """Send a break and `key`, which the kernel takes as sysrq."""


class AgentTransport(Protocol):
    """What carries orders to the agent of one host, and its records back."""

    @property
    def name(self) -> str:
        """What it is, in a few words, such as "UART"."""

    @property
    def silence_is_proof(self) -> bool:
        """Whether nothing that the agent says can get lost, so that its silence says something of its host."""

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """Send an order, JSON without a frame; False if it is not taken within the deadline. Raises InfraError."""


class AgentLink(Protocol):
    """Questions to the agent of one host."""

    @property
    def transport(self) -> AgentTransport:
        """What carries them."""

    def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
        """Send a command and return its answer; raises DeadlineExceeded or ShellError."""


@runtime_checkable
class Pausable(Protocol):
    """Stops the processors of a host."""

    def pause(self) -> None:
        """Stop them."""

    def resume(self) -> None:
        """Let them go on."""


@runtime_checkable
class LinkControl(Protocol):
    """Plugs the cables of a host."""

    def set_link(self, name: str, *, up: bool) -> None:
        """Plug the cable of the link `name` in or out."""


@runtime_checkable
class DiskThrottle(Protocol):
    """Slows a disk down below its host."""

    def throttle(self, disk: str, bytes_per_s: int | None) -> None:
        """Let a disk, such as "scratch", move no more than that, reads and writes together; None: no limit.

        Raises UsageError if the host has no such disk.
        """


@runtime_checkable
class NmiInjector(Protocol):
    """Interrupts a host past every mask."""

    def inject_nmi(self) -> None:
        """Send a non-maskable interrupt to every processor."""


@runtime_checkable
class Registers(Protocol):
    """Reads the registers of a host from outside."""

    def registers(self) -> str:
        """Registers of every processor, as text."""


@runtime_checkable
class Keyboard(Protocol):
    """The keyboard of a host."""

    def send_sysrq(self, key: str) -> None:
        """Press Alt+SysRq+key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VcpuTimes:
    """What the processors of a guest got of this machine since its start.

    `cpu_ns` is the CPU time of the guest. `processors` has for each the nanoseconds that it ran, and those that it was
    ready to run and this machine's own scheduler let it wait (its run delay, /proc/<pid>/schedstat); empty where nobody
    says.
    """

    cpu_ns: int = 0
    processors: tuple[tuple[int, int], ...] = ()


@runtime_checkable
class VcpuAccounting(Protocol):
    """Knows what the processors of a guest got of this machine."""

    def vcpu_times(self) -> VcpuTimes:
        """The times until now; raises InfraError if the guest is gone."""


@runtime_checkable
class VmmProcess(Protocol):
    """The process of this machine that runs a guest."""

    def kill(self) -> None:
        """Kill it, as a crash of it would end it; raises InfraError where no process of this machine runs the guest."""


class Switch(Protocol):
    """A network segment between guests."""

    @property
    def socket(self) -> Path:
        """Where guests plug in."""

    def close(self) -> None:
        """End it."""
