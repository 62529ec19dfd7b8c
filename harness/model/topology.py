"""Hosts and how they are connected: facts only."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.owned_host import OwnedHost

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
SHARED_SERIAL = "harness-shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of a topology.

    `memory`, `disk` and `scratch` are in bytes. A `scratch` other than 0 is an additional blank disk, for storage that
    is made to fail. `modules` are paths of `.ko` files that replace the kernel's own modules of the same name, or names
    of variants in vm-images/modules/. `kernel` is a distribution's, or the path of a built tree, a boot image or a
    package. `modules_from` is the place of the modules of a bare boot image. `patches` are patch files; the modules
    that they touch are rebuilt.

    A host with `owned` is no guest but a machine that somebody owns: `memory`, `cpus`, `disk` and `scratch` say nothing
    of it, and its `kernel` may be `OWN_KERNEL`.
    """

    name: str
    memory: int
    cpus: int = 1
    disk: int = 2 * GIB
    scratch: int = 0
    kernel: str = "debian:12"
    cmdline: str = ""
    ssh_port: int | None = None
    modules: tuple[str, ...] = ()
    modules_from: str = ""
    patches: tuple[str, ...] = ()
    owned: OwnedHost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network segment that connects two or more hosts; every host gets an address of `subnet`.

    `switch` is the folder of a VDE switch of the owner's, to which guests are connected in place of one of their own:
    so a link has guests and physical hosts.
    """

    name: str
    hosts: tuple[str, ...]
    subnet: str = "10.77.0.0/24"
    switch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDisk:
    """A blank disk of `size` bytes that several hosts have at the same time.

    A guest finds it by its serial number (/sys/block/<disk>/serial), since its name depends on the other disks.
    """

    hosts: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Hosts by role, segments between them, and a shared disk, if any; `roles` maps a role to the name of a host."""

    name: str
    hosts: tuple[Host, ...]
    roles: dict[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    shared_disk: SharedDisk | None = None
    description: str = ""

    def host(self, name: str) -> Host:
        """The host called `name`; raises KeyError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    @property
    def memory(self) -> int:
        """Bytes of memory of all hosts together."""
        return sum(host.memory for host in self.hosts)
