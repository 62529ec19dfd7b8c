"""`harness inspect`: what hosts that somebody owns are, and why they could not be used; nothing on them is changed."""

from __future__ import annotations

import json

import click
from rich.table import Table
from rich.text import Text

from harness.cli.options import harness_options, resolve_options
from harness.cli.terminal import wide
from harness.model.errors import UsageError
from harness.results.text import plain_line

USABLE, NOT_USABLE = 0, 1


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="HOST...")
@click.option("--cases", metavar="PATH", help="also say which rows of these test cases it could run")
@click.option("--json", "as_json", is_flag=True, help="print JSON, one object a line")
@harness_options("inventory", "though_in_use")
def inspect(names: tuple[str, ...], cases: str | None, as_json: bool, **given: str | None) -> int:
    """Show what hosts of an inventory are: kernel, memory, disks, cards, BMC, and what speaks against using them.

    Exit code 1 if something speaks against one of them.
    """
    from harness.physical.fitness import fitness, wanted
    from harness.physical.inspection import inspect_all
    from harness.providers import read_inventory

    options = resolve_options(given)
    if options.inventory is None:
        raise UsageError("name an inventory: harness inspect ib1 --inventory rack.toml")
    inventory = read_inventory(options.inventory)
    chosen = [inventory.host(name) for name in names]
    if guests := [host.name for host in chosen if host.owned is None]:
        raise UsageError(f"{', '.join(guests)}: a guest; inspect looks at hosts that somebody owns")
    rows = []
    if cases is not None:
        from harness.plugin.row_needs import rows_of

        rows = rows_of([cases], options.inventory)
    programs, modules = wanted(rows)
    found = inspect_all(chosen, in_use=options.settings.though_in_use, programs=programs, modules=modules)
    for host, one in zip(chosen, found, strict=True):
        fits = fitness(rows, host, one) if rows and one.survey is not None else None
        if as_json:
            judged = {"cases": fits.to_dict() if fits is not None else None} if cases is not None else {}
            click.echo(json.dumps({**one.to_dict(), **judged}))
            continue
        table = Table(box=None, pad_edge=False, show_header=False, title=plain_line(one.name), title_justify="left")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in (*one.lines(), *(fits.lines() if fits is not None else ())):
            table.add_row(Text(name), Text(plain_line(value, limit=1000)))
        wide().print(table)
    return USABLE if all(one.is_usable for one in found) else NOT_USABLE
