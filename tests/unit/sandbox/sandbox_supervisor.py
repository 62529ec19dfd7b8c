"""A supervisor whose guests are fakes; `harness.sandbox.start` runs it as a module in place of the real one.

The command line of a topology's first host says what its boot does: `fail`, `break`, `hang`, `deaf`, or nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import FakeShell, make_site

import harness.guests.provider
from harness.drivers.ssh import SshAddress
from harness.model.errors import BootError
from harness.model.topology import Topology
from harness.sandbox.supervisor import HOLD_S, main
from harness.site.target import Site, Target


class AddressedShell(FakeShell):
    def __init__(self, host: str) -> None:
        super().__init__()
        self.address = SshAddress(
            host=host, name="127.0.0.1", port=2222, key_file=Path("/keys/id"), host_key="ssh-ed25519 AAAA"
        )


class FakeLab:
    def __init__(
        self, settings: Any, machines: Any, *, listener: Any, console_path: Callable[[str], Path], notes: Any
    ) -> None:
        self._listener, self._console_path = listener, console_path

    def start(self, topology: Topology) -> Site:
        behaviour = topology.hosts[0].cmdline
        if behaviour == "fail":
            raise BootError(host=topology.hosts[0].name, problem="its kernel panicked", console_tail="Oops")
        if behaviour == "break":
            raise ZeroDivisionError("a bug")
        if behaviour == "hang":
            while True:
                time.sleep(HOLD_S)
        if behaviour == "deaf":  # its main thread: another one takes the signal, which does not wake this one
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        for host in topology.hosts:
            text = f"Linux version of {host.name}\n".encode()
            self._console_path(host.name).write_bytes(text)
            self._listener.on_console(host.name, text)
        site = make_site(topology)
        return replace(site, targets={name: _addressed(target) for name, target in site.targets.items()})

    def close(self) -> None:
        pass


def _addressed(target: Target) -> Target:
    return replace(target, shell=AddressedShell(target.name))


if __name__ == "__main__":
    vars(harness.guests.provider)["Lab"] = FakeLab
    main(sys.argv[1:])
