"""The start of one guest: booted, or restored from a snapshot, until it has its identity and answers over SSH."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any
from uuid import uuid4

from harness.artifacts.recipes import vm_images
from harness.drivers.agent_link import FramedAgentLink
from harness.drivers.channels.uart import UartTransport
from harness.drivers.libvirt.guest import OFFERS, GuestSpec, LibvirtGuest, Nic, killed_when_overdue
from harness.drivers.protocols import Console, Shell
from harness.drivers.serial.bounded_file import BoundedFile
from harness.drivers.serial.ivshmem_mailbox import IvshmemMailbox
from harness.drivers.serial.serial_socket import SerialSocket
from harness.drivers.ssh import FabricShell, SshAddress
from harness.guests.guest_spec import Ground, Parts, cmdline_of
from harness.guests.identity import MANAGEMENT_ADDRESS
from harness.guests.owed import guest_owed, meet_guest
from harness.guests.seed_archive import make_seed
from harness.model.clock import Deadline
from harness.model.errors import BootError, DeadlineExceeded, InfraError
from harness.model.obligation import Obligation
from harness.model.power import DEAD, PowerState
from harness.model.topology import Host
from harness.site.capabilities import Offers
from harness.site.facts import MANAGEMENT, Disk, HostFacts, Interface
from harness.site.own_speed import own_speed
from harness.site.provider import Listener
from harness.site.target import Target
from harness.state.obligations import owe
from harness.state.ports import port_lease, take_port

AGENT_PORT = 7077  # harness/agent/agent.py, ECHO_PORT
TAIL = 1500
PANIC = b"Kernel panic - not syncing"
LOGIN_S = 15.0  # a login that takes longer is tried again
IDENTITY_S = 60.0  # it takes less than a second
STATE_S, OFF_S = 5.0, 60.0  # libvirt answers within milliseconds, unless QEMU is stuck
LOOPBACK = "127.0.0.1"  # where this machine reaches a guest: at a forwarded port
DRIVER = "virtio_net"
PANIC_S = 1.0  # for the rest of what a panicking kernel prints


class Guest:
    """A starting guest and its channels. Its serial ports are open before it starts, so that not one byte is missed."""

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
        self.uart = run.path / f"{label}.uart"
        self.link = FramedAgentLink(host.name, self._on_record, partial(UartTransport, self.uart, self.mailbox))
        self._stack.callback(self.link.close)
        state = self.ground.state
        wanted = take_port(state, host.ssh_port) if host.ssh_port else port_lease(state)
        port = self._stack.enter_context(wanted)
        self.echo_port = self._stack.enter_context(port_lease(state))
        self.spec = self._make_spec(port)
        address = SshAddress(
            host=host.name,
            name=LOOPBACK,
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
            # For a restored guest, only QEMU reads it.
            initrd=machine.kernel.initrd if self.parts.is_restored else run.path / f"{self.parts.label}.initrd",
            cmdline=cmdline_of(host),
            disks=self.parts.disks,
            wires=(self.wire.path, self.uart),
            nics=self._nics(port),
            devices=tuple(self.mailbox.device),
        )

    def _nics(self, port: int) -> tuple[Nic, ...]:
        address = MANAGEMENT_ADDRESS.partition("/")[0]
        # restrict: the guest reaches nothing outside; only what is forwarded from the loopback address gets in.
        management = (
            f"user,restrict=on,hostfwd=tcp:{LOOPBACK}:{port}-{address}:22,"
            f"hostfwd=tcp:{LOOPBACK}:{self.echo_port}-{address}:{AGENT_PORT}"
        )
        plugs = [(MANAGEMENT, management)]
        plugs += [(name, f"vde,sock={self.ground.sockets[name]}") for name in self.parts.segments]
        macs = self.parts.identity.all_macs(len(plugs))
        return tuple(Nic(name=name, mac=mac, netdev=netdev) for (name, netdev), mac in zip(plugs, macs, strict=True))

    def on_console(self, data: bytes) -> None:
        """Take in bytes that the guest printed."""
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
        """Resume the guest that was saved; returns once it answers. Raises InfraError if it does not."""
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
        """The driver that acts upon it, once it runs."""
        assert self._driver is not None, "it was not started"
        return self._driver

    @property
    def reader_error(self) -> Exception | None:
        """The first exception of a listener, if any."""
        return self.wire.error or self.link.error

    def _await_hello(self, deadline: Deadline) -> None:
        while not self._heard.wait(0.05):
            if PANIC in self.early:
                time.sleep(PANIC_S)
                raise self.error("its kernel panicked before it was ready")
            state = self.driver.state(deadline=Deadline.after(STATE_S))
            if state in DEAD:
                raise self.error(f"it went {state} before it was ready")
            if deadline.passed or self.ground.given_up.is_set():
                raise self.error("it was not ready in time")

    def _introduce(self, deadline: Deadline) -> None:
        """Give it its identity, and check that SSH answers with the key that it was given."""
        try:
            self._facts = self.parts.identity.give(self.link, deadline.within(IDENTITY_S))
        except InfraError as error:
            raise self.error(f"its agent does not take its identity: {error}") from error
        self._log_in(deadline)

    def target(self, offered: Offers, deadline: Deadline) -> Target:
        """The live host, with its speed measured now: best while no other guest starts, which would slow it down."""
        try:
            seconds = float(self.link.ask("calibrate", deadline=deadline))
        except InfraError as error:
            raise self.error(f"its agent does not say how fast it is: {error}") from error
        name, driver = self.parts.host.name, self.driver
        return Target(
            name=name,
            facts=self._host_facts(round(seconds / own_speed(), 2), deadline),
            shell=self.shells[0],
            probe_shell=self.shells[1],
            agent=self.link,
            power=driver,
            drivers={kind: driver.console if kind is Console else driver for kind in offered[name]},
            offers=offered,
            echo=(LOOPBACK, self.echo_port),
            peers=self.parts.identity.peers,
        )

    def _host_facts(self, slowdown: float, deadline: Deadline) -> HostFacts:
        return HostFacts(
            memory=int(self._facts["memory_kib"]) * 1024,
            cpus=int(self._facts["cpus"]),
            kernel=str(self._facts["kernel"]),
            slowdown=slowdown,
            disks=self._disks(deadline),
            interfaces={
                card.link: Interface(name=card.name, address=card.address, driver=DRIVER)
                for card in self.parts.identity.cards
            },
            disposable=True,
        )

    def _disks(self, deadline: Deadline) -> dict[str, Disk]:
        """The disks that it may write to; the kernel names them in the order in which they are attached.

        The shared one is looked up by its serial number, since a mistake would destroy other hosts' data.
        """
        found = {}
        for number, disk in enumerate(self.parts.disks):
            if disk.readonly:
                continue
            path = f"/dev/vd{ascii_lowercase[number]}"
            if disk.serial:
                path = find_disk(self.shells[0], self.parts.host.name, disk.serial, deadline)
            size = self.parts.host.disk if disk.format == "qcow2" else disk.path.stat().st_size
            found[disk.name] = Disk(path=path, size=size)
        return found

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
        """The error of a guest that did not come up, with its last console lines."""
        tail = bytes(self.early).decode("utf-8", "replace")
        return BootError(host=self.parts.host.name, problem=problem, console_tail="\n".join(tail.splitlines()[-12:]))

    def close(self) -> None:
        """End it and close its channels; never raises."""
        if self._driver is not None:
            self._driver.off(deadline=Deadline.after(OFF_S))
        state = self._driver.state(deadline=Deadline.after(STATE_S)) if self._driver is not None else None
        meet_guest(self._owed, is_gone=state is PowerState.GONE)
        self._stack.close()


def find_disk(shell: Shell, host: str, serial: str, deadline: Deadline) -> str:
    """The name that the disk with a serial number has on `host`; raises BootError if it is not there."""
    find = "cd /sys/block && grep -lx %s */serial | cut -d/ -f1"
    name = shell.run(find, serial, deadline=deadline).stdout.strip()
    if not name:
        raise BootError(host=host, problem=f"it has no disk with the serial number {serial}")
    return f"/dev/{name}"


def offers(host: Host) -> frozenset[type]:
    """Capabilities of a host of a topology once it is up; the same for every guest."""
    return OFFERS
