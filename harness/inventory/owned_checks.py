"""Checks of hosts that somebody owns: whether their values fit together, and fit the topologies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.inventory.diagnostics import Loc, Problem, names, shown

PHYSICAL = "physical"
OWN_KERNEL = "owner"
Entries = Sequence[tuple[Loc, Mapping[str, Any]]]


def check(hosts: Entries, folder: Path) -> Iterator[Problem]:
    """All problems of the hosts that are machines."""
    machines = [(loc, host) for loc, host in hosts if host.get("kind") == PHYSICAL]
    for loc, host in machines:
        yield from _files(loc, host, folder)
        yield from _console(loc, host)
        yield from _kernel(loc, host)
    yield from _twice(machines, ("address", "port", "jump"), lambda host: host, "address")
    yield from _twice(machines, ("address", "port", "system", "outlet"), lambda host: host.get("power"), "power")
    yield from _udp(machines)


def _files(loc: Loc, host: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    for keys, name in _named_files(host):
        try:
            found = (folder / Path(name).expanduser()).is_file()
        except (OSError, ValueError, RuntimeError):
            found = False
        if not found:
            hint = "paths start at the inventory's own folder, or at ~"
            yield Problem(loc=(*loc, *keys), problem=f"there is no file {shown(name)}", hint=hint)


def _named_files(host: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The files that a host names, with their keys."""
    power = host.get("power")
    password = power.get("password") if isinstance(power, dict) else None
    for keys, table in (
        (("identity",), host),
        (("power", "ca"), power),
        (("power", "password", "file"), password),
    ):
        if isinstance(table, dict) and isinstance(table.get(keys[-1]), str):
            yield keys, table[keys[-1]]


def _console(loc: Loc, host: Mapping[str, Any]) -> Iterator[Problem]:
    console, power = host.get("console"), host.get("power")
    if not isinstance(console, dict) or console.get("driver") != "ipmi-sol":
        return
    if not isinstance(power, dict) or power.get("driver") != "ipmi":
        hint = 'give it power = { driver = "ipmi", … }, or another console'
        yield Problem(loc=(*loc, "console"), problem="serial over LAN needs power over IPMI", hint=hint)


def _kernel(loc: Loc, host: Mapping[str, Any]) -> Iterator[Problem]:
    if host.get("modules") and host.get("kernel", OWN_KERNEL) == OWN_KERNEL:
        hint = 'give it a kernel of the run, such as kernel = "debian:12"'
        yield Problem(loc=(*loc, "modules"), problem="modules of the owner's kernel are not replaced", hint=hint)


def _twice(machines: Entries, keys: Sequence[str], part: Any, what: str) -> Iterator[Problem]:
    first: dict[tuple[str, ...], Loc] = {}
    for loc, host in machines:
        table = part(host)
        if not isinstance(table, dict) or not table.get("address"):
            continue
        value = tuple(str(table.get(key, "")) for key in keys)
        if value in first:
            problem = f"is that of host[{first[value][1]}]"
            yield Problem(loc=(*loc, what), problem=problem, hint="a machine is in an inventory once")
        first.setdefault(value, loc)


def _udp(machines: Entries) -> Iterator[Problem]:
    first: dict[int, Loc] = {}
    for loc, host in machines:
        agent = host.get("agent")
        port = agent.get("udp") if isinstance(agent, dict) else None
        if not isinstance(port, int):
            continue
        if port in first:
            problem = f"port {port} is that of host[{first[port][1]}]"
            yield Problem(loc=(*loc, "agent", "udp"), problem=problem, hint="give each agent a port of its own")
        first.setdefault(port, loc)


def links(entries: Entries, hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Links of a topology that its machines do not have, or that guests and machines cannot share."""
    yield from _one_switch(entries)
    for loc, link in entries:
        members = link.get("hosts")
        yield from _switch(loc, link, [hosts.get(str(name)) for name in members] if isinstance(members, list) else [])
        for index, name in enumerate(members if isinstance(members, list) else ()):
            host = hosts.get(str(name), {})
            if host.get("kind") != PHYSICAL:
                continue
            own = host.get("links")
            known = own if isinstance(own, dict) else {}
            if link.get("name") not in known:
                hint = f'its links are: {names(known)}; add one: links = {{ {link.get("name")} = "eth1" }}'
                problem = f"host {shown(name)} has no interface for this link"
                yield Problem(loc=(*loc, "hosts", index), problem=problem, hint=hint)


def _one_switch(entries: Entries) -> Iterator[Problem]:
    """A switch of two links is one network: Linux answers on either card for the address of the other."""
    first: dict[str, Loc] = {}
    for loc, link in entries:
        if switch := link.get("switch"):
            if str(switch) in first:
                problem = f"is that of links[{first[str(switch)][-1]}]"
                yield Problem(loc=(*loc, "switch"), problem=problem, hint="give each link a switch of its own")
            first.setdefault(str(switch), loc)


def _switch(loc: Loc, link: Mapping[str, Any], members: Sequence[Mapping[str, Any] | None]) -> Iterator[Problem]:
    """A link with hosts of both kinds without a switch that both are connected to, or a switch without a guest."""
    kinds = {PHYSICAL if host.get("kind") == PHYSICAL else "guest" for host in members if host is not None}
    if kinds == {PHYSICAL, "guest"} and not link.get("switch"):
        hint = 'name a VDE switch that is connected to its machines: switch = "/run/vde/rack.ctl"'
        yield Problem(loc=loc, problem="has guests and physical hosts, and nothing that connects them", hint=hint)
    if kinds == {PHYSICAL} and link.get("switch"):
        yield Problem(loc=(*loc, "switch"), problem="is for guests, and the link has none", hint="leave it out")
