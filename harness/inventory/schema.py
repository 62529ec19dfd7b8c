"""The schema of an inventory file: its keys, and the valid values of each."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, ValidationError
from pydantic_core import ErrorDetails

from harness.inventory.diagnostics import Loc, Problem, names, nearest, shown
from harness.inventory.owned_checks import PHYSICAL
from harness.inventory.owned_schema import AgentTable, ConsoleTable, OwnedTable, PowerTable
from harness.inventory.values import (
    MOST_CPUS,
    Module,
    Name,
    Size,
    between,
    toml_type,
    valid_cmdline,
    valid_kernel,
    valid_memory,
    valid_size,
    wrong,
)
from harness.model.topology import GIB

_PRIVATE = tuple(ipaddress.IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

_EXAMPLES = {
    "host": "[[host]]",
    "topology": "[[topology]]",
    "name": 'name = "small"',
    "memory": 'memory = "256 MiB"',
    "roles": 'roles = { client = "small" }',
    "hosts": 'hosts = ["small", "storage"]',
    "size": 'size = "512 MiB"',
    "address": 'address = "192.0.2.11"',
    "host_key": 'host_key = "ssh-ed25519 AAAA…", as ssh-keyscan prints it',
}
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
GUEST = "guest"


def as_subnet(text: str) -> ipaddress.IPv4Network:
    """The network that a `subnet` names; raises ValueError if it names none."""
    return ipaddress.IPv4Network(text)


def _subnet(text: str) -> str:
    way_out = 'write an IPv4 network such as "10.77.0.0/24"'
    if "/" not in text:
        raise wrong(f"{shown(text)} is no network", way_out)
    try:
        network = ipaddress.IPv4Interface(text).network
    except ValueError as error:
        raise wrong(f"{shown(text)} is no IPv4 network", way_out) from error
    if not any(network.subnet_of(private) for private in _PRIVATE):
        ranges = ", ".join(str(private) for private in _PRIVATE)
        raise wrong(f"{shown(text)} is not private", f"choose one of: {ranges}")
    if text != str(network):
        raise wrong(f"{shown(text)} is not how its network is written", f'did you mean "{network}"?')
    return text


def _switch(text: str) -> str:
    if not text.startswith("/"):
        raise wrong(f"{shown(text)} is no absolute path", 'write such as "/run/vde/rack.ctl"')
    if "," in text or not text.isprintable():
        raise wrong(f"{shown(text)} has a comma or a control character, which QEMU cannot take", "choose another path")
    return text


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HostTable(_Table):
    """One `[[host]]` that is a guest."""

    name: Name
    kind: Literal["guest"] = "guest"
    memory: Annotated[int, AfterValidator(valid_memory), BeforeValidator(valid_size)]
    cpus: Annotated[int, AfterValidator(between(1, MOST_CPUS))] = 1
    disk: Size = 2 * GIB
    scratch: Size = 0
    kernel: Annotated[str, AfterValidator(valid_kernel)] = "debian:12"
    cmdline: Annotated[str, AfterValidator(valid_cmdline)] = ""
    ssh_port: Annotated[int, AfterValidator(between(1, 65535))] | None = None
    modules: list[Module] = []


class LinkTable(_Table):
    """One entry of a topology's `links`."""

    name: Name
    hosts: list[str]
    subnet: Annotated[str, AfterValidator(_subnet)] = "10.77.0.0/24"
    switch: Annotated[str, AfterValidator(_switch)] = ""


class SharedDiskTable(_Table):
    """A topology's `shared_disk`."""

    hosts: list[str]
    size: Size


class TopologyTable(_Table):
    """One `[[topology]]`; `cross_checks` has the rules for hosts that a role or a link names."""

    name: Name
    description: str = ""
    roles: dict[Name, str]
    links: list[LinkTable] = []
    shared_disk: SharedDiskTable | None = None


