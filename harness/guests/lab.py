"""Brings the hosts of a topology up as guests, restored or booted, and takes them down again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

from harness.drivers.libvirt.disk_image import make_blank, make_overlay
from harness.drivers.libvirt.guest import Disk
from harness.drivers.libvirt.vde import VdeSwitch
from harness.drivers.serial.bounded_file import BoundedFile
from harness.guests.boot_spec import Machine
from harness.guests.embedded_libvirt import connected_to
from harness.guests.guest import Guest, offers
from harness.guests.guest_spec import Ground, Parts
from harness.guests.identity import cards_of, identity_of
from harness.guests.keys import keys_of
from harness.guests.owed import switch_owed
from harness.guests.owners_switch import OwnersSwitch
from harness.guests.restore import NotRestored, Templates
from harness.guests.snapshots import is_wanted
from harness.model.clock import Deadline
from harness.model.observe import Progress, Silent
from harness.model.settings import Settings
from harness.model.topology import SHARED_SERIAL, Host, Link, Topology
from harness.site.facts import ROOT, SCRATCH, SHARED
from harness.site.provider import Listener
from harness.site.target import Site
from harness.state.obligations import owe
from harness.state.processes import meet_if_ended
from harness.state.state import RunDir, StateDir

__all__ = ["Lab"]

CONSOLE_LIMIT = 8 * 1024 * 1024
# A guest's speed is unknown before it has booted. Under emulation on two busy processors a boot takes 15 s.
BOOT_S = 240.0
SPEED_S = 60.0  # to measure how fast a guest is; a fifth of a second under emulation
SHARED_FILE = "shared.disk"
MODULES = "modules"  # the disk with the modules of its kernel


class Lab:
    """The guests of one topology. `start` brings them all up; `close` leaves nothing of them, and never raises."""

    def __init__(
        self,
        settings: Settings,
        machines: Mapping[str, Machine],
        *,
        listener: Listener,
        console_path: Callable[[str], Path],
        boot_s: float = BOOT_S,
        notes: Progress | None = None,
    ) -> None:
        self._settings = settings
        self._machines = machines
        self._listener = listener
        self._console_path = console_path
        self._boot_s = boot_s
        self._notes = notes or Silent()
        self._stack = ExitStack()
        self._guests: list[Guest] = []
        self._owners: list[OwnersSwitch] = []
        self._lock = threading.Lock()

    def start(self, topology: Topology) -> Site:
        """Bring every host of the topology up and wait until each answers.

        A guest is restored if one like it was booted before; if that fails, it is booted, which is noted. Raises
        BootError, with the last console lines, if a guest does not come up; nothing is left running then.
        """
        try:
            return self._start(topology)
        except BaseException:
            self.close()
            raise

    def _start(self, topology: Topology) -> Site:
        state = StateDir(self._settings.state)
        run = self._stack.enter_context(state.open_run())
        sockets: dict[str, Path] = {}
        connection = self._stack.enter_context(connected_to(self._settings.uri, state))
        for link in topology.links:
            sockets[link.name] = self._owners_switch(link) if link.switch else self._switch(run, f"net-{link.name}")
        if topology.shared_disk is not None:
            make_blank(run.path / SHARED_FILE, size=topology.shared_disk.size)
        keys = keys_of(self._settings.state)
        ground = Ground(settings=self._settings, run=run, connection=connection, sockets=sockets, keys=keys)
        templates = Templates(ground, self._notes, self._boot_s) if is_wanted(self._settings) else None
        guests = self._in_parallel(ground, topology, templates)
        offered = {host.name: offers(host) for host in topology.hosts}
        targets = [guest.target(offered, Deadline.after(SPEED_S)) for guest in guests]
        return Site(topology=topology, targets={target.name: target for target in targets}, failure=self._failure)

    def _switch(self, run: RunDir, folder: str) -> Path:
        owed = switch_owed(run.path, folder)
        owe(owed)
        self._stack.callback(meet_if_ended, owed)
        switch = VdeSwitch(run.path / folder)
        self._stack.callback(switch.close)
        return switch.socket

    def _owners_switch(self, link: Link) -> Path:
        switch = OwnersSwitch(link.name, Path(link.switch))
        self._stack.callback(switch.close)
        self._owners.append(switch)
        return switch.socket

    def _in_parallel(self, ground: Ground, topology: Topology, templates: Templates | None) -> list[Guest]:
        with ThreadPoolExecutor(len(topology.hosts)) as pool:
            waits = [pool.submit(self._bring_up, ground, topology, host, templates) for host in topology.hosts]
            try:
                for wait in as_completed(waits):
                    wait.result()
            except BaseException:
                ground.given_up.set()  # or the pool would wait for guests that are no longer needed
                raise
        return [wait.result() for wait in waits]

    def _bring_up(self, ground: Ground, topology: Topology, host: Host, templates: Templates | None) -> Guest:
        console = BoundedFile(self._console_path(host.name), CONSOLE_LIMIT)
        self._stack.callback(console.close)
        parts = Parts(
            host=host,
            machine=self._machines[host.name],
            identity=identity_of(topology, host, ground.keys.client_public),
            disks=_disks(topology, host, ground.run, self._machines[host.name]),
            segments=tuple(card.link for card in cards_of(topology, host)[1:]),
            label=host.name,
        )
        if templates is not None:
            try:
                return templates.restore(parts, lambda parts: self._guest(ground, parts, console))
            except NotRestored as error:
                self._notes.step(f"{host.name}: booted, since it could not be restored: {error}")
        make_overlay(parts.machine.image.path, parts.disks[0].path, size=host.disk)
        guest = self._guest(ground, parts, console)
        guest.boot(Deadline.after(self._boot_s))
        return guest

    def _guest(self, ground: Ground, parts: Parts, console: BoundedFile) -> Guest:
        guest = Guest(ground, parts, listener=self._listener, console=console)
        with self._lock:
            self._stack.callback(guest.close)
            self._guests.append(guest)
        return guest

    def _failure(self) -> Exception | None:
        failures = (*(guest.reader_error for guest in self._guests), *(switch.failure for switch in self._owners))
        return next((failure for failure in failures if failure is not None), None)

    def close(self) -> None:
        """End every guest, switch and socket, and remove the run's folder."""
        self._stack.close()


def _disks(topology: Topology, host: Host, run: RunDir, machine: Machine) -> tuple[Disk, ...]:
    """The disks of a guest; its root disk does not exist yet."""
    scratch = run.path / f"{host.name}.scratch"
    disks = [
        Disk(name=ROOT, path=run.path / f"{host.name}.qcow2", target="vda"),
        Disk(name=MODULES, path=machine.kernel.modules_image, target="vdb", format="raw", readonly=True),
    ]
    if host.scratch:
        make_blank(scratch, size=host.scratch)
        disks.append(Disk(name=SCRATCH, path=scratch, target="vdc", format="raw"))
    if topology.shared_disk is not None and host.name in topology.shared_disk.hosts:
        disks.append(Disk(name=SHARED, path=run.path / SHARED_FILE, target="vdd", format="raw", serial=SHARED_SERIAL))
    return tuple(disks)
