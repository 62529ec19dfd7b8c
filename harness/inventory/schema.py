"""The schema of an inventory file: its keys, and the valid values of each."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from harness.inventory.diagnostics import Loc, Problem, names, nearest, shown
from harness.model.sizes import format_size, parse_size
from harness.model.topology import GIB, MIB

# A distribution's kernel with its modules does not boot in less; it panics while it unpacks its initrd.
SMALLEST_GUEST = 96 * MIB
# Without an interrupt remapper QEMU's x86 machines address 255 processors.
MOST_CPUS = 255

_NAME = re.compile(r"[a-z][a-z0-9-]{0,20}")
_VARIANT = re.compile(r"[a-z0-9-]+")
_DISTRIBUTION = re.compile(r"[a-z]+:[A-Za-z0-9][A-Za-z0-9.+~_-]*")
_PRIVATE = tuple(ipaddress.IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

_EXAMPLES = {
    "host": "[[host]]",
    "topology": "[[topology]]",
    "name": 'name = "small"',
    "memory": 'memory = "256 MiB"',
    "roles": 'roles = { client = "small" }',
    "hosts": 'hosts = ["small", "storage"]',
    "size": 'size = "512 MiB"',
}
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_TOML_TYPES = {
    bool: "a boolean",
    int: "a number",
    float: "a decimal fraction",
    str: "a string",
    list: "a list",
    dict: "a table",
}


def _wrong(problem: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{problem}", {"problem": problem, "hint": hint})


def is_module_file(module: str) -> bool:
    """Whether an entry of `modules` is a file, not the name of a variant."""
    return module.endswith(".ko")


def is_variant(module: str) -> bool:
    """Whether an entry of `modules` is the name of a variant."""
    return _VARIANT.fullmatch(module) is not None


def is_kernel_file(kernel: str) -> bool:
    """Whether a `kernel` is a file, not a distribution's."""
    return "/" in kernel


