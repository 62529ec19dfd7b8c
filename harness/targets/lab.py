"""Boots the hosts of a topology as guests, and takes them down again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from harness.agent.agent import calibrate
from harness.drivers.bounded import BoundedFile
from harness.drivers.disk_image import make_blank, make_overlay
from harness.drivers.letterbox import Letterbox
from harness.drivers.libvirt_guest import Disk, GuestSpec, LibvirtGuest, Nic
from harness.drivers.libvirt_host import connect
from harness.drivers.ssh import FabricShell, SshAddress
from harness.drivers.uart import UartLink
from harness.drivers.vde import VdeSwitch
from harness.drivers.wire import Wire
from harness.model.clock import Deadline
from harness.model.errors import BootError, DeadlineExceeded, HarnessError, InfraError
from harness.model.settings import EMBEDDED, Settings
from harness.model.topology import SHARED_SERIAL, Host, Topology
from harness.targets.home import connected_to
from harness.targets.keys import keys_of
from harness.targets.machines import Machine
from harness.targets.ports import port_lease, take_port
from harness.targets.recipes import vm_images
from harness.targets.seed import interfaces, make_seed, peers
from harness.targets.state import RunDir, StateDir
from harness.targets.target import Site, Target

AGENT_PORT = 7077  # harness/agent/agent.py, ECHO_PORT
CONSOLE_LIMIT = 8 * 1024 * 1024
TAIL = 1500
# Nothing is known of a guest's speed before it has booted. Under emulation on two busy processors it takes 15 s.
BOOT_S = 240.0
MANAGEMENT = "mgmt"
SHARED = "shared.disk"
PANIC = b"Kernel panic - not syncing"
LOGIN_S = 15.0  # a login that takes longer is tried again
PANIC_S = 1.0  # for the rest of what a panicking kernel prints
CMDLINE = (
    "console=ttyS0,115200 ignore_loglevel sysrq_always_enabled panic=0 nokaslr audit=0 "
    "random.trust_cpu=on net.ifnames=0"
)


class Listener(Protocol):
    """Hears everything that guests say, from their first byte; called on threads of the drivers."""

    def on_console(self, host: str, data: bytes) -> None:
        """Bytes from the first serial port of a host."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """A record of the agent of a host."""


@dataclass(slots=True)
class _Guest:
    """A guest on its way up."""

    host: Host
    driver: LibvirtGuest
    link: UartLink
    shells: tuple[FabricShell, FabricShell]
    console: BoundedFile
    echo_port: int
    hello: dict[str, Any]
    heard: threading.Event
    early: bytearray


class Lab:
    """The guests of one topology. `start` boots them all; `close` leaves nothing of them, and never raises."""

    def __init__(
        self,
        settings: Settings,
        machines: Mapping[str, Machine],
        *,
        listener: Listener,
        console_path: Callable[[str], Path],
        boot_s: float = BOOT_S,
    ) -> None:
        self._settings = settings
        self._machines = machines
        self._listener = listener
        self._console_path = console_path
        self._boot_s = boot_s
        self._state = StateDir(settings.state)
        self._stack = ExitStack()
        self._guests: dict[str, _Guest] = {}
        self._switches: dict[str, VdeSwitch] = {}
        self._wires: list[Wire | UartLink] = []
        self._given_up = threading.Event()

    def start(self, topology: Topology) -> Site:
        """Boot every host of the topology and wait until each answers.

        Raises BootError, with the last console lines, if one does not come up; nothing is left running then.
        """
        try:
            run = self._stack.enter_context(self._state.open_run())
            self._stack.callback(self._destroy_all, run)
            connection = self._stack.enter_context(connected_to(self._settings.uri, self._state))
            for link in topology.links:
                switch = VdeSwitch(run.path / f"net-{link.name}")
                self._stack.callback(switch.close)
                self._switches[link.name] = switch
            if topology.shared_disk is not None:
                make_blank(run.path / SHARED, size=topology.shared_disk.size)
            for host in topology.hosts:
                self._create(topology, host, run, connection)
            return self._await_all(topology)
        except BaseException:
            self.close()
            raise

    def failure(self) -> Exception | None:
        """The first exception of a listener, if there was one."""
        return next((wire.error for wire in self._wires if wire.error is not None), None)

    def close(self) -> None:
        """End every guest, switch and socket, and remove the run's folder."""
        self._stack.close()

    def _create(self, topology: Topology, host: Host, run: RunDir, connection: Any) -> None:
        machine, keys = self._machines[host.name], keys_of(self._settings.state)
        seed = make_seed(topology, host, keys, vm_images() / "boot.sh", machine.modules, machine.own_modules)
        initrd = run.path / f"{host.name}.initrd"
        initrd.write_bytes(machine.kernel.initrd.read_bytes() + seed)
        console = BoundedFile(self._console_path(host.name), CONSOLE_LIMIT)
        self._stack.callback(console.close)
        early, heard, hello = bytearray(), threading.Event(), dict[str, Any]()
        name = host.name

        def on_console(data: bytes) -> None:
            console.write(data)
            if not heard.is_set():
                early.extend(data)
                del early[:-TAIL]
            self._listener.on_console(name, data)

        def on_record(record: dict[str, Any]) -> None:
            if "hello" in record:
                hello.update(record["hello"])
                heard.set()
            self._listener.on_record(name, record)

        wire = Wire(run.path / f"{name}.con", on_console)
        self._stack.callback(wire.close)
        letterbox = Letterbox(run.path / f"{name}.box")
        link = UartLink(run.path / f"{name}.uart", name, on_record, letterbox)
        self._stack.callback(link.close)
        self._wires += [wire, link]
        port = self._stack.enter_context(
            take_port(self._state, host.ssh_port) if host.ssh_port else port_lease(self._state)
        )
        echo_port = self._stack.enter_context(port_lease(self._state))
        spec = GuestSpec(
            name=f"harness-{run.name}-{name}",
            uuid=uuid4(),
            accelerator=machine.accelerator,
            memory=host.memory,
            cpus=host.cpus,
            kernel=machine.kernel.vmlinuz,
            initrd=initrd,
            cmdline=f"{CMDLINE} {host.cmdline}".strip(),
            disks=_make_disks(topology, host, run, machine),
            wires=(wire.path, link.path),
            nics=self._nics(topology, host, port, echo_port),
            devices=tuple(letterbox.device),
        )
        # Noted before it exists: a harness that is killed in between leaves a note too many, never one too few.
        run.record_domain(uri=self._settings.uri, uuid=str(spec.uuid))
        driver = LibvirtGuest(connection, spec, wire.send)
        address = SshAddress(host=name, port=port, key_file=keys.client_file, host_key=keys.host_public)
        shells = (FabricShell(address), FabricShell(address))
        for shell in shells:
            self._stack.callback(shell.close)
        self._guests[name] = _Guest(host, driver, link, shells, console, echo_port, hello, heard, early)

    def _nics(self, topology: Topology, host: Host, port: int, echo_port: int) -> tuple[Nic, ...]:
        # restrict: the guest reaches nothing outside; only what is forwarded from the loopback address gets in.
        management = (
            f"user,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22,"
            f"hostfwd=tcp:127.0.0.1:{echo_port}-10.0.2.15:{AGENT_PORT}"
        )
        number = topology.hosts.index(host)
        nics = [Nic(name=MANAGEMENT, mac=f"52:54:00:68:00:{number:02x}", netdev=management)]
        for card in interfaces(topology, host)[1:]:
            mac = f"52:54:00:68:{len(nics):02x}:{number:02x}"
            nics.append(Nic(name=card.link, mac=mac, netdev=f"vde,sock={self._switches[card.link].socket}"))
        return tuple(nics)

    def _await_all(self, topology: Topology) -> Site:
        deadline = Deadline.after(self._boot_s)
        with ThreadPoolExecutor(len(self._guests)) as pool:
            waits = [pool.submit(self._await, topology, guest, deadline) for guest in self._guests.values()]
            try:
                for wait in as_completed(waits):
                    wait.result()
            except BaseException:
                self._given_up.set()  # or the pool would wait for guests that nobody wants any more
                raise
        targets = [wait.result() for wait in waits]
        return Site(topology=topology, targets={target.name: target for target in targets})

    def _await(self, topology: Topology, guest: _Guest, deadline: Deadline) -> Target:
        while not guest.heard.wait(0.1):
            if PANIC in guest.early:
                time.sleep(PANIC_S)
                raise self._boot_error(guest, "its kernel panicked before it was ready")
            state = guest.driver.state().state
            if state not in ("running", "paused"):
                raise self._boot_error(guest, f"it went {state} before it was ready")
            if deadline.passed or self._given_up.is_set():
                raise self._boot_error(guest, f"it was not ready within {self._boot_s:.0f} s")
        self._log_in(guest, deadline)
        if b"harness-boot: cannot" in guest.early:
            raise self._boot_error(guest, "its boot script failed")
        hello = guest.hello
        return Target(
            host=guest.host,
            shell=guest.shells[0],
            probe_shell=guest.shells[1],
            agent=guest.link,
            hypervisor=guest.driver,
            echo=("127.0.0.1", guest.echo_port),
            memory=int(hello["memory_kib"]) * 1024,
            cpus=int(hello["cpus"]),
            slowdown=round(float(hello["calibration_s"]) / own_speed(), 2),
            kernel=str(hello["kernel"]),
            peers=tuple(peers(topology, guest.host)),
        )

    def _log_in(self, guest: _Guest, deadline: Deadline) -> None:
        while True:
            try:
                guest.shells[0].run("true", deadline=deadline.within(LOGIN_S))
                return
            except InfraError as error:
                late = isinstance(error, DeadlineExceeded) and not deadline.passed
                if not late or self._given_up.is_set():
                    raise self._boot_error(guest, f"its agent is there, but SSH is not: {error}") from error

    def _boot_error(self, guest: _Guest, problem: str) -> BootError:
        tail = bytes(guest.early).decode("utf-8", "replace")
        return BootError(host=guest.host.name, problem=problem, console_tail="\n".join(tail.splitlines()[-12:]))

    def _destroy_all(self, run: RunDir) -> None:
        for guest in self._guests.values():
            guest.driver.destroy()
            if guest.driver.state().state == "gone":
                run.forget_domain(str(guest.driver.spec.uuid))


