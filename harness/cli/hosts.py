"""`harness hosts`: the hosts of an inventory that somebody owns, and who has them."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from harness.cli.options import harness_options, resolve_options
from harness.cli.terminal import wide
from harness.model.errors import UsageError
from harness.model.topology import Host
from harness.results.text import plain_line

ALL_FREE, NOT_ALL = 0, 1
COLOURS = {"free": "green", "quarantine": "bold red", "no answer": "red", "stale": "yellow"}


@click.command()
@click.argument("names", nargs=-1, metavar="[HOST]...")
@click.option("--release", is_flag=True, help="end the quarantine of the named hosts, once you have looked at them")
@click.option("--json", "as_json", is_flag=True, help="print JSON, one object a line")
@harness_options("inventory", "state")
def hosts(names: tuple[str, ...], release: bool, as_json: bool, **given: str | None) -> int:
    """List hosts that somebody owns: their state, who has them, and the kernel that they run.

    Exit code 1 if one of them is not free.
    """
    from harness.physical.standing import FREE, standings
    from harness.providers import read_inventory

    options = resolve_options(given)
    if options.inventory is None:
        raise UsageError("name an inventory: harness hosts --inventory rack.toml")
    inventory = read_inventory(options.inventory)
    named = [inventory.host(name) for name in names] or list(inventory.hosts.values())
    chosen = [host for host in named if host.owned is not None]
    if names and len(chosen) < len(named):
        guests = ", ".join(host.name for host in named if host.owned is None)
        raise UsageError(f"{guests}: a guest, which exists only while a run has it; name physical hosts")
    if release:
        _release(options.settings.state, names, chosen)
    found = standings(options.settings, chosen)
    if as_json:
        for one in found:
            click.echo(json.dumps(one.to_dict()))
    else:
        wide().print(_table([(one.name, one.state, one.kernel, one.address, one.detail) for one in found]))
    return ALL_FREE if all(one.state == FREE for one in found) else NOT_ALL


def _release(state: Path, names: tuple[str, ...], chosen: list[Host]) -> None:
    from harness.physical.offers import owned
    from harness.state.hosts import HostFiles
    from harness.state.state import StateDir

    if not names:
        raise UsageError("--release: name the hosts that you have looked at")
    for host in chosen:
        if not HostFiles(StateDir(state), host.name, owned(host).host_key).end_quarantine():
            raise UsageError(f"host {host.name} is not in quarantine")


def _table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("host", "state", "kernel", "address", "by"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("host", "state"))
    for row in rows:
        cells = [Text(plain_line(cell)) for cell in row]
        cells[1].stylize(COLOURS.get(row[1], ""))
        table.add_row(*cells)
    return table
