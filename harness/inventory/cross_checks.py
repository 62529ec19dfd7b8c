"""Checks of whether the values of an inventory file fit together, and fit this machine.

These checks read the document as it was parsed, not the validated tables, so that a wrong value in one place does not
hide a wrong name in another. Values of the wrong shape are skipped here: `schema` reports them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from harness.inventory import owned_checks
from harness.inventory.diagnostics import Loc, Problem, names, nearest, shown
from harness.inventory.owned_checks import PHYSICAL
from harness.inventory.schema import as_subnet
from harness.inventory.values import is_kernel_file, is_module_file, is_variant
from harness.model.sizes import format_size, parse_size

_DEFAULT_SUBNET = "10.77.0.0/24"

Table = Mapping[str, Any]
Entries = Sequence[tuple[Loc, Table]]
Reserved = Mapping[ipaddress.IPv4Network, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits for the values of an inventory.

    `machine_memory` is the memory of this machine, in bytes; `reserved` maps networks that no link may overlap to their
    users.
    """

    machine_memory: int
    reserved: Reserved = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Topology:
    loc: Loc
    table: Table
    known: list[str]

    @property
    def roles(self) -> dict[str, str]:
        roles = self.table.get("roles")
        return {k: v for k, v in roles.items() if isinstance(v, str)} if isinstance(roles, dict) else {}

    @property
    def links(self) -> Entries:
        return [((*self.loc, "links", i), link) for i, link in _tables(self.table, "links")]


def check(document: Table, *, folder: Path, limits: Limits, variants: Sequence[str] | None = None) -> Iterator[Problem]:
    """All problems of the document.

    `folder` is where relative paths start, `variants` are the known module variants, None if they are unknown.
    """
    hosts: Entries = [(("host", i), host) for i, host in _tables(document, "host")]
    known = list(dict.fromkeys(host["name"] for _, host in hosts if isinstance(host.get("name"), str)))
    topologies = [_Topology(("topology", i), table, known) for i, table in _tables(document, "topology")]
    for key in ("host", "topology"):
        if document.get(key) == []:
            yield Problem(loc=(key,), problem="is empty", hint=f"add a [[{key}]]")
    yield from _duplicates(hosts, "name")
    yield from _duplicates(hosts, "ssh_port")
    yield from _duplicates([(topology.loc, topology.table) for topology in topologies], "name")
    for loc, host in hosts:
        yield from _files(loc, host, folder)
        yield from _variants(loc, host, variants)
        if host.get("kind") != PHYSICAL:
            yield from _host_memory(loc, host, limits.machine_memory)
    yield from owned_checks.check(hosts, folder)
    sizes = {host["name"]: _memory(host) for _, host in hosts if isinstance(host.get("name"), str)}
    for topology in topologies:
        yield from _roles(topology)
        yield from _topology_memory(topology, sizes, limits.machine_memory)
        yield from _links(topology, limits.reserved)
        yield from owned_checks.links(topology.links, {str(host.get("name")): host for _, host in hosts})
        yield from _shared_disk(topology)


def _tables(table: Table, key: str) -> Iterator[tuple[int, Table]]:
    value = table.get(key)
    if isinstance(value, list):
        yield from ((i, entry) for i, entry in enumerate(value) if isinstance(entry, dict))


def _duplicates(entries: Entries, key: str) -> Iterator[Problem]:
    first: dict[str | int, Loc] = {}
    for loc, table in entries:
        value = table.get(key)
        if not isinstance(value, str | int):
            continue
        if value in first:
            problem = f"{shown(value)} is taken by {first[value][-2]}[{first[value][-1]}]"
            yield Problem(loc=(*loc, key), problem=problem, hint="each needs its own")
        first.setdefault(value, loc)


def _modules(loc: Loc, host: Table) -> list[tuple[Loc, str]]:
    modules = host.get("modules")
    entries = enumerate(modules) if isinstance(modules, list) else []
    return [((*loc, "modules", i), module) for i, module in entries if isinstance(module, str)]


def _variants(loc: Loc, host: Table, known: Sequence[str] | None) -> Iterator[Problem]:
    for place, name in _modules(loc, host):
        if known is not None and is_variant(name) and name not in known:
            hint = nearest(name, known, plural="variants")
            yield Problem(loc=place, problem=f"no module variant {shown(name)}", hint=hint)


def _files(loc: Loc, host: Table, folder: Path) -> Iterator[Problem]:
    files = [(place, module, _is_file) for place, module in _modules(loc, host) if is_module_file(module)]
    kernel = host.get("kernel")
    if isinstance(kernel, str) and is_kernel_file(kernel):
        files.append(((*loc, "kernel"), kernel, _is_there))  # a built tree is a folder
    for place, name, is_right in files:
        if not is_right(folder / name):
            hint = "paths start at the inventory's own folder"
            yield Problem(loc=place, problem=f"there is no file {shown(name)}", hint=hint)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _memory(host: Table) -> int | None:
    try:
        return parse_size(str(host.get("memory")))
    except ValueError:
        return None


