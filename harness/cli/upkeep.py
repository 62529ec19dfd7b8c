"""`harness doctor`, `harness prepare`, `harness clean`: set-up and clean-up of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.options import harness_options, resolve_options
from harness.cli.progress import Bars
from harness.results.text import plain_line

if TYPE_CHECKING:
    from harness.doctor.doctor import Check

READY, MISSING = 0, 2


@click.command()
@click.option("--quick", is_flag=True, help="do not boot a guest to find out which accelerator works")
@harness_options("state", "cache", "results", "uri", "accel", "mirror")
def doctor(quick: bool, **given: str | None) -> int:
    """Report what this machine can do, what is missing, and the command that fixes it.

    Exit code 2 if something is missing that every trial needs.
    """
    from harness.doctor.doctor import check

    settings = resolve_options(given).settings
    with Bars(Console(stderr=True)) as progress:
        checks = check(settings, quick=quick, progress=progress)
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in checks:
        table.add_row(_mark(each), Text(plain_line(each.name)), _detail(each))
    Console().print(table)
    return MISSING if any(each.required and not each.ok for each in checks) else READY


@click.command()
@click.option(
    "--refresh", is_flag=True, help="build the image and the kernel again, from the archive's newest packages"
)
@harness_options("state", "cache", "uri", "accel", "mirror")
def prepare(refresh: bool, **given: str | None) -> None:
    """Build the guest image, kernels and module variants that trials need; existing ones are kept."""
    from harness.guests.boot_spec import prepare as prepare_machines

    with Bars(Console()) as progress:
        prepare_machines(resolve_options(given).settings, progress, refresh=refresh)


@click.command()
@harness_options("state", "uri")
def clean(**given: str | None) -> None:
    """Remove what dead runs left: guests, switches, overlays, sockets. Live runs are not touched."""
    from harness.providers import clean as remove

    lines = remove(resolve_options(given).settings)
    for line in lines or ["nothing to remove"]:
        click.echo(plain_line(line))


def _mark(check: Check) -> Text:
    if check.ok:
        return Text("ok", style="green")
    return Text("missing", style="bold red") if check.required else Text("better", style="yellow")


def _detail(check: Check) -> Text:
    detail = Text(plain_line(check.detail))
    if check.remedy and not check.ok:
        detail.append(f"\n→ {plain_line(check.remedy, limit=500)}", style="bold")
    return detail
