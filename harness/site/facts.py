"""Facts of a live host: measured or declared, never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.fabric.known_bad import Suspect

MANAGEMENT = "mgmt"  # the link over which the harness itself reaches a host
ROOT, SCRATCH, SHARED = "root", "scratch", "shared"
DISK_KEYS = {SCRATCH: 'scratch = "1 GiB"', SHARED: "shared_disk in its topology"}  # how the inventory gives a host one


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk of a host: `path` is its device there, `size` in bytes."""

    path: str
    size: int

    @property
    def kernel_name(self) -> str:
        """The kernel's name for it, below /sys/block."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of a host: `address` with its prefix, such as 10.77.0.1/24.

    Of an RDMA device, `device` is its name and `port` the port there, `rate` that of the port, such as 40 Gb/sec
    (4X QDR), and `mode` that of IPoIB, connected or datagram.
    """

    name: str
    address: str
    driver: str = ""
    device: str = ""
    port: int = 0
    rate: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Facts of one host.

    `memory` is the memory of its kernel in bytes, `kernel` the release. `slowdown` is how many times slower than this
    machine it is. `disks` are by purpose ("root", "scratch", "shared"), `interfaces` by link, "mgmt" among them.
    `disposable`: the host may be damaged without harm to anybody. `known_bad` is what is known of its RDMA hardware.
    """

    memory: int
    cpus: int
    kernel: str
    slowdown: float
    disks: Mapping[str, Disk]
    interfaces: Mapping[str, Interface]
    disposable: bool
    known_bad: tuple[Suspect, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON has them."""
        return {**asdict(self), "known_bad": [one.to_dict() for one in self.known_bad]}