def _make_disks(topology: Topology, host: Host, run: RunDir, machine: Machine) -> tuple[Disk, ...]:
    overlay, scratch = run.path / f"{host.name}.qcow2", run.path / f"{host.name}.scratch"
    make_overlay(machine.image.path, overlay, size=host.disk)
    disks = [
        Disk(path=overlay, target="vda"),
        Disk(path=machine.kernel.modules_image, target="vdb", format="raw", readonly=True),
    ]
    if host.scratch:
        make_blank(scratch, size=host.scratch)
        disks.append(Disk(path=scratch, target="vdc", format="raw"))
    if topology.shared_disk is not None and host.name in topology.shared_disk.hosts:
        disks.append(Disk(path=run.path / SHARED, target="vdd", format="raw", serial=SHARED_SERIAL))
    return tuple(disks)


_own: list[float] = []


def own_speed() -> float:
    """Seconds that this machine takes for the work by which guests are measured; measured once a process."""
    if not _own:
        _own.append(calibrate())
    return _own[0]


def destroy_domains(run_path: Path, uri: str, uuids: list[str]) -> None:
    """End guests of a dead run that a libvirt daemon still runs; those of an embedded driver are plain processes."""
    if uri == EMBEDDED:
        return
    try:
        connection = connect(uri, run_path / "e")
    except HarnessError as error:
        raise InfraError(f"cannot look for guests of {run_path.name}: {error}") from error
    for domain in connection.listAllDomains():
        if domain.UUIDString() in uuids:
            domain.destroy()
    connection.close()
