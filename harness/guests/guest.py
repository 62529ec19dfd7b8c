"""One guest on its way up: booted, or restored from a snapshot, until it has its identity and answers over SSH."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness.agent.agent import calibrate
from harness.build.recipes import vm_images
from harness.drivers.libvirt.guest import GuestSpec, LibvirtGuest, Nic, killed_when_overdue
from harness.drivers.serial.agent_link import SerialAgentLink
from harness.drivers.serial.bounded_file import BoundedFile
from harness.drivers.serial.ivshmem_mailbox import IvshmemMailbox
from harness.drivers.serial.serial_socket import SerialSocket
from harness.drivers.ssh import FabricShell, SshAddress
from harness.guests.guest_spec import MANAGEMENT, Ground, Parts, cmdline_of
from harness.guests.owed import guest_owed, meet_guest
from harness.guests.seed_archive import make_seed
from harness.model.clock import Deadline
from harness.model.errors import BootError, DeadlineExceeded, InfraError
from harness.model.obligation import Obligation
from harness.site.provider import Listener
from harness.site.target import Target
from harness.state.obligations import owe
from harness.state.ports import port_lease, take_port

AGENT_PORT = 7077  # harness/agent/agent.py, ECHO_PORT
TAIL = 1500
PANIC = b"Kernel panic - not syncing"
LOGIN_S = 15.0  # a login that takes longer is tried again
IDENTITY_S = 60.0  # it takes less than a second
PANIC_S = 1.0  # for the rest of what a panicking kernel prints


class Guest:
    """A guest on its way up, and what reaches it. Its wires are there before it is, so that not one byte is missed."""

    def __init__(self, ground: Ground, parts: Parts, *, listener: Listener, console: BoundedFile) -> None:
        self.ground, self.parts = ground, parts
        self.early = bytearray()
        self._listener, self._console = listener, console
        self._heard = threading.Event()
        self._driver: LibvirtGuest | None = None
        self._owed: tuple[Obligation, ...] = ()
        self._facts: dict[str, Any] = {}
        self._stack = ExitStack()
        try:
            self._plug_in()
        except BaseException:
            self.close()
            raise

    def _plug_in(self) -> None:
        run, host, label = self.ground.run, self.parts.host, self.parts.label
        self.wire = SerialSocket(run.path / f"{label}.con", self.on_console)
        self._stack.callback(self.wire.close)
        self.mailbox = IvshmemMailbox(run.path / f"{label}.box")
        self.link = SerialAgentLink(run.path / f"{label}.uart", host.name, self._on_record, self.mailbox)
        self._stack.callback(self.link.close)
        state = self.ground.state
        wanted = take_port(state, host.ssh_port) if host.ssh_port else port_lease(state)
        port = self._stack.enter_context(wanted)
        self.echo_port = self._stack.enter_context(port_lease(state))
        self.spec = self._make_spec(port)
        address = SshAddress(
            host=host.name,
            port=port,
            key_file=self.ground.keys.client_file,
            host_key=self.parts.identity.host_key[1],
        )
        self.shells = (FabricShell(address), FabricShell(address))
        for shell in self.shells:
            self._stack.callback(shell.close)

    def _make_spec(self, port: int) -> GuestSpec:
        host, machine, run = self.parts.host, self.parts.machine, self.ground.run
        return GuestSpec(
            name=f"harness-{run.name}-{self.parts.label}",
            uuid=uuid4(),
            accelerator=machine.accelerator,
            memory=host.memory,
            cpus=host.cpus,
            kernel=machine.kernel.vmlinuz,
            # Of a restored guest, QEMU reads it, and nobody else.
            initrd=machine.kernel.initrd if self.parts.is_restored else run.path / f"{self.parts.label}.initrd",
            cmdline=cmdline_of(host),
            disks=self.parts.disks,
            wires=(self.wire.path, self.link.path),
            nics=self._nics(port),
            devices=tuple(self.mailbox.device),
        )

    def _nics(self, port: int) -> tuple[Nic, ...]:
        # restrict: the guest reaches nothing outside; only what is forwarded from the loopback address gets in.
        management = (
            f"user,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22,"
            f"hostfwd=tcp:127.0.0.1:{self.echo_port}-10.0.2.15:{AGENT_PORT}"
        )
        plugs = [(MANAGEMENT, management)]
        plugs += [(name, f"vde,sock={self.ground.sockets[name]}") for name in self.parts.segments]
        macs = self.parts.identity.all_macs(len(plugs))
        return tuple(Nic(name=name, mac=mac, netdev=netdev) for (name, netdev), mac in zip(plugs, macs, strict=True))

    def on_console(self, data: bytes) -> None:
        """Take in what the guest prints."""
        self._console.write(data)
        if not self._heard.is_set():
            self.early.extend(data)
            del self.early[:-TAIL]
        self._listener.on_console(self.parts.host.name, data)

    def _on_record(self, record: dict[str, Any]) -> None:
        if "hello" in record:
            self._heard.set()
        self._listener.on_record(self.parts.host.name, record)

    def boot(self, deadline: Deadline) -> None:
        """Power it on; returns once it answers. Raises BootError, with its last console lines, if it does not."""
        machine = self.parts.machine
        seed = make_seed(vm_images() / "boot.sh", machine.modules, machine.own_modules)
        self.spec.initrd.write_bytes(machine.kernel.initrd.read_bytes() + seed)
        self._create(None)
        self._await_hello(deadline)
        if b"harness-boot: cannot" in self.early:
            raise self.error("its boot script failed")
        self._introduce(deadline)

    def restore(self, image: Path, deadline: Deadline) -> None:
        """Go on where the guest stood that was saved; returns once it answers. Raises InfraError if it does not."""
        with killed_when_overdue(self.spec.uuid, deadline):
            self._create(image)
        self.mailbox.resume()
        self._heard.set()
        self._introduce(deadline)

    def _create(self, image: Path | None) -> None:
        self._owed = guest_owed(self.ground.run.path, self.ground.settings.uri, self.spec.uuid, self.wire.path.name)
        for obligation in self._owed:
            owe(obligation)
        self._driver = LibvirtGuest(self.ground.connection, self.spec, self.wire.send, saved=image)

    @property
    def driver(self) -> LibvirtGuest:
        """What acts upon it, once it runs."""
        assert self._driver is not None, "it was not started"
        return self._driver

    @property
    def wires_error(self) -> Exception | None:
        """The first exception of a listener, if there was one."""
        return self.wire.error or self.link.error

    def _await_hello(self, deadline: Deadline) -> None:
        while not self._heard.wait(0.05):
            if PANIC in self.early:
                time.sleep(PANIC_S)
                raise self.error("its kernel panicked before it was ready")
            state = self.driver.state().state
            if state not in ("running", "paused"):
                raise self.error(f"it went {state} before it was ready")
            if deadline.passed or self.ground.given_up.is_set():
                raise self.error("it was not ready in time")

    def _introduce(self, deadline: Deadline) -> None:
        """Give it its identity, and see that SSH answers with the key that it was given."""
        try:
            self._facts = self.parts.identity.give(self.link, deadline.within(IDENTITY_S))
        except InfraError as error:
            raise self.error(f"its agent does not take its identity: {error}") from error
        self._log_in(deadline)

    def target(self, deadline: Deadline) -> Target:
        """The live host, with its speed measured now: best while no other guest comes up, which would slow it down."""
        try:
            seconds = float(self.link.ask("calibrate", deadline=deadline))
        except InfraError as error:
            raise self.error(f"its agent does not say how fast it is: {error}") from error
        return Target(
            host=self.parts.host,
            shell=self.shells[0],
            probe_shell=self.shells[1],
            agent=self.link,
            hypervisor=self.driver,
            echo=("127.0.0.1", self.echo_port),
            memory=int(self._facts["memory_kib"]) * 1024,
            cpus=int(self._facts["cpus"]),
            slowdown=round(seconds / own_speed(), 2),
            kernel=str(self._facts["kernel"]),
            peers=self.parts.identity.peers,
        )

    def _log_in(self, deadline: Deadline) -> None:
        while True:
            try:
                self.shells[0].run("true", deadline=deadline.within(LOGIN_S))
                return
            except InfraError as error:
                late = isinstance(error, DeadlineExceeded) and not deadline.passed
                if not late or self.ground.given_up.is_set():
                    raise self.error(f"its agent is there, but SSH is not: {error}") from error

    def error(self, problem: str) -> BootError:
        """That it did not come up, with its last console lines."""
        tail = bytes(self.early).decode("utf-8", "replace")
        return BootError(host=self.parts.host.name, problem=problem, console_tail="\n".join(tail.splitlines()[-12:]))

    def close(self) -> None:
        """End it and everything that reaches it; never raises."""
        if self._driver is not None:
            self._driver.destroy()
        is_gone = self._driver is not None and self._driver.state().state == "gone"
        meet_guest(self._owed, is_gone=is_gone)
        self._stack.close()


_own: list[float] = []


def own_speed() -> float:
    """Seconds that this machine takes for the work by which guests are measured; measured once a process."""
    if not _own:
        _own.append(calibrate())
    return _own[0]
