"""Choice of the topology, sandbox or host that a command names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.inventory.inventory import Inventory
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.options import Options
from harness.model.topology import Topology
from harness.state.sandboxes import Sandbox, sandboxes, taken
from harness.state.state import StateDir

SHIPPED = Path(__file__).resolve().parents[2] / "inventories" / "local.toml"
USUAL = "single"


def inventory_file(options: Options) -> Path:
    """The named inventory, or the one that comes with the harness."""
    if options.inventory is not None:
        return options.inventory
    if not SHIPPED.is_file():
        problem = f"no inventory is named, and {SHIPPED} is not there"
        raise HostEnvironmentError(problem, remedy="name one with --inventory or HARNESS_INVENTORY")
    return SHIPPED


def choose_topology(inventory: Inventory, name: str | None) -> Topology:
    """The topology `name`; without a name the only one, or `single`. Raises UsageError that lists them."""
    if name is None:
        names = list(inventory.topologies)
        name = USUAL if USUAL in names else names[0] if len(names) == 1 else None
    if name is None:
        raise UsageError(f"which topology? {inventory.path} has: {', '.join(inventory.topologies)}")
    return inventory.topology(name)


def choose_sandbox(state: StateDir, name: str | None) -> Sandbox:
    """The sandbox `name`, or the only one; raises UsageError that lists the sandboxes that are up."""
    living = sandboxes(state)
    found = [sandbox for sandbox in living if name in (None, sandbox.name)]
    if len(found) == 1:
        return found[0]
    if not living:
        raise UsageError("nothing is up; `harness up` boots guests")
    names = ", ".join(sandbox.name for sandbox in living)
    raise UsageError(f"which topology? Up are: {names}" if name is None else f"{name!r} is not up; up are: {names}")


def choose_host(state: StateDir, wanted: str) -> tuple[Sandbox, str]:
    """The sandbox and name of a host that is up: `wanted` is its name, a role, or `topology/name`.

    Raises UsageError that lists the hosts if none or several match.
    """
    topology, _, name = wanted.rpartition("/")
    living = [sandbox for sandbox in sandboxes(state) if topology in ("", sandbox.name)]
    for found in (_named(living, name), _playing(living, name)):
        if len(found) > 1:
            names = ", ".join(f"{sandbox.name}/{host}" for sandbox, host in found)
            raise UsageError(f"which host {name!r}? {names}")
        if found:
            return found[0]
    known = ", ".join(f"{sandbox.name}/{host}" for sandbox in sandboxes(state) for host in _hosts(sandbox))
    raise UsageError(f"no host {wanted!r} is up; " + (f"there are: {known}" if known else "`harness up` boots some"))


def consoles_of(state: StateDir, wanted: str | None) -> dict[str, tuple[Sandbox, str]]:
    """The sandbox and name of one host, or of all that are up, by their labels; raises as `choose_host`."""
    if wanted is not None:
        sandbox, host = choose_host(state, wanted)
        return {host: (sandbox, host)}
    living = sandboxes(state)
    found = [(sandbox, host) for sandbox in living for host in _hosts(sandbox)]
    if not found:
        raise UsageError("nothing is up; `harness up` boots guests")
    return {host if len(living) == 1 else f"{sandbox.name}/{host}": (sandbox, host) for sandbox, host in found}


def check_free(state: StateDir, name: str) -> None:
    """Raise UsageError if a sandbox of that name is up, before anything is built for a new one."""
    for sandbox in sandboxes(state):
        if sandbox.name == name:
            raise taken(sandbox)


def _hosts(sandbox: Sandbox) -> list[str]:
    return [str(host["name"]) for host in sandbox.read().get("hosts", [])]


def _named(living: Sequence[Sandbox], name: str) -> list[tuple[Sandbox, str]]:
    return [(sandbox, host) for sandbox in living for host in _hosts(sandbox) if host == name]


def _playing(living: Sequence[Sandbox], role: str) -> list[tuple[Sandbox, str]]:
    records = [(sandbox, host) for sandbox in living for host in sandbox.read().get("hosts", [])]
    return [(sandbox, str(host["name"])) for sandbox, host in records if role in host["roles"]]
