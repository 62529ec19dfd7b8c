"""What a host says of its RDMA devices: adapters, ports, IPoIB interfaces, modules and where these are from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

RATE = re.compile(r"([\d.]+) Gb/sec(?: \((\d+)X(?: (\w+))?\))?")
DOWN = "DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class HcaPort:
    """A port of an adapter.

    `state` is that of its link (DOWN, INIT, ARMED, ACTIVE), `phys_state` that of its wires (LinkUp, Polling, Disabled).
    `rate` is as the kernel writes it. LIDs are 0 while no subnet manager has assigned one. `port_xmit_data` and
    `port_rcv_data` of `counters` are in units of four bytes. `netdevs` are its network interfaces.
    """

    number: int
    state: str
    phys_state: str
    link_layer: str
    rate: str
    lid: int
    sm_lid: int
    netdevs: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    hw_counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def gbps(self) -> float:
        """Its rate in Gb/s, 0 if it says none."""
        found = RATE.match(self.rate)
        return float(found[1]) if found else 0.0

    @property
    def width(self) -> int:
        """Its number of lanes, 0 if it says none."""
        found = RATE.match(self.rate)
        return int(found[2] or 0) if found else 0

    @property
    def speed(self) -> str:
        """The speed of a lane in the words of the trade: SDR, DDR, QDR …; the kernel calls SDR nothing at all."""
        found = RATE.match(self.rate)
        return (found[3] or ("SDR" if found[2] else "")) if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hca:
    """An RDMA device. `driver` is a module, "" for one in software; `pci` its address; `numa` -1 if it has no node.

    `link_speed` and `link_width` are those of its PCI link, beside what it could do at most.
    """

    name: str
    driver: str
    node_type: str
    board: str
    type: str
    firmware: str
    guid: str
    pci: str
    link_speed: str
    link_width: int
    max_link_speed: str
    max_link_width: int
    numa: int
    ports: tuple[HcaPort, ...]

    @property
    def protocol(self) -> str:
        """InfiniBand, RoCE or iWARP."""
        if self.node_type == "RNIC":
            return "iWARP"
        return "RoCE" if any(port.link_layer == "Ethernet" for port in self.ports) else "InfiniBand"

    @property
    def is_pci_slow(self) -> bool:
        """Whether its PCI link has fewer lanes than it could use, or slower ones."""
        narrow = 0 < self.link_width < self.max_link_width
        return narrow or _rate(self.link_speed) < _rate(self.max_link_speed)


def _rate(speed: str) -> float:
    """The number in a text such as `8.0 GT/s PCIe`; a text without one is no reason to complain."""
    found = re.match(r"[\d.]+", speed)
    return float(found[0]) if found else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IpoibInterface:
    """A network interface of type InfiniBand; `mode` is connected or datagram, `parent` that of a child of a partition.

    It is on `port` of `device`; "" and 0 if the kernel does not tell.
    """

    name: str
    mode: str
    mtu: int
    pkey: str
    parent: str
    device: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RdmaModule:
    """A loaded module of the RDMA stack."""

    name: str
    version: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RdmaFacts:
    """The RDMA devices of a host; `core` is the path of its ib_core below its folder of modules."""

    hcas: tuple[Hca, ...] = ()
    interfaces: tuple[IpoibInterface, ...] = ()
    modules: tuple[RdmaModule, ...] = ()
    core: str = ""
    compat: bool = False
    compat_version: str = ""

    @property
    def stack(self) -> str:
        """Whose drivers these are: the kernel's own (`inbox`), MLNX_OFED's, or others from outside of its tree."""
        if self.compat:
            return f"OFED {self.compat_version}".strip()
        if not self.core:
            return "unknown" if self.modules else "none"
        return "inbox" if self.core.startswith("kernel/") else f"out of tree: {self.core}"

    def device_of(self, interface: str) -> tuple[str, int]:
        """The device of a network interface and its port there; "" and 0 if it is none of RDMA."""
        for one in self.interfaces:
            if one.name == interface:
                return one.device, one.port
        for hca in self.hcas:
            for port in hca.ports:
                if interface in port.netdevs:
                    return hca.name, port.number
        return "", 0

    def hca(self, name: str) -> Hca | None:
        """The device with that name."""
        return next((one for one in self.hcas if one.name == name), None)

    def port(self, device: str, number: int) -> HcaPort | None:
        """A port of a device."""
        hca = self.hca(device)
        return next((one for one in hca.ports if one.number == number), None) if hca is not None else None

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RdmaFacts:
        """The facts of `to_dict`, or of guest/rdma.py; raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            hcas=tuple(_hca(one) for one in values["hcas"]),
            interfaces=tuple(
                IpoibInterface(**{**one, "mtu": int(one["mtu"]), "port": int(one["port"])})
                for one in values["interfaces"]
            ),
            modules=tuple(RdmaModule(**one) for one in values["modules"]),
            core=values["core"],
            compat=bool(values["compat"]),
            compat_version=values["compat_version"],
        )


def _hca(values: Mapping[str, Any]) -> Hca:
    numbers = {name: int(values[name]) for name in ("link_width", "max_link_width", "numa")}
    ports = tuple(_port(one) for one in values["ports"])
    return Hca(**{**values, **numbers, "ports": ports})


def _port(values: Mapping[str, Any]) -> HcaPort:
    numbers: dict[str, Any] = {name: int(values[name]) for name in ("number", "lid", "sm_lid")}
    numbers["netdevs"] = tuple(values["netdevs"])
    for group in ("counters", "hw_counters"):
        numbers[group] = {name: int(value) for name, value in values[group].items()}
    return HcaPort(**{**values, **numbers})
