"""Storage under test by short name, with default settings, for `harness up --storage`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from harness.model.errors import UsageError
from harness.model.topology import Topology
from harness.site.needs import needs_of, together
from harness.storage.aoe import AoeDisk
from harness.storage.base import Storage
from harness.storage.ganesha import GaneshaDisk
from harness.storage.iscsi import IscsiDisk
from harness.storage.nbd import NbdDisk, NbdSwap
from harness.storage.nfs import NfsDisk
from harness.storage.nvme_tcp import NvmeTcpDisk
from harness.storage.smb import SmbDisk
from harness.storage.swap import Swap

ROLES = ("client", "server")
STORAGES: Mapping[str, Callable[[], Storage]] = {
    "aoe": AoeDisk,
    "aoe-swap": lambda: Swap(on=AoeDisk(ratio=2.0, deadsecs_s=None)),
    "ganesha": GaneshaDisk,
    "iscsi": IscsiDisk,
    "iscsi-swap": lambda: Swap(on=IscsiDisk(ratio=2.0, replacement_timeout_s=None)),
    "nbd": NbdDisk,
    "nbd-swap": lambda: NbdSwap(ratio=2.0),
    "nfs": NfsDisk,
    "nfs3": lambda: NfsDisk(version="3"),
    "nvme-tcp": NvmeTcpDisk,
    "nvme-tcp-swap": lambda: Swap(on=NvmeTcpDisk(ratio=2.0, ctrl_loss_s=None)),
    "smb": SmbDisk,
}


def storage_of(name: str, topology: Topology) -> Storage:
    """The storage called `name`.

    Raises UsageError for an unknown name (with the known ones), and for a topology without a client and a server that
    can reach each other.
    """
    if name not in STORAGES:
        close = get_close_matches(name, STORAGES, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"--storage: no storage {name!r}{hint}; there are: {', '.join(STORAGES)}")
    for role in ROLES:
        if role not in topology.roles:
            known = ", ".join(sorted(topology.roles))
            problem = f"--storage {name} needs the role {role!r}; topology {topology.name!r} has: {known}"
            raise UsageError(problem)
    ends = {topology.roles[role] for role in ROLES}
    if len(ends) > 1 and not any(ends <= set(link.hosts) for link in topology.links):
        raise UsageError(
            f"--storage {name}: topology {topology.name!r} has no link between {' and '.join(sorted(ends))}"
        )
    return STORAGES[name]()


def kernel_needs(storage: Storage | None, topology: Topology) -> Mapping[str, tuple[str, ...]]:
    """By host: modules and options that its kernel needs for the storage."""
    by_role = needs_of(storage, topology)
    return together(*({topology.roles[role]: names} for role, names in by_role.items()))


def place_of(storage: Storage) -> str:
    """The storage's place on the client for a load: a device, a file, or the swap device."""
    on = storage.on if isinstance(storage, Swap) else storage
    if isinstance(on, NbdSwap):
        return f"/dev/{on.device}"
    return str(getattr(on, "path", ""))