def kind_of(table: Any) -> str:
    """The kind of the table of a host; an unknown one is left to the guest's schema."""
    found = table.get("kind") if isinstance(table, dict) else getattr(table, "kind", None)
    return GUEST if found in (None, GUEST) else PHYSICAL


AnyHost = Annotated[
    Annotated[HostTable, Tag(GUEST)] | Annotated[OwnedTable, Tag(PHYSICAL)],
    Discriminator(kind_of),
]


class InventoryTables(_Table):
    """A whole file."""

    host: list[AnyHost]
    topology: list[TopologyTable] = []


_PARTS: dict[str, type[BaseModel]] = {
    "links": LinkTable,
    "shared_disk": SharedDiskTable,
    "power": PowerTable,
    "console": ConsoleTable,
    "over": ConsoleTable,
    "agent": AgentTable,
}
# Keys of a guest that a machine has by itself.
_OF_GUESTS = ("memory", "cpus", "disk", "ssh_port")


def parse(document: Mapping[str, Any]) -> InventoryTables | list[Problem]:
    """The tables of a document, or everything that is wrong with its keys and single values."""
    try:
        return InventoryTables.model_validate(dict(document))
    except ValidationError as error:
        details = error.errors(include_url=False)
        misspelt = {(*d["loc"][:-1], *_meant(d)) for d in details if d["type"] == "extra_forbidden"}
        # a misspelt key is one mistake: the intended key is not reported as missing as well
        return [_problem(d) for d in details if d["type"] != "missing" or d["loc"] not in misspelt]


def _meant(error: ErrorDetails) -> list[str]:
    loc = error["loc"]
    return difflib.get_close_matches(str(loc[-1]), _keys(loc[:-1]), n=1)


def _problem(error: ErrorDetails) -> Problem:
    loc = _place_of(error["loc"])
    kind, key = error["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        keys = _keys(error["loc"][:-1])
        if key in _OF_GUESTS and PHYSICAL in error["loc"]:
            hint = "it has what it has; the kernel of a run may be told mem= with cmdline"
            return Problem(loc=loc, problem="is a guest's, and this host is a machine", hint=hint)
        return Problem(loc=loc[:-1], problem=f"unknown key {shown(key)}", hint=nearest(key, keys, plural="keys"))
    if kind == "missing":
        return Problem(loc=loc, problem="is missing", hint=f"add {_EXAMPLES.get(key, key)}")
    if kind == "wrong":
        context = error["ctx"]
        return Problem(loc=loc, problem=str(context["problem"]), hint=str(context["hint"]))
    if kind == "literal_error" and key == "kind":
        return Problem(loc=loc, problem=f"{shown(error['input'])} is no kind of host", hint="it is guest or physical")
    return _wrong_type(loc, key, error)


def _place_of(loc: Loc) -> Loc:
    """The place in the file: without what pydantic adds for keys of tables, and for the kind of a host."""
    plain = tuple(step for step in loc if step != "[key]")
    return (*plain[:2], *plain[3:]) if plain[2:3] in ((GUEST,), (PHYSICAL,)) and plain[0] == "host" else plain


def _wrong_type(loc: Loc, key: str, error: ErrorDetails) -> Problem:
    expected = _EXPECTED.get(error["type"], "")
    if not expected:
        return Problem(loc=loc, problem=error["msg"], hint=f"the keys are: {names(_keys(loc[:-1]))}")
    example = _EXAMPLES.get(key)
    hint = f"write {example}" if example else f"write {expected}"
    return Problem(loc=loc, problem=f"must be {expected}, not {toml_type(error['input'])}", hint=hint)


def _keys(table: Loc) -> list[str]:
    model: type[BaseModel] = InventoryTables
    if table:
        model = TopologyTable if table[0] != "host" else OwnedTable if PHYSICAL in table[2:3] else HostTable
        model = next((_PARTS[str(part)] for part in reversed(table[2:]) if part in _PARTS), model)
    return list(model.model_fields)
