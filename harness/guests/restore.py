"""Starts guests from snapshots, and makes the snapshots that are missing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from harness.artifacts.cache import Cache
from harness.artifacts.cache_eviction import keep_within, remove
from harness.drivers.libvirt.disk_image import make_blank, make_overlay
from harness.drivers.libvirt.guest import Disk
from harness.drivers.libvirt.save_image import DamagedImage, Feeder, adapt
from harness.drivers.protocols import AgentLink
from harness.drivers.serial.bounded_file import BoundedFile
from harness.guests.guest import Guest
from harness.guests.guest_spec import Ground, Parts
from harness.guests.identity import nobody, template_of
from harness.guests.snapshots import (
    BUDGET,
    CONSOLE,
    DISK,
    IMAGE,
    KIND,
    Snapshot,
    key_of,
    taken,
    write_facts,
)
from harness.model.clock import Deadline
from harness.model.errors import BootError, HarnessError, InfraError
from harness.model.observe import Progress
from harness.site.facts import ROOT
from harness.site.provider import Deaf

# From the call of libvirt to an answer over SSH; 2 s under emulation on two busy processors.
RESTORE_S = 60.0
SETTLE_S = 60.0
CONNECTED = "01"  # include/net/tcp_states.h
CONSOLE_LIMIT = 1024 * 1024
# Puts programs that every trial soon uses into the page cache.
WARM_UP = "python3 -I -S -c pass; awk 1 /dev/null; ps >/dev/null; dd if=/dev/zero of=/dev/null count=1; sync"


class NotRestored(InfraError):
    """No guest could be started from a snapshot; a boot may still succeed."""


class Templates:
    """The snapshots from which the guests of one run are started."""

    def __init__(self, ground: Ground, notes: Progress, boot_s: float) -> None:
        self._ground, self._notes, self._boot_s = ground, notes, boot_s
        self._cache = Cache(ground.settings.cache, notes)

    def restore(self, parts: Parts, make_guest: Callable[[Parts], Guest]) -> Guest:
        """Start a guest from the snapshot for its kind, which is made first if there is none.

        Raises NotRestored after everything of that guest is removed; a faulty snapshot is removed too.
        """
        try:
            with ExitStack() as stack:
                key, build = self._key(parts), self._builder(parts)
                snapshot = stack.enter_context(taken(self._cache, key, build, memory=parts.host.memory))
                for entry in keep_within(self._cache, KIND, BUDGET):
                    self._notes.step(f"removed the snapshot {entry.name}: others were used later")
                try:
                    return self._start(snapshot, parts, make_guest)
                except (BootError, DamagedImage):
                    stack.close()
                    remove(self._cache, snapshot.entry)
                    raise
        except (HarnessError, OSError) as error:
            if self._ground.given_up.is_set():
                raise
            raise NotRestored(str(error).partition("\n")[0]) from error

    def _key(self, parts: Parts) -> dict[str, object]:
        version = int(self._ground.connection.getLibVersion())
        shared = sum(disk.path.stat().st_size for disk in parts.disks if disk.serial)
        return key_of(parts.host, parts.machine, cards=1 + len(parts.segments), shared=shared, libvirt=version)

    def _start(self, snapshot: Snapshot, parts: Parts, make_guest: Callable[[Parts], Guest]) -> Guest:
        overlay = parts.disks[0].path
        make_overlay(snapshot.disk, overlay, size=parts.host.disk)
        guest = make_guest(replace(parts, is_restored=True))
        try:
            self._feed(snapshot, guest, self._ground.run.path / f"{parts.label}.save")
        except BaseException:
            guest.close()
            overlay.unlink(missing_ok=True)
            raise
        self._notes.step(f"{parts.host.name}: restored as it was saved at {snapshot.saved}")
        return guest

    def _feed(self, snapshot: Snapshot, guest: Guest, pipe: Path) -> None:
        snapshot.check_disk()
        feeder = Feeder(snapshot.image, snapshot.image_crc, lambda xml: adapt(xml, guest.spec), pipe)
        try:
            guest.on_console(snapshot.console)
            guest.restore(pipe, Deadline.after(RESTORE_S))
        finally:
            feeder.finish()  # a damaged image explains more than libvirt's own error

    def _builder(self, parts: Parts) -> Callable[[Path], None]:
        def build(folder: Path) -> None:
            self._notes.step(f"{parts.host.name}: booting once, to be saved")
            self._save(parts, folder)

        return build

    def _save(self, parts: Parts, folder: Path) -> None:
        label = f"t-{parts.label}"
        template = replace(
            parts,
            host=replace(parts.host, ssh_port=None),
            identity=template_of(parts.identity),
            disks=self._template_disks(parts, folder, label),
            label=label,
        )
        make_overlay(parts.machine.image.path, folder / DISK, size=parts.host.disk)
        console = BoundedFile(folder / CONSOLE, CONSOLE_LIMIT)
        guest = Guest(self._ground, template, listener=Deaf(), console=console)
        try:
            guest.boot(Deadline.after(self._boot_s))
            deadline = Deadline.after(SETTLE_S)
            guest.shells[0].run(WARM_UP, deadline=deadline)
            guest.shells[0].close()
            _await_quiet(guest.link, deadline)
            nobody(template.identity).give(guest.link, deadline)
            guest.driver.save(folder / IMAGE, deadline)
        finally:
            guest.close()
            console.close()
        write_facts(folder)

    def _template_disks(self, parts: Parts, folder: Path, label: str) -> tuple[Disk, ...]:
        """The same disks, but other blank ones in place of blank ones."""

        def own(disk: Disk) -> Disk:
            if disk.name == ROOT:
                return replace(disk, path=folder / DISK)
            if disk.readonly:
                return disk
            path = self._ground.run.path / f"{label}.{disk.target}"
            make_blank(path, size=disk.path.stat().st_size)
            return replace(disk, path=path)

        return tuple(own(disk) for disk in parts.disks)


def _await_quiet(agent: AgentLink, deadline: Deadline) -> None:
    """Wait until no TCP connection is open: in every restored guest, it would wait for a peer that is gone."""
    while True:
        lines = agent.ask("read", path="/proc/net/tcp", deadline=deadline).splitlines()[1:]
        if not any(line.split()[3] == CONNECTED for line in lines):
            return
        deadline.clock.sleep(0.1)