def as_subnet(text: str) -> ipaddress.IPv4Network:
    """The network that a `subnet` names; raises ValueError if it names none."""
    return ipaddress.IPv4Network(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        hint = "a name is a lower-case letter, then up to 20 lower-case letters, digits and hyphens"
        raise _wrong(f"{shown(text)} is no name", hint)
    return text


def _size(value: object) -> int:
    way_out = 'write a size with its unit, in quotes, such as "256 MiB" or "1.5 GiB"'
    if not isinstance(value, str):
        raise _wrong(f"must be a size in quotes, not {_toml_type(value)}", way_out)
    try:
        size = parse_size(value)
    except ValueError as error:
        raise _wrong(f"{shown(value)} {error}", way_out) from error
    if size % MIB or not size:
        raise _wrong(f"{shown(value)} is not a whole number of MiB", f'"{max(1, size // MIB)} MiB" is')
    return size


def _memory(size: int) -> int:
    if size < SMALLEST_GUEST:
        least = format_size(SMALLEST_GUEST)
        raise _wrong(f"{format_size(size)} is too little to boot a kernel", f"give it {least} or more")
    return size


def _between(low: int, high: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if not low <= value <= high:
            raise _wrong(f"{shown(value)} is out of range", f"it goes from {low} to {high}")
        return value

    return check


def _kernel(text: str) -> str:
    if _DISTRIBUTION.fullmatch(text) or (is_kernel_file(text) and text.isprintable()):
        return text
    hint = 'write a distribution\'s as "debian:12", a file with its folder as "./vmlinuz"'
    raise _wrong(f"{shown(text)} is neither a distribution's kernel nor a file", hint)


def _cmdline(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise _wrong("has characters that a kernel command line cannot carry", "use printable ASCII")
    return text


def _module(text: str) -> str:
    if is_variant(text) or (is_module_file(text) and text.isprintable()):
        return text
    hint = 'write a path that ends in ".ko", or a variant\'s name such as "nbd-no-memalloc"'
    raise _wrong(f"{shown(text)} is neither a module file nor the name of a variant", hint)


def _subnet(text: str) -> str:
    way_out = 'write an IPv4 network such as "10.77.0.0/24"'
    if "/" not in text:
        raise _wrong(f"{shown(text)} is no network", way_out)
    try:
        network = ipaddress.IPv4Interface(text).network
    except ValueError as error:
        raise _wrong(f"{shown(text)} is no IPv4 network", way_out) from error
    if not any(network.subnet_of(private) for private in _PRIVATE):
        ranges = ", ".join(str(private) for private in _PRIVATE)
        raise _wrong(f"{shown(text)} is not private", f"choose one of: {ranges}")
    if text != str(network):
        raise _wrong(f"{shown(text)} is not how its network is written", f'did you mean "{network}"?')
    return text


Name = Annotated[str, AfterValidator(_name)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HostTable(_Table):
    """One `[[host]]`."""

    name: Name
    memory: Annotated[int, AfterValidator(_memory), BeforeValidator(_size)]
    cpus: Annotated[int, AfterValidator(_between(1, MOST_CPUS))] = 1
    disk: Annotated[int, BeforeValidator(_size)] = 2 * GIB
    scratch: Annotated[int, BeforeValidator(_size)] = 0
    kernel: Annotated[str, AfterValidator(_kernel)] = "debian:12"
    cmdline: Annotated[str, AfterValidator(_cmdline)] = ""
    ssh_port: Annotated[int, AfterValidator(_between(1, 65535))] | None = None
    modules: list[Annotated[str, AfterValidator(_module)]] = []


class LinkTable(_Table):
    """One entry of a topology's `links`."""

    name: Name
    hosts: list[str]
    subnet: Annotated[str, AfterValidator(_subnet)] = "10.77.0.0/24"


class SharedDiskTable(_Table):
    """A topology's `shared_disk`."""

    hosts: list[str]
    size: Annotated[int, BeforeValidator(_size)]


class TopologyTable(_Table):
    """One `[[topology]]`; `cross_checks` has the rules for hosts that a role or a link names."""

    name: Name
    description: str = ""
    roles: dict[Name, str]
    links: list[LinkTable] = []
    shared_disk: SharedDiskTable | None = None


class InventoryTables(_Table):
    """A whole file."""

    host: list[HostTable]
    topology: list[TopologyTable]


_PARTS: dict[str, type[BaseModel]] = {"links": LinkTable, "shared_disk": SharedDiskTable}


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
    loc = tuple(step for step in error["loc"] if step != "[key]")
    kind, key = error["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        keys = _keys(loc[:-1])
        return Problem(loc=loc[:-1], problem=f"unknown key {shown(key)}", hint=nearest(key, keys, plural="keys"))
    if kind == "missing":
        return Problem(loc=loc, problem="is missing", hint=f"add {_EXAMPLES.get(key, key)}")
    if kind == "wrong":
        context = error["ctx"]
        return Problem(loc=loc, problem=str(context["problem"]), hint=str(context["hint"]))
    return _wrong_type(loc, key, error)


def _wrong_type(loc: Loc, key: str, error: ErrorDetails) -> Problem:
    expected = _EXPECTED.get(error["type"], "")
    if not expected:
        return Problem(loc=loc, problem=error["msg"], hint=f"the keys are: {names(_keys(loc[:-1]))}")
    example = _EXAMPLES.get(key)
    hint = f"write {example}" if example else f"write {expected}"
    return Problem(loc=loc, problem=f"must be {expected}, not {_toml_type(error['input'])}", hint=hint)


def _toml_type(value: object) -> str:
    return _TOML_TYPES.get(type(value), "a date or time")


def _keys(table: Loc) -> list[str]:
    model: type[BaseModel] = InventoryTables
    if table:
        model = HostTable if table[0] == "host" else TopologyTable
        model = next((_PARTS[str(part)] for part in table[2:] if part in _PARTS), model)
    return list(model.model_fields)
