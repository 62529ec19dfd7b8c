"""A guest of libvirt's QEMU driver, seen and acted upon from outside."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.drivers.libvirt.connection import libvirt_module
from harness.drivers.protocols import (
    Console,
    DiskThrottle,
    Keyboard,
    LinkControl,
    NmiInjector,
    Pausable,
    Power,
    Registers,
    VcpuAccounting,
    VcpuTimes,
    VmmProcess,
)
from harness.model.clock import Deadline
from harness.model.errors import BootError, InfraError, UsageError
from harness.model.power import PowerState

# Linux key codes of Alt, SysRq and the letters that sysrq takes (include/uapi/linux/input-event-codes.h).
KEY_LEFTALT, KEY_SYSRQ = 56, 99
KEY_CODES = dict(zip("qwertyuiop", range(16, 26), strict=True))
KEY_CODES |= dict(zip("asdfghjkl", range(30, 39), strict=True))
KEY_CODES |= dict(zip("zxcvbnm", range(44, 51), strict=True))

_TEMPLATES = Environment(
    loader=PackageLoader("harness.drivers.libvirt", "."), autoescape=True, undefined=StrictUndefined
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One disk of a guest: `name` is the word of its host ("root", "scratch"), `target` is libvirt's.

    A disk that is shared with other guests has a `serial`, by which guests find it.
    """

    name: str
    path: Path
    target: str
    format: str = "qcow2"
    readonly: bool = False
    serial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """One network card: `netdev` is QEMU's backend, without its id."""

    name: str
    mac: str
    netdev: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """Everything that defines one guest; `memory` in bytes."""

    name: str
    uuid: UUID
    accelerator: str
    memory: int
    cpus: int
    kernel: Path
    initrd: Path
    cmdline: str
    disks: tuple[Disk, ...]
    wires: tuple[Path, ...]
    nics: tuple[Nic, ...]
    devices: tuple[str, ...] = ()

    @property
    def possible_cpus(self) -> int:
        """The maximum number of processors that QEMU provides for: at least two under emulation.

        With a maximum of one, QEMU leaves out memory barriers and splits locked instructions in two, as if no other
        thread read the guest's memory. But its devices do: now and then the notification of a virtio queue is lost, and
        a network card stops sending (QEMU c914d46d0a64, v8.1, "tcg: Do not elide memory barriers for !CF_PARALLEL in
        system mode", for the half of it).
        """
        return self.cpus if self.accelerator == "kvm" else max(self.cpus, 2)

    @property
    def extra_arguments(self) -> list[str]:
        """Network cards as QEMU arguments; libvirt 9 can describe neither VDE nor a port forwarded by slirp."""
        arguments: list[str] = list(self.devices)
        for index, nic in enumerate(self.nics):
            # Fixed slots, so that the guest finds its cards in this order: eth0, eth1, …
            device = f"virtio-net-pci,netdev={nic.name},id=nic-{nic.name},mac={nic.mac},addr={0x10 + index:#x}"
            arguments += ["-netdev", f"{nic.netdev},id={nic.name}", "-device", device]
        return arguments


def kill_process(uuid: UUID) -> bool:
    """Kill the QEMU of this machine that runs the guest with that UUID; returns whether there was one."""
    for process in psutil.process_iter(["cmdline"]):
        argv = process.info["cmdline"] or []
        if "-uuid" in argv and str(uuid) in argv:
            process.kill()
            return True
    return False


@contextmanager
def killed_when_overdue(uuid: UUID, deadline: Deadline) -> Iterator[None]:
    """Kill a guest's QEMU if the body outlasts the deadline: libvirt itself waits for QEMU without bound."""
    timer = threading.Timer(deadline.remaining, kill_process, [uuid])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def domain_xml(spec: GuestSpec) -> str:
    """The libvirt description of a guest."""
    return _TEMPLATES.get_template("domain.xml.j2").render(guest=spec)


# What every guest offers: known before it is up.
OFFERS: frozenset[type] = frozenset(
    {
        *(Power, Console, Pausable, LinkControl, DiskThrottle),
        *(NmiInjector, Registers, Keyboard, VcpuAccounting, VmmProcess),
    }
)


