"""`harness up`: guests for work by hand, or for one command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.options import harness_options, resolve_options
from harness.cli.progress import Bars
from harness.cli.terminal import wide
from harness.model.errors import UsageError
from harness.model.overrides import NAMES as SIDE
from harness.results.text import plain_line

if TYPE_CHECKING:
    from harness.model.options import Options
    from harness.sandbox.guests import SandboxRequest
    from harness.state.sandboxes import Sandbox

COMMAND = "harness.cli.up.command"
# The names in harness.sandbox.storages, which a help text does not import.
STORAGES = "aoe, aoe-swap, ganesha, iscsi, iscsi-swap, nbd, nbd-swap, nfs, nfs3, nvme-tcp, nvme-tcp-swap, smb"
HEADINGS = ("host", "roles", "kernel", "memory", "cpus", "address", "get in")


class _WithCommand(click.Command):
    """Arguments after -- are a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.meta[COMMAND] = " ".join(args[place + 1 :])  # as ssh does; the shell on the host splits it
            args = args[:place]
        return super().parse_args(ctx, args)


@click.command(
    cls=_WithCommand,
    options_metavar="[OPTIONS]",
    epilog="After -- : COMMAND…, as with --exec; its words are joined by blanks, as ssh does.",
)
@click.argument("topology", required=False)
@click.option("--storage", metavar="NAME", help=f"network storage between client and server: {STORAGES}")
@click.option("--exec", "command", metavar="COMMAND", help="run it on the first host, then remove the guests")
@harness_options("inventory", "state", "cache", "uri", "accel", "cold", "steal", "though_in_use", "mirror", *SIDE)
@click.pass_context
def up(
    ctx: click.Context, /, topology: str | None, storage: str | None, command: str | None, **given: str | None
) -> int | None:
    """Boot the guests of TOPOLOGY, as in trials, and leave them to you until `harness down`.

    Without TOPOLOGY: the only one of the inventory, or `single`. Without an inventory: the one that comes with the
    harness. With a command: prints its output, returns its exit code and removes the guests.

    Exit code 2 if the guests do not come up; nothing is left then.
    """
    from harness.sandbox.once import run_once
    from harness.sandbox.start import start

    command = _one_of(command, ctx.meta.get(COMMAND))
    request = _request(resolve_options(given), topology, storage, alone=command is not None)
    if command is not None:
        return run_once(request, command, _note)
    _show(start(request, _note))
    return None


def _one_of(option: str | None, rest: str | None) -> str | None:
    if option is not None and rest is not None:
        raise UsageError("--exec and -- both name a command; leave one out")
    chosen = rest if option is None else option
    if chosen is not None and not chosen.strip():
        raise UsageError("the command to run is empty; leave --exec and -- out to work by hand")
    return chosen


def _request(options: Options, name: str | None, storage: str | None, *, alone: bool) -> SandboxRequest:
    """The guests to boot and their parts; builds missing parts."""
    from harness.providers import clean, provider_of, read_inventory
    from harness.sandbox.choose import check_free, choose_topology, inventory_file
    from harness.sandbox.guests import SandboxRequest
    from harness.sandbox.storages import kernel_needs, storage_of
    from harness.site.capabilities import requirements
    from harness.site.provider import HostNeeds
    from harness.state.state import StateDir

    settings = options.settings
    state = StateDir.of(settings)
    inventory = read_inventory(inventory_file(options))
    topology = options.side.apply(choose_topology(inventory, name))
    wanted = None if storage is None else storage_of(storage, topology)
    if not alone:
        check_free(state, topology.name)
    for line in clean(settings):
        _note(f"left by a dead run: {line}")
    with Bars(Console(stderr=True)) as progress:
        needs = HostNeeds(kernel=kernel_needs(wanted, topology), capabilities=requirements([wanted], topology))
        prepared = provider_of(settings, topology).prepare(topology, needs, progress)
    return SandboxRequest(topology=topology, prepared=prepared, settings=settings, storage=wanted)


def _note(line: str) -> None:
    click.echo(plain_line(line), err=True)


def _show(sandbox: Sandbox) -> None:
    record = sandbox.read()
    table = Table(*HEADINGS, box=None, pad_edge=False, header_style="bold")
    for host in record["hosts"]:
        addresses = ", ".join(host["addresses"]) or f"{host['login']} port {host['port']}"
        memory = f"{host['memory'] // 2**20} MiB"
        cells: Sequence[str] = (
            *(host["name"], ", ".join(host["roles"]), host["kernel"], memory, str(host["cpus"]), addresses),
            f"harness ssh {host['name']}",
        )
        table.add_row(*map(Text, cells))
    console = wide()
    console.print(table)
    if record["storage"]:
        console.print(Text(f"storage: {record['storage']['about']}: {record['storage']['place']}"), soft_wrap=True)
    console.print(Text(f"harness console HOST, harness logs -f; harness down {sandbox.name} ends it"), soft_wrap=True)
