"""Which rows of cases an owned host could run, and in which role: what they need against what it has. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.drivers.protocols import Console, NmiInjector, Power
from harness.model.owned_host import OWN_KERNEL
from harness.model.topology import Host
from harness.physical.inspection import POSSIBLE, Inspection
from harness.physical.kexec_boot import INSTALLED
from harness.physical.offers import offers, owned

GUEST = "needs a guest"
# What the inventory of an owned host can add; all other capabilities are those of guests.
WAYS: Mapping[type, str] = {
    Power: "needs power",
    NmiInjector: "needs power over IPMI or Redfish",
    Console: "needs a console",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a row needs of the host that plays `roles`; `links` is their number.

    `own_kernel` and `own_modules`: the row names a kernel, or replaces modules.
    """

    roles: tuple[str, ...]
    capabilities: tuple[type, ...] = ()
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    links: int = 0
    scratch: bool = False
    shared_disk: bool = False
    own_kernel: bool = False
    own_modules: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a case, with a part for each host of its topology; `unknown` says why its needs are not known."""

    name: str
    parts: tuple[Part, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """What one host lacks, by row and by the roles that it would play there."""

    rows: Mapping[str, Mapping[str, tuple[str, ...]]]

    @property
    def runs(self) -> int:
        """The number of rows in which it can play a role."""
        return sum(() in parts.values() for parts in self.rows.values())

    @property
    def by_role(self) -> dict[str, int]:
        """The number of rows in which it can play each role."""
        roles = dict.fromkeys(role for parts in self.rows.values() for role in parts if role)
        return {role: sum(parts.get(role) == () for parts in self.rows.values()) for role in roles}

    @property
    def lacking(self) -> dict[str, int]:
        """What it lacks for the other rows, where it lacks least, with the number of rows; the most frequent first."""
        others = [min(parts.values(), key=len) for parts in self.rows.values() if () not in parts.values()]
        return dict(Counter(lack for lacks in others for lack in lacks).most_common())

    def lines(self) -> Iterator[tuple[str, str]]:
        """Headings and values for people."""
        others = "; ".join(f"{lack} {count}" for lack, count in self.lacking.items())
        yield "cases", f"{self.runs} of {len(self.rows)} rows" + (f"; the others lack: {others}" if others else "")
        for role, count in self.by_role.items():
            if count:
                yield f"as {role}", f"{count} of {len(self.rows)} rows"

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it, with every row."""
        rows = {name: {role: list(lacks) for role, lacks in parts.items()} for name, parts in self.rows.items()}
        return {"rows": len(rows), "runs": self.runs, "by_role": self.by_role, "lacking": self.lacking, "row": rows}


def wanted(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """The programs and the modules to look for on a host."""
    parts = [part for row in rows for part in row.parts]
    programs = {name for part in parts for name in part.programs}
    return sorted(programs), sorted({name for part in parts for name in part.modules})


def fitness(rows: Sequence[Row], host: Host, seen: Inspection) -> Fitness:
    """Put the host into each part of each row; the other hosts of the row are not judged."""
    return Fitness(
        rows={
            row.name: {" and ".join(part.roles): tuple(_lacks(part, host, seen)) for part in row.parts}
            or {"": (row.unknown,)}
            for row in rows
        }
    )


def _lacks(part: Part, host: Host, seen: Inspection) -> Iterator[str]:
    for capability in part.capabilities:
        if capability not in offers(host):
            yield f"{capability.__name__} ({WAYS.get(capability, GUEST)})"
    programs = seen.survey.programs if seen.survey is not None else ()
    yield from (f"program {name}" for name in part.programs if name not in programs)
    yield from _of_kernel(part, host, seen)
    has = len(owned(host).links)
    if has < part.links:
        yield f"link {has + 1} of {part.links}" if has else "a link"
    if part.scratch and not owned(host).scratch:
        yield "a scratch disk"
    if part.shared_disk:
        yield f"a shared disk ({GUEST})"


def _of_kernel(part: Part, host: Host, seen: Inspection) -> Iterator[str]:
    stays = host.kernel == OWN_KERNEL and not part.own_kernel
    if stays:
        yield from (f"module {name}" for name in part.modules if name in seen.no_modules)
    elif seen.kexec != POSSIBLE:
        yield "kexec"
    if part.own_modules and (stays or (host.kernel.startswith(INSTALLED) and not part.own_kernel)):
        yield "a kernel of the run, for its own modules"
