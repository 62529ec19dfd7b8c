"""The way home: a host that was used comes back to its owner's kernel, as it was, or is put into quarantine.

Nothing of a run outlives a boot of the owner's kernel: its files are on a ramfs, its kernel came by kexec, and the boot
loader was never touched. So whatever happened, a boot puts it right; the question is only who can make the host boot.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from harness.drivers.protocols import Power, Shell
from harness.model.clock import SYSTEM_CLOCK, Clock, Deadline
from harness.model.errors import HarnessError, InfraError
from harness.physical.reservation import Holding, look

SSH_S = 20.0  # for a command on a host that is well
REBOOT_S = 120.0  # for an orderly shutdown; a storage that hangs can hold it up for ever
POLL_S = 3.0
POWER_S = 60.0
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
# sysrq: flush, make file systems read-only, boot. The connection is lost with the last one.
REBOOT_NOW = "echo s >/proc/sysrq-trigger; sleep 1; echo u >/proc/sysrq-trigger; sleep 1; echo b >/proc/sysrq-trigger"
REBOOT = "systemctl reboot"

Note = Callable[[str], None]


class NotHome(InfraError):
    """A host did not come back to its owner's kernel; `reason` in one line."""

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"host {host} did not come back: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WayHome:
    """What is needed to bring one host home: `kernel` is its owner's ("" if unknown), `boot_s` its time to boot.

    `boot_id` is that of the boot before; a host that hangs is not asked for it.
    """

    host: str
    shell: Shell
    power: Power | None
    kernel: str
    boot_s: float
    note: Note
    boot_id: str = ""
    clock: Clock = SYSTEM_CLOCK

    def boot(self, *, hung: bool) -> None:
        """Have it boot its owner's kernel, and wait until it has; raises NotHome.

        A host that is not `hung` is asked to shut down in order. One that does not is reset: by its power source, or
        by its own kernel. One that does not come up then is reset once more: firmware hangs now and then.
        """
        before = self.boot_id if hung and self.boot_id else self._boot_id()
        ways: list[tuple[str, Callable[[], None]]] = [("reboot", lambda: self._over_ssh(REBOOT))]
        if hung or not before:
            ways.clear()
        if self.power is not None:
            ways += [("power cycle", self._cycle)] * 2
        elif before:
            ways += [("reset by sysrq", lambda: self._over_ssh(REBOOT_NOW))]
        if not ways:
            raise NotHome(self.host, "SSH does not answer, and the inventory names no power source")
        problems = []
        for number, (name, act) in enumerate(ways):
            self.note(f"{self.host}: {name}")
            try:
                act()
                # A shutdown that hangs is not waited for as long as a boot, if something stronger can follow.
                orderly = name == "reboot" and number + 1 < len(ways)
                self._wait(before, REBOOT_S + self.boot_s if not orderly else REBOOT_S + self.boot_s / 2)
                return
            except HarnessError as error:
                problems.append(f"{name}: {_first_line(error)}")
        raise NotHome(self.host, "; ".join(problems))

    def _over_ssh(self, command: str) -> None:
        with suppress(InfraError):  # the connection goes down with the host
            self.shell.run(command, deadline=self._within(SSH_S), check=False)

    def _cycle(self) -> None:
        assert self.power is not None, "offered only with a power source"
        self.power.cycle(deadline=self._within(POWER_S))

    def _wait(self, before: str, seconds: float) -> None:
        """Wait for a boot other than `before`, in the owner's kernel; raises InfraError."""
        deadline = self._within(seconds)
        seen = "SSH does not answer"
        while not deadline.passed:
            boot, kernel, run = self._state(deadline)
            if boot and boot != before:
                if not run and self.kernel in ("", kernel):
                    return
                seen = f"it runs {kernel}" + (f" of run {run}" if run else "") + f", not its owner's {self.kernel}"
                if run:
                    break
            elif boot:
                seen = "it did not reboot"
                if seconds - deadline.remaining > REBOOT_S:
                    break
            self.clock.sleep(POLL_S)
        raise InfraError(f"{seen} after {seconds - deadline.remaining:.0f} s")

    def _boot_id(self) -> str:
        try:
            return self.shell.run(BOOT_ID, deadline=self._within(SSH_S)).stdout.strip()
        except HarnessError:
            return ""

    def _state(self, deadline: Deadline) -> tuple[str, str, str]:
        """Boot id, kernel release and token of a run; empty while it does not answer."""
        try:
            within = deadline.within(SSH_S)
            lines = self.shell.run(f"{BOOT_ID}; uname -r", deadline=within).stdout.split()
            holding: Holding = look(self.shell, within)
        except HarnessError:
            return "", "", ""
        return (lines[0], lines[1], holding.run) if len(lines) == 2 else ("", "", "")

    def _within(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self.clock)


def _first_line(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0]
