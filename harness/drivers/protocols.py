"""Protocols that the drivers of a host implement, for any backend. Every role has a fake in tests/unit/fakes.py.

Every host has a shell, an agent and a power source. All else is a capability, a protocol of one to three methods (from
`Power` and `Console` on down to `VmmProcess`). A host offers some of them; `Target.find` looks them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.model.clock import Deadline
from harness.model.power import PowerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The result of a command that ended on a host."""

    command: str
    exit_code: int
    stdout: str
    stderr: str


class Shell(Protocol):
    """Runs commands on a host."""

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        """Run `command % quoted arguments`; return within the deadline even if the host is dead.

        Raises DeadlineExceeded, or ShellError if the command cannot be run, or fails while `check` is set.
        """

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        """Write a file on the host."""

    def close(self) -> None:
        """Close the connection; never blocks, never raises."""


@runtime_checkable
class Power(Protocol):
    """Controls the power of one host from outside; needs nothing of the host."""

    @property
    def source(self) -> str:
        """A word for readers of a verdict that names the power source, such as "libvirt"."""

    @property
    def period_s(self) -> float:
        """How often to ask for its state, in seconds: a BMC has other work."""

    def state(self, *, deadline: Deadline) -> PowerState:
        """Query the state; never raises, and returns within the deadline, UNKNOWN if there is no answer."""

    def off(self, *, deadline: Deadline) -> None:
        """Cut the power at once; does nothing if the host is already off."""

    def cycle(self, *, deadline: Deadline) -> None:
        """Cut the power and restore it; raises InfraError where that is impossible."""


@runtime_checkable
class Console(Protocol):
    """The input of a host's serial console; its output goes to a listener."""

    def send(self, data: bytes) -> None:
        """Type `data`; raises InfraError if no host reads it."""

    def send_break(self, key: str) -> None:
        """Send a break and `key`, which the kernel takes as sysrq."""


class ConsoleStream(Protocol):
    """The console of an owned host while it is read: its output goes to a sink, on a thread of its own.

    A stream that breaks is opened again by itself, without loss where that is possible.
    """

    @property
    def error(self) -> Exception | None:
        """The first exception of the sink, if any."""

    @property
    def broken(self) -> str:
        """Why nothing can be heard at the moment, in one line; "" while it is connected."""

    def close(self) -> None:
        """Stop reading; never raises."""


class AgentTransport(Protocol):
    """The channel to the agent of one host: carries orders out, and records back."""

    @property
    def name(self) -> str:
        """Its name in a few words, such as UART."""

    @property
    def silence_is_proof(self) -> bool:
        """Whether it loses no record, so that the agent's silence is evidence about its host."""

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """Send an order, JSON without a frame; False if it is not taken within the deadline. Raises InfraError."""


class AgentLink(Protocol):
    """Sends commands to the agent of one host."""

    @property
    def transport(self) -> AgentTransport:
        """The channel that carries them."""

    def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
        """Send a command and return its answer; raises DeadlineExceeded or ShellError."""


@runtime_checkable
class Pausable(Protocol):
    """Stops the processors of a host."""

    def pause(self) -> None:
        """Stop them."""

    def resume(self) -> None:
        """Let them run again."""


@runtime_checkable
class LinkControl(Protocol):
    """Plugs the cables of a host."""

    def set_link(self, name: str, *, up: bool) -> None:
        """Plug the cable of the link `name` in or out."""


@runtime_checkable
class DiskThrottle(Protocol):
    """Limits the speed of a disk, below the host."""

    def throttle(self, disk: str, bytes_per_s: int | None) -> None:
        """Limit a disk such as "scratch" to `bytes_per_s`, reads and writes together; None removes the limit.

        Raises UsageError if the host has no such disk.
        """


@runtime_checkable
class NmiInjector(Protocol):
    """Interrupts a host even where interrupts are masked."""

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
    """The time of this machine that the processors of a guest got since its start.

    `cpu_ns` is the CPU time of the guest. `processors` has, for each processor, the nanoseconds that it ran and its run
    delay: the nanoseconds that it was runnable and waited for this machine's scheduler (/proc/<pid>/schedstat). It is
    empty if that is unknown.
    """

    cpu_ns: int = 0
    processors: tuple[tuple[int, int], ...] = ()


@runtime_checkable
class VcpuAccounting(Protocol):
    """Accounts for the time of this machine that the processors of a guest got."""

    def vcpu_times(self) -> VcpuTimes:
        """The times until now; raises InfraError if the guest is gone."""


@runtime_checkable
class VmmProcess(Protocol):
    """The process on this machine that runs a guest."""

    def kill(self) -> None:
        """Kill it as a crash would; raises InfraError if no process of this machine runs the guest."""


class Switch(Protocol):
    """A network segment between guests."""

    @property
    def socket(self) -> Path:
        """The socket to which guests connect."""

    def close(self) -> None:
        """Stop it."""
