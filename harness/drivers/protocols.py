"""What the harness needs of a host, whatever stands behind it. Every role has a fake in tests/unit/fakes.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.model.clock import Deadline


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainState:
    """What the hypervisor sees of a guest.

    `state` is running, paused, crashed, shutoff or gone; `cpu_ns` the CPU time that its processors have used.
    `processors` has for each the nanoseconds that it ran, and those that it was ready to run and this machine's own
    scheduler let it wait (its run delay, /proc/<pid>/schedstat); empty where the hypervisor does not say.
    """

    state: str
    cpu_ns: int = 0
    processors: tuple[tuple[int, int], ...] = ()


class Hypervisor(Protocol):
    """Acts on one guest from outside; needs nothing of the guest."""

    def state(self) -> DomainState:
        """Sample the guest; never raises: a guest that is not there is `gone`."""

    def pause(self) -> None:
        """Stop its processors."""

    def resume(self) -> None:
        """Let its processors go on."""

    def set_link(self, name: str, *, up: bool) -> None:
        """Plug the guest's cable of the segment `name` in or out."""

    def throttle(self, disk: str, bytes_per_s: int | None) -> None:
        """Let a disk of the guest, such as "vdc", move no more than that, reads and writes together; None: no limit."""

    def inject_nmi(self) -> None:
        """Send a non-maskable interrupt to every processor."""

    def send_sysrq(self, key: str) -> None:
        """Press Alt+SysRq+key on the guest's keyboard."""

    def send_console(self, data: bytes) -> None:
        """Type on the guest's console port; raises InfraError where no guest reads it."""

    def send_break(self, key: str) -> None:
        """Send a break and `key` over the guest's console port, which the kernel takes as sysrq."""

    def registers(self) -> str:
        """Registers of every processor, as text."""

    def destroy(self) -> None:
        """End the guest at once; a guest that is gone already is no error."""

    def kill(self) -> None:
        """Kill the guest's process under the hypervisor's hands, as a crash of QEMU would end it."""


class AgentLink(Protocol):
    """The UART to the agent."""

    def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
        """Send a command and return its answer; raises DeadlineExceeded or ShellError."""


class Switch(Protocol):
    """A network segment between guests."""

    @property
    def socket(self) -> Path:
        """Where guests plug in."""

    def close(self) -> None:
        """End it."""
