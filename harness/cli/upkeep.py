"""`harness doctor`, `harness prepare`, `harness clean`: this machine, before and after."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.options import harness_options, resolve_options
from harness.cli.progress import Bars
from harness.model.settings import Settings
from harness.results.text import plain_line

READY, MISSING = 0, 2


@click.command()
@click.option("--quick", is_flag=True, help="do not boot a guest to find out which accelerator works")
@harness_options("state", "cache", "results", "uri", "accel", "mirror")
def doctor(quick: bool, **given: str | None) -> int:
    """Say what this machine can do, what is missing, and the command that mends it.

    Exit code 2 if something is missing that trials need.
    """
    from harness.targets.doctor import check

    checks = check(resolve_options(given).settings, quick=quick)
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in checks:
        mark = Text("ok", style="green") if each.ok else Text("missing", style="bold red")
        detail = Text(plain_line(each.detail))
        if each.remedy and not each.ok:
            detail.append(f"\n{plain_line(each.remedy)}", style="bold")
        table.add_row(mark, Text(each.name), detail)
    Console().print(table)
    return READY if all(each.ok for each in checks) else MISSING


@click.command()
@harness_options("state", "cache", "uri", "accel", "mirror")
def prepare(**given: str | None) -> None:
    """Build what trials need, guest image, kernels and module variants; what is there already is kept."""
    from harness.targets.machines import prepare as prepare_machines

    with Bars(Console()) as progress:
        prepare_machines(resolve_options(given).settings, progress)


@click.command()
@harness_options("state", "uri")
def clean(**given: str | None) -> None:
    """Remove what dead runs left: guests, switches, overlays, sockets. Live runs are not touched."""
    lines = reap_state(resolve_options(given).settings)
    for line in lines or ["nothing to remove"]:
        click.echo(plain_line(line))


def reap_state(settings: Settings) -> list[str]:
    """Remove what dead runs left in the state folder; one line for each thing."""
    from harness.targets.reaper import reap
    from harness.targets.state import StateDir

    return reap(StateDir(settings.state))
