"""Swap on another storage under test: a block device, or a file that the kernel can swap to (NFS)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.capabilities import Capabilities, required_by
from harness.site.needs import Needs, needs_of, together
from harness.site.target import Site
from harness.storage.base import ServedBy, Storage, StorageProbe, pages_per_second


class Writable(Storage, Protocol):
    """A storage of the role `client` with a path that can be written."""

    @property
    def client(self) -> str:
        """The role that uses the storage."""

    @property
    def path(self) -> str:
        """A block device, or the path of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Swap on the storage `on`: on all of a block device, or on a file of `ratio` × the client's memory.

    Swap is switched on after the baseline measurement. The client has no other swap.
    """

    on: Writable
    ratio: float = 1.0

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"swap on {self.on.describe()}"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return self.on.protocol

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return self.on.served_by(topology)

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return self.on.critical_tasks

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return self.on.bound_s

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return required_by(self.on)

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return together(needs_of(self.on, topology), {self.on.client: ("CONFIG_SWAP",)})

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises InfraError or ShellError if the server has no room for the file."""
        probe = self.on.set_up(site)
        size = int(site.role(self.on.client).facts.memory * self.ratio) // MIB * MIB
        # A swap file has no holes; if the file system cannot allocate, it has to be written.
        fill = f"fallocate -l {size} {self.on.path} || dd if=/dev/zero of={self.on.path} bs=1M count={size // MIB}"
        site.role(self.on.client).shell.run(
            f"swapoff -a; [ -b {self.on.path} ] || {{ {fill}; }}", deadline=site.deadline(60)
        )
        # The kernel refuses writes to a swap device; a read is like a page-in.
        return replace(probe, spec={**probe.spec, "write": probe.spec["path"] != self.on.path})

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`; writes and reads past the page cache, then switches swap on."""
        client, path = site.role(self.on.client), self.on.path
        copies = (f"dd if=/dev/zero of={path} oflag=direct", f"dd if={path} of=/dev/null iflag=direct")
        pages = pages_per_second(client, site, *copies)
        client.shell.run(f"chmod 600 {path}; mkswap {path} >/dev/null && swapon {path}", deadline=site.deadline(10))
        return pages

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        client = site.role(self.on.client)
        try:
            client.shell.run(
                f"! grep -q ^/ /proc/swaps || swapoff {self.on.path}", deadline=site.deadline(30), check=False
            )
        finally:
            self.on.tear_down(site)
