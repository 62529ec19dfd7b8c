"""The process that holds a sandbox: its guests live as long as it does.

`harness.sandbox.start` starts it in a session of its own with two descriptors: a connection to the command that asks
for the sandbox, and the lock of the sandbox's folder. The supervisor receives the request over the connection and
sends a line for each step (`Step`), until the hosts are up (`Up`) or have failed (`Failed`). If the command goes away
before it has sent KEEP, the supervisor ends the sandbox. SIGTERM ends it too; messages then go to its log.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from harness.drivers.protocols import Console
from harness.model.errors import HarnessError
from harness.sandbox.guests import SandboxRequest, guests
from harness.sandbox.port import ConsolePort
from harness.sandbox.record import record_of
from harness.sandbox.secure_shell import address_of, write_config
from harness.site.target import Site
from harness.state.locks import this_process, write_record
from harness.state.sandboxes import Sandbox, remove
from harness.state.state import StateDir

KEEP = "keep"
# A signal just before a wait begins does not interrupt it: its handler runs after the wait. So every wait of the main
# thread is bounded.
HOLD_S = 0.2
# A kernel console takes no input: a shell reads from the port, and is started again when it ends.
SHELL_S = 10.0
SHELL = (
    "setsid --fork sh -c 'cd /root; while :; do "
    "HOME=/root TERM=vt220 setsid --wait --ctty bash --login </dev/ttyS0 >/dev/ttyS0 2>&1; sleep 1; done' "
    "</dev/null >/dev/null 2>&1"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step has begun."""

    text: str


@dataclass(frozen=True, slots=True)
class Up:
    """All hosts are up and recorded in the sandbox's folder."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The hosts did not come up; nothing is left of them."""

    problem: str


class Ended(BaseException):
    """The sandbox is asked to end."""


class Supervisor:
    """Brings up a sandbox, holds it until SIGTERM, and takes it down."""

    def __init__(self, link: Connection, sandbox: Sandbox, request: SandboxRequest) -> None:
        self._link, self._sandbox, self._request = link, sandbox, request
        self._ports: dict[str, ConsolePort] = {}
        self._site: Site | None = None

    def run(self) -> None:
        """Bring up, hold and take down; errors before the hosts are up are logged and sent to the waiting command."""
        try:
            with ExitStack() as stack:
                _end_by_signal()
                threading.Thread(target=self._watch, name="who asked", daemon=True).start()
                self._hold(stack)
        except Ended:
            return
        except HarnessError as error:
            self._fail(str(error))
        except Exception:
            self._fail(traceback.format_exc())

    def _hold(self, stack: ExitStack) -> None:
        for host in self._request.topology.hosts:
            port = ConsolePort(self._sandbox.port(host.name), partial(self._type_in, host.name))
            stack.callback(port.close)
            self._ports[host.name] = port
        site = stack.enter_context(
            guests(self._request, listener=self, console_path=self._sandbox.console, note=self._note)
        )
        for target in site.targets.values():
            target.shell.run(SHELL, deadline=site.deadline(SHELL_S))
        self._site = site
        addresses = [address_of(target) for target in site.targets.values()]
        write_config(self._sandbox.name, addresses, self._sandbox.ssh_config, self._sandbox.known_hosts)
        self._sandbox.write(record_of(site, self._request))
        self._send(Up())
        while True:
            time.sleep(HOLD_S)

    def on_console(self, host: str, data: bytes) -> None:
        """See `Listener.on_console`."""
        self._ports[host].hear(data)

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """See `Listener.on_record`."""

    def _note(self, text: str) -> None:
        print(text, flush=True)
        self._send(Step(text))

    def _fail(self, problem: str) -> None:
        print(problem, flush=True)
        self._send(Failed(problem))

    def _send(self, message: Step | Up | Failed) -> None:
        with suppress(OSError):  # the command no longer waits
            self._link.send(message)

    def _watch(self) -> None:
        """End the sandbox if the command goes away before it is up."""
        kept = False
        with suppress(EOFError, OSError):
            kept = self._link.recv() == KEEP
        if not kept:
            os.kill(os.getpid(), signal.SIGTERM)

    def _type_in(self, host: str, data: bytes) -> None:
        if self._site is not None:
            self._site.targets[host].need(Console).send(data)


def _end_by_signal() -> None:
    """Raise Ended on the first SIGTERM or SIGHUP; later ones do not interrupt the tear-down."""
    asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise Ended

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def main(arguments: list[str]) -> None:
    """Run the supervisor; `arguments` are the descriptors of the connection and of the lock."""
    link, lock = Connection(int(arguments[0])), int(arguments[1])
    for descriptor in (link.fileno(), lock):
        os.set_inheritable(descriptor, False)  # guests must not inherit them
    write_record(lock, this_process())
    sandbox, request = link.recv()
    try:
        Supervisor(link, sandbox, request).run()
    finally:
        remove(StateDir.of(request.settings), sandbox, lock)
