"""An inventory file: hosts and topologies, validated as a whole before anything starts.

inventories/README.md describes the format.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.inventory import cross_checks, schema, values
from harness.inventory.cross_checks import Limits
from harness.inventory.diagnostics import failure, names, shown, shown_path
from harness.inventory.owned_schema import OwnedTable, owned_host
from harness.inventory.schema import HostTable, TopologyTable
from harness.model.errors import InventoryError, UsageError
from harness.model.topology import Host, Link, SharedDisk, Topology

# tomllib gives the position only in its message: "Invalid value (at line 3, column 5)"
_WHERE = re.compile(r"(?P<what>.*) \(at (?P<where>[^()]*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The topologies and hosts of one file, by name."""

    path: Path
    topologies: dict[str, Topology]
    hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, name: str) -> Host:
        """The host called `name`; raises UsageError if there is none."""
        if name not in self.hosts:
            raise UsageError(f"no host {shown(name)} in {shown_path(self.path)}; it has: {names(self.hosts)}")
        return self.hosts[name]

    def topology(self, name: str) -> Topology:
        """The topology called `name`; raises UsageError if there is none."""
        if name not in self.topologies:
            known = names(self.topologies)
            raise UsageError(f"no topology {shown(name)} in {shown_path(self.path)}; it has: {known}")
        return self.topologies[name]


def require_role(topology: Topology, role: str) -> Host:
    """The host that plays `role` in `topology`; raises UsageError if none does."""
    if role not in topology.roles:
        known = names(topology.roles)
        raise UsageError(f"no role {shown(role)} in topology {shown(topology.name)}; its roles are: {known}")
    return topology.host(topology.roles[role])


def load_inventory(path: Path, *, limits: Limits, variants: Sequence[str] | None = None) -> Inventory:
    """The inventory in the TOML file `path`.

    `variants` are the known module variants, None to leave their names unchecked.

    Raises InventoryError for one problem; for several, one UsageError with a line for each. Paths of modules
    and kernels come back absolute.
    """
    return inventory_of(read_text(path), path, limits=limits, variants=variants)


def inventory_of(text: str, path: Path, *, limits: Limits, variants: Sequence[str] | None = None) -> Inventory:
    """The inventory that `text` would be in the file `path`, which need not exist; see `load_inventory`."""
    document = _parse(path, text)
    tables = schema.parse(document)
    problems = tables if isinstance(tables, list) else []
    folder = path.absolute().parent
    problems += cross_checks.check(document, folder=folder, limits=limits, variants=variants)
    if problems or isinstance(tables, list):
        raise failure(path, problems, document)
    hosts = {table.name: _host(table, folder) for table in tables.host}
    topologies = {table.name: _topology(table, hosts) for table in tables.topology}
    return Inventory(path=path, topologies=topologies, hosts=hosts)


def read_text(path: Path) -> str:
    """The text of an inventory file; raises InventoryError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(path, "is a directory", _choices(path))
        if not stat.S_ISREG(mode):
            raise _unreadable(path, "is not a regular file", "name a TOML file")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file", _choices(path.parent)) from error
    except UnicodeDecodeError as error:
        hint = f"byte {error.start} is 0x{error.object[error.start]:02x}; save the file as UTF-8"
        raise _unreadable(path, "is not UTF-8 text", hint) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unreadable(path, f"cannot be read: {reason}", "name a readable TOML file") from error


def _unreadable(path: Path, problem: str, hint: str) -> InventoryError:
    return InventoryError(path=shown_path(path), place="", problem=problem, hint=hint)


def _choices(folder: Path) -> str:
    try:
        found = sorted(shown_path(Path(entry.name)) for entry in folder.glob("*.toml"))
    except (OSError, ValueError):
        found = []
    return f"in {shown_path(folder)} there are: {', '.join(found)}" if found else "name a TOML file"


def _parse(path: Path, text: str) -> dict[str, Any]:
    hint = "inventories/README.md shows the format"
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InventoryError(path=shown_path(path), place="", problem="is nested too deeply", hint=hint) from error
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        match = _WHERE.fullmatch(str(error))
        what, where = (match["what"], match["where"]) if match else (str(error), "")
        problem = f"is not TOML: {what}".replace("\n", " ")
        raise InventoryError(path=shown_path(path), place=where, problem=problem, hint=hint) from error


def _host(table: HostTable | OwnedTable, folder: Path) -> Host:
    host = owned_host(table, folder) if isinstance(table, OwnedTable) else Host(**table.model_dump(exclude={"kind"}))
    modules = (_resolved(m, values.is_module_file(m), folder) for m in table.modules)
    kernel = _resolved(table.kernel, values.is_kernel_file(table.kernel), folder)
    return replace(host, modules=tuple(modules), kernel=kernel)


def _resolved(name: str, is_file: bool, folder: Path) -> str:
    return str(folder / name) if is_file else name


def _topology(table: TopologyTable, hosts: dict[str, Host]) -> Topology:
    shared = table.shared_disk
    return Topology(
        name=table.name,
        description=table.description,
        hosts=tuple(hosts[name] for name in _distinct(table.roles.values())),
        roles=dict(table.roles),
        shared_disk=None if shared is None else SharedDisk(hosts=tuple(shared.hosts), size=shared.size),
        links=tuple(
            Link(name=li.name, hosts=tuple(li.hosts), subnet=li.subnet, switch=li.switch) for li in table.links
        ),
    )


def _distinct(entries: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(entries))
