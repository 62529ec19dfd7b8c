"""Hosts and how they are connected: facts only."""

from __future__ import annotations

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
SHARED_SERIAL = "harness-shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of a topology.

    `memory`, `disk` and `scratch` are in bytes; a `scratch` other than 0 is a blank disk of its own, for storage that
    is made to fail. `modules` are paths of `.ko` files that replace the kernel's own modules of
    the same name, or names of variants that vm-images/modules/ knows. `kernel` is a distribution's, or the path of a
    built tree, a boot image or a package; `modules_from` where a bare boot image has its modules, `patches` files of
    which the touched modules are built.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network segment that connects two or more hosts; every host gets an address of `subnet`."""

    name: str
    hosts: tuple[str, ...]
    subnet: str = "10.77.0.0/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDisk:
    """A blank disk of `size` bytes that several hosts have at the same time.

    A guest knows it by its serial number (/sys/block/<disk>/serial): its name depends on which disks there are besides.
    """

    hosts: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Hosts by role, the segments between them, a disk that some share; `roles` maps a role to the name of a host."""

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
