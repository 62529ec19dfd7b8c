"""Network drivers: one that allocates memory before it sends, and IPoIB's mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.drivers.protocols import Completed
from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.model.topology import Topology
from harness.site.addressing import own_module_path
from harness.site.facts import Interface
from harness.site.needs import Needs
from harness.site.target import Site, Target

VARIANT = "harness-net"
MODULE = "harness_net"
DEVICE = "harness0"
PARAMETERS = f"/sys/module/{MODULE}/parameters"
COUNTERS = ("rings", "failures", "longest_ms", "allocating_ms")
GFP = ("kernel", "noio", "memalloc_noio")
MODES = ("connected", "datagram")
ORDER_S = 15.0
PRESSURE = {"allocation stalls": 100, "rings allocated to send": 100}  # under pressure each measure is above this


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatingDriver:
    """The host that plays `role` sends on `link` through our module harness-net (vm-images/modules/harness-net).

    Before every `every`th packet the module's transmit path allocates a ring of `ring_kib` KiB with `gfp`: "kernel"
    (GFP_KERNEL), "noio" (GFP_NOIO) or "memalloc_noio" (GFP_KERNEL within memalloc_noio_save()). The host's address
    moves to the module's device, and back when the fault is healed. Use it as a tuning: existing connections would
    bypass it. The host must have the module: `modules=("harness-net",)`.
    """

    role: str
    link: str = "cluster"
    gfp: str = "kernel"
    every: int = 256  # a driver that allocates all the time is slow with any flag
    ring_kib: int = 64
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for parameters that the module would refuse."""
        if self.gfp not in GFP:
            raise UsageError(f"AllocatingDriver: no gfp {self.gfp!r}; there are: {', '.join(GFP)}")
        if self.every < 1 or self.ring_kib < 4:
            raise UsageError("AllocatingDriver: `every` is 1 or more, `ring_kib` 4 or more")

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} sends on {self.link} through a driver that allocates with {self.gfp}"

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.role: ("CONFIG_MODULES",)}

    def prepare(self, site: Site) -> None:
        """See `Prepared.prepare`; raises UsageError if the host lacks the module, or is not on the link."""
        target = site.role(self.role)
        if VARIANT not in site.topology.host(target.name).modules:
            raise UsageError(f"AllocatingDriver: host {target.name!r} has no module {VARIANT}; add it to its modules")
        target.interface(self.link)

    def inject(self, site: Site) -> None:
        """See `Fault.inject`; raises ShellError if loading the module fails."""
        target = site.role(self.role)
        card = target.interface(self.link)
        given = f"lower={card.name} gfp={self.gfp} every={self.every} ring_kib={self.ring_kib}"
        _run(
            site,
            target,
            f"insmod %s this_host_is_disposable=1 {given} && ip address delete %s dev {card.name} && "
            f"ip address add %s dev {DEVICE} && ip link set {DEVICE} up",
            own_module_path(MODULE),
            card.address,
            card.address,
        )
        paths = [f"{PARAMETERS}/{name}" for name in COUNTERS]
        target.agent.ask("open", paths=paths, deadline=site.deadline(ORDER_S))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`; also works after an injection that failed half-way."""
        target = site.role(self.role)
        card = target.interface(self.link)
        back = f"ip link set {DEVICE} down && rmmod {MODULE} && ip address replace %s dev {card.name}"
        _run(site, target, f"if test -d /sys/module/{MODULE}; then {back}; fi", card.address)

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: the module's counters, and the duration of an allocation under way."""
        target = site.role(self.role)
        rings, failures, longest, now = (_counter(site, target, name) for name in COUNTERS)
        return (
            Measure(name="rings allocated to send", value=rings, unit="1"),
            Measure(name="rings without memory", value=failures, unit="1"),
            Measure(name="longest allocation to send", value=max(longest, now) / 1000, unit="s"),
            Measure(name="allocation to send under way", value=now / 1000, unit="s"),
        )

    def unproven(self, measures: Mapping[str, Measure]) -> list[str]:
        """Measures too low for a survivor to prove anything: memory was not short, or nothing was sent."""
        figures = {name: int(measures[name].value) for name in PRESSURE}
        return [f"{name}: {value}" for name, value in figures.items() if value <= PRESSURE[name]]


@dataclass(frozen=True, slots=True, kw_only=True)
class IpoibMode:
    """IPoIB on the host that plays `role` works in `mode`, "connected" or "datagram", on `link`; a tuning.

    The driver of the adapter below is a measure. Only for hosts with InfiniBand: a guest's own cards have no mode.
    """

    role: str
    mode: str
    link: str = "cluster"
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a mode that IPoIB does not have."""
        if self.mode not in MODES:
            raise UsageError(f"IpoibMode: no mode {self.mode!r}; there are: {', '.join(MODES)}")

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"IPoIB of {self.role} on {self.link} in {self.mode} mode"

    def prepare(self, site: Site) -> None:
        """See `Prepared.prepare`: saves the current mode; raises InfraError if the card is not IPoIB."""
        target = site.role(self.role)
        card = target.interface(self.link)
        note = f"cp /sys/class/net/{card.name}/mode {self._saved(card)}"
        if _run(site, target, note, check=False).exit_code:
            raise InfraError(f"{target.name}: {card.name} has no mode; it is not IPoIB")

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        target = site.role(self.role)
        card = target.interface(self.link)
        _run(site, target, f"echo {self.mode} >/sys/class/net/{card.name}/mode")

    def heal(self, site: Site) -> None:
        """See `Fault.heal`: restores the saved mode."""
        target = site.role(self.role)
        card = target.interface(self.link)
        _run(site, target, f"cat {self._saved(card)} >/sys/class/net/{card.name}/mode")

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: the adapter's driver, such as mthca or mlx4_core, and IPoIB's mode."""
        target = site.role(self.role)
        card = target.interface(self.link)
        driver = _run(site, target, f"basename $(readlink -f /sys/class/net/{card.name}/device/driver)").stdout.strip()
        return (
            Measure(name="driver of the adapter", value=driver),
            Measure(name="mode of IPoIB", value=self.mode),
        )

    def _saved(self, card: Interface) -> str:
        return f"/run/harness/ipoib-mode-{card.name}"


def _run(site: Site, target: Target, command: str, *arguments: object, check: bool = True) -> Completed:
    return target.shell.run(command, *arguments, deadline=site.deadline(ORDER_S), check=check)


def _counter(site: Site, target: Target, name: str) -> int:
    text = target.agent.ask("read", path=f"{PARAMETERS}/{name}", deadline=site.deadline(ORDER_S))
    try:
        return int(text)
    except ValueError as error:
        raise InfraError(f"{target.name}: {MODULE} says {text[:80]!r} for {name}") from error