class LibvirtGuest:
    """A running guest: its power, and every capability but the console (`console`), as described in `protocols`.

    It boots, or resumes the guest that was saved in the image `saved`.
    """

    source = "libvirt"
    period_s = 1.0

    def __init__(
        self, connection: Any, spec: GuestSpec, send_console: Callable[[bytes], None], *, saved: Path | None = None
    ) -> None:
        self._libvirt = libvirt_module()
        self._connection = connection
        self._lock = threading.Lock()
        self._stuck: threading.Thread | None = None
        self.spec = spec
        self.console = GuestConsole(self, send_console)
        try:
            if saved is None:
                self._domain = connection.createXML(domain_xml(spec), 0)
            else:
                connection.restore(str(saved))
                self._domain = connection.lookupByUUIDString(str(spec.uuid))
        except self._libvirt.libvirtError as error:
            verb = "start" if saved is None else "restore"
            raise BootError(host=spec.name, problem=f"libvirt cannot {verb} it: {error}") from error

    def save(self, image: Path, deadline: Deadline) -> None:
        """Write the guest's present state to a file, and end the guest; raises InfraError."""
        with killed_when_overdue(self.spec.uuid, deadline):
            self._act(lambda: self._domain.save(str(image)))

    def state(self, *, deadline: Deadline) -> PowerState:
        """See `Power.state`."""
        # libvirt has no deadlines. While an earlier query is unanswered, no other is sent.
        if (stuck := self._stuck) is not None:
            stuck.join(max(0.0, deadline.remaining))
            if stuck.is_alive():
                return PowerState.UNKNOWN
        answers: list[PowerState] = []
        asking = threading.Thread(target=lambda: answers.append(self._ask_state()), daemon=True)
        asking.start()
        asking.join(max(0.0, deadline.remaining))
        self._stuck = asking if asking.is_alive() else None
        return answers[0] if answers else PowerState.UNKNOWN

    def _ask_state(self) -> PowerState:
        libvirt = self._libvirt
        states = {
            libvirt.VIR_DOMAIN_RUNNING: PowerState.ON,
            libvirt.VIR_DOMAIN_BLOCKED: PowerState.ON,
            libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
            libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
            libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.OFF,
            libvirt.VIR_DOMAIN_SHUTOFF: PowerState.OFF,
        }
        try:
            return states.get(self._domain.info()[0], PowerState.UNKNOWN)
        except libvirt.libvirtError as error:
            return PowerState.GONE if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN else PowerState.UNKNOWN

    def off(self, *, deadline: Deadline) -> None:
        """See `Power.off`: the guest is gone then; libvirt forgets a guest that was started for a trial."""
        with killed_when_overdue(self.spec.uuid, deadline), contextlib.suppress(self._libvirt.libvirtError):
            self._domain.destroy()

    def cycle(self, *, deadline: Deadline) -> None:
        """Raises InfraError, see `Power.cycle`: libvirt and this host drop the guest when it ends.

        A reset does not help: the guest ends with its first reboot (`on_reboot`), and a freshly booted one would have
        no identity.
        """
        raise InfraError(f"{self.spec.name}: a guest is not started a second time; take it down and bring up another")

    def vcpu_times(self) -> VcpuTimes:
        """See `VcpuAccounting.vcpu_times`; a processor's `delay` is there since libvirt 8.2."""
        libvirt = self._libvirt
        # Waits for no job: the figures come from the schedstat of QEMU's threads, so QEMU itself need not answer.
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        groups = libvirt.VIR_DOMAIN_STATS_VCPU
        try:
            cpu_ns = self._domain.info()[4]
            reported = self._connection.domainListGetStats([self._domain], groups, flags)
        except libvirt.libvirtError as error:
            raise InfraError(f"{self.spec.name}: {error}") from error
        if not reported:  # libvirt leaves out a guest that ended since it was looked up, without an error
            raise InfraError(f"{self.spec.name}: it is gone")
        ((_, stats),) = reported
        names = [(f"vcpu.{number}.time", f"vcpu.{number}.delay") for number in range(self.spec.cpus)]
        times = ((int(stats[ran]), int(stats[waited])) for ran, waited in names if ran in stats and waited in stats)
        return VcpuTimes(cpu_ns=cpu_ns, processors=tuple(times))

    def pause(self) -> None:
        """See `Pausable.pause`."""
        self._act(self._domain.suspend)

    def resume(self) -> None:
        """See `Pausable.resume`."""
        self._act(self._domain.resume)

    def set_link(self, name: str, *, up: bool) -> None:
        """See `LinkControl.set_link`."""
        self._qmp("set_link", name=name, up=up)

    def throttle(self, disk: str, bytes_per_s: int | None) -> None:
        """See `DiskThrottle.throttle`."""
        targets = {known.name: known.target for known in self.spec.disks if not known.readonly}
        if disk not in targets:
            raise UsageError(f"{self.spec.name} has no disk {disk!r}; its disks are: {', '.join(targets)}")
        limits = {self._libvirt.VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC: bytes_per_s or 0}
        self._act(lambda: self._domain.setBlockIoTune(targets[disk], limits, self._libvirt.VIR_DOMAIN_AFFECT_LIVE))

    def inject_nmi(self) -> None:
        """See `NmiInjector.inject_nmi`."""
        self._act(lambda: self._domain.injectNMI(0))

    def send_sysrq(self, key: str) -> None:
        """See `Keyboard.send_sysrq`."""
        keys = [KEY_LEFTALT, KEY_SYSRQ, KEY_CODES[key]]
        self._act(lambda: self._domain.sendKey(self._libvirt.VIR_KEYCODE_SET_LINUX, 100, keys, len(keys), 0))

    def registers(self) -> str:
        """See `Registers.registers`."""
        return self._hmp("info registers -a")

    def break_console(self) -> None:
        """Send a break over the first serial port."""
        self._hmp("chardev-send-break charserial0")

    def kill(self) -> None:
        """See `VmmProcess.kill`."""
        if not kill_process(self.spec.uuid):
            raise InfraError(f"{self.spec.name}: no process of this machine runs it")

    def _hmp(self, command: str) -> str:
        import libvirt_qemu

        flag = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        return str(self._act(lambda: libvirt_qemu.qemuMonitorCommand(self._domain, command, flag)))

    def _qmp(self, command: str, **arguments: object) -> None:
        import libvirt_qemu

        text = json.dumps({"execute": command, "arguments": arguments})
        answer = self._act(lambda: libvirt_qemu.qemuMonitorCommand(self._domain, text, 0))
        if "error" in json.loads(str(answer)):
            raise InfraError(f"{self.spec.name}: QEMU refused {command}: {answer}")

    def _act(self, call: Callable[[], object]) -> object:
        try:
            with self._lock:
                return call()
        except self._libvirt.libvirtError as error:
            raise InfraError(f"{self.spec.name}: {error}") from error


class GuestConsole:
    """The first serial port of a guest, see `protocols.Console`: bytes go over its socket, a break through QEMU."""

    def __init__(self, guest: LibvirtGuest, send: Callable[[bytes], None]) -> None:
        self._guest = guest
        self.send = send

    def send_break(self, key: str) -> None:
        """See `Console.send_break`."""
        self._guest.break_console()
        self.send(key.encode())
