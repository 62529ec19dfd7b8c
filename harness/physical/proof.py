"""Proof that a console is that of a host: a nonce that the host prints must arrive there."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from harness.drivers.protocols import Shell
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.owned_host import ConsoleSpec

# An alert, which any console level but the lowest lets through; an emergency would be sent to all terminals.
PRINT = "echo '<1>'%s >/dev/kmsg"
POLL_S = 0.1
AGAIN_S = 3.0  # a console that has just been opened may lose the first words


def prove_console(host: str, shell: Shell, spec: ConsoleSpec, heard: Callable[[], bytes], deadline: Deadline) -> None:
    """Have the host print a nonce until it is heard; raises UsageError if it is not."""
    while not deadline.passed:
        nonce = f"harness: console of {host}? {secrets.token_hex(8)}"
        shell.run(PRINT, nonce, deadline=deadline)
        again = deadline.within(AGAIN_S)
        while not again.passed:
            if nonce.encode() in heard():
                return
            deadline.clock.sleep(POLL_S)
    level = shell.run(
        "cut -f1 /proc/sys/kernel/printk; cat /sys/class/tty/console/active", deadline=Deadline.after(20.0)
    )
    printed = " ".join(level.stdout.split())
    raise UsageError(
        f"host {host}: what its kernel prints does not arrive on its {spec.driver} console, so that may be another "
        f"host's, or silent; give its kernel console=… for that port (level and consoles now: {printed[:80]})"
    )
