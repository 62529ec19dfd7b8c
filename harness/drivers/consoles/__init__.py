"""Serial consoles of hosts that somebody owns, and what stands in for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.drivers.consoles.base import Opening, Sink, Stream
from harness.drivers.consoles.netconsole import open_netconsole
from harness.drivers.consoles.pty_command import open_command, open_conserver, open_sol
from harness.drivers.consoles.rfc2217 import open_rfc2217
from harness.drivers.consoles.telnet import open_telnet
from harness.model.clock import Deadline
from harness.model.owned_host import ConsoleSpec, PowerSpec

__all__ = ["DRIVERS", "Stream", "open_console"]

# One record for each driver, by its name in the inventory.
DRIVERS: Mapping[str, Callable[[Opening], Stream]] = {
    "ipmi-sol": open_sol,
    "telnet": open_telnet,
    "rfc2217": open_rfc2217,
    "conserver": open_conserver,
    "ssh": open_command,
    "netconsole": open_netconsole,
}


def open_console(spec: ConsoleSpec, host: str, power: PowerSpec | None, sink: Sink, *, deadline: Deadline) -> Stream:
    """Read the console of `host`: every byte goes to `sink`, on a thread of its own, until the stream is closed.

    Raises InfraError or UsageError, one line, if it cannot be opened.
    """
    return DRIVERS[spec.driver](Opening(spec=spec, host=host, power=power, sink=sink, deadline=deadline))