def _host_memory(loc: Loc, host: Table, machine_memory: int) -> Iterator[Problem]:
    size = _memory(host)
    if size is not None and size > machine_memory:
        problem = f"{format_size(size)} is more than this machine has ({format_size(machine_memory)})"
        yield Problem(loc=(*loc, "memory"), problem=problem, hint="give it less, or use a larger machine")


def _topology_memory(topology: _Topology, sizes: dict[str, int | None], machine_memory: int) -> Iterator[Problem]:
    used = [sizes.get(host) or 0 for host in dict.fromkeys(topology.roles.values())]
    if sum(used) > machine_memory >= max(used, default=0):
        total, machine = format_size(sum(used)), format_size(machine_memory)
        problem = f"its hosts need {total} together, this machine has {machine}"
        yield Problem(loc=topology.loc, problem=problem, hint="give its hosts less, or use a larger machine")


def _roles(topology: _Topology) -> Iterator[Problem]:
    if topology.table.get("roles") == {}:
        hint = 'name one, such as roles = { client = "small" }'
        yield Problem(loc=(*topology.loc, "roles"), problem="a topology needs a role", hint=hint)
    for role, host in topology.roles.items():
        if host not in topology.known:
            hint = nearest(host, topology.known, plural="hosts")
            yield Problem(loc=(*topology.loc, "roles", role), problem=f"no host {shown(host)}", hint=hint)


def _links(topology: _Topology, reserved: Reserved) -> Iterator[Problem]:
    yield from _duplicates(topology.links, "name")
    for loc, link in topology.links:
        hosts = link.get("hosts")
        if isinstance(hosts, list):
            yield from _named_hosts(topology, (*loc, "hosts"), hosts, "a link to nowhere")
            yield from _subnet_size(loc, link, len(hosts))
    yield from _overlaps(topology, reserved)


def _shared_disk(topology: _Topology) -> Iterator[Problem]:
    disk = topology.table.get("shared_disk")
    if isinstance(disk, dict) and isinstance(disk.get("hosts"), list):
        yield from _named_hosts(
            topology, (*topology.loc, "shared_disk", "hosts"), disk["hosts"], "a disk that nobody shares"
        )


def _named_hosts(topology: _Topology, loc: Loc, hosts: list[Any], too_few: str) -> Iterator[Problem]:
    here = list(dict.fromkeys(topology.roles.values()))
    if len(hosts) < 2:
        hint = f"name two or more of: {names(here)}"
        yield Problem(loc=loc, problem=f"{too_few}: it has {len(hosts)} host(s)", hint=hint)
    for i, host in enumerate(hosts):
        if not isinstance(host, str):
            continue
        if host not in topology.known:
            hint = nearest(host, topology.known, plural="hosts")
            yield Problem(loc=(*loc, i), problem=f"no host {shown(host)}", hint=hint)
        elif host not in here and set(here) <= set(topology.known):  # else a misspelt role's host is the mistake
            hint = f"give it a role, or name one of: {names(here)}"
            yield Problem(loc=(*loc, i), problem=f"{shown(host)} has no role in this topology", hint=hint)
        if host in hosts[:i]:
            yield Problem(loc=(*loc, i), problem=f"{shown(host)} is named twice", hint="name each host once")


def _network(link: Table) -> ipaddress.IPv4Network | None:
    try:
        return as_subnet(str(link.get("subnet", _DEFAULT_SUBNET)))
    except ValueError:
        return None


def _subnet_size(loc: Loc, link: Table, hosts: int) -> Iterator[Problem]:
    network = _network(link)
    # the first address is the network's own, the last one is for broadcasts
    if network is not None and network.num_addresses - 2 < hosts:
        room = max(0, network.num_addresses - 2)
        problem = f"{network} is too small: room for {room} of {hosts} hosts"
        yield Problem(loc=(*loc, "subnet"), problem=problem, hint="use a /24")


def _overlaps(topology: _Topology, reserved: Reserved) -> Iterator[Problem]:
    subnets = [(loc, net) for loc, link in topology.links if (net := _network(link)) is not None]
    for loc, net in subnets:
        for taken, owner in reserved.items():
            if not net.overlaps(taken):
                continue
            problem = f"{net} overlaps {owner} {taken}"
            yield Problem(loc=(*loc, "subnet"), problem=problem, hint=f"use another, such as {_DEFAULT_SUBNET}")
    for (first, net), (loc, other) in combinations(subnets, 2):
        if net.overlaps(other):
            problem = f"{other} overlaps links[{first[-1]}] ({net})"
            yield Problem(loc=(*loc, "subnet"), problem=problem, hint="give each link a subnet of its own")
