"""Addresses of hosts, and what every guest brings along: a small archive behind the kernel's initramfs.

The kernel unpacks archives one after the other; vm-images/init.c finds this one under /seed. It has nothing in it that
makes one guest different from another of the same machine: that comes later (`identity`).
"""

from __future__ import annotations

import ipaddress
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.model.topology import Host, Topology
from harness.targets.cpio import make_cpio
from harness.targets.keys import make_key

AGENT = Path(__file__).parent.parent / "agent" / "agent.py"
SEED = "/run/harness"  # where vm-images/init.c leaves the archive
MANAGEMENT_ADDRESS = "10.0.2.15/24"  # what QEMU's user-mode network forwards to


@dataclass(frozen=True, slots=True)
class Interface:
    """One network card inside a guest; `link` is "" for the management network."""

    name: str
    link: str
    address: str


def address_of(topology: Topology, link: str, host: str) -> str:
    """The address of a host on a segment, such as 10.77.0.1."""
    segment = next(segment for segment in topology.links if segment.name == link)
    network = ipaddress.ip_network(segment.subnet)
    return str(network[1 + segment.hosts.index(host)])


def interfaces(topology: Topology, host: Host) -> list[Interface]:
    """The cards of a host: management first, then one a segment, in the order of the topology."""
    cards = [Interface("eth0", "", MANAGEMENT_ADDRESS)]
    for segment in topology.links:
        if host.name in segment.hosts:
            prefix = ipaddress.ip_network(segment.subnet).prefixlen
            address = f"{address_of(topology, segment.name, host.name)}/{prefix}"
            cards.append(Interface(f"eth{len(cards)}", segment.name, address))
    return cards


def peers(topology: Topology, host: Host) -> list[str]:
    """Addresses of all other hosts that share a segment with this one."""
    return [
        address_of(topology, segment.name, other)
        for segment in topology.links
        if host.name in segment.hosts
        for other in segment.hosts
        if other != host.name
    ]


def own_module_path(name: str) -> str:
    """Where a module of our own lies in a guest, for insmod."""
    return f"{SEED}/modules/{name}.ko"


def _packed(path: str, file: Path) -> bytes:
    """The replacement in the form in which the kernel's own module lies there."""
    data = file.read_bytes()
    # The kernel's own unpacker knows no other checksum (lib/decompress_unxz.c).
    return lzma.compress(data, check=lzma.CHECK_CRC32) if path.endswith(".xz") else data


def make_seed(boot_script: Path, modules: Mapping[str, Path], own_modules: Mapping[str, Path]) -> bytes:
    """The archive of a guest.

    `modules`: path below /lib/modules/<release> → the file that replaces it there. `own_modules`: name → file of a
    module that only lies there, see `own_module_path`.
    """
    files: dict[str, bytes | Path] = {
        "agent.py": AGENT,
        "agent.json": b"{}",
        "boot.sh": boot_script,
        # Only for sshd to start with; nobody ever sees it.
        "ssh_host_ed25519_key": make_key()[0],
        "modules.map": "".join(f"{path} {Path(path).name}\n" for path in modules).encode(),
    }
    for path, file in modules.items():
        files[f"modules/{Path(path).name}"] = _packed(path, file)
    for name, file in own_modules.items():
        files[f"modules/{name}.ko"] = file
    return make_cpio({f"seed/{name}": data for name, data in files.items()}, {"seed/ssh_host_ed25519_key": 0o600})
